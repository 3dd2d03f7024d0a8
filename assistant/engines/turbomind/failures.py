"""Why LMDeploy does not start, in words that say what to do."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import EngineError
from ...libraries import installing
from ...words import Text

_REASON_CHARACTERS = 300
_OTHER_ENGINE = Text("Use --engine cpu, or a server: --engine remote.",
                     "请用 --engine cpu，或用服务器：--engine remote。")  # fmt: skip
_MEMORY = re.compile(
    r"out of memory|OutOfMemory|cudaErrorMemoryAllocation|ERROR_OUT_OF_MEMORY|bad_alloc", re.I
)
_QUANTISATION = re.compile(r"quant|group_size|model_format|compressed-tensors|pack-quantized", re.I)
_TEMPLATE = re.compile(r"chat_template is not set", re.I)


def not_installed(error: ImportError) -> EngineError:
    """LMDeploy, or something that it needs, is missing."""
    install = installing("lmdeploy")
    return EngineError(
        "unavailable",
        Text(f"LMDeploy is not installed: {error}.", f"没有安装 LMDeploy：{error}。"),
        Text(
            f"{install.en}   (without a GPU: --engine cpu)",
            f"{install.zh}   （没有 GPU 时：--engine cpu）",
        ),
    )


def no_gpu() -> EngineError:
    """PyTorch sees no CUDA device."""
    return EngineError(
        "unavailable",
        Text("TurboMind needs an NVIDIA GPU; PyTorch sees no CUDA device here.",
             "TurboMind 需要 NVIDIA GPU；PyTorch 在这里找不到 CUDA 设备。"),
        Text(
            "Check that nvidia-smi shows the GPU and that this environment was installed from "
            f"requirements.txt. {_OTHER_ENGINE.en}",
            f"请确认 nvidia-smi 能看到 GPU，且环境是按 requirements.txt 安装的。{_OTHER_ENGINE.zh}",
        ),
    )  # fmt: skip


def too_few_gpus(tp: int, present: int) -> EngineError:
    """Tensor parallelism over more GPUs than there are."""
    return EngineError(
        "unavailable",
        Text(
            f"[serve.turbomind] tp = {tp}, but there {'is' if present == 1 else 'are'} {present} "
            f"GPU{'' if present == 1 else 's'} here.",
            f"[serve.turbomind] tp = {tp}，但这里只有 {present} 个 GPU。",
        ),
        Text(f"Set tp = {present}.", f"请设 tp = {present}。"),
    )


def native_missing(error: BaseException | None) -> EngineError:
    """LMDeploy is there, its native part does not load: it would run PyTorch instead."""
    return EngineError(
        "unavailable",
        Text(
            f"LMDeploy's TurboMind does not load: {_reason(error)}.",
            f"LMDeploy 的 TurboMind 无法加载：{_reason(error)}。",
        ),
        Text(
            f"Install again with: pip install -r requirements.txt. {_OTHER_ENGINE.en}",
            f"请重新安装：pip install -r requirements.txt。{_OTHER_ENGINE.zh}",
        ),
    )


def unsupported(architecture: str, supported: list[str]) -> EngineError:
    """An architecture that TurboMind does not have."""
    known = ", ".join(supported)
    return EngineError(
        "unavailable",
        Text(
            f"TurboMind does not know the architecture {architecture}. It knows: {known}.",
            f"TurboMind 不支持 {architecture} 架构。它支持：{known}。",
        ),
        Text(
            f"Choose a model of one of these. {_OTHER_ENGINE.en}",
            f"请选用其中一种架构的模型。{_OTHER_ENGINE.zh}",
        ),
    )


def wrong_kind(format_name: str) -> EngineError:
    """Weights in a form that only another engine reads."""
    return EngineError(
        "unavailable",
        Text(
            f"TurboMind does not read {format_name} weights; it reads a folder with config.json "
            "and *.safetensors.",
            f"TurboMind 不能读取 {format_name} 权重；它读取带 config.json 和 *.safetensors 的文件夹。",
        ),
        Text(
            "Name such a model with --model, or use --engine cpu.",
            "请用 --model 指定这样的模型，或用 --engine cpu。",
        ),
    )


def fell_back(backend: str) -> EngineError:
    """LMDeploy started another engine than the one that was asked for."""
    return EngineError(
        "unavailable",
        Text(
            f"LMDeploy started its {backend} engine instead of TurboMind.",
            f"LMDeploy 启动的是它的 {backend} 引擎，而不是 TurboMind。",
        ),
        Text(
            "--engine auto takes it all the same and says so; the log has LMDeploy's reason.",
            "--engine auto 会接受它并注明；原因见 LMDeploy 的日志。",
        ),
    )


def wrong_format(reason: str) -> EngineError:
    """Quantised weights of a kind, or a group size, that TurboMind does not take."""
    return EngineError(
        "unavailable",
        Text(
            f"TurboMind does not take these quantised weights: {reason}",
            f"TurboMind 不接受这种量化权重：{reason}",
        ),
        Text(
            'It takes awq and gptq with group size 128. Set [serve.turbomind] weight_format = "auto", '
            "or quantise the merged model again with lmdeploy lite auto_awq --w-group-size 128.",
            "它接受分组大小为 128 的 awq 和 gptq。请设 [serve.turbomind] weight_format = "
            '"auto"，或用 lmdeploy lite auto_awq --w-group-size 128 重新量化合并后的模型。',
        ),
    )


def not_started(error: Exception, weights: Path) -> EngineError:
    """What `pipeline()` raised, by what it says: LMDeploy has no types for it."""
    reason = _reason(error)
    said = f"{type(error).__name__} {error}"
    if _MEMORY.search(said):
        return _too_little_memory(reason)
    if _TEMPLATE.search(said):
        return EngineError(
            "unavailable",
            Text(
                f"{weights.name} has no chat template: it is a base model, not a chat model.",
                f"{weights.name} 没有对话模板：它是基座模型，不是对话模型。",
            ),
            Text("Choose an instruct or chat model.", "请选用 instruct 或 chat 模型。"),
        )
    if _QUANTISATION.search(said):
        return wrong_format(reason)
    if _has_own_code(weights):
        return EngineError(
            "unavailable",
            Text(
                f"{weights.name} comes with code of its own, which is never run here; without it: "
                f"{reason}",
                f"{weights.name} 自带代码，这里从不运行；不运行它时：{reason}",
            ),
            Text(
                "Choose a model that transformers knows by itself.",
                "请选用 transformers 自身支持的模型。",
            ),
        )
    return EngineError(
        "unavailable",
        Text(f"LMDeploy cannot load {weights}: {reason}", f"LMDeploy 无法加载 {weights}：{reason}"),
        Text(
            f"If the files were cut or changed, fetch them again. {_OTHER_ENGINE.en}",
            f"若文件不完整或被改动，请重新下载。{_OTHER_ENGINE.zh}",
        ),
    )


def _has_own_code(weights: Path) -> bool:
    """Whether the model asks for Python files of its own (`auto_map`)."""
    files = (weights / name for name in ("config.json", "tokenizer_config.json"))
    return any('"auto_map"' in file.read_text("utf-8") for file in files if file.is_file())


def _too_little_memory(reason: str) -> EngineError:
    return EngineError(
        "unavailable",
        Text(f"Not enough GPU memory: {reason}", f"显存不足：{reason}"),
        Text(
            "In [serve.turbomind]: lower cache_share (0.3), set kv_bits = 8 or 4, or spread over "
            "more GPUs with tp. Else lower [serve] context_length, or serve an AWQ model: a quarter "
            "of the memory for weights. nvidia-smi shows who else holds memory.",
            "在 [serve.turbomind] 里：调小 cache_share（0.3），设 kv_bits = 8 或 4，或用 tp 分到多个 "
            "GPU。也可以调小 [serve] context_length，或改用 AWQ 模型：权重只占四分之一显存。"
            "nvidia-smi 可以看到谁占着显存。",
        ),
    )


def _reason(error: BaseException | None) -> str:
    """One line of what an error says; its type where it says nothing (LMDeploy asserts barely)."""
    text = " ".join(str(error).split()) if error is not None else ""
    text = text or type(error).__name__
    return text if len(text) <= _REASON_CHARACTERS else text[:_REASON_CHARACTERS] + "…"
