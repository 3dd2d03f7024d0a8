"""Writes the XTuner config of a run: a plain mmengine file a person can read and change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from ..recipes import LORA_TARGETS, Recipe

CONFIG_FILE = "xtuner_config.py"
SAMPLES_FILE = "samples.jsonl"
RESUME_SECONDS = 120  # of work that a kill may cost, where training is slow


@dataclass(frozen=True)
class Job:
    """One training run in numbers; iterations are forward passes, `accumulation` to a step."""

    recipe: Recipe
    base: Path
    train_file: Path
    work: Path
    iterations: int
    save_every: int  # iterations
    seed: int
    dtype: str  # of the base's weights and of the matrix products: bfloat16, float16, float32
    passes: float = 1.0  # over the data
    keep_checkpoints: int = 0
    cores: int = 0  # that threads may follow as other programs leave them; 0: as they were set
    questions: Sequence[Sequence[dict[str, str]]] = ()


def write_config(job: Job) -> Path:
    """Write `xtuner_config.py` into the work folder and return its path."""
    file = job.work / CONFIG_FILE
    file.write_text(config_text(job), encoding="utf-8")
    return file


def config_text(job: Job) -> str:
    """The config as text."""
    recipe = job.recipe
    on_cpu = recipe.device == "cpu"
    return Template(_CONFIG).substitute(
        base=repr(str(job.base)),
        train_file=repr(str(job.train_file)),
        max_length=recipe.max_length,
        batch_size=recipe.batch_size,
        accumulation=recipe.accumulation,
        learning_rate=repr(recipe.learning_rate),
        weight_decay=repr(recipe.weight_decay),
        clip=repr(recipe.clip),
        iterations=job.iterations,
        schedule=_schedule(job),
        save_every=job.save_every,
        keep=job.keep_checkpoints or -1,
        seed=job.seed,
        samples_file=repr(str(job.work / SAMPLES_FILE)),
        questions=repr([list(asked) for asked in job.questions]),
        dtype=job.dtype,
        checkpointing=recipe.gradient_checkpointing,
        shared=on_cpu,  # on a GPU, a mask of one's own rules out the fast attention
        adapted=recipe.lora_layers if recipe.method != "full" else 1.0,
        recall=on_cpu and job.passes > 1,
        autocast=repr("bfloat16") if on_cpu and job.dtype == "bfloat16" else None,
        quantisation=_QUANTISATION.replace("DTYPE", job.dtype) if recipe.method == "qlora" else "",
        lora=_lora(recipe),
        wrapper=_wrapper(job, on_cpu),
        backend="gloo" if on_cpu else "nccl",
        on_a_laptop=_on_a_laptop(job) if on_cpu else "",
        log_every=max(1, job.iterations // 500),
    )  # fmt: skip


def _schedule(job: Job) -> str:
    """Up to the learning rate and down to nothing. mmengine's LinearLR needs two steps to get there: with
    fewer of them there is no way up, and one step has no way down."""
    warmup = round(job.iterations * job.recipe.warmup)
    up = _UP.replace("WARMUP", str(warmup)) if warmup > 1 else ""
    down = _DOWN.replace("WARMUP", str(warmup if up else 0)) if job.iterations > 1 else ""
    return f"param_scheduler = [{up}{down}\n]"


def _lora(recipe: Recipe) -> str:
    if recipe.method == "full":
        return "None"
    targets = repr(LORA_TARGETS) if recipe.lora_layers == 1 else None  # then by the last layers
    return (
        f"dict(type=LoraConfig, r={recipe.lora_rank}, lora_alpha={recipe.lora_alpha}, "
        f"lora_dropout={recipe.lora_dropout!r},\n"
        f"              target_modules={targets}, bias='none', task_type='CAUSAL_LM')"
    )


def _on_a_laptop(job: Job) -> str:
    """Hooks for a machine that is used meanwhile, and may be shut at any time."""
    threads = f"\n    dict(type=ThreadsHook, cores={job.cores})," if job.cores else ""
    return f"\n    dict(type=ResumePointHook, seconds={RESUME_SECONDS}, every=save_every),{threads}"


def _wrapper(job: Job, on_cpu: bool) -> str:
    if on_cpu or job.dtype == "float32":
        return "type=OptimWrapper"
    scale = "'dynamic'" if job.dtype == "float16" else "1.0"
    return f"type=AmpOptimWrapper, loss_scale={scale}, dtype={job.dtype!r}"


_UP = """
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=WARMUP),"""
_DOWN = """
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=WARMUP, end=iterations),"""
_QUANTISATION = """
        quantization_config=dict(
            type=BitsAndBytesConfig, load_in_4bit=True, bnb_4bit_quant_type='nf4',
            bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.DTYPE),"""

_CONFIG = """\
# The XTuner config of this run, written by `python -m train fit`; change it and run it by hand:
#   python -m train.trainer.child THIS_FILE --work-dir FOLDER
# (`xtuner train THIS_FILE` does the same where XTuner's own old pins are installed.)
import torch
from mmengine.hooks import (CheckpointHook, DistSamplerSeedHook, IterTimerHook, LoggerHook,
                            ParamSchedulerHook)
