"""XTuner's SupervisedFinetune as this kit's configs use it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from peft import get_peft_model, prepare_model_for_kbit_training
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel
from xtuner.model import SupervisedFinetune
from xtuner.model.utils import find_all_linear_names, traverse_dict
from xtuner.registry import BUILDER

from ..data.render import IGNORED


class Finetune(SupervisedFinetune):  # type: ignore[misc]
    """Four things are done otherwise than in XTuner 0.2.0.

    - The base keeps its dtype: XTuner calls `prepare_model_for_kbit_training` on plain bf16 bases
      too, which turns them into fp32, twice the memory and half the speed.
    - No code from the model's folder runs unless the config allows it: XTuner hard-codes
      `trust_remote_code=True`. Its forward patches for transformers 4.48 are not applied.
    - Logits are computed only where the loss falls: with a large vocabulary and a small model the
      head costs as much as half of the layers.
    - On the CPU, matrix products run in `cpu_autocast` while the adapter's own weights are fp32.
    """

    llm: Any
    lora: Any

    def __init__(self, *arguments: Any, cpu_autocast: str | None = None, **named: Any):
        self._autocast_dtype = getattr(torch, cpu_autocast) if cpu_autocast else None
        super().__init__(*arguments, **named)
        self._sparse_head = _has_plain_head(self._causal_model())

    def build_llm_from_cfg(
        self, llm_cfg: Any, use_varlen_attn: bool, max_position_embeddings: int | None
    ) -> PreTrainedModel:
        cfg = self._prepare_for_qlora_zero3(llm_cfg)
        traverse_dict(cfg)
        llm = BUILDER.build(cfg)
        llm.config.use_cache = False
        return llm

    def _prepare_for_lora(
        self, peft_model: str | None = None, use_activation_checkpointing: bool = True
    ) -> None:
        if getattr(self.llm, "is_loaded_in_4bit", False):
            self.llm = prepare_model_for_kbit_training(self.llm, use_activation_checkpointing)
        else:
            self.llm.requires_grad_(False)
        if self.lora.target_modules is None:
            self.lora.target_modules = sorted(find_all_linear_names(self.llm))
        self.llm = get_peft_model(self.llm, self.lora)
        if self._autocast_dtype is not None:
            for module in self.llm.modules():
                if hasattr(module, "lora_A"):  # autocast casts; PEFT need not cast there and back
                    module.cast_input_dtype_enabled = False

    def compute_loss(self, data: dict[str, Any], data_samples: Any = None) -> dict[str, Any]:
        with self._precision():
            if not self._sparse_head:
                return {"loss": self.llm(**data).loss}
            model = self._causal_model()
            inputs = {name: value for name, value in data.items() if name != "labels"}
            hidden = model.base_model(**inputs, use_cache=False).last_hidden_state[:, :-1]
            following = data["labels"][:, 1:].to(hidden.device)
            learned = following != IGNORED
            logits = model.get_output_embeddings()(hidden[learned]).float()
            return {"loss": functional.cross_entropy(logits, following[learned])}

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast("cpu", dtype=self._autocast_dtype)

    def _causal_model(self) -> PreTrainedModel:
        return self.llm.get_base_model() if self.use_lora else self.llm


def _has_plain_head(model: PreTrainedModel) -> bool:
    """Whether logits are just the output embedding of the last hidden state."""
    scalings: Mapping[str, float | None] = {
        name: getattr(model.config, name, None)
        for name in ("final_logit_softcapping", "logits_scaling", "logit_scale", "dim_model_base")
    }
    experts = getattr(model.config, "output_router_logits", False)
    return not any(value not in (None, 1.0) for value in scalings.values()) and not experts


def load_base(**arguments: Any) -> PreTrainedModel:
    """`AutoModelForCausalLM.from_pretrained`, for the config's `llm` entry."""
    return AutoModelForCausalLM.from_pretrained(**arguments)
