"""What a hub's client or git said went wrong while sharing, in our own words."""

from __future__ import annotations

import re
from typing import NoReturn

from assistant.errors import AssistantError, BlockedError, UsageError
from assistant.models.failures import (
    NETWORK_CLASSES,
    OUR_MISTAKES,
    causes,
    http_status,
    last_line,
    network_words,
    without_secrets,
)
from assistant.network import proxy_for, unusable_proxy
from assistant.words import Text

from ..target import Target
from ..tokens import VARIABLES, WHERE_TO_GET, Secret, hide

_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|insufficient storage|\b507\b|storage (?:limit|quota)|"
    r"quota (?:exceeded|limit)|over your .*storage",
    re.IGNORECASE,
)
_STATUS_IN_TEXT = re.compile(
    r"(?:HTTP(?:/\d(?:\.\d)?)?|error:|Error|status(?: code)?:?|returned error:)\s*\(?(4\d\d|5\d\d)\b|"
    r"\b(4\d\d|5\d\d) (?:Client|Server) Error|\bHTTP Status (4\d\d|5\d\d)\b|status code: (4\d\d|5\d\d)"
)
_DENIED = re.compile(
    r"rights to write|permission|not allowed|forbidden|access denied", re.IGNORECASE
)
_BROKEN = re.compile(
    r": (?:unexpected )?EOF\b|broken pipe|Network Error|closed network connection|connection reset",
    re.IGNORECASE,
)
_MOVED = re.compile(
    r"non-fast-forward|fetch first|stale info|cannot lock ref|failed to push some refs"
)


def explain(error: Exception, target: Target, address: str, token: Secret | None) -> NoReturn:
    """Raise the expected failure behind a client's exception; our own mistakes are raised again."""
    if isinstance(error, (AssistantError, *OUR_MISTAKES)):
        raise error
    chain = causes(error)
    texts = "\n".join(str(one) for one in chain)
    said = hide(last_line(str(error)) or type(error).__name__, [token])
    raise _failure(_status(chain), texts, chain, target, without_secrets(address), said) from None


def explain_output(text: str, target: Target, address: str, token: Secret | None) -> AssistantError:
    """The expected failure behind what git or git-lfs printed."""
    said = hide(_telling_line(text), [token])
    found = _STATUS_IN_TEXT.search(text)
    status = int(next(group for group in found.groups() if group)) if found else 0
    if re.search(
        r"Authentication failed|could not read (?:Username|Password)|Authorization error", text
    ):
        status = 401
    elif _MOVED.search(text) and not status:
        status = 412
    elif re.search(r"Repository not found|repository .* not found", text):
        status = 404
    elif not status and _DENIED.search(text):
        status = 403
    elif (
        not status and "Fatal error: " in text
    ):  # git-lfs's word for any 5xx, whose number it drops
        return server_trouble(target, 0, said)
    return _failure(status, text, [], target, without_secrets(address), said)


def _failure(
    status: int, text: str, chain: list[BaseException], target: Target, address: str, said: str
) -> AssistantError:
    if _FULL.search(text) and status not in (401, 402, 403):
        return disk_full(target, said)
    if status in (407, 502, 503, 504) and proxy_for(address):
        return no_connection(target, address, f"HTTP {status}: {said}")
    if status:
        return refused(status, target, said)
    classes = {base.__name__ for one in chain for base in type(one).__mro__}
    if unusable_proxy(text):
        return no_connection(target, address, said)
    if classes & NETWORK_CLASSES or network_words(text) or _BROKEN.search(text):
        return no_connection(target, address, said)
    return BlockedError(
        Text(f"{target} could not be shared: {said}", f"无法分享到 {target}：{said}"), _AGAIN
    )


_AGAIN = Text(
    "Run the same command again: what arrived already is not sent twice.",
    "请再运行同一条命令：已经送到的不会重发。",
)


