"""What TurboMind is told, in LMDeploy's own configuration objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..base import Sampling

if TYPE_CHECKING:
    from lmdeploy import ChatTemplateConfig, GenerationConfig, TurbomindEngineConfig

WeightFormat = Literal["auto", "hf", "awq", "gptq", "compressed-tensors", "fp8", "mxfp4"]
KvBits = Literal[16, 8, 4]
QUANT_POLICY = {16: 0, 8: 8, 4: 4}  # LMDeploy's numbers for the KV cache's precision
_SEED_LIMIT = 2**64  # the native engine takes an unsigned 64-bit seed and no more


@dataclass(frozen=True)
class TurbomindSettings:
    """`context_length` None: the model's own. `cache_share`: how much of the GPU memory that is
    free once the weights are loaded goes to the KV cache. `max_batch`: answers computed at once;
    more wait their turn inside LMDeploy. `weight_format` "auto": as the model's config says."""

    context_length: int | None = None
    tp: int = 1
    cache_share: float = 0.5
    kv_bits: KvBits = 16
    prefix_caching: bool = True
    max_batch: int = 16
    weight_format: WeightFormat = "auto"


def engine_config(settings: TurbomindSettings, context_length: int | None) -> TurbomindEngineConfig:
    """The engine's configuration; `context_length` in tokens, None for the model's own."""
    from lmdeploy import TurbomindEngineConfig

    return TurbomindEngineConfig(
        tp=settings.tp,
        session_len=context_length,
        max_batch_size=settings.max_batch,
        cache_max_entry_count=settings.cache_share,
        quant_policy=QUANT_POLICY[settings.kv_bits],
        enable_prefix_caching=settings.prefix_caching,
        model_format=None if settings.weight_format == "auto" else settings.weight_format,
        enable_metrics=True,  # without it LMDeploy does not say what the prefix cache gave
    )


def template_config(weights: Path) -> ChatTemplateConfig:
    """The tokenizer's own chat template. Unasked, LMDeploy chooses one by words in the path."""
    from lmdeploy import ChatTemplateConfig

    return ChatTemplateConfig("hf", model_path=str(weights))


def generation_config(sampling: Sampling) -> GenerationConfig:
    """One answer's sampling. Stop strings stay out: LMDeploy takes those of one token only, and
    the caller cuts all of them anyway.

    Greedy is the likeliest of one token, not `do_sample=False`: that would drop the repetition
    penalty. The end tokens of the tokenizer and of generation_config.json are LMDeploy's to add.
    """
    from lmdeploy import GenerationConfig

    greedy = sampling.temperature == 0
    return GenerationConfig(
        max_new_tokens=sampling.max_tokens,
        do_sample=True,
        temperature=1.0 if greedy else sampling.temperature,
        top_p=1.0 if greedy else sampling.top_p,
        top_k=1 if greedy else sampling.top_k,
        repetition_penalty=sampling.repetition_penalty,
        random_seed=None if sampling.seed is None else sampling.seed % _SEED_LIMIT,
        response_format=_response_format(sampling),
    )


def _response_format(sampling: Sampling) -> dict[str, Any] | None:
    """The form as LMDeploy takes it. One that its grammar cannot be made of is a line in its log and
    an answer of any form (turbomind.py): who asks for a form must look at the answer too."""
    if sampling.form is None:
        return None
    schema = {"name": "answer", "schema": sampling.form.value()}
    return {"type": "json_schema", "json_schema": schema}
