"""Engines: one contract (`base`), and which of them runs here.

Adding one: see CONTRIBUTING.md. An engine's library is imported inside its own module only.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass

from ..config import EngineName, ServeTable
from ..errors import EngineError
from ..models.local import LocalModel
from ..progress import Report
from ..words import Text
from .base import Engine


@dataclass(frozen=True)
class Opened:
    """A running engine, and why it is this one (None when it was asked for by name)."""

    engine: Engine
    note: Text | None = None


def open_engine(
    name: EngineName, model: LocalModel | None, settings: ServeTable, report: Report
) -> Opened:
    """Start the engine of that name for `model` (None only for engines without local weights).

    Only "auto" chooses, and says why. Raises EngineError("unavailable") where a named engine
    cannot run.
    """
    if name != "auto":
        return Opened(_OPENERS[name](model, settings, report))
    reason = why_not_turbomind(model)
    if reason is None:
        return Opened(_open_turbomind(model, settings, report))
    return Opened(_open_cpu(model, settings, report), reason)


def needs_weights(name: EngineName) -> bool:
    """Whether the engine reads weights from this machine."""
    return name not in ("echo", "remote")


def why_not_turbomind(model: LocalModel | None) -> Text | None:
    """Why LMDeploy's TurboMind cannot serve `model` here; None if it can."""
    if importlib.util.find_spec("lmdeploy") is None:
        return Text("CPU engine (no LMDeploy here).", "CPU 引擎（没有装 LMDeploy）。")
    import torch

    if not torch.cuda.is_available():
        return Text("CPU engine (no GPU here).", "CPU 引擎（没有 GPU）。")
    if model is not None and model.format != "hf":
        return Text(
            f"CPU engine (TurboMind does not read {model.format} weights).",
            f"CPU 引擎（TurboMind 不能读取 {model.format} 权重）。",
        )
    return None


def _open_echo(model: LocalModel | None, settings: ServeTable, report: Report) -> Engine:
    from .echo import EchoEngine

    return EchoEngine()


def _open_cpu(model: LocalModel | None, settings: ServeTable, report: Report) -> Engine:
    from .cpu import CpuEngine, CpuSettings
    from .openvino_weights import openvino_weights

    assert model is not None
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


def _open_turbomind(model: LocalModel | None, settings: ServeTable, report: Report) -> Engine:
    raise _not_yet("turbomind")


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


def _not_yet(name: str) -> EngineError:
    return EngineError(
        "unavailable",
        Text(f"This version has no {name} engine.", f"这个版本没有 {name} 引擎。"),
        Text("Use --engine cpu.", "请用 --engine cpu。"),
    )


_OPENERS: dict[str, Callable[[LocalModel | None, ServeTable, Report], Engine]] = {
    "echo": _open_echo,
    "cpu": _open_cpu,
    "turbomind": _open_turbomind,
    "remote": _open_remote,
}
