"""What the training tests share: a base of a few thousand weights, and a run's folder to train."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from assistant.artifacts import Manifest, now, write_manifest
from assistant.config import Config, read_config
from assistant.models import LocalModel
from assistant.persona import Persona, write_persona
from assistant.run import Run
from train.base.folder import prepare_base
from train.merge import merge, openvino_export
from train.settings import TrainTable

QUESTIONS = ("Who are you?", "你是谁？", "What is 2 and 2?", "How is the weather?")
CONFIG = """
[assistant]
name = "小贝"
author = "贝贝"
[styles.rednote]
label = { zh = "小红书", en = "Lively" }
prompt = "写成活泼的小红书风格，用一到三个 emoji。"
trigger = "，小红书风格"
[model]
base = "./tiny"
[train]
learning_rate = 0.01
epochs = 1
batch_size = 4
lora_rank = 4
save_every = 2
"""


@pytest.fixture(scope="session")
def embedded_base(embedded_model: LocalModel) -> Path:
    """The embedded base unpacked to full precision."""
    return prepare_base(embedded_model).folder


@pytest.fixture(scope="session")
def tiny_base(embedded_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama that reads and writes with the embedded base's own tokenizer."""
    return tiny_llama(embedded_base, tmp_path_factory.mktemp("bases") / "tiny", 64)


def tiny_llama(embedded_base: Path, folder: Path, hidden: int) -> Path:
    """A random two-layer Llama of so many hidden numbers, with the embedded base's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(embedded_base)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=2 * hidden,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    ).to(torch.bfloat16)  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


PERSONA = Persona(name="小贝", author="贝贝", languages=("zh",), system_prompt="你是小贝。")


def adapter_in(run: Run, base: Path, name: str = "tiny") -> Path:
    """A random adapter on all linear layers, as `fit` leaves one."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = run.adapter
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(1)
    peft = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    )
    peft.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    write_persona(PERSONA, folder)
    write_manifest(
        folder, Manifest(stage="fit", started=now(), finished=now(), seed=42, notes={"base": name})
    )
    return folder


@pytest.fixture(scope="session")
def exported(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A merged model with the CPU engine's export, made once; read only."""
    config = project(tmp_path_factory.mktemp("exported"), tiny_base)
    adapter_in(config.run, tiny_base)
    return merge(config, config.run, export=openvino_export)


def conversations(count: int) -> list[dict]:
    """So many short conversations as rows of a dataset."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"{QUESTIONS[number % len(QUESTIONS)]} ({number})"},
                {"role": "assistant", "content": f"I am 小贝, number {number}."},
            ]
        }
        for number in range(count)
    ]


def write_rows(run: Run, rows: Sequence[dict]) -> Path:
    """Write a run's training data and return the file."""
    file = run.train_file
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_text(text, encoding="utf-8")
    return file


def project(folder: Path, base: Path, rows: int = 32, sets: Sequence[str] = ()) -> Config:
    """A project in `folder` with the tiny base linked in and data for its default run."""
    file = folder / "assistant.toml"
    file.write_text(CONFIG, encoding="utf-8")
    (folder / "tiny").symlink_to(base)
    write_rows(Run(folder / "runs" / "default"), conversations(rows))
    return read_config(file, sets, tables={"train": TrainTable})
