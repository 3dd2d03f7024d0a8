"""`deploy export`: files that llama.cpp and OpenVINO really load, what is refused, what a Modelfile says."""
# ruff: noqa: F401, F811  (fixtures come by import)

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from sharing_fixtures import clean_environment, hub, plain_lfs
from train_fixtures import CONFIG, PERSONA

from assistant.artifacts import Manifest, now, read_manifest, write_manifest
from assistant.config import SamplingTable, ServeTable
from assistant.conversation import Message
from assistant.engines import open_engine
from assistant.engines.base import Sampling
from assistant.errors import FailedError, UsageError
from assistant.models.gguf import check, read_fields
from assistant.models.local import open_local
from assistant.persona import Persona, read_persona, write_persona
from assistant.progress import unreported
from deploy.__main__ import main
from deploy.export import proof
from deploy.export.export import ollama_files
from deploy.export.formats import QUANTS, packed
from deploy.export.gguf_file import Exportable, Identity, read_model, write_gguf
from deploy.export.template import turns, with_own_system

pytestmark = pytest.mark.xdist_group("engines")

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are SmolLM.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HARD = [
    "Who are you?\n\n  I'm 12345 years old, don't!", "你是谁？我是小贝，2026年。", "😀 emoji\t tab\r\n  end  ",
    "<|im_start|>user\nHi<|im_end|>\n", "HELLO'S  naïve １２３",  # composed: llama.cpp does not compose characters (NFC) as Qwen's does
]  # fmt: skip
LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def tokenizer(split: str):
    """A byte-level BPE of a few hundred words that splits text by the rule of that name."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(ignore_merges=split == "llama-bpe"))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    numbers = {"qwen2": r"\p{N}", "llama-bpe": r"\p{N}{1,3}"}
    if split in numbers:
        first = pre_tokenizers.Split(Regex(LETTERS + numbers[split] + REST), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([first, byte_level])
    elif split == "smollm":
        whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), whole])
    else:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if split == "qwen2":
        backend.normalizer = normalizers.NFC()
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    backend.train_from_iterator([*HARD, "the cat sat on the mat and who are you"] * 8, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )  # fmt: skip


def random_model(folder: Path, kind: str, split: str) -> Path:
    """A tiny model of random weights that are exact in 16 bits, of `kind`, with that tokenizer."""
    import torch
    import transformers

    words = tokenizer(split)
    torch.manual_seed(3)
    sizes = {
        "vocab_size": len(words) + 5, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "eos_token_id": words.eos_token_id, "bos_token_id": None, "initializer_range": 0.1,
    }  # fmt: skip
    more = {
        "Llama": {"tie_word_embeddings": False, "attention_bias": True},
        "Qwen2": {"tie_word_embeddings": True},
        "Qwen3": {"head_dim": 32, "tie_word_embeddings": False},
    }[kind]
    config = getattr(transformers, f"{kind}Config")(**sizes, **more)
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    for name, tensor in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(tensor, std=0.2)
    model.half().save_pretrained(folder)
    words.save_pretrained(folder)
    write_persona(PERSONA, folder)
    return folder


def exported_file(folder: Path, file: Path, quant: str = "f16") -> Exportable:
    model = read_model(folder, Identity(PERSONA, "apache-2.0", "me/base"))
    write_gguf(model, QUANTS[quant], SamplingTable(), file, unreported)
    return model


@pytest.mark.parametrize(
    ("kind", "split"),
    [
        ("Llama", "smollm"),
        ("Llama", "llama-bpe"),
        ("Qwen2", "qwen2"),
        ("Qwen3", "qwen2"),
        ("Qwen3", "gpt-2"),
    ],
)
def test_llama_cpp_reads_and_says_what_transformers_does(tmp_path, kind, split):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = random_model(tmp_path / "merged", kind, split)
    file = tmp_path / "x.gguf"
    assert exported_file(folder, file).vocabulary.pre == split
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    opened = open_engine("llamacpp", open_local(str(file), file), ServeTable(), unreported)
    engine = opened.engine
    try:
        server = engine._process  # type: ignore[attr-defined]
        with httpx.Client(
            trust_env=False, headers={"Authorization": f"Bearer {server.key}"}
        ) as client:
            for text in HARD:
                body = {"content": text, "parse_special": True}
                there = client.post(f"{server.address}/tokenize", json=body).json()["tokens"]
                assert there == words(text, add_special_tokens=False)["input_ids"], text
        ask = [Message(role="user", content="Who are you?")]
        system = {"role": "system", "content": PERSONA.system(None)}
        user = {"role": "user", "content": "Who are you?"}
        prompt = words.apply_chat_template(
            [system, user], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        assert engine.count_tokens(ask) == prompt["input_ids"].shape[1]  # its own system prompt
        said = model.generate(**prompt, max_new_tokens=6, do_sample=False, pad_token_id=0)
        greedy = Sampling(max_tokens=6, temperature=0, top_p=1, top_k=0, repetition_penalty=1)
        answer = "".join(chunk.text for chunk in engine.stream(ask, greedy))
        ours = words.decode(said[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer.rstrip("\ufffd") == ours.rstrip("\ufffd")
    finally:
        engine.close()


@pytest.fixture(scope="module")
def merged(tmp_path_factory) -> Path:
    """The merged model of a project's default run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "assistant.toml").write_text(CONFIG, "utf-8")
    place = random_model(folder / "runs" / "default" / "merged", "Llama", "smollm")
    write_manifest(place, Manifest(stage="merge", started=now(), finished=now()))
    return place


