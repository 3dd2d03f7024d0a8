"""What a hub's client, pip or git said went wrong, in our own words."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

from ..artifacts import ANOTHER_HOME, DISK_REFUSALS, concerns
from ..errors import AssistantError, BlockedError, DamagedError, UsageError
from ..network import Proxy, proxy_for, unusable_proxy, without_secrets
from ..words import Text
from .reference import Reference

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROXY_STATUSES = (407, 502, 503, 504)  # which a proxy answers where it cannot go on
_DISK_WORDS = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|os error (?:28|122|27)\b|"
    r"\[Errno (?:28|122|27)\]|not enough (?:free )?disk space",
    re.IGNORECASE,
)
_NETWORK_WORDS = re.compile(
    r"Failed to establish a new connection|Connection (?:refused|reset|aborted|timed out)|"
    r"Could not resolve|Couldn't connect|Failed to connect|Temporary failure in name resolution|"
    r"Name or service not known|getaddrinfo failed|Network is unreachable|Max retries exceeded|"
    r"Read timed out|ConnectTimeout|SSLError|ProxyError|ConnectionError|early EOF|"
    r"unexpected disconnect|i/o timeout|connection refused|no such host|RemoteDisconnected",
    re.IGNORECASE,
)
_REFUSAL_WORDS = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|Authorization error|"
    r"error: 40[13]\b|\b40[13] (?:Error|Client Error|Unauthorized|Forbidden)"
)
# modelscope-hub and huggingface_hub of a file that they threw away, git-lfs of an object.
_DAMAGE_WORDS = re.compile(
    r"Hash mismatch for|Consistency check failed|expected OID [0-9a-f]{64}, got [0-9a-f]{64}"
)
# Base classes by name: huggingface_hub brings httpx or httpx2, modelscope-hub brings requests.
NETWORK_CLASSES = {
    "TransportError", "TimeoutException", "ConnectionError", "Timeout", "NetworkError",
    "TimeoutError", "OfflineModeIsEnabled", "LocalEntryNotFoundError", "gaierror",
    "BrokenPipeError",
}  # fmt: skip
OUR_MISTAKES = (
    AssertionError,
    AttributeError,
    ModuleNotFoundError,
    NameError,
    TypeError,
)  # our own mistakes stay visible; of a missing library the command's edge knows more
MIRRORS = {
    "hf": "HF_ENDPOINT",
    "modelscope": "MODELSCOPE_ENDPOINT",
    "openxlab": "OPENXLAB_ENDPOINT",
    "pypi": "PIP_INDEX_URL",
}
TOKENS = {
    "hf": "HF_TOKEN",
    "modelscope": "MODELSCOPE_API_TOKEN",
    "openxlab": "OPENXLAB_GIT_TOKEN",
    "pypi": "PIP_INDEX_URL",
}


def explain(error: Exception, reference: Reference, folder: Path, tried: str) -> AssistantError:
    """The expected failure behind a client's exception. `tried` is the address that was asked."""
    if isinstance(error, OUR_MISTAKES):
        raise error
    tried = without_secrets(tried)
    chain = causes(error)
    for one in chain:
        if getattr(one, "errno", None) in _DISK_ERRORS or _DISK_WORDS.search(str(one)):
            return disk_full(folder)
    for one in chain:
        if refusal := disk_refusal(one, folder):
            return refusal
    for one in chain:
        if _DAMAGE_WORDS.search(str(one)):
            return damaged(reference, tried, _short(one))
    for one in chain:
        if unusable_proxy(f"{type(one).__name__} {one}"):
            return no_network(reference, tried, _short(one))
    for one in chain:
        if status := http_status(one):
            return refused(status, reference, tried, type(one).__name__)
    for one in chain:
        if {base.__name__ for base in type(one).__mro__} & NETWORK_CLASSES:
            return no_network(reference, tried, _short(one))
    return failed(reference, tried, _short(error))


def explain_output(text: str, reference: Reference, folder: Path, tried: str) -> AssistantError:
    """The expected failure behind what pip or git printed."""
    tried = without_secrets(tried)
    if _DISK_WORDS.search(text):
        return disk_full(folder)
    if found := _DAMAGE_WORDS.search(text):
        return damaged(reference, tried, found[0])
    if refuses(text):
        return refused(401, reference, tried)
    if re.search(r"not found|\b404\b|does not exist", text, re.IGNORECASE):
        return refused(404, reference, tried)
    if _NETWORK_WORDS.search(text) or unusable_proxy(text):
        return no_network(reference, tried, last_line(text))
    return failed(reference, tried, last_line(text))


def refuses(text: str) -> bool:
    """Whether a tool's output speaks of a server that wants a token, or another one."""
    return bool(_REFUSAL_WORDS.search(text))


def network_words(text: str) -> bool:
    """Whether a tool's output speaks of a connection that failed."""
    return bool(_NETWORK_WORDS.search(text))


def causes(error: BaseException) -> list[BaseException]:
    """The exception and those it was raised from, the outermost first."""
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop(0)
        if one is None or one in seen:
            continue
        seen.append(one)
        todo += [one.__cause__, one.__context__]
    return seen


def http_status(error: BaseException) -> int:
    """The HTTP status that a client's exception carries; 0 for none."""
    status = getattr(error, "status_code", None)
    status = status or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else 0


def _short(error: BaseException) -> str:
    return last_line(str(error)) or type(error).__name__


