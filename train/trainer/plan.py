"""What a training run will take, said before it starts: steps, time, memory, disk."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from assistant.errors import UsageError
from assistant.words import Text

from ..base.machine import Machine
from ..base.size import Size
from ..data.dataset import Counts
from ..recipes import GIB, Recipe
from .checkpoints import RESUME_POINTS

SAVES = 4  # checkpoints in a run unless [train] save_every says otherwise
FEW_STEPS = 40  # below, an identity often does not take (measured; LlamaFactory #6188: 28 did not)
ATTENTION_BYTES = 34  # of activations for each token, layer and hidden unit, kept for the backward
# Floating-point operations a second that training really reached, not what a data sheet says:
CPU_RATES = {"amx": 110e9, "bf16": 60e9, "plain": 29e9}  # one core
# What a step on a CPU costs before its first token, in tokens: hundreds of small adapters.
STEP_TOKENS = {"amx": 250, "bf16": 250, "plain": 140}
GPU_RATES = {7.0: 35e12, 7.5: 18e12, 8.0: 120e12, 8.6: 30e12, 8.9: 60e12, 9.0: 300e12}
QLORA_SLOWDOWN = 1.6
CPU_QLORA_SLOWDOWN = 3.0
SAMPLE_SECONDS = 6.0  # for the sample answers at each save
RECALLED_BYTES = 2**30  # kept at most of what frozen layers gave; batches beyond are computed anew
START_SECONDS = 25.0  # importing, loading, the first step


@dataclass(frozen=True)
class TrainingPlan:
    """A run in numbers. Seconds and bytes are estimates; steps and tokens are exact."""

    steps: int
    iterations: int
    rows: int
    tokens: int  # that pass through the model in the whole run
    save_every: int  # steps
    seconds: float
    memory: int
    memory_there: int
    disk: int
    dtype: str
    device: str
    epochs: float = 1.0  # passes over the data
    warnings: tuple[Text, ...] = ()

    def as_json(self) -> dict[str, object]:
        """For --json and status.json."""
        return asdict(self) | {"warnings": [warning.en for warning in self.warnings]}

    def text(self) -> Text:
        """One line for people."""
        minutes = max(1, round(self.seconds / 60))
        memory = self.memory / GIB
        return Text(
            f"{self.rows} samples, {self.steps} steps, about {minutes} min, "
            f"about {memory:.1f} GB of memory ({self.device}, {self.dtype})",
            f"{self.rows} 条样本，{self.steps} 步，约 {minutes} 分钟，"
            f"约需 {memory:.1f} GB 内存（{self.device}，{self.dtype}）",
        )


def make_plan(
    recipe: Recipe, counts: Counts, base: Size, machine: Machine, computed: float = 1.0
) -> TrainingPlan:
    """The plan of a run of `recipe` over a dataset of `counts` on this machine, where batches need
    the share `computed` of their tokens (`prefix_tree.computed_share`)."""
    per_epoch = math.ceil(counts.samples / recipe.rows_per_step)
    steps = recipe.steps or max(1, round(per_epoch * recipe.epochs))
    epochs = steps / per_epoch
    tokens = round(counts.tokens * epochs)
    save_every = min(recipe.save_every or math.ceil(steps / SAVES), steps)
    dtype = compute_dtype(recipe, machine)
    saves = math.ceil(steps / save_every)
    checkpoint = checkpoint_bytes(recipe, base)
    adapters = steps * recipe.accumulation * _step_tokens(machine, recipe, dtype)
    needed = tokens * computed + adapters * _learning_layers(recipe)
    learned = counts.learned * epochs
    seconds = operations(recipe, needed, learned, base, epochs) / rate(recipe, machine, dtype)
    return TrainingPlan(
        steps=steps,
        iterations=steps * recipe.accumulation,
        rows=counts.samples,
        tokens=tokens,
        save_every=save_every,
        seconds=START_SECONDS + seconds + saves * SAMPLE_SECONDS,
        memory=memory_bytes(recipe, counts, base, dtype)
        + _recalled_bytes(recipe, counts.tokens * computed, base, dtype, epochs),
        memory_there=(
            machine.memory if recipe.device == "cpu" else min(gpu.memory for gpu in machine.gpus)
        ),
        disk=(saves + RESUME_POINTS + 1) * checkpoint + 64 * (1 << 20),
        dtype=dtype,
        device=recipe.device,
        epochs=epochs,
        warnings=tuple(_warnings(recipe, counts, steps)),
    )


def _warnings(recipe: Recipe, counts: Counts, steps: int) -> list[Text]:
    found = []
    if steps < FEW_STEPS:
        found.append(
            Text(
                f"Only {steps} steps: an identity often does not take in fewer than {FEW_STEPS}. "
                f"Add rows, or set [train] epochs to "
                f"{math.ceil(recipe.epochs * FEW_STEPS / steps)}.",
                f"只有 {steps} 步：少于 {FEW_STEPS} 步时身份往往学不会。"
                f"请增加数据，或把 [train] epochs 设为 "
                f"{math.ceil(recipe.epochs * FEW_STEPS / steps)}。",
            )
        )
    if counts.cut:
        found.append(
            Text(
                f"{counts.cut} samples are longer than {recipe.max_length} tokens and are cut; "
                "[train] max_length raises that.",
                f"有 {counts.cut} 条样本超过 {recipe.max_length} 个 token，会被截断；"
                "可调高 [train] max_length。",
            )
        )
    return found


def compute_dtype(recipe: Recipe, machine: Machine) -> str:
    """bf16 wherever the hardware has it: fp16 overflows on Qwen2 and its like."""
    if recipe.device == "cpu":
        return "bfloat16" if machine.cpu_bf16 else "float32"
    return "bfloat16" if all(gpu.has_bf16 for gpu in machine.gpus) else "float16"


def operations(
    recipe: Recipe, tokens: float, learned: float, base: Size, epochs: float = 1.0
) -> float:
    """Floating-point operations for `tokens`, forward and backward; the head's for `learned` ones.

    Two a parameter forward, and two backward for each of activations and trained weights (Kaplan et
    al. 2020, "Scaling Laws for Neural Language Models", section 2.1). Layers below the adapter have no
    backward pass, and on a CPU no forward pass either once a batch was seen (`recall`).
    """
    learning = _learning_layers(recipe)
    below = 1 / max(1.0, epochs) if recipe.device == "cpu" else 1.0
    forward = 2.0 * (learning + (1 - learning) * below)
    backward = 4.0 if recipe.method == "full" else 2.0 * learning
    again = 2.0 if recipe.gradient_checkpointing else 0.0
    layers = tokens * base.linear * (forward + backward + again)
    passes = (6.0 if recipe.method == "full" else 4.0) + again
    return layers + passes * learned * base.hidden * base.vocabulary


def rate(recipe: Recipe, machine: Machine, dtype: str) -> float:
    """Operations a second that this machine should reach with `recipe`."""
    if recipe.device == "cpu":
        slower = CPU_QLORA_SLOWDOWN if recipe.method == "qlora" else 1.0
        return CPU_RATES[_cpu_kind(machine, dtype)] * machine.cores / slower
    capability = min(gpu.capability for gpu in machine.gpus)
    known = [speed for least, speed in sorted(GPU_RATES.items()) if capability >= least]
    each = known[-1] if known else min(GPU_RATES.values())
    slower = QLORA_SLOWDOWN if recipe.method == "qlora" else 1.0
    return each * recipe.gpus * recipe.nodes / slower


def _step_tokens(machine: Machine, recipe: Recipe, dtype: str) -> int:
    return STEP_TOKENS[_cpu_kind(machine, dtype)] if recipe.device == "cpu" else 0


def _cpu_kind(machine: Machine, dtype: str) -> str:
    if dtype != "bfloat16":
        return "plain"
    return "amx" if machine.cpu_amx else "bf16"


def memory_bytes(recipe: Recipe, counts: Counts, base: Size, dtype: str) -> int:
    """Peak memory on one device: weights, trained parameters with Adam's state, activations."""
    width = 4 if dtype == "float32" else 2
    devices = recipe.gpus * recipe.nodes
    longest = min(counts.longest, recipe.max_length)
    tokens = recipe.batch_size * longest
    if recipe.method == "full":
        shared = devices if recipe.zero_stage == 3 else 1
        states = 16 * base.parameters / shared
    else:
        rest = base.parameters - base.linear
        linear = base.linear * (0.56 if recipe.method == "qlora" else width)
        states = linear + rest * (4 if recipe.method == "qlora" else width)
        states += 16 * _adapter_parameters(recipe, base)
    kept = 2 if recipe.gradient_checkpointing else ATTENTION_BYTES * width / 2
    activations = tokens * base.hidden * base.layers * kept * _learning_layers(recipe)
    one_layer = tokens * base.hidden * ATTENTION_BYTES * 2
    logits = tokens * counts.learned / counts.tokens * base.vocabulary * 12
    libraries = 1.2 * GIB
    return int(states + activations + one_layer + logits + libraries)