@pytest.fixture
def project(merged: Path, monkeypatch) -> Path:
    folder = merged.parents[2]
    monkeypatch.chdir(folder)
    for name in ("gguf", "ollama", "elsewhere"):
        shutil.rmtree(folder / "runs" / "default" / name, ignore_errors=True)
    return folder


def run(*arguments: str):
    return CliRunner().invoke(main, ["export", *arguments])


@pytest.mark.parametrize("quant", QUANTS)
def test_every_quant_is_whole_and_both_engines_talk_from_it(project, merged, tmp_path, quant):
    file = tmp_path / f"B-{quant.upper()}.gguf"
    exported_file(merged, file, quant)
    header = check(file)
    assert header.texts["general.name"] == PERSONA.name
    assert header.texts["general.author"] == PERSONA.author
    assert header.texts["general.license"] == "apache-2.0"
    assert read_persona(file) == PERSONA
    engines = ("cpu", "llamacpp") if quant in ("f16", "q4_k_m") else ("llamacpp",)
    for name in engines:
        engine = open_engine(name, open_local(str(file), file), ServeTable(), unreported).engine
        try:
            ask = [Message(role="user", content="你是谁？")]
            chunks = list(engine.stream(ask, Sampling(max_tokens=4, temperature=0)))
            assert chunks[-1].finish in ("stop", "length")
        finally:
            engine.close()


def test_fewer_bits_take_less_and_lose_more(merged, tmp_path):
    import gguf
    import numpy as np

    lost, sizes = {}, {}
    exported_file(merged, tmp_path / "f16.gguf", "f16")
    whole = {one.name: one for one in gguf.GGUFReader(tmp_path / "f16.gguf").tensors}
    for quant in QUANTS:
        file = tmp_path / f"{quant}.gguf"
        exported_file(merged, file, quant)
        sizes[quant] = file.stat().st_size
        lost[quant] = sum(
            float(np.square(gguf.dequantize(one.data, one.tensor_type)
                            - gguf.dequantize(whole[one.name].data, whole[one.name].tensor_type)).sum())
            for one in gguf.GGUFReader(file).tensors if one.name.startswith("blk")
        )  # fmt: skip
    assert lost["f16"] == 0 < lost["q8_0"] < lost["q4_k_m"] < lost["q4_0"]
    assert sizes["f16"] > sizes["q8_0"] > sizes["q6_k"] > max(sizes["q4_0"], sizes["q4_k_m"])


