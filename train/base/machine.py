"""What this machine has for training: processor, memory, GPUs. No torch is imported for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU: its memory in bytes, and its compute capability such as 8.9."""

    name: str
    memory: int
    capability: float

    @property
    def has_bf16(self) -> bool:
        """bf16 came with the Ampere generation."""
        return self.capability >= 8.0


@dataclass(frozen=True)
class Machine:
    """Cores, memory in bytes, whether the processor multiplies bf16 itself, and GPUs."""

    cores: int
    memory: int
    cpu_bf16: bool
    cpu_amx: bool
    gpus: tuple[Gpu, ...] = ()


def this_machine() -> Machine:
    """What can be used here, CPU limits of the container included where Python knows them."""
    flags = _cpu_flags()
    return Machine(
        cores=_cores(),
        memory=_memory(),
        cpu_bf16=bool({"avx512_bf16", "amx_bf16", "bf16"} & flags),
        cpu_amx="amx_bf16" in flags,
        gpus=_gpus(),
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(file).read_text()))
        except (OSError, ValueError):
            continue
    return total


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    found = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return set(found.partition(":")[2].split())


def _gpus() -> tuple[Gpu, ...]:
    """The GPUs that nvidia-smi names and CUDA_VISIBLE_DEVICES leaves."""
    if not shutil.which("nvidia-smi"):
        return ()
    asked = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,compute_cap",
        "--format=csv,noheader,nounits",
    ]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return visible(parse_gpus(done.stdout), os.environ.get("CUDA_VISIBLE_DEVICES"))


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """GPUs from nvidia-smi's CSV of name, memory in MiB and compute capability."""
    gpus = []
    for line in text.splitlines():
        name, memory, capability = (part.strip() for part in line.rsplit(",", 2))
        gpus.append(Gpu(name, int(float(memory)) * MIB, float(capability)))
    return tuple(gpus)


def visible(gpus: tuple[Gpu, ...], chosen: str | None) -> tuple[Gpu, ...]:
    """Those that CUDA_VISIBLE_DEVICES lets programs see (numbers; UUIDs count as themselves)."""
    if chosen is None:
        return gpus
    numbers = [part.strip() for part in chosen.split(",") if part.strip()]
    kept = []
    for number in numbers:
        if number.isdigit() and int(number) < len(gpus):
            kept.append(gpus[int(number)])
        elif not number.lstrip("-").isdigit() and gpus:
            kept.append(gpus[0])
        else:
            break
    return tuple(kept)
