"""What stands against sharing something as it is, and what a person should know before saying yes."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.errors import AssistantError, BlockedError, FailedError, UsageError
from assistant.words import Text

from ..hubs.base import Account, Hub, Repository
from ..stage import StagedFile
from ..target import Target
from .plan import Blocker
from .scan import Finding, scan_file
from .source import Source, gate_text


def gate(source: Source, anyway: bool) -> list[Blocker]:
    if source.gate == "passed" or anyway:
        return []
    return [Blocker.of("check", FailedError(*gate_text(source.gate)))]


def base_without_name(source: Source) -> list[Blocker]:
    """An adapter is of no use to others without a base that they can fetch."""
    if source.base.public or source.kind != "adapter":
        return []
    shown = source.base.reference or "?"
    error = UsageError(
        Text(f"The base {shown} has no name that others can fetch, and an adapter needs one.",
             f"基座 {shown} 没有别人能获取的名称，而 adapter 需要它。"),
        Text('Say which it is: --set share.base_model=owner/name. Or share the merged model: --kind merged.',
             '请写明它是哪个：--set share.base_model=owner/name。或分享合并后的模型：--kind merged。'),
    )  # fmt: skip
    return [Blocker.of("base", error)]


def not_to_be_published(findings: Sequence[Finding]) -> list[Blocker]:
    """Keys and paths of this machine must not go up at all."""
    found = [one for one in findings if one.what != "personal"]
    if not found:
        return []
    texts = [one.text() for one in found]
    error = FailedError(
        Text("This must not be published:\n" + "\n".join(f"  {text.en}" for text in texts),
             "以下内容不能发布：\n" + "\n".join(f"  {text.zh}" for text in texts)),
        Text("Take it out of assistant.toml or the files of the run, and merge again.",
             "请从 assistant.toml 或运行目录的文件中删去，并重新合并。"),
    )  # fmt: skip
    return [Blocker.of(found[0].what, error)]


def findings_in(files: Sequence[StagedFile]) -> list[Finding]:
    """What a scan of the staged files finds, whether it forbids publishing or is only said."""
    return [found for file in files for found in scan_file(file.place, file.path)]


def too_large(files: Sequence[StagedFile], hub: Hub) -> list[Blocker]:
    limit = hub.file_limit
    large = [file for file in files if limit is not None and file.size > limit]
    if not large:
        return []
    assert limit is not None
    shown = ", ".join(f"{file.path} ({file.size / 1e9:.1f} GB)" for file in large)
    error = UsageError(
        Text(f"Too large for this hub, which takes {limit / 1e9:.0f} GB a file: {shown}.",
             f"超过这个平台单个文件 {limit / 1e9:.0f} GB 的上限：{shown}。"),
        Text("Merge again: python -m train merge --force writes parts of 2 GB.",
             "请重新合并：python -m train merge --force 会写成 2 GB 的分片。"),
    )  # fmt: skip
    return [Blocker.of("too_large", error)]


def warnings_of(source: Source, findings: Sequence[Finding]) -> list[Text]:
    found = []
    if source.gate != "passed":
        said, _ = gate_text(source.gate)
        found.append(Text(f"{said.en} The model page will say so.", f"{said.zh}模型页会注明。"))
    if not source.base.public and source.kind == "merged":
        found.append(Text(
            "The base has no public name, so the page cannot link to it (--set share.base_model=owner/name).",
            "基座没有公开名称，模型页无法链接到它（--set share.base_model=owner/name）。",
        ))  # fmt: skip
    if not source.base.licence:
        found.append(Text(
            "The base's licence is not known: look it up, and say it with --set share.licence=….",
            "不知道基座的许可证：请查明，并用 --set share.licence=… 写明。",
        ))  # fmt: skip
    if source.kind == "adapter" and (peft := source.manifest.libraries.get("peft")):
        found.append(Text(
            f"Made with peft {peft}; LMDeploy brings peft 0.14 and drops what it does not know. For LMDeploy "
            "share the merged model.",
            f"由 peft {peft} 制作；LMDeploy 自带 peft 0.14，会忽略不认识的字段。供 LMDeploy 使用请分享合并后的模型。",
        ))  # fmt: skip
    return found + personal_data(findings)


def personal_data(findings: Sequence[Finding]) -> list[Text]:
    """Addresses and numbers of people: perhaps meant to be public, so said, not refused."""
    return [one.text() for one in findings if one.what == "personal"]


def not_yours(target: Target, who: Account) -> list[Blocker]:
    found = []
    if who.owners is not None and target.owner not in who.owners:
        error: AssistantError = UsageError(
            Text(f"The token is {who.name}'s, who is not {target.owner} and not a member of it.",
                 f"这个令牌属于 {who.name}，不是 {target.owner}，也不是它的成员。"),
            Text(f"Write {target.hub}:{who.name}/{target.name}, or use a token of {target.owner}.",
                 f"请写 {target.hub}:{who.name}/{target.name}，或使用 {target.owner} 的令牌。"),
        )  # fmt: skip
        found.append(Blocker.of("owner", error))
    if who.can_write is False:
        error = BlockedError(
            Text(f"The token of {who.name} may only read.", f"{who.name} 的令牌只能读取。"),
            Text("Make one with write access.", "请申请有写权限的令牌。"),
        )
        found.append(Blocker.of("scope", error))
    return found


def other_visibility(target: Target, repository: Repository, private: bool) -> list[Blocker]:
    """A public repository is never used for what was to be private."""
    if not private or repository.visibility == "private":
        return []
    error = UsageError(
        Text(f"{target} is public, and you asked for private. Nothing was sent.",
             f"{target} 是公开的，而你要求私有。没有发送任何内容。"),
        Text("Choose another name, make it private on its page, or publish with --public.",
             "请换一个名称、在网页上改为私有，或用 --public 公开发布。"),
    )  # fmt: skip
    return [Blocker.of("visibility", error)]


def stays_private(target: Target, repository: Repository, private: bool) -> list[Text]:
    if private or repository.visibility == "public":
        return []
    return [Text(f"{target} is private and stays so; make it public on its page.",
                 f"{target} 是私有的，会保持私有；要公开请在网页上更改。")]  # fmt: skip


def stays_there(left: Sequence[str]) -> Text:
    shown = ", ".join(left[:6]) + (" …" if len(left) > 6 else "")
    return Text(f"{len(left)} other files in that repository stay as they are: {shown}",
                f"那个仓库里另外 {len(left)} 个文件保持不变：{shown}")  # fmt: skip
