"""How many NVIDIA GPUs a program may use here."""

from __future__ import annotations

import ctypes

_DRIVERS = ("libcuda.so.1", "nvcuda.dll")


def count_gpus() -> int:
    """The GPUs that the CUDA driver shows, CUDA_VISIBLE_DEVICES respected; 0 without a driver.

    Asked directly: importing torch takes seconds, and nvidia-smi lists what CUDA may not use.
    """
    for name in _DRIVERS:
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        well = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        return count.value if well else 0
    return 0
