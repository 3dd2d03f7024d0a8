"""What XTuner 0.2.0 lacks on today's libraries, filled before it is imported."""

from __future__ import annotations

import re
import sys
import tempfile
from functools import partial

from assistant.transformers_import import import_transformers


def mend() -> None:
    """Give torch and transformers the two names XTuner asks for.

    `torch.cpu.is_bf16_supported` (XTuner asks `torch.<device>`), and
    `transformers.utils.is_safetensors_available`, gone in transformers 5 where safetensors is a
    requirement. Call it before the first import of xtuner or mmengine. The log's copy of the config
    is not laid out by yapf: that takes seconds, and `xtuner_config.py` is there to read.
    """
    import_transformers()
    import_yapf()
    import torch
    import transformers.utils
    from mmengine.config import Config

    if not hasattr(torch.cpu, "is_bf16_supported"):
        setattr(torch.cpu, "is_bf16_supported", lambda: True)  # noqa: B010
    if not hasattr(transformers.utils, "is_safetensors_available"):
        setattr(transformers.utils, "is_safetensors_available", lambda: True)  # noqa: B010
    setattr(Config, "fromfile", partial(Config.fromfile, format_python_code=False))  # noqa: B010


def import_yapf() -> None:
    """Import yapf, which mmengine imports, with its grammars made anew (0.05 s).

    yapf keeps them in the user's cache and writes them in place: what reads one half written, by a
    process beside or by one that was killed, ends with an EOFError, and so does every later start.
    """
    import platformdirs

    users = platformdirs.user_cache_dir
    with tempfile.TemporaryDirectory() as folder:
        setattr(platformdirs, "user_cache_dir", lambda **_: folder)  # noqa: B010
        try:
            import yapf  # noqa: F401
        finally:
            setattr(platformdirs, "user_cache_dir", users)  # noqa: B010


def leave_out_bitsandbytes(config: str) -> None:
    """Let `import bitsandbytes` fail in this process where the training config does not use it.

    mmengine imports it wherever it is installed, and with it torch's compiler: 4 s of each start.

    Args:
        config: The text of XTuner's config.
    """
    if not re.search(r"load_in_[48]bit|8bit|import bitsandbytes", config):
        sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
