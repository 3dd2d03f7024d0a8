"""What would be done, before anything is: target, account, visibility, files, warnings, blockers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from assistant.errors import AssistantError, BlockedError, FailedError, UsageError
from assistant.words import Text

Status = Literal["create", "update", "unchanged"]
Visibility = Literal["private", "public", "unknown"]
MARKS: dict[Status, str] = {"create": "+", "update": "~", "unchanged": "="}
VISIBILITIES: dict[Visibility, Text] = {
    "private": Text("private", "私有"),
    "public": Text("PUBLIC: everyone can read it", "公开：所有人可见"),
    "unknown": Text("not known", "未知"),
}
STATUS: dict[Status, Text] = {
    "create": Text("create", "新建"),
    "update": Text("update", "更新"),
    "unchanged": Text("unchanged", "不变"),
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlanText(_Part):
    """A text in both languages."""

    en: str
    zh: str

    @classmethod
    def of(cls, text: Text) -> PlanText:
        return cls(en=text.en, zh=text.zh)

    @property
    def text(self) -> Text:
        return Text(self.en, self.zh)


class PlannedFile(_Part):
    """One file: bytes, sha256, and what would happen to it."""

    path: str
    size: int
    sha256: str
    status: Status


class Blocker(_Part):
    """Why it cannot be done as asked, and what mends it. `exit_code` as in design.md."""

    code: str
    message: PlanText
    cure: PlanText | None = None
    exit_code: int

    @classmethod
    def of(cls, code: str, error: AssistantError) -> Blocker:
        cure = PlanText.of(error.cure) if error.cure else None
        return cls(
            code=code, message=PlanText.of(error.message), cure=cure, exit_code=error.exit_code
        )

    def error(self) -> AssistantError:
        kind = {1: FailedError, 2: UsageError}.get(self.exit_code, BlockedError)
        return kind(self.message.text, self.cure.text if self.cure else None)


class SharePlan(_Part):
    """What would be done with one target."""

    target: str
    hub: str
    what: Literal["model", "app"]
    kind: str
    url: str
    account: str | None
    exists: bool | None  # None: the hub could not be asked
    visibility: Visibility  # of the repository as it is, or as it would be made
    head: str  # its present commit; empty where there is none
    files: tuple[PlannedFile, ...]
    left_there: tuple[str, ...] = ()  # files of the repository that this does not touch
    left_here: tuple[str, ...] = ()  # files of the folder that are not shared
    check: str
    warnings: tuple[PlanText, ...] = ()
    blockers: tuple[Blocker, ...] = ()

    @property
    def to_send(self) -> tuple[PlannedFile, ...]:
        return tuple(file for file in self.files if file.status != "unchanged")

    @property
    def bytes_to_send(self) -> int:
        return sum(file.size for file in self.to_send)

    @property
    def bytes_total(self) -> int:
        return sum(file.size for file in self.files)

    def as_json(self) -> dict[str, object]:
        """For --json: all of it, and the two sums."""
        sums = {"bytes_total": self.bytes_total, "bytes_to_send": self.bytes_to_send}
        return {**self.model_dump(mode="json"), **sums}

    def refuse_blocked(self) -> None:
        """Raise the first blocker, the others named below it."""
        if not self.blockers:
            return
        first, rest = self.blockers[0].error(), self.blockers[1:]
        if not rest:
            raise first
        more = [one.message.text for one in rest]
        raise type(first)(
            Text("\n".join([first.message.en, *(f"Also: {text.en}" for text in more)]),
                 "\n".join([first.message.zh, *(f"另外：{text.zh}" for text in more)])),
            first.cure,
        )  # fmt: skip


def plan_text(plan: SharePlan) -> Text:
    """The plan for reading, in both languages."""
    return Text(_read(plan, "en"), _read(plan, "zh"))


def _read(plan: SharePlan, language: str) -> str:
    def say(en: str, zh: str) -> str:
        return Text(en, zh).in_language(language)

    there = {
        True: say("it is there", "已存在"),
        False: say("it will be created", "将会创建"),
        None: say("not known: the hub could not be asked", "未知：无法询问平台"),
    }[plan.exists]
    seen = VISIBILITIES[plan.visibility].in_language(language)
    lines = [
        f"{say('To', '去向')}: {plan.target}  {plan.url}  ({there})",
        f"{say('Account', '账号')}: {plan.account or say('none', '无')}    "
        f"{say('Visibility', '可见范围')}: {seen}",
        f"{say('Kind', '类型')}: {plan.kind}    {say('Check', '检验')}: {plan.check}",
        "",
        *_file_lines(plan.files, language),
        "",
        say(
            f"{size(plan.bytes_to_send)} to send of {size(plan.bytes_total)}, "
            f"{len(plan.to_send)} of {len(plan.files)} files.",
            f"要发送 {size(plan.bytes_to_send)}（共 {size(plan.bytes_total)}），"
            f"{len(plan.files)} 个文件中的 {len(plan.to_send)} 个。",
        ),
    ]
    if plan.left_here:
        shown = ", ".join(plan.left_here[:8]) + (" …" if len(plan.left_here) > 8 else "")
        lines.append(f"{say('Stays here', '留在本机')}: {shown}")
    lines += [
        f"{say('Warning', '注意')}: {one.text.in_language(language)}" for one in plan.warnings
    ]
    for one in plan.blockers:
        lines.append(f"{say('Not possible', '不能进行')}: {one.message.text.in_language(language)}")
        lines += [one.cure.text.in_language(language)] if one.cure else []
    return "\n".join(lines)


def _file_lines(files: Sequence[PlannedFile], language: str) -> Iterable[str]:
    wide = max((len(file.path) for file in files), default=0)
    for file in files:
        status = STATUS[file.status].in_language(language)
        yield (
            f"  {MARKS[file.status]} {file.path:{wide}}  {size(file.size):>9}  "
            f"{file.sha256[:12]}  {status}"
        )


def size(count: int) -> str:
    """Bytes for people, in decimal units as the hubs count them."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"