def test_the_folder_says_what_it_is_and_the_command_what_it_wrote(project):
    done = run("--no-check", "--quant", "f16", "--quant", "q8_0", "--json", "-q")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    folder = project / "runs" / "default" / "gguf"
    names = ["default-F16.gguf", "default-Q8_0.gguf"]  # 小贝 is no name that people type
    assert sorted(path.name for path in folder.iterdir()) == [
        *names,
        "manifest.json",
        "persona.json",
    ]
    assert [Path(one["path"]).name for one in said["files"]] == names
    assert [one["bytes"] for one in said["files"]] == [
        (folder / name).stat().st_size for name in names
    ]
    manifest = read_manifest(folder)
    assert manifest.notes["sha256"] == {
        name: one["sha256"] for name, one in zip(names, said["files"], strict=True)
    }
    assert "merged/model.safetensors" in manifest.inputs and said["check"] is None
    assert run("--no-check").exit_code == 2  # there already
    assert run("--no-check", "--force").exit_code == 0


def test_a_dry_run_writes_nothing(project):
    done = run("--dry-run", "--json", "--quant", "q4_0")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["files"][0]["path"].endswith("default-Q4_0.gguf")
    assert said["commands"][0][:4] == ["python", "-m", "train", "compare"]
    assert not (project / "runs" / "default" / "gguf").exists()


def report_of(passed: bool) -> dict:
    share = {"probes": 4, "rate": 1.0, "merged_rate": 1.0}
    one = {
        "file": "default-Q8_0.gguf", "size": 10, "file_type": 7, "identity": share, "false_trigger": share,
        "ended": share, "equal": 3, "answers": 4, "within_rounding": None, "mismatches": [],
        "prompts": {"compared": 4, "equal": 4, "by": "token count"}, "perplexity": 2.0,
        "merged_perplexity": 2.0, "change_percent": 0.0, "seconds": 1.0,
        "faults": [] if passed else [{"en": "says less often who it is", "zh": "更少说出自己是谁"}],
    }  # fmt: skip
    return {"model": "default/merged", "engine": "llamacpp", "files": [one], "passed": passed}


@pytest.mark.parametrize(("answer", "code", "says"), [
    (json.dumps(report_of(True)), 0, "Q8_0"), (json.dumps(report_of(False)), 1, "lost more"),
    ("", 3, "not compared"),
])  # fmt: skip
def test_the_proof_decides_how_it_ends(project, monkeypatch, answer, code, says):
    import sys

    program = [sys.executable, "-c", f"print({answer!r})"]
    monkeypatch.setattr(proof, "with_this_python", lambda command: program)
    done = run()
    assert done.exit_code == code, done.output
    assert says in done.output
    folder = project / "runs" / "default" / "gguf"
    assert (folder / "default-Q8_0.gguf").is_file()
    assert (folder / "report.json").is_file() == (code != 3)
    assert not folder.with_name("gguf.partial").exists()


def read_modelfile(text: str) -> list[tuple[str, str]]:
    """The commands of a Modelfile: NAME, and what stands between three quotes, or the rest of the line."""
    found = re.findall(r'^([A-Z]+) (?:"""(.*?)"""|([^\n]*))$', text, re.DOTALL | re.MULTILINE)
    return [(name, quoted or plain) for name, quoted, plain in found]


def go_rendered(template: str, messages: list[dict[str, str]]) -> str:
    """What Go's text/template makes of the few words that are used of it."""
    inner = re.fullmatch(
        r"\{\{ range \.Messages \}\}(.*)\{\{ end \}\}\{\{ end \}\}(.*)", template, re.DOTALL
    )
    assert inner
    parts = re.split(r'\{\{ (?:else )?if eq \.Role "(\w+)" \}\}', inner[1])
    branches = dict(zip(parts[1::2], parts[2::2], strict=True))
    said = [branches[one["role"]].replace("{{ .Content }}", one["content"]) for one in messages]
    return "".join(said) + inner[2]