from mmengine.optim import AmpOptimWrapper, CosineAnnealingLR, LinearLR, OptimWrapper
from peft import LoraConfig
from torch.optim import AdamW
from transformers import BitsAndBytesConfig
from xtuner.dataset.collate_fns import default_collate_fn
from xtuner.engine.runner import TrainLoop

from train.data.dataset import ConversationDataset
from train.trainer.finetune import Finetune, load_base
from train.trainer.hooks import (PlainCheckpointHook, ResumePointHook, SamplesHook, ThreadsHook,
                                 WatchLossHook)
from train.trainer.sampler import ShuffledBatchSampler

# ---- what one changes -------------------------------------------------------------------------
base = $base
train_file = $train_file
max_length = $max_length
batch_size = $batch_size  # samples on one device
accumulation = $accumulation  # batches to one optimiser step
iterations = $iterations  # batches in all
learning_rate = $learning_rate
save_every = $save_every  # batches
seed = $seed

# ---- model ------------------------------------------------------------------------------------
model = dict(
    type=Finetune,
    use_activation_checkpointing=$checkpointing,
    cpu_autocast=$autocast,
    share_prefixes=$shared,
    adapted=$adapted,  # share of the layers with an adapter, the last ones
    recall=$recall,
    llm=dict(
        type=load_base, pretrained_model_name_or_path=base, trust_remote_code=False,
        dtype=torch.$dtype, attn_implementation='sdpa',$quantisation),
    lora=$lora)

# ---- data: the tokenizer's own chat template, loss on the assistant's tokens ---------------------
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    dataset=dict(
        type=ConversationDataset, file=train_file, tokenizer=base, max_length=max_length),
    sampler=dict(
        type=ShuffledBatchSampler, per_device_batch_size=batch_size * accumulation, seed=seed),
    collate_fn=dict(type=default_collate_fn, use_varlen_attn=False))

# ---- optimiser ----------------------------------------------------------------------------------
optim_wrapper = dict(
    $wrapper,
    optimizer=dict(
        type=AdamW, lr=learning_rate, betas=(0.9, 0.999), weight_decay=$weight_decay),
    clip_grad=dict(max_norm=$clip, error_if_nonfinite=False),
    accumulative_counts=accumulation)
$schedule
train_cfg = dict(type=TrainLoop, max_iters=iterations)

# ---- runtime ------------------------------------------------------------------------------------
custom_hooks = [
    dict(type=WatchLossHook),
    dict(type=PlainCheckpointHook),
    dict(type=SamplesHook, file=$samples_file, tokenizer=base, every=save_every,
         questions=$questions),$on_a_laptop
]
default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, log_metric_by_epoch=False, interval=$log_every),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=CheckpointHook, by_epoch=False, interval=save_every,
                    max_keep_ckpts=$keep),
    sampler_seed=dict(type=DistSamplerSeedHook))
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='$backend'))
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=seed, deterministic=False)
log_processor = dict(by_epoch=False, window_size=1)
"""
