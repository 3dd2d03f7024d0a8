"""The TurboMind engine: LMDeploy's pipeline on NVIDIA GPUs."""

from .engine import TurbomindEngine
from .opening import weights_folder, why_not
from .settings import TurbomindSettings

__all__ = ["TurbomindEngine", "TurbomindSettings", "weights_folder", "why_not"]