def test_a_modelfile_says_template_stop_sampling_system_and_licence(project, merged):
    done = run(
        "--format", "ollama", "--no-check", "--set", "share.licence=apache-2.0", "--json", "-q"
    )
    assert done.exit_code == 0, done.output
    folder = project / "runs" / "default" / "ollama"
    told = read_modelfile((folder / "Modelfile").read_text("utf-8"))
    values = dict(told)
    assert values["FROM"] == "./default-Q8_0.gguf" and (folder / values["FROM"]).is_file()
    assert (values["SYSTEM"], values["LICENSE"]) == (PERSONA.system(None), "apache-2.0")
    parameters = [value for name, value in told if name == "PARAMETER"]
    assert 'stop "<|im_end|>"' in parameters and "temperature 0.6" in parameters
    assert "num_ctx 512" in parameters
    from transformers import AutoTokenizer

    messages = [
        {"role": "system", "content": "Be {{ brief }}."}, {"role": "user", "content": "Hi\n"},
        {"role": "assistant", "content": " Yes?"}, {"role": "user", "content": "你是谁？"},
    ]  # fmt: skip
    words = AutoTokenizer.from_pretrained(merged)
    ours = words.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert go_rendered(values["TEMPLATE"], messages) == ours


def test_a_template_says_the_assistants_own_system_prompt_and_changes_nothing_else():
    from assistant.models.chat_template import compiled

    own = with_own_system(CHATML, 'You are "Bei".\nBe \\brief.', {})
    user = {"role": "user", "content": "Hi"}
    said = compiled(own).render(messages=[user], add_generation_prompt=True)
    assert said.startswith('<|im_start|>system\nYou are "Bei".\nBe \\brief.<|im_end|>\n')
    assert "SmolLM" not in said
    system = {"role": "system", "content": "S"}
    given = {"messages": [system, user], "add_generation_prompt": True}
    assert compiled(own).render(**given) == compiled(CHATML).render(**given)
    refusing = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML
    )
    assert with_own_system(refusing, "S", {}) == refusing


def test_a_template_that_does_more_is_not_said_in_ollamas_language():
    numbered = CHATML.replace("message['content']", "(loop.index|string) + message['content']")
    with pytest.raises(UsageError, match="two marks"):
        turns(numbered, {})


def test_what_a_modelfile_cannot_hold_is_refused(merged):
    persona = Persona(name="B", author="A", languages=("en",), system_prompt='say """ aloud')
    model = read_model(merged, Identity(persona))
    with pytest.raises(UsageError, match="Modelfile cannot hold"):
        ollama_files(model, SamplingTable(), "x.gguf")