def _recalled_bytes(recipe: Recipe, tokens: float, base: Size, dtype: str, epochs: float) -> int:
    """What the layers below the adapter gave for the `tokens` of one pass, kept for the next."""
    if recipe.device != "cpu" or _learning_layers(recipe) == 1 or epochs <= 1:
        return 0
    width = 4 if dtype == "float32" else 2
    return min(RECALLED_BYTES, round(tokens * base.hidden * width))


def checkpoint_bytes(recipe: Recipe, base: Size) -> int:
    """One checkpoint on disk: trained parameters and Adam's two moments, fp32."""
    full = recipe.method == "full"
    return 12 * (base.parameters if full else _adapter_parameters(recipe, base))


def _adapter_parameters(recipe: Recipe, base: Size) -> int:
    return round(base.adapter_parameters(recipe.lora_rank) * recipe.lora_layers)


def adapted_layers(layers: int, share: float) -> range:
    """The numbers of the layers with an adapter: the last `share` of them, at least one."""
    return range(layers - max(1, round(layers * share)), layers)


def _learning_layers(recipe: Recipe) -> float:
    """The share of the layers that learn: activations are kept for them, and a backward pass made."""
    return 1.0 if recipe.method == "full" else recipe.lora_layers


def refuse_too_big(plan: TrainingPlan, recipe: Recipe) -> None:
    """Raise UsageError where the plan asks for clearly more memory than there is."""
    if plan.memory <= plan.memory_there:
        return
    raise UsageError(
        Text(
            f"This run needs about {plan.memory / GIB:.1f} GB of memory; there are "
            f"{plan.memory_there / GIB:.1f} GB.",
            f"这次训练约需 {plan.memory / GIB:.1f} GB 内存，现有 {plan.memory_there / GIB:.1f} GB。",
        ),
        Text(
            f"Set [train] batch_size below {recipe.batch_size} or max_length below "
            f"{recipe.max_length}, gradient_checkpointing = true, a qlora recipe, or a smaller base.",
            f"请把 [train] batch_size 调到 {recipe.batch_size} 以下，或 max_length 调到 "
            f"{recipe.max_length} 以下，或设 gradient_checkpointing = true，或用 qlora 配方，"
            "或换更小的基座。",
        ),
    )
