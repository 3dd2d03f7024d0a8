"""Where something goes: `hf:me/little-bei` and the like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from assistant.errors import UsageError
from assistant.models.reference import HubName, parse
from assistant.words import Text

What = Literal["model", "app"]
Service = Literal["hf", "modelscope", "openxlab", "github"]

HUB_NAMES: dict[HubName, str] = {
    "hf": "Hugging Face",
    "modelscope": "ModelScope",
    "openxlab": "OpenXLab",
}


@dataclass(frozen=True)
class Target:
    """A repository on a hub, that may not exist yet."""

    hub: HubName
    repo: str  # owner/name
    what: What = "model"

    @property
    def owner(self) -> str:
        return self.repo.split("/")[0]

    @property
    def name(self) -> str:
        return self.repo.split("/")[1]

    @property
    def slug(self) -> str:
        """A folder's name for it."""
        return f"{self.what}--{self.hub}--{self.repo.replace('/', '--')}"

    @property
    def service(self) -> Service:
        """Whose token is asked for: OpenXLab runs apps from GitHub."""
        return "github" if (self.hub, self.what) == ("openxlab", "app") else self.hub

    @property
    def service_name(self) -> str:
        return "GitHub" if self.service == "github" else HUB_NAMES[self.hub]

    def __str__(self) -> str:
        return f"{self.hub}:{self.repo}"


def parse_target(value: str, what: What = "model") -> Target:
    """Read a target. Raises UsageError for anything but hub:owner/name."""
    try:
        reference = parse(value, Path("/nonexistent"))
    except UsageError:
        raise _no_target(value) from None
    if reference.revision or reference.file:
        raise _no_target(value)
    for hub in get_args(HubName):
        if reference.scheme == hub:
            return Target(hub, reference.name, what)
    raise _no_target(value)


def _no_target(value: str) -> UsageError:
    return UsageError(
        Text(f"{value!r} is not a place to share to.", f"{value!r} 不是可以分享到的位置。"),
        Text(
            "Write hf:owner/name, modelscope:owner/name or openxlab:owner/name.",
            "请写成 hf:用户名/名称、modelscope:用户名/名称 或 openxlab:用户名/名称。",
        ),
    )