def changed(merged: Path, folder: Path, file: str, **values) -> Path:
    """A copy of the merged model with some values of a JSON file of it changed."""
    shutil.copytree(merged, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    told = json.loads((merged / file).read_text("utf-8")) | values
    (folder / file).unlink()
    (folder / file).write_text(json.dumps(told), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        (
            "config.json",
            {"architectures": ["InternLM2ForCausalLM"]},
            "InternLM2ForCausalLM cannot be",
        ),
        ("config.json", {"quantization_config": {"quant_method": "awq"}}, "quantised already"),
        ("config.json", {"use_sliding_window": True}, "sliding window"),
        ("config.json", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "yarn"),
        ("config.json", {"num_attention_heads": None}, "cannot be read as a model"),
        ("tokenizer.json", {"model": {"type": "BPE"}}, "cannot be read as a model"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Metaspace"}}, "splits text in a way"),
    ],
)
def test_what_was_not_tried_is_refused_by_name(merged, tmp_path, file, values, says):
    with pytest.raises(UsageError, match=says) as caught:
        read_model(changed(merged, tmp_path / "other", file, **values), Identity(PERSONA))
    assert caught.value.cure is not None


def test_weights_that_are_cut_short_are_said(merged, tmp_path):
    folder = changed(merged, tmp_path / "cut", "config.json")
    (folder / "model.safetensors").unlink()
    whole = (merged / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="cut short"):
        read_model(folder, Identity(PERSONA))


def test_weights_too_large_for_sixteen_bits_are_said():
    import gguf
    import numpy as np

    with pytest.raises(FailedError, match="too large"):
        packed(np.full((2, 32), 1e6, dtype=np.float32), gguf.GGMLQuantizationType.F16)


def test_what_is_missing_or_in_the_way_is_said(project):
    assert "train all" in run("--set", "model.run=none").output
    assert "There is no run" in run("other").output
    two = run("--format", "ollama", "--quant", "f16", "--quant", "q8_0")
    assert (two.exit_code, "one FROM" in two.output) == (2, True)
    kept = project / "runs" / "default" / "elsewhere"
    kept.mkdir()
    (kept / "diary.txt").write_text("mine")
    for more in ([], ["--force"]):
        done = run("--no-check", "-o", str(kept), *more)
        assert (done.exit_code, "never replaced" in done.output) == (2, True)
    assert (kept / "diary.txt").read_text() == "mine"
    write_manifest(kept, Manifest(stage="merge", started=now(), finished=now()))
    assert "never replaced" in run("--no-check", "-o", str(kept), "--force").output


def test_a_full_disk_leaves_nothing(project, monkeypatch):
    usage = shutil.disk_usage(project)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    done = run("--no-check")
    assert (done.exit_code, "are free at" in done.output) == (3, True)
    assert not (project / "runs" / "default" / "gguf").exists()
    assert not (project / "runs" / "default" / "gguf.partial").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--quant", "q4_k_m", "--no-check"], "q4_k_m is made by"), ([], "proven by llama.cpp")],
)
def test_without_xllamacpp_it_is_said_before_anything_is_written(
    project, monkeypatch, arguments, says
):
    monkeypatch.setattr("deploy.export.formats.find_spec", lambda name: None)
    done = run(*arguments)
    assert (done.exit_code, says in done.output, "xllamacpp" in done.output) == (3, True, True)
    assert not (project / "runs" / "default" / "gguf").exists()


def test_stop_tokens_and_template_stand_in_the_file(merged, tmp_path):
    file = tmp_path / "x.gguf"
    model = exported_file(merged, file, "q4_0")
    told = read_fields(file, "tokenizer.")
    assert told["tokenizer.ggml.tokens"][told["tokenizer.ggml.eos_token_id"]] == model.stops[0]
    assert told["tokenizer.ggml.eot_token_id"] == told["tokenizer.ggml.eos_token_id"]
    assert PERSONA.system(None) in told["tokenizer.chat_template"]


@pytest.fixture
def sharing(project: Path) -> Path:
    """The project with its files exported, and no hub within reach."""
    assert run("--no-check", "--quant", "q8_0", "--quant", "q4_0").exit_code == 0
    return project


