"""The peer: a plain PEFT + transformers loop over the same batches, as their documentation shows.

    python -m train.bench.plain CONFIG DTYPE ITERATIONS     (a process of its own, for its memory)

It reads base, batches, adapter and learning rate from the run's own XTuner config, and prints one
JSON object: tokens and seconds of each step.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from typing import Any


def main() -> None:
    """Train ITERATIONS steps and print what they took."""
    from ..trainer.xtuner_patches import mend

    mend()
    from mmengine.config import Config

    path, dtype, iterations = sys.argv[1:]
    print(json.dumps(run(Config.fromfile(path), dtype, int(iterations))))


def run(config: Any, dtype: str, iterations: int) -> dict[str, list[float]]:
    """`{"tokens": [...], "seconds": [...]}`, a number for each step."""
    import torch
    from mmengine.runner import Runner

    torch.manual_seed(config.seed)
    batches = Runner.build_dataloader(config.train_dataloader, seed=config.seed)
    model = _model(config, getattr(torch, dtype))
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=config.learning_rate)
    model.train()
    tokens: list[float] = []
    seconds: list[float] = []
    for batch in islice(batches, iterations):
        started = time.perf_counter()
        loss = model(**batch["data"]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
        tokens.append(int(batch["data"]["attention_mask"].sum()))
    return {"tokens": tokens, "seconds": seconds}


def _model(config: Any, dtype: Any) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from xtuner.model.utils import find_all_linear_names

    from ..trainer.plan import adapted_layers

    quantised: dict[str, Any] = {}
    if "quantization_config" in config.model.llm:
        quantised["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )  # fmt: skip
    model: Any = AutoModelForCausalLM.from_pretrained(config.base, dtype=dtype, **quantised)
    model.config.use_cache = False
    if quantised:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    lora = {name: value for name, value in config.model.lora.items() if name != "type"}
    if config.model.adapted < 1:  # the same layers as ours
        layers = model.config.get_text_config().num_hidden_layers
        lora["target_modules"] = sorted(find_all_linear_names(model))
        lora["layers_to_transform"] = list(adapted_layers(layers, config.model.adapted))
    torch.manual_seed(config.seed)
    return get_peft_model(model, LoraConfig(**lora))


if __name__ == "__main__":
    main()