def last_line(text: str) -> str:
    """The last line that says something: its innermost reason, or at most 200 characters of it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = without_secrets(lines[-1]) if lines else ""
    reason = re.search(r"\[Errno -?\d+\] [\w ]+", line)
    return reason[0].strip() if reason else line[:200]


def disk_full(folder: Path, needed: int | None = None) -> BlockedError:
    """No room for a download."""
    place = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(place).free
    need = Text("", "")
    if needed:
        size = f"{needed / 1e6:,.0f} MB"
        need = Text(f"{size} are needed, ", f"需要 {size}，")
    return BlockedError(
        Text(
            f"The disk is full: {need.en}{free / 1e6:,.0f} MB are free at {place}. "
            "Nothing unfinished is used.",
            f"磁盘已满：{need.zh}{place} 只剩 {free / 1e6:,.0f} MB。未下载完的不会被使用。",
        ),
        Text(
            "Free some space and run again (a download goes on where it can), "
            "or set ASSISTANT_HOME to a folder on another disk.",
            "请腾出空间后重试（能续传的会续传），或用 ASSISTANT_HOME 指定另一块磁盘上的文件夹。",
        ),
    )


def disk_refusal(error: BaseException, folder: Path) -> BlockedError | None:
    """The failure behind an exception of a disk that may not be written; None for another one."""
    if not isinstance(error, OSError) or error.errno not in DISK_REFUSALS:
        return None
    place = error.filename  # none: a connection may be refused with the same numbers
    if not isinstance(place, str) or not concerns(error, folder):
        return None
    return BlockedError(
        Text(
            f"The folder for models cannot be written: {place}: {error.strerror}.",
            f"无法写入存放模型的文件夹：{place}：{error.strerror}。",
        ),
        ANOTHER_HOME,
    )


def room_for(size: int, folder: Path) -> None:
    """Raise BlockedError if `size` more bytes do not fit beside `folder`."""
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if shutil.disk_usage(place).free < size:
        raise disk_full(place, size)


def no_network(reference: Reference, tried: str, said: str) -> BlockedError:
    """The source could not be reached."""
    variable = MIRRORS[reference.scheme]
    if proxy := _proxy(reference, tried, said):
        way = proxy.text()
        return BlockedError(
            Text(
                f"Cannot reach {tried} for {reference} through {way.en}: {said}",
                f"为 {reference} 经由{way.zh}连接 {tried} 失败：{said}",
            ),
            proxy.cure(said),
        )
    return BlockedError(
        Text(
            f"Cannot reach {tried} for {reference}: {said}",
            f"为 {reference} 连接 {tried} 失败：{said}",
        ),
        Text(
            f"Check the network, or set {variable} to a mirror that can be reached. Models that "
            "are here already work without a network: python -m assistant models lists them.",
            f"请检查网络，或把 {variable} 设为可用的镜像。"
            "已下载的模型不需要网络：python -m assistant models 可以列出。",
        ),
    )


def _proxy(reference: Reference, tried: str, said: str = "") -> Proxy | None:
    """The proxy between us and the source; pip has a variable of its own."""
    return proxy_for(tried, ("PIP_PROXY",) if reference.scheme == "pypi" else (), said)


def refused(status: int, reference: Reference, tried: str, name: str = "") -> AssistantError:
    """The source answered, but not with the model."""
    token = TOKENS[reference.scheme]
    if name == "RevisionNotFoundError":
        return UsageError(
            Text(
                f"{reference}: there is no revision {reference.revision!r}.",
                f"{reference}：没有 {reference.revision!r} 这个版本。",
            ),
            Text("Check what stands after @.", "请检查 @ 后面的内容。"),
        )
    if status == 404 or name == "RepositoryNotFoundError":
        return UsageError(
            Text(
                f"{tried} has no {reference} (or it is private and not yours to see).",
                f"{tried} 上没有 {reference}（或者它是私有的，你无权查看）。",
            ),
            Text(
                f"Check the name; for a private one set {token}.",
                f"请检查名称；私有的请设置 {token}。",
            ),
        )
    if status in (401, 403):
        return BlockedError(
            Text(
                f"{tried} refuses {reference} ({status}): it wants a token with access to it.",
                f"{tried} 拒绝访问 {reference}（{status}）：需要有权限的令牌。",
            ),
            Text(
                f"Set {token}; for a gated model accept its terms on its web page first.",
                f"请设置 {token}；需要申请的模型请先在网页上同意条款。",
            ),
        )
    if status in _PROXY_STATUSES and _proxy(reference, tried):
        return no_network(reference, tried, f"HTTP {status}")
    return BlockedError(
        Text(
            f"{tried} could not give {reference}: it answered {status}.",
            f"{tried} 没能提供 {reference}：返回了 {status}。",
        ),
        Text("Try again later, or another mirror.", "请稍后重试，或换一个镜像。"),
    )


def damaged(reference: Reference, tried: str, said: str) -> DamagedError:
    """What arrived is not what the source lists; the client threw it away."""
    return DamagedError(
        Text(
            f"{reference} arrived damaged from {tried}: {said}",
            f"从 {tried} 下载的 {reference} 已损坏：{said}",
        ),
        Text(
            "Try again; if it stays so, the mirror serves a wrong file: take another.",
            "请重试；如果总是这样，说明镜像上的文件有误，请换一个镜像。",
        ),
    )


def failed(reference: Reference, tried: str, said: str) -> BlockedError:
    """Anything else that a client said."""
    return BlockedError(
        Text(
            f"{reference} could not be downloaded from {tried}: {said}",
            f"无法从 {tried} 下载 {reference}：{said}",
        ),
        Text(
            f"Run it again; a mirror can be set with {MIRRORS[reference.scheme]}.",
            f"请重试；可以用 {MIRRORS[reference.scheme]} 设置镜像。",
        ),
    )