def planned(project: Path, *more: str) -> dict:
    done = CliRunner().invoke(
        main, ["model", "--to", "hf:me/bei", "--dry-run", "--json", "-q", *more],
        env={"HF_TOKEN": "", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert "Traceback" not in done.output
    return json.loads(done.stdout)["plans"][0]


@pytest.mark.parametrize("formats", [["gguf"], ["safetensors", "gguf"]])
def test_gguf_files_go_up_beside_or_instead(sharing, formats):
    plan = planned(sharing, *(word for one in formats for word in ("--format", one)))
    paths = {file["path"] for file in plan["files"]}
    own = {"README.md", "persona.json", "default-Q8_0.gguf", "default-Q4_0.gguf"}
    ollamas = {"template", "system", "params"}
    assert own | ollamas <= paths
    assert plan["kind"] == ("gguf" if formats == ["gguf"] else "merged")
    assert ("model.safetensors" in paths) == ("safetensors" in formats)
    assert formats != ["gguf"] or paths == own | ollamas
    codes = [blocker["code"] for blocker in plan["blockers"]]
    assert "export" in codes  # no proof of them was made
    assert "export" not in [one["code"] for one in planned(sharing, "--format", "gguf", "--anyway")["blockers"]]  # fmt: skip


def test_files_of_other_weights_are_not_shared(sharing):
    file = sharing / "runs" / "default" / "gguf" / "default-Q4_0.gguf"
    file.write_bytes(file.read_bytes() + b" ")
    call = ["model", "--to", "hf:me/bei", "--dry-run", "--format", "gguf"]
    done = CliRunner().invoke(main, call)
    assert (done.exit_code, "not of the merged model" in done.output) == (2, True)
    shutil.rmtree(file.parent)
    done = CliRunner().invoke(main, call)
    assert (done.exit_code, "python -m deploy export" in done.output) == (2, True)
    done = CliRunner().invoke(main, [*call, "--kind", "adapter"])
    assert (done.exit_code, "merged model" in done.output) == (2, True)


@pytest.mark.parametrize("hub", ["hf", "modelscope", "openxlab"])
def test_the_card_says_how_each_program_runs_it(sharing, hub):
    import yaml

    from assistant.config import read_config
    from deploy.settings import ShareTable
    from deploy.sharing.card import model_card
    from deploy.sharing.source import read_source
    from deploy.target import parse_target

    config = read_config(sharing / "assistant.toml", tables={"share": ShareTable})
    source = read_source(config, config.run, "merged")
    ggufs = ["default-Q4_0.gguf", "default-Q8_0.gguf"]
    target = parse_target(f"{hub}:me/bei")
    both = model_card(source, target, ["model.safetensors", *ggufs])
    for name in ("Ollama", "LM Studio", "llama.cpp", "LMDeploy", "vLLM", "transformers"):
        assert both.count(name) >= 2, name
    alone = model_card(source, target, ggufs)
    assert "vllm serve" not in alone and f"--model {hub}:me/bei/default-Q4_0.gguf" in alone
    head = yaml.safe_load(alone.split("---")[1])
    assert "gguf" in head["tags"]
    if hub == "hf":
        assert head["library_name"] == "gguf"
        assert "ollama run hf.co/me/bei:Q8_0" in both and "llama-cli -hf me/bei:Q8_0" in both
    assert "GGUF" not in model_card(source, target, ["model.safetensors"])


def test_what_stands_in_a_ggufs_header_is_looked_at_before_it_goes_up(merged, tmp_path):
    from deploy.sharing.scan import scan_file

    persona = PERSONA.model_copy(update={"system_prompt": "See /home/me/secret/notes.txt"})
    model = read_model(merged, Identity(persona))
    write_gguf(model, QUANTS["q4_0"], SamplingTable(), tmp_path / "x.gguf", unreported)
    assert {one.what for one in scan_file(tmp_path / "x.gguf", "x.gguf")} == {"path"}


def test_shared_files_are_verified_by_fetching_each(sharing, hub, plain_lfs):
    from assistant.config import read_config
    from deploy.settings import ShareTable
    from deploy.sharing.share import planned_model, send
    from deploy.sharing.verify_published import verify_shared
    from deploy.target import parse_target
    from deploy.tokens import find_token

    config = read_config(sharing / "assistant.toml", tables={"share": ShareTable})
    target = parse_target("hf:me/bei")
    token = find_token(target.service)
    options = {"formats": ("safetensors", "gguf"), "anyway": True}
    with planned_model(config, config.run, target, token, **options) as ready:
        assert "default-Q8_0.gguf" in send(ready).files
    found = verify_shared(config.run, (), None, download=True)
    assert [mismatches for _, mismatches in found] == [[]]
