"""`deploy check`: everything that sharing will need, looked at before it is needed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from assistant.artifacts import library_versions
from assistant.config import Config
from assistant.errors import AssistantError
from assistant.libraries import installing
from assistant.run import Run
from assistant.words import Text

from ..hubs import open_hub
from ..target import Target
from ..tokens import VARIABLES, WHERE_TO_GET, find_token, refuse_one_file_for_several
from .plan import PlanText
from .source import gate_text, read_source

State = Literal["ok", "warning", "failed", "blocked"]
MARKS: dict[State, str] = {"ok": "✓", "warning": "!", "failed": "✗", "blocked": "✗"}
EXIT_CODES: dict[State, int] = {"ok": 0, "warning": 0, "failed": 1, "blocked": 3}
_ALL_HUBS = (Target("hf", "?/?"), Target("modelscope", "?/?"), Target("openxlab", "?/?"))
_SPARE = 1 << 30  # bytes that git and the staged copies may take beside links


class Item(BaseModel):
    """One thing that was looked at. `cure` is empty where nothing is to be done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    state: State
    said: PlanText
    cure: PlanText | None = None

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.state]

    def text(self) -> Text:
        """A line, and the cure below it."""
        english, chinese = (
            f"{MARKS[self.state]} {self.said.en}",
            f"{MARKS[self.state]} {self.said.zh}",
        )
        if self.cure:
            english, chinese = f"{english}\n    {self.cure.en}", f"{chinese}\n    {self.cure.zh}"
        return Text(english, chinese)


def examine(
    config: Config,
    run: Run,
    targets: Sequence[Target],
    token_file: Path | None = None,
) -> list[Item]:
    """Look at tools, libraries, accounts, disk and the run. What only unnamed hubs would need is a
    warning at most. Sends nothing."""
    refuse_one_file_for_several((target.service for target in targets), token_file)
    needed = {target.hub for target in targets}
    items = [*_tools("openxlab" in needed), *_libraries("modelscope" in needed)]
    for target in targets or _ALL_HUBS:
        items.append(_account(target, token_file, named=bool(targets)))
    return [*items, _disk(config.folder), *_run(config, run)]


def _item(name: str, state: State, said: Text, cure: Text | None = None) -> Item:
    return Item(
        name=name, state=state, said=PlanText.of(said), cure=PlanText.of(cure) if cure else None
    )


def _tools(needed: bool) -> Iterator[Item]:
    for tool, command in (("git", ["git", "--version"]), ("git-lfs", ["git-lfs", "version"])):
        if shutil.which(tool) is None:
            yield _item(
                tool, "blocked" if needed else "warning",
                Text(f"{tool} is not installed: OpenXLab and apps on ModelScope need it.",
                     f"没有安装 {tool}：OpenXLab 和 ModelScope 上的应用需要它。"),
                Text(f"sudo apt-get install {tool}", f"sudo apt-get install {tool}"),
            )  # fmt: skip
            continue
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        version = said.split(" (")[0]
        yield _item(tool, "ok", Text(version, version))


def _libraries(modelscope_needed: bool) -> Iterator[Item]:
    found = library_versions("huggingface_hub", "hf-xet", "modelscope-hub")
    for name in ("huggingface_hub", "modelscope-hub"):
        if name in found:
            xet = (
                f", hf-xet {found['hf-xet']}"
                if name == "huggingface_hub" and "hf-xet" in found
                else ""
            )
            yield _item(
                name, "ok", Text(f"{name} {found[name]}{xet}", f"{name} {found[name]}{xet}")
            )
            continue
        state: State = "blocked" if name == "huggingface_hub" or modelscope_needed else "warning"
        yield _item(
            name,
            state,
            Text(f"{name} is not installed.", f"没有安装 {name}。"),
            installing(name),
        )


def _account(target: Target, token_file: Path | None, *, named: bool) -> Item:
    """Whose token it is, and whether it may write. A hub that was not named never blocks."""
    hub, name = target.service_name, f"account {target.hub}"
    token = find_token(target.service, token_file if named else None)
    if token is None:
        variable, place = VARIABLES[target.service][0], WHERE_TO_GET[target.service]
        return _item(
            name, "blocked" if named else "warning", Text(f"{hub}: no token.", f"{hub}：没有令牌。"),
            Text(f"{place} - put it into {variable}", f"{place}，放进 {variable}"),
        )  # fmt: skip
    try:
        account = open_hub(target, token).account()
    except AssistantError as error:
        return _item(name, "blocked" if named else "warning", error.message, error.cure)
    if account.can_write is False:
        return _item(
            name, "blocked" if named else "warning",
            Text(f"{hub}: {account.name}, but this token may only read.",
                 f"{hub}：{account.name}，但这个令牌只能读取。"),
            Text(f"Make one with write access: {WHERE_TO_GET[target.service]}",
                 f"请申请有写权限的令牌：{WHERE_TO_GET[target.service]}"),
        )  # fmt: skip
    if named and account.owners is not None and target.owner not in account.owners:
        return _item(
            name, "blocked", Text(f"{hub}: {account.name} may not write to {target.repo}.",
                                  f"{hub}：{account.name} 不能写入 {target.repo}。"),
            Text(f"Write {target.hub}:{account.name}/{target.name}.", f"请写 {target.hub}:{account.name}/{target.name}。"),
        )  # fmt: skip
    # A git server is only asked when there is something to ask about.
    asked = (
        Text("", "")
        if target.service in ("hf", "modelscope")
        else Text(", not asked yet", "，尚未询问")
    )
    return _item(name, "ok", Text(f"{hub}: {account.name} (token from {token.source}{asked.en})",
                                  f"{hub}：{account.name}（令牌来自 {token.source}{asked.zh}）"))  # fmt: skip


def _disk(folder: Path) -> Item:
    free = shutil.disk_usage(folder).free
    said = Text(f"{free / 1e9:.1f} GB free", f"剩余 {free / 1e9:.1f} GB")
    if free >= _SPARE:
        return _item("disk", "ok", said)
    return _item("disk", "warning", said, Text("Free some space: 1 GB is enough, weights are not copied.",
                                              "请腾出空间：1 GB 就够，权重不会复制。"))  # fmt: skip


def _run(config: Config, run: Run) -> Iterator[Item]:
    for kind in run.kinds:
        name = f"{run.name}/{kind}"
        try:
            source = read_source(config, run, kind)
        except AssistantError as error:
            yield _item(name, "failed", error.message, error.cure)
            continue
        said, cure = gate_text(source.gate)
        passed = source.gate == "passed"
        yield _item(
            name, "ok" if passed else "failed",
            Text(f"{name}: {said.en}", f"{name}：{said.zh}"), None if passed else cure,
        )  # fmt: skip
        if not source.base.licence:
            yield _item(f"{name} licence", "warning", Text("The base's licence is not known.", "不知道基座的许可证。"),
                        Text("Say it: --set share.licence=…", "请写明：--set share.licence=…"))  # fmt: skip
    if not run.kinds:
        yield _item(run.name, "failed", Text(f"{run} holds no model yet.", f"{run} 里还没有模型。"),
                    Text("python -m train all", "python -m train all"))  # fmt: skip
