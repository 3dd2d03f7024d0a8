"""The hosts that an app can live on: what they run, what they need, what a person must do there.

Figures of the platforms are those of their documentation of summer 2026; OpenXLab's are of 2024, the
newest there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assistant.errors import UsageError
from assistant.models.reference import HubName
from assistant.words import Text

Engine = Literal["cpu", "turbomind", "transformers", "browser"]  # browser: the visitor's own


@dataclass(frozen=True)
class Profile:
    """One kind of host. `requirements` is the list of this project that it installs; empty for static
    files, which install nothing."""

    name: str
    hub: HubName
    engine: Engine
    requirements: Literal[
        "requirements.txt", "requirements-cpu.txt", "deploy/requirements-zerogpu.txt", ""
    ]
    hardware: str  # the platform's own name for it; empty where a person picks it on a page
    label: Text
    costs: Text
    python: str = "3.11"

    @property
    def is_static(self) -> bool:
        """Whether it is files alone, and the model runs in the visitor's browser."""
        return self.engine == "browser"

    @property
    def on_zerogpu(self) -> bool:
        """Whether the host lends a GPU to functions that ask for one; it must find such a function."""
        return self.hardware == ZEROGPU


ZEROGPU = "zero-a10g"
_FREE = Text("free", "免费")
_ALL = (
    Profile(
        "hf-cpu", "hf", "cpu", "requirements-cpu.txt", "cpu-basic",
        Text("Hugging Face Space, 2 CPUs, 16 GB", "Hugging Face Space，2 核 CPU，16 GB"),
        Text("needs a paid account since July 2026 (PRO or a team's); free: --profile hf-static or hf-zerogpu",
             "2026 年 7 月起需要付费账号（PRO 或团队）；免费的是 --profile hf-static 或 hf-zerogpu"),
    ),
    Profile(
        "hf-gpu", "hf", "turbomind", "requirements.txt", "t4-small",
        Text("Hugging Face Space with a GPU", "带显卡的 Hugging Face Space"),
        Text("by the hour: T4 small $0.40, L4 $0.80, A10G small $1.00",
             "按小时计费：T4 small 0.40 美元，L4 0.80，A10G small 1.00"),
    ),
    Profile(
        "hf-zerogpu", "hf", "transformers", "deploy/requirements-zerogpu.txt", ZEROGPU,
        Text("Hugging Face Space on ZeroGPU, 48 GB for a minute or two at a time",
             "Hugging Face Space，ZeroGPU，每次可用一两分钟 48 GB 显存"),
        Text("free: two Spaces of a verified account older than 30 days; each visitor has a few minutes a day",
             "免费：验证过邮箱且注册超过 30 天的账号可建两个；每位访客每天有几分钟额度"),
        python="3.12.12",  # it has this one and 3.10.13
    ),
    Profile(
        "hf-zerogpu-cpu", "hf", "cpu", "requirements-cpu.txt", ZEROGPU,
        Text("Hugging Face Space on ZeroGPU whose processor answers: a small model, no wait for a GPU",
             "Hugging Face Space，ZeroGPU，由处理器回答：适合小模型，不用等显卡"),
        Text("free: two Spaces of a verified account older than 30 days; visitors use up no GPU minutes",
             "免费：验证过邮箱且注册超过 30 天的账号可建两个；不占访客的 GPU 额度"),
        python="3.12.12",
    ),
    Profile(
        "hf-static", "hf", "browser", "", "",
        Text("static Hugging Face Space: the model runs in the visitor's own browser",
             "静态 Hugging Face Space：模型在访问者自己的浏览器里运行"),
        Text("free, without quota", "免费，没有额度限制"),
    ),
    Profile(
        "modelscope-cpu", "modelscope", "cpu", "requirements-cpu.txt", "platform/2v-cpu-16g-mem",
        Text("ModelScope studio, 2 CPUs, 16 GB", "ModelScope 创空间，2 核 CPU，16 GB"), _FREE,
    ),
    Profile(
        "modelscope-xgpu", "modelscope", "turbomind", "requirements.txt", "xgpu/8v-cpu-32g-mem-16g",
        Text("ModelScope studio with an xGPU, 16 GB", "ModelScope 创空间，xGPU，16 GB 显存"),
        Text("free, after joining the xGPU-Explorers organisation", "免费，需先加入 xGPU-Explorers 组织"),
    ),
    Profile(
        "modelscope-static", "modelscope", "browser", "", "",
        Text("static ModelScope studio: the model runs in the visitor's own browser",
             "静态 ModelScope 创空间：模型在访问者自己的浏览器里运行"), _FREE,
    ),
    Profile(
        "openxlab-cpu", "openxlab", "cpu", "requirements-cpu.txt", "",
        Text("OpenXLab app, 2 CPUs, 8 GB", "OpenXLab 应用，2 核 CPU，8 GB"), _FREE,
    ),
    Profile(
        "openxlab-gpu", "openxlab", "turbomind", "requirements.txt", "",
        Text("OpenXLab app with a GPU", "OpenXLab 应用，带显卡"),
        Text("free, by application form", "免费，需填表申请"),
    ),
)  # fmt: skip
PROFILES = {profile.name: profile for profile in _ALL}
_USUAL: dict[HubName, str] = {
    "hf": "hf-cpu",
    "modelscope": "modelscope-cpu",
    "openxlab": "openxlab-gpu",
}


def choose_profile(hub: HubName, name: str | None) -> Profile:
    """The named profile, or the usual one of a hub. Raises UsageError for one of another hub."""
    profile = PROFILES[name or _USUAL[hub]]
    if profile.hub != hub:
        fitting = ", ".join(one.name for one in _ALL if one.hub == hub)
        raise UsageError(
            Text(f"{profile.name} is not a host of {hub}.", f"{profile.name} 不是 {hub} 的主机。"),
            Text(f"Choose one of: {fitting}.", f"请从中选择：{fitting}。"),
        )
    return profile
