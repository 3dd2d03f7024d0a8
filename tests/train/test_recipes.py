"""Recipes: which one `auto` takes, what a plan says, and that every written config loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.errors import BlockedError, UsageError
from train.base.machine import Gpu, Machine, parse_gpus, visible
from train.base.size import Size, measure
from train.data.dataset import Counts
from train.recipes import GIB, all_recipes, choose
from train.settings import TrainTable
from train.trainer.command import command
from train.trainer.config import Job, config_text
from train.trainer.plan import make_plan, refuse_too_big

pytestmark = pytest.mark.xdist_group("xtuner")

NAMES = ["cpu", "qlora-8gb", "qlora-24gb", "lora", "full-zero3"]
LAPTOP = Machine(cores=2, memory=16 * GIB, cpu_bf16=True, cpu_amx=False)
COUNTS = Counts(500, 500, 40_000, 12_000, 200, 0)


def machine(*memory: int, capability: float = 8.9) -> Machine:
    gpus = tuple(Gpu("GPU", size * GIB, capability) for size in memory)
    return Machine(16, 64 * GIB, True, False, gpus)


def size(billions: float) -> Size:
    parameters = int(billions * 1e9)
    layers, hidden = 32, int((parameters / 32 / 12) ** 0.5)
    matrices = ((hidden, 12 * hidden),) * layers
    return Size(parameters, layers * 12 * hidden * hidden, matrices, hidden, layers, 100_000)


def test_there_are_five_recipes_with_words_in_both_languages():
    assert list(all_recipes()) == NAMES
    for recipe in all_recipes().values():
        assert recipe.label.en
        assert recipe.label.zh
        assert recipe.needs.en
        assert recipe.needs.zh


@pytest.mark.parametrize(
    ("here", "billions", "expected"),
    [
        (LAPTOP, 0.1, "cpu"),
        (machine(8), 1.8, "lora"),
        (machine(8), 4, "qlora-8gb"),
        (machine(24), 1.8, "lora"),
        (machine(24), 14, "qlora-24gb"),
        (machine(80), 7, "lora"),
        (machine(24, 8), 7, "qlora-8gb"),
    ],
)
def test_auto_goes_by_the_machine_and_the_base(here, billions, expected):
    recipe, reason = choose(TrainTable(), here, size(billions))
    assert recipe.name == expected
    assert reason.en
    assert reason.zh


def test_what_the_person_sets_wins_over_the_recipe():
    table = TrainTable(recipe="cpu", lora_rank=4, learning_rate=0.002, epochs=3, seed=7)
    recipe, _ = choose(table, LAPTOP, size(0.1))
    assert (recipe.lora_rank, recipe.learning_rate, recipe.epochs) == (4, 0.002, 3)
    assert recipe.batch_size == all_recipes()["cpu"].batch_size


def test_qlora_without_a_gpu_runs_on_the_processor_and_says_so():
    recipe, reason = choose(TrainTable(recipe="qlora-8gb"), LAPTOP, size(0.1))
    assert (recipe.device, recipe.method) == ("cpu", "qlora")
    assert "slowly" in reason.en


def test_full_training_without_gpus_is_refused():
    with pytest.raises(BlockedError, match="needs GPUs"):
        choose(TrainTable(recipe="full-zero3"), LAPTOP, size(7))


def test_more_gpus_than_there_are_is_refused():
    with pytest.raises(BlockedError, match="asks for 4 GPUs"):
        choose(TrainTable(recipe="lora", gpus=4), machine(24, 24), size(7))


def test_several_gpus_take_zero_2():
    recipe, _ = choose(TrainTable(recipe="lora", gpus=2), machine(24, 24), size(7))
    assert recipe.zero_stage == 2


def test_gpus_are_read_from_nvidia_smi():
    gpus = parse_gpus("NVIDIA GeForce RTX 4090, 24564, 8.9\nTesla T4, 15360, 7.5\n")
    assert [(gpu.name, gpu.has_bf16) for gpu in gpus] == [
        ("NVIDIA GeForce RTX 4090", True),
        ("Tesla T4", False),
    ]
    assert visible(gpus, "1") == gpus[1:]
    assert visible(gpus, "") == ()
    assert visible(gpus, None) == gpus


def test_the_plan_counts_steps_and_warns_where_they_are_few():
    recipe = all_recipes()["cpu"]
    plan = make_plan(recipe, COUNTS, size(0.1), LAPTOP)
    assert plan.steps == -(-500 // recipe.rows_per_step) * recipe.epochs
    few = Counts(40, 40, 4000, 1000, 200, 3)
    plan = make_plan(recipe, few, size(0.1), LAPTOP)
    said = " ".join(warning.en for warning in plan.warnings)
    assert "identity often does not take" in said
    assert "3 samples are longer" in said


def test_what_batches_share_takes_no_time_and_steps_take_some():
    recipe = all_recipes()["cpu"].model_copy(update={"epochs": 1})
    whole = make_plan(recipe, COUNTS, size(0.1), LAPTOP)
    shared = make_plan(recipe, COUNTS, size(0.1), LAPTOP, computed=0.6)
    assert (shared.steps, shared.tokens, shared.memory) == (whole.steps, whole.tokens, whole.memory)
    assert shared.seconds < whole.seconds
    longer = make_plan(recipe.model_copy(update={"batch_size": 4}), COUNTS, size(0.1), LAPTOP)
    assert (longer.tokens, longer.steps) == (whole.tokens, 2 * whole.steps - 1)
    assert longer.seconds > whole.seconds


def test_bf16_wherever_the_hardware_has_it():
    recipe = all_recipes()["lora"]
    assert make_plan(recipe, COUNTS, size(1.8), machine(24)).dtype == "bfloat16"
    assert make_plan(recipe, COUNTS, size(1.8), machine(24, capability=7.5)).dtype == "float16"
    old = Machine(2, 16 * GIB, False, False)
    assert make_plan(all_recipes()["cpu"], COUNTS, size(0.1), old).dtype == "float32"


def test_memory_grows_with_the_base_and_shrinks_with_four_bits():
    lora = make_plan(all_recipes()["lora"], COUNTS, size(7), machine(24)).memory
    qlora = make_plan(all_recipes()["qlora-24gb"], COUNTS, size(7), machine(24)).memory
    assert 14 * GIB < lora < 24 * GIB
    assert 5 * GIB < qlora < 10 * GIB


def test_fewer_layers_with_an_adapter_take_less_of_everything():
    recipe = all_recipes()["cpu"].model_copy(update={"lora_layers": 1.0, "epochs": 1})
    some = recipe.model_copy(update={"lora_layers": 0.34})
    whole, third = (make_plan(one, COUNTS, size(0.1), LAPTOP) for one in (recipe, some))
    assert third.steps == whole.steps
    assert third.seconds < 0.8 * whole.seconds
    assert third.memory < whole.memory
    assert third.disk < whole.disk
    twice = make_plan(some.model_copy(update={"epochs": 2}), COUNTS, size(0.1), LAPTOP)
    assert twice.epochs == 2
    assert twice.seconds < 1.8 * third.seconds  # the second pass has a part done already
    full = recipe.model_copy(update={"method": "full"})
    both = [full.model_copy(update={"lora_layers": share, "epochs": 2}) for share in (0.5, 1.0)]
    assert len({make_plan(one, COUNTS, size(0.1), LAPTOP).seconds for one in both}) == 1


def test_a_run_that_cannot_fit_is_refused_before_it_starts():
    recipe = all_recipes()["cpu"]
    plan = make_plan(recipe, COUNTS, size(14), LAPTOP)
    with pytest.raises(UsageError, match="needs about"):
        refuse_too_big(plan, recipe)


def test_the_size_of_a_base_is_read_from_its_headers(embedded_base):
    found = measure(embedded_base)
    assert (found.parameters, found.layers, found.hidden) == (134_515_008, 30, 576)
    assert len(found.matrices) == 210
    assert found.adapter_parameters(16) == 4_884_480


def job(name: str, base: Path, work: Path, **changes) -> Job:
    recipe = all_recipes()[name].model_copy(update=changes)
    return Job(
        recipe, base, work / "train.jsonl", work, 100, 25, 42, "bfloat16",
        questions=[[{"role": "user", "content": "你是谁？"}]],
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_writes_a_config_that_mmengine_loads(name, tmp_path, embedded_base):
    from train.trainer.xtuner_patches import mend

    mend()
    from mmengine.config import Config

    file = tmp_path / "xtuner_config.py"
    written = job(name, embedded_base, tmp_path)
    file.write_text(config_text(written), encoding="utf-8")
    config = Config.fromfile(str(file))
    assert config.train_cfg.max_iters == 100
    assert config.model.type.__name__ == "Finetune"
    assert config.train_dataloader.dataset.type.__name__ == "ConversationDataset"
    wrapper = config.optim_wrapper
    assert wrapper.accumulative_counts == written.recipe.accumulation
    assert wrapper.type.__name__ == ("OptimWrapper" if name == "cpu" else "AmpOptimWrapper")
    assert config.env_cfg.dist_cfg.backend == ("gloo" if name == "cpu" else "nccl")
    assert ("quantization_config" in config.model.llm) == name.startswith("qlora")
    assert config.model.share_prefixes == (name == "cpu")
    assert (config.model.lora is None) == (name == "full-zero3")
    assert config.model.adapted == written.recipe.lora_layers == (0.5 if name == "cpu" else 1)
    assert config.model.recall is False  # one pass
    some = replace(job(name, embedded_base, tmp_path, lora_layers=0.5), passes=2.0)
    file.write_text(config_text(some), encoding="utf-8")
    config = Config.fromfile(str(file))
    full = name == "full-zero3"
    assert (config.model.adapted, config.model.recall) == (1 if full else 0.5, name == "cpu")
    assert full or config.model.lora.target_modules is None  # named where the layers are
    assert config.model.llm.trust_remote_code is False


@pytest.mark.parametrize(("iterations", "schedules"), [(1, 0), (2, 1), (29, 1), (30, 2), (100, 2)])
def test_any_number_of_steps_has_a_schedule(tmp_path, embedded_base, iterations, schedules):
    from train.trainer.xtuner_patches import mend

    mend()
    import torch
    from mmengine.config import Config
    from mmengine.registry import PARAM_SCHEDULERS

    file = tmp_path / "xtuner_config.py"
    written = replace(job("cpu", embedded_base, tmp_path), iterations=iterations)
    file.write_text(config_text(written), encoding="utf-8")
    config = Config.fromfile(str(file))
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=config.learning_rate)
    built = [
        PARAM_SCHEDULERS.build({**each, "optimizer": optimizer}) for each in config.param_scheduler
    ]
    assert len(built) == schedules
    rates = []
    for _ in range(iterations):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for schedule in built:
            schedule.step()
    assert max(rates) == pytest.approx(config.learning_rate, rel=0.01)


def test_a_broken_cache_of_yapfs_grammars_is_not_read(tmp_path):
    """As a process that is killed, or one that starts at the same moment, leaves it."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}

    def python(text):
        return subprocess.run(
            [sys.executable, "-c", text], env=environment, capture_output=True, text=True
        )

    assert python("import yapf").returncode == 0
    for cache in tmp_path.rglob("*.pickle"):
        cache.write_bytes(b"")
    assert "EOFError" in python("import mmengine").stderr
    mended = "from train.trainer.xtuner_patches import import_yapf; import_yapf(); import mmengine"
    assert python(mended).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_bitsandbytes_is_imported_only_where_a_recipe_packs(name, tmp_path, embedded_base):
    from train.trainer.xtuner_patches import leave_out_bitsandbytes

    text = config_text(job(name, embedded_base, tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "bitsandbytes", "it")
        leave_out_bitsandbytes(text)
        assert sys.modules["bitsandbytes"] == ("it" if name.startswith("qlora") else None)


def test_gpu_recipes_differ_in_numbers_and_four_bits_only(tmp_path):
    """So that what trains for real as one of them (tests/train/test_fit.py) stands for the others."""
    written = {
        name: config_text(job(name, tmp_path / "base", tmp_path)).splitlines()
        for name in ("qlora-8gb", "qlora-24gb", "lora")
    }
    changed = {
        name: {
            re.sub(r"\d[\d.e-]*", "#", line)
            for line in set(written[name]) ^ set(written["qlora-8gb"])
        }
        for name in written
    }
    numbers = {"max_length = #", "batch_size = #  # samples on one device",
               "accumulation = #  # batches to one optimiser step", "learning_rate = #"}  # fmt: skip
    assert changed["qlora-24gb"] <= numbers | {
        line for line in changed["qlora-24gb"] if "LoraConfig" in line
    }
    four_bits = {line for line in changed["lora"] - numbers if "LoraConfig" not in line}
    assert four_bits == {
        "        quantization_config=dict(",
        "            type=BitsAndBytesConfig, load_in_#bit=True, bnb_#bit_quant_type='nf#',",
        "            bnb_#bit_use_double_quant=True, bnb_#bit_compute_dtype=torch.bfloat#),),",
        "        dtype=torch.bfloat#, attn_implementation='sdpa',",
        "        dtype=torch.bfloat#, attn_implementation='sdpa',),",
    }


def test_commands_go_through_xtuners_launcher(tmp_path, embedded_base, monkeypatch):
    config = tmp_path / "xtuner_config.py"
    alone = command(job("cpu", embedded_base, tmp_path), config, tmp_path / "iter_25.pth")
    assert alone[1:] == [
        "-m", "train.trainer.child", str(config), "--work-dir", str(tmp_path),
        "--resume", str(tmp_path / "iter_25.pth"),
    ]  # fmt: skip
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setenv("ADDR", "10.0.0.1")
    many = command(job("full-zero3", embedded_base, tmp_path, gpus=8, nodes=2), config)
    assert many[1:] == [
        "-m", "torch.distributed.run", "--nnodes=2", "--node_rank=1", "--nproc_per_node=8",
        "--master_addr=10.0.0.1", "--master_port=29501", "-m", "train.trainer.child", str(config),
        "--work-dir", str(tmp_path), "--deepspeed", "deepspeed_zero3", "--launcher", "pytorch",
    ]  # fmt: skip
