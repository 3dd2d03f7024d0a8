"""Opening LMDeploy's pipeline: what must hold first, and what really came of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...gpus import count_gpus
from ...models.local import LocalModel
from ...words import Text
from . import failures
from .settings import TurbomindSettings, engine_config, template_config

if TYPE_CHECKING:
    from lmdeploy.pipeline import Pipeline

READABLE = "hf"  # the one format of `LocalModel` that LMDeploy loads
QUANTISATIONS = ("awq", "gptq", "compressed-tensors", "fp8", "mxfp4")


def weights_folder(model: LocalModel) -> Path:
    """The folder that TurboMind reads. Raises EngineError("unavailable") for other formats."""
    if model.format != READABLE:
        raise failures.wrong_kind(model.format)
    return model.path


def why_not(model: LocalModel | None) -> Text | None:
    """Why TurboMind cannot serve `model` here; None if it can (or if there is none to ask about).

    The dear questions come last: on a laptop neither torch nor LMDeploy is imported for it.
    """
    if importlib.util.find_spec("lmdeploy") is None:
        return Text("no LMDeploy here", "没有装 LMDeploy")
    if count_gpus() == 0:
        return Text("no GPU here", "没有 GPU")
    try:
        import lmdeploy.turbomind
        import torch
    except ImportError as error:
        return Text(f"LMDeploy does not load: {error}", f"LMDeploy 无法加载：{error}")
    if not torch.cuda.is_available():
        return Text("PyTorch sees no GPU here", "PyTorch 找不到 GPU")
    if not lmdeploy.turbomind.is_available():
        missing = lmdeploy.turbomind._import_error
        return Text(f"TurboMind does not load: {missing}", f"TurboMind 无法加载：{missing}")
    if model is None:
        return None
    if model.format != READABLE:
        return Text(
            f"TurboMind does not read {model.format} weights",
            f"TurboMind 不能读取 {model.format} 权重",
        )
    architecture = architecture_of(model.path)
    if architecture not in supported_architectures():
        return Text(f"TurboMind does not know {architecture}", f"TurboMind 不支持 {architecture}")
    return None


def supported_architectures() -> list[str]:
    """The architectures in TurboMind's own table, sorted."""
    from lmdeploy.turbomind.supported_models import SUPPORTED_ARCHS

    return sorted(SUPPORTED_ARCHS)


def architecture_of(weights: Path) -> str:
    """The architecture that the folder's config.json names, as LMDeploy reads it.

    Raises EngineError("unavailable") where it cannot be read.
    """
    return _config_of(weights)[0]


def _config_of(weights: Path) -> tuple[str, Any]:
    from lmdeploy.archs import get_model_arch

    try:
        return get_model_arch(str(weights), trust_remote_code=False)
    except Exception as error:  # whatever transformers finds wrong with it
        raise failures.not_started(error, weights) from error


def open_pipeline(weights: Path, settings: TurbomindSettings, may_fall_back: bool) -> Pipeline:
    """LMDeploy's pipeline over TurboMind for the model in the folder `weights`.

    Where `may_fall_back`, what LMDeploy starts in TurboMind's place is accepted; ask `backend_of`.
    Raises EngineError("unavailable") for everything that stops it, each with its cure.
    """
    try:
        import lmdeploy.turbomind
        import torch
    except ImportError as error:
        raise failures.not_installed(error) from error
    if not torch.cuda.is_available():
        raise failures.no_gpu()
    if settings.tp > torch.cuda.device_count():
        raise failures.too_few_gpus(settings.tp, torch.cuda.device_count())
    architecture, config = _config_of(weights)
    if not may_fall_back:
        if not lmdeploy.turbomind.is_available():
            raise failures.native_missing(lmdeploy.turbomind._import_error)
        if architecture not in supported_architectures():
            raise failures.unsupported(architecture, supported_architectures())
    _check_quantisation(config, settings)
    try:
        pipeline = lmdeploy.pipeline(
            str(weights),
            backend_config=engine_config(settings, _context_length(config, settings)),
            chat_template_config=template_config(weights),
            trust_remote_code=False,
        )
    except Exception as error:  # asserts, ValueErrors and what the native engine throws
        raise failures.not_started(error, weights) from error
    if not may_fall_back and backend_of(pipeline) != "turbomind":
        backend = backend_of(pipeline)
        pipeline.close()
        raise failures.fell_back(backend)
    return pipeline


def backend_of(pipeline: Pipeline) -> str:
    """What really runs: "turbomind" or "pytorch". LMDeploy swaps with a line in the log."""
    return str(pipeline.async_engine.backend)


def _check_quantisation(config: Any, settings: TurbomindSettings) -> None:
    """Refuse before the weights are read what LMDeploy refuses only after, or by falling back."""
    found = getattr(config, "quantization_config", None) or {}
    method = found.get("quant_method") if isinstance(found, dict) else found.quant_method
    method = getattr(method, "value", method)
    wanted = settings.weight_format
    if method is not None and method not in QUANTISATIONS:
        raise failures.wrong_format(
            f"quant_method {method!r}; known are {', '.join(QUANTISATIONS)}"
        )
    if wanted in QUANTISATIONS and method is None:
        raise failures.wrong_format(
            f"weight_format = {wanted!r}, but its config.json has no quantization_config"
        )
    if wanted != "auto" and method is not None and wanted != method:
        raise failures.wrong_format(f"weight_format = {wanted!r}, but the weights are {method!r}")


def _context_length(config: Any, settings: TurbomindSettings) -> int | None:
    """The configured context, never more than the model's own; None leaves it to the model."""
    own = getattr(config.get_text_config(), "max_position_embeddings", None)
    if settings.context_length is None or own is None:
        return settings.context_length
    return min(settings.context_length, own)
