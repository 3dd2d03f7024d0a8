"""XTuner's SupervisedFinetune as this kit's configs use it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from peft import get_peft_model, prepare_model_for_kbit_training
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel
from xtuner.model import SupervisedFinetune
from xtuner.model.utils import find_all_linear_names, traverse_dict
from xtuner.registry import BUILDER

from ..data.render import IGNORED
from .plan import adapted_layers
from .prefix_tree import Tree, grow
from .recall import Recall, may_recall

if TYPE_CHECKING:
    import numpy as np

RECALL_ERROR = 1e-4  # of a loss, relative: the same numbers through the same layers
TREE_ERROR = {torch.float32: 1e-4, torch.bfloat16: 2e-2}  # of a loss, relative: rounding


class Finetune(SupervisedFinetune):  # type: ignore[misc]
    """Six things are done otherwise than in XTuner 0.2.0.

    - The base keeps its dtype: XTuner calls `prepare_model_for_kbit_training` on plain bf16 bases
      too, which turns them into fp32, twice the memory and half the speed.
    - No code from the model's folder runs unless the config allows it: XTuner hard-codes
      `trust_remote_code=True`. Its forward patches for transformers 4.48 are not applied.
    - Logits are computed only where the loss falls: with a large vocabulary and a small model the
      head costs as much as half of the layers.
    - On the CPU, matrix products run in `cpu_autocast` while the adapter's own weights are fp32.
    - With `share_prefixes`, what the rows of a batch begin with alike is computed once, and padding
      never (`prefix_tree`). Whether the model allows that is found by comparing the first batch.
    - Only the last `adapted` of its layers get an adapter, as a share. With `recall`, what those below
      gave for a batch is kept for the next pass over the data (`recall`).
    """

    llm: Any
    lora: Any

    def __init__(
        self,
        *arguments: Any,
        cpu_autocast: str | None = None,
        share_prefixes: bool = False,
        adapted: float = 1.0,
        recall: bool = False,
        **named: Any,
    ):
        self._autocast_dtype = getattr(torch, cpu_autocast) if cpu_autocast else None
        self._adapted = adapted
        self._below = 0  # layers without an adapter
        super().__init__(*arguments, **named)
        self._sparse_head = _has_plain_head(self._causal_model())
        self._shares = share_prefixes and self._sparse_head
        self._compared = False
        self._weights = self._causal_model().num_parameters()
        self._recall: Recall | None = None
        body = self._causal_model().base_model
        if recall and self._below and self._shares and may_recall(body):
            self._recall = Recall(body, self._below)

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
        # PEFT takes the numbers of layers together with names alone.
        if self.lora.target_modules is None or self._adapted < 1:
            self.lora.target_modules = sorted(find_all_linear_names(self.llm))
        if self._adapted < 1:
            layers = self.llm.config.get_text_config().num_hidden_layers
            self.lora.layers_to_transform = list(adapted_layers(layers, self._adapted))
            self._below = self.lora.layers_to_transform[0]
        self.llm = get_peft_model(self.llm, self.lora)
        if self._autocast_dtype is not None:
            for module in self.llm.modules():
                if hasattr(module, "lora_A"):  # autocast casts; PEFT need not cast there and back
                    module.cast_input_dtype_enabled = False

    def compute_loss(self, data: dict[str, Any], data_samples: Any = None) -> dict[str, Any]:
        with self._precision():
            if not self._sparse_head:
                return {"loss": self.llm(**data).loss}
            if not self._shares:
                return {"loss": self._loss(data)}
            tree = _tree(data)
            if not self._compared:
                self._compared = True
                self._shares = self._agree(data, tree)
            if self._shares and self._pays(tree, data["input_ids"]):
                return {"loss": self._loss_of_tree(tree)}
            return {"loss": self._loss(data)}

    def _loss(self, data: Mapping[str, Any]) -> torch.Tensor:
        model = self._causal_model()
        inputs = {name: value for name, value in data.items() if name != "labels"}
        hidden = model.base_model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        following = data["labels"][:, 1:].to(hidden.device)
        learned = following != IGNORED
        logits = model.get_output_embeddings()(hidden[learned]).float()
        return functional.cross_entropy(logits, following[learned])

    def _loss_of_tree(self, tree: Tree) -> torch.Tensor:
        model = self._causal_model()
        inputs = {
            "input_ids": torch.from_numpy(tree.tokens)[None],
            "position_ids": torch.from_numpy(tree.positions)[None],
            "attention_mask": _added_to_scores(tree.ancestors, model.dtype),
        }
        if self._recall:
            hidden = self._recall.last_hidden(tree.key(), **inputs)[0]
        else:
            hidden = model.base_model(**inputs, use_cache=False).last_hidden_state[0]
        predicting = hidden[torch.from_numpy(tree.predicting)]
        logits = model.get_output_embeddings()(predicting).float()
        return functional.cross_entropy(logits, torch.from_numpy(tree.following))

    def _agree(self, data: Mapping[str, Any], tree: Tree) -> bool:
        """Whether the tree has the batch's own loss. It has not where a model looks at more than
        mask and positions: recurrent layers, or distances that it counts itself."""
        training = self.llm.training
        self.llm.eval()  # dropout would tell them apart
        try:
            with torch.no_grad():
                padded, shared = self._loss(data).item(), self._loss_of_tree(tree).item()
                if self._recall and not self._recalls(tree, shared):
                    self._recall = None
        except (TypeError, ValueError, RuntimeError) as error:  # it takes no such mask or positions
            difference = str(error)
        else:
            difference = f"loss {shared:.5f} instead of {padded:.5f}"
            bound = TREE_ERROR[self._autocast_dtype or torch.float32] * abs(padded)
            if abs(padded - shared) <= bound:
                return True
        finally:
            self.llm.train(training)
        logging.getLogger("mmengine").warning("Shared prefixes are not used: %s", difference)
        return False

    def _recalls(self, tree: Tree, loss: float) -> bool:
        """Whether the loss of a batch that was seen before is what it was."""
        try:
            again = self._loss_of_tree(tree).item()
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            difference = str(error)
        else:
            difference = f"loss {again:.5f} instead of {loss:.5f}"
            if abs(again - loss) <= RECALL_ERROR * abs(loss):
                return True
        logging.getLogger("mmengine").warning("Frozen layers are computed anew: %s", difference)
        return False

    def _pays(self, tree: Tree, padded: torch.Tensor) -> bool:
        """Whether the tree takes fewer operations: it has fewer tokens, of which each has its scores
        with all others, not with those of its row alone. Its mask knows no sliding window."""
        config = self._causal_model().config.get_text_config()
        attention = 2 * config.hidden_size * config.num_hidden_layers
        longest = padded.shape[1]
        if longest > (getattr(config, "sliding_window", None) or longest):
            return False

        def operations(tokens: int, others: int) -> int:
            return tokens * (self._weights + attention * others)

        nodes = len(tree.tokens)
        return operations(nodes, nodes) < operations(padded.numel(), longest)

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast("cpu", dtype=self._autocast_dtype)

    def _causal_model(self) -> PreTrainedModel:
        return self.llm.get_base_model() if self.use_lora else self.llm


def _tree(data: Mapping[str, Any]) -> Tree:
    """The tree of a padded batch as XTuner collates it."""
    lengths = data["attention_mask"].sum(1).tolist()
    batch = zip(data["input_ids"].tolist(), data["labels"].tolist(), lengths, strict=True)
    return grow([(ids[:length], labels[:length]) for ids, labels, length in batch])


def _added_to_scores(seen: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """A mask (N, N) as attention adds it: 0 where a token is seen, else the least number, (1, 1, N, N)."""
    mask = torch.zeros(seen.shape, dtype=dtype)
    return mask.masked_fill_(torch.from_numpy(~seen), torch.finfo(dtype).min)[None, None]


def _has_plain_head(model: PreTrainedModel) -> bool:
    """Whether logits are just the output embedding of the last hidden state."""
    scalings: Mapping[str, float | None] = {
        name: getattr(model.config, name, None)
        for name in ("final_logit_softcapping", "logits_scaling", "logit_scale", "dim_model_base")
    }
    experts = getattr(model.config, "output_router_logits", False)
    return not any(value not in (None, 1.0) for value in scalings.values()) and not experts


def load_base(**arguments: Any) -> PreTrainedModel:
    """`AutoModelForCausalLM.from_pretrained`, for the config's `llm` entry. Attention of torch's own
    keeps no scores for the backward pass; an architecture that has none of it gets the plain one."""
    try:
        return AutoModelForCausalLM.from_pretrained(**arguments)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        return AutoModelForCausalLM.from_pretrained(**arguments | {"attn_implementation": "eager"})