def refused(status: int, target: Target, said: str) -> AssistantError:
    """The hub answered, but not as wished. `said` is its own reason, without secrets."""
    hub = target.service_name
    place, variable = WHERE_TO_GET[target.service], VARIABLES[target.service][0]
    if status == 401:
        return BlockedError(
            Text(f"{hub} does not know this token (401), or it has expired.",
                 f"{hub} 不认识这个令牌（401），或者它已过期。"),
            Text(f"Get a new one at {place} and set {variable}.", f"请在 {place} 重新申请，并设置 {variable}。"),
        )  # fmt: skip
    if status == 403:
        return BlockedError(
            Text(f"{hub} knows the token but does not let it write {target.repo} (403): {said}",
                 f"{hub} 认识这个令牌，但不允许它写入 {target.repo}（403）：{said}"),
            Text(f"Give it write access to {target.owner} at {place}.",
                 f"请在 {place} 给它 {target.owner} 的写权限。"),
        )  # fmt: skip
    if status == 402:
        return BlockedError(
            Text(f"{hub} wants a paid plan for this (402): {said}", f"{hub} 要求付费（402）：{said}"),
            _free_homes(target),
        )  # fmt: skip
    if status == 404:
        return UsageError(
            Text(f"{hub} has no {target.repo}, or this token may not see it (404).",
                 f"{hub} 上没有 {target.repo}，或这个令牌看不到它（404）。"),
            Text("Check owner and name.", "请检查用户名和名称。"),
        )  # fmt: skip
    if status in (409, 412):
        return BlockedError(
            Text(f"{target} was changed by someone else meanwhile ({status}). Nothing was published.",
                 f"{target} 同时被别人改动了（{status}）。没有发布任何内容。"),
            Text("Run it again: the new plan shows what is there now.", "请再运行一次：新的计划会显示现在的内容。"),
        )  # fmt: skip
    if status == 413:
        return BlockedError(
            Text(f"{hub} finds a file too large (413): {said}", f"{hub} 认为文件太大（413）：{said}"),
            Text("Merge again in smaller parts: python -m train merge --force", "请重新合并成更小的分片：python -m train merge --force"),
        )  # fmt: skip
    if status == 429:
        return BlockedError(
            Text(f"{hub} asks for patience: too many requests (429).", f"{hub} 要求稍等：请求过多（429）。"),
            Text(f"Wait some minutes. {_AGAIN.en}", f"请等几分钟。{_AGAIN.zh}"),
        )  # fmt: skip
    if status == 507:
        return disk_full(target, said)
    if status >= 500:
        return server_trouble(target, status, said)
    return BlockedError(
        Text(f"{hub} refuses ({status}): {said}", f"{hub} 拒绝（{status}）：{said}"), _AGAIN
    )


def _free_homes(target: Target) -> Text:
    """Where an app costs nothing."""
    elsewhere = Text("--to modelscope:owner/name", "--to modelscope:用户名/名称")
    if target.service == "hf" and target.what == "app":
        return Text(
            "Nothing was bought. A free home on Hugging Face: --profile hf-zerogpu (two Spaces of a "
            f"verified account older than 30 days); elsewhere: {elsewhere.en}.",
            "没有产生任何费用。Hugging Face 上免费的选择：--profile hf-zerogpu（验证过邮箱且注册超过 30 天的"
            f"账号可建两个）；其他平台：{elsewhere.zh}。",
        )
    return Text(
        f"Nothing was bought. A free home for an app: {elsewhere.en}.",
        f"没有产生任何费用。免费的选择：{elsewhere.zh}。",
    )


def server_trouble(target: Target, status: int, said: str) -> BlockedError:
    """The hub failed for reasons of its own; `status` 0 where its number is not known."""
    hub = target.service_name
    en, zh = (f" ({status})", f"（{status}）") if status else ("", "")
    return BlockedError(
        Text(f"{hub} has a trouble of its own{en}: {said}", f"{hub} 自身有故障{zh}：{said}"), _AGAIN
    )


def disk_full(target: Target, said: str) -> BlockedError:
    """No room on the hub."""
    return BlockedError(
        Text(f"There is no room left for {target} on the hub: {said}", f"平台上没有空间放 {target}：{said}"),
        Text("Delete something there, or ask for more storage. Nothing was published.",
             "请在平台上删除一些内容，或申请更多空间。没有发布任何内容。"),
    )  # fmt: skip


def no_connection(target: Target, address: str, said: str) -> BlockedError:
    """The hub could not be reached, or the line broke."""
    if proxy := proxy_for(address, said=said):
        way, cure = proxy.text(), proxy.cure(said)
        return BlockedError(
            Text(f"Cannot reach {address} for {target} through {way.en}, or the line broke: {said}",
                 f"为 {target} 经由{way.zh}连接 {address} 失败或中断：{said}"),
            Text(f"{cure.en} {_AGAIN.en}", f"{cure.zh}{_AGAIN.zh}"),
        )  # fmt: skip
    return BlockedError(
        Text(f"Cannot reach {address} for {target}, or the line broke: {said}",
             f"为 {target} 连接 {address} 失败或中断：{said}"),
        Text(f"Check the network. {_AGAIN.en}", f"请检查网络。{_AGAIN.zh}"),
    )  # fmt: skip


def _status(chain: list[BaseException]) -> int:
    """The HTTP status behind an exception; hf_xet gives it in its words only."""
    for one in chain:
        if (status := http_status(one)) >= 400:
            return status
    for one in chain:
        if found := _STATUS_IN_TEXT.search(str(one)):
            return int(next(group for group in found.groups() if group))
    return 0


def _telling_line(text: str) -> str:
    """The line of git's output that names the reason."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for mark in ("remote: ", "fatal: ", "error: ", "batch response: ", "LFS: "):
        for line in reversed(lines):
            if mark in line:
                return line[:200]
    return last_line(text)
