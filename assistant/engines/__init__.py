"""Engines: one contract (`base`), and which of them runs here.

Adding one: see CONTRIBUTING.md. An engine's library is imported inside its own module only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import EngineName, ServeTable
from ..errors import EngineError
from ..models.local import LocalModel
from ..outside import in_line
from ..progress import Report
from ..words import Text, joined
from .base import Engine
from .transformers import zero_gpu

if TYPE_CHECKING:
    from .turbomind import TurbomindEngine


FOR_ONE_PERSON = Text(
    "By llama.cpp, which is quickest for one person.", "由 llama.cpp 运行，一个人用时最快。"
)
SINGLE_USER_SLOTS = 2  # the page, and a program beside it
BY_OPENVINO = Text("OpenVINO runs it instead.", "改由 OpenVINO 运行。")
QUICKER_ALONE = Text(
    "llama.cpp is quicker for one person: pip install -r assistant/engines/llamacpp/requirements.txt",
    "一个人用时 llama.cpp 更快：pip install -r assistant/engines/llamacpp/requirements.txt",
)


@dataclass(frozen=True)
class Opened:
    """A running engine, and why it is this one (None when it was asked for by name)."""

    engine: Engine
    note: Text | None = None


def open_engine(
    name: EngineName,
    model: LocalModel | None,
    settings: ServeTable,
    report: Report,
    *,
    single_user: bool = False,
) -> Opened:
    """Start the engine of that name for `model` (None only for engines without local weights).

    Only "auto" chooses the engine, and says why; "cpu" chooses its library: llama.cpp for a
    `single_user`, where it is installed and the model is a GGUF, else OpenVINO. Raises
    EngineError("unavailable") where a named engine cannot run.
    """
    if name == "cpu":
        return _open_cpu(model, settings, report, single_user)
    if name != "auto":
        return Opened(_OPENERS[name](model, settings, report))
    if zero_gpu.here():
        note = Text("transformers engine (ZeroGPU).", "transformers 引擎（ZeroGPU）。")
        return Opened(_open_transformers(model, settings, report), note)
    reason = why_not_turbomind(model)
    if reason is None:
        engine = _turbomind(model, settings, report, may_fall_back=True)
        return Opened(engine, engine.note)
    opened = _open_cpu(model, settings, report, single_user)
    return Opened(opened.engine, joined(reason, opened.note))


def needs_weights(name: EngineName) -> bool:
    """Whether the engine reads weights from this machine."""
    return name not in ("echo", "remote")


def why_not_turbomind(model: LocalModel | None) -> Text | None:
    """Why LMDeploy's TurboMind cannot serve `model` here; None if it can."""
    from .turbomind import why_not

    reason = why_not(model)
    return reason and Text(f"CPU engine ({reason.en}).", f"CPU 引擎（{reason.zh}）。")


def _open_echo(model: LocalModel | None, settings: ServeTable, report: Report) -> Engine:
    from .echo import EchoEngine

    return EchoEngine()


def _open_cpu(
    model: LocalModel | None, settings: ServeTable, report: Report, single_user: bool
) -> Opened:
    from .cpu.weights import reads
    from .llamacpp.process import is_installed

    assert model is not None
    if not reads(model):
        return Opened(_open_llamacpp(model, settings, report))
    if not single_user or model.format != "gguf":
        return Opened(_open_openvino(model, settings, report))
    if not is_installed():
        return Opened(_open_openvino(model, settings, report), QUICKER_ALONE)
    try:
        return Opened(_open_llamacpp_for_one(model, settings, report), FOR_ONE_PERSON)
    except EngineError as error:  # this processor lacks an instruction, or the file is damaged
        engine = _open_openvino(model, settings, report)
        return Opened(engine, joined(error.message, BY_OPENVINO))


def _open_openvino(model: LocalModel, settings: ServeTable, report: Report) -> Engine:
    from .cpu.engine import CpuEngine, CpuSettings
    from .cpu.weights import openvino_weights

    readable = openvino_weights(model, report)
    return CpuEngine(
        readable.path,
        model.name,
        readable.context_length,
        CpuSettings(
            context_length=settings.context_length,
            cache_gb=settings.cache_gb,
            concurrent=settings.limits.concurrent,
            precision=settings.cpu_precision,
        ),
        report,
    )


def _open_llamacpp_for_one(model: LocalModel, settings: ServeTable, report: Report) -> Engine:
    """Under the name of the CPU engine, and with little memory for answers: most of it is taken at
    the start."""
    limits = settings.limits
    few = limits.model_copy(update={"concurrent": min(limits.concurrent, SINGLE_USER_SLOTS)})
    return _open_llamacpp(model, settings.model_copy(update={"limits": few}), report, "cpu")


def _open_llamacpp(
    model: LocalModel | None,
    settings: ServeTable,
    report: Report,
    shown_as: EngineName = "llamacpp",
) -> Engine:
    from .cpu.weights import gguf_context_length
    from .llamacpp import LlamaCppEngine, LlamaCppSettings

    assert model is not None
    if model.format != "gguf":
        raise EngineError(
            "unavailable",
            Text(f"llama.cpp reads GGUF files; {in_line(model.path)} is none.",
                 f"llama.cpp 只读 GGUF 文件；{in_line(model.path)} 不是。"),
            Text('Use the cpu engine: [serve] engine = "cpu"', '请用 cpu 引擎：[serve] engine = "cpu"'),
        )  # fmt: skip
    return LlamaCppEngine(
        model.path,
        model.name,
        gguf_context_length(model.path),
        LlamaCppSettings(settings.context_length, settings.cache_gb, settings.limits.concurrent),
        report,
        shown_as,
    )


def _open_turbomind(model: LocalModel | None, settings: ServeTable, report: Report) -> Engine:
    return _turbomind(model, settings, report, may_fall_back=False)


def _turbomind(
    model: LocalModel | None, settings: ServeTable, report: Report, may_fall_back: bool
) -> TurbomindEngine:
    from .turbomind import TurbomindEngine, TurbomindSettings, weights_folder

    assert model is not None
    table = settings.turbomind
    return TurbomindEngine(
        weights_folder(model),
        model.name,
        TurbomindSettings(
            context_length=settings.context_length,
            tp=table.tp,
            cache_share=table.cache_share,
            kv_bits=table.kv_bits,
            prefix_caching=table.prefix_caching,
            max_batch=table.max_batch or settings.limits.concurrent,
            weight_format=table.weight_format,
        ),
        report,
        may_fall_back,
    )


def _open_transformers(model: LocalModel | None, settings: ServeTable, report: Report) -> Engine:
    from .transformers.engine import TransformersEngine, TransformersSettings
    from .transformers.loading import weights_folder

    assert model is not None
    return TransformersEngine(
        weights_folder(model),
        model.name,
        TransformersSettings(settings.context_length, settings.limits.concurrent),
        report,
    )


def _open_remote(model: LocalModel | None, settings: ServeTable, report: Report) -> Engine:
    from .remote import RemoteEngine, RemoteSettings

    remote = settings.remote
    return RemoteEngine(
        RemoteSettings(
            urls=remote.urls,
            model=remote.model,
            key=os.environ.get(remote.key_variable, "").strip(),
            key_variable=remote.key_variable,
            context_length=remote.context_length or settings.context_length,
            timeout_seconds=remote.timeout_seconds,
        ),
        report,
    )


_OPENERS: dict[str, Callable[[LocalModel | None, ServeTable, Report], Engine]] = {
    "echo": _open_echo,
    "llamacpp": _open_llamacpp,
    "turbomind": _open_turbomind,
    "transformers": _open_transformers,
    "remote": _open_remote,
}
