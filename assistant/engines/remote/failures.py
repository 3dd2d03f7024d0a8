"""What can go wrong between us and a server, and whether another try may help."""

from __future__ import annotations

import email.utils
import time
from typing import Any

from ...errors import EngineError, EngineErrorCode
from ...network import Proxy, proxy_for, without_secrets
from ...words import Text
from .settings import Address

AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # statuses that may pass by themselves
GONE = (502, 503, 504)  # the server behind the address is not there
TRANSPORT = ("httpx", "httpx2", "httpcore", "httpcore2", "anyio", "ssl", "asyncio")
TOO_LONG = ("context_length", "context length", "maximum context", "exceeds the available context",
            "too long", "session_len", "max_model_len", "exceed_context_size")  # fmt: skip
NO_MONEY = ("insufficient_quota", "insufficient balance", "exceeded your current quota")
UNKNOWN_FIELD = ("unknown", "unrecogni", "unexpected", "not permitted", "not supported",
                 "unsupported", "additional propert", "extra ")  # fmt: skip
EXTRAS = ("top_k", "repetition_penalty")  # LMDeploy's and vLLM's; unknown to OpenAI
REASON_CHARACTERS = 300


class Failure(Exception):
    """One try failed with `error`. `again`: another try may do; `elsewhere`: but only at another
    server; `wait`: not sooner than in so many seconds; `gone`: leave the server out for a while."""

    def __init__(
        self,
        error: EngineError,
        again: bool = False,
        wait: float | None = None,
        gone: bool = False,
        elsewhere: bool = False,
    ):
        super().__init__(str(error))
        self.error = error
        self.again = again
        self.wait = wait
        self.gone = gone
        self.elsewhere = elsewhere


def broken(name: str, reason: Text, code: EngineErrorCode = "unavailable") -> Failure:
    """A server that does not keep to the protocol; the next try may meet a better moment."""
    return Failure(
        EngineError(code, Text(f"{name}: {reason.en}", f"{name}：{reason.zh}")), again=True
    )


def failure_of(
    error: Exception, name: str, secret: str, key_variable: str, proxy: Proxy | None = None
) -> Failure:
    """What an exception of the client means. `secret` never gets into the text; `proxy` is the one
    on the way."""
    status = getattr(error, "status_code", None)
    reason = _reason(error, secret)
    if isinstance(status, int):
        if proxy and status in (407, *GONE):
            return _proxy_fails(name, proxy, f"HTTP {status}: {reason}")
        return _of_status(status, reason, name, key_variable, error)
    if isinstance(error, EngineError):
        return Failure(error)
    module = type(error).__module__.split(".")[0]
    outside = (
        module in TRANSPORT or isinstance(error, OSError) or "Connection" in type(error).__name__
    )
    if proxy and outside:
        return _proxy_fails(name, proxy, reason)
    if "Timeout" in type(error).__name__:
        silent = Text("no answer in time", "没有及时回答")
        return _unavailable(name, silent, again=True, gone=True, elsewhere=True)
    if outside:
        return _unavailable(
            name,
            Text(f"cannot be reached ({reason})", f"无法连接（{reason}）"),
            again=True,
            gone=True,
            cure=Text(
                "Start that server, or correct [serve.remote] urls.",
                "请启动该服务器，或改正 [serve.remote] urls。",
            ),
        )
    if isinstance(error, ValueError):  # JSON that is none
        return broken(name, Text("sent what is not JSON", "返回的不是 JSON"))
    if module == "openai":  # an error that came inside a stream
        if _mentions(reason, TOO_LONG):
            return Failure(_too_long(name, reason))
        return _unavailable(name, Text(reason, reason), again=True)
    return Failure(
        EngineError(
            "internal", Text(f"The remote engine failed: {reason}", f"远程引擎出错：{reason}")
        )
    )


def _proxy_fails(name: str, proxy: Proxy, reason: str) -> Failure:
    way = proxy.text()
    said = Text(
        f"cannot be reached through {way.en} ({reason})", f"无法经由{way.zh}连接（{reason}）"
    )
    return _unavailable(name, said, again=True, gone=True, cure=proxy.cure(reason))


def unusable_proxies(address: Address, error: Exception) -> EngineError:
    """A client that could not be made for `address`: of all it is given, only the proxies vary."""
    reason = _reason(error, "")
    proxy = proxy_for(address.root, said=reason)
    if proxy is None:
        return EngineError(
            "internal", Text(f"The remote engine failed: {reason}", f"远程引擎出错：{reason}")
        )
    return _proxy_fails(address.name, proxy, without_secrets(reason)).error


def _of_status(status: int, reason: str, name: str, key_variable: str, error: Exception) -> Failure:
    if status in (401, 403):
        return _unavailable(
            name,
            Text(
                f"refuses the key (HTTP {status}: {reason})",
                f"不接受密钥（HTTP {status}：{reason}）",
            ),
            cure=Text(
                f"Put a valid key into the environment variable {key_variable}.",
                f"请把有效的密钥放进环境变量 {key_variable}。",
            ),
        )
    if status == 404:
        return _unavailable(
            name,
            Text(
                f"does not know this model or address ({reason})", f"没有这个模型或地址（{reason}）"
            ),
            cure=Text(
                "Check [serve.remote] urls and model; GET …/v1/models lists its models.",
                "请检查 [serve.remote] 的 urls 和 model；GET …/v1/models 可列出模型。",
            ),
        )
    if status in (400, 413, 422) and _mentions(reason, TOO_LONG):
        return Failure(_too_long(name, reason))
    if status == 429 and _mentions(reason, NO_MONEY):
        return _unavailable(
            name, Text(f"the quota is used up ({reason})", f"额度已用完（{reason}）")
        )
    if status in AGAIN:
        busy = Text("is busy", "正忙") if status in (429, 503) else Text("failed", "出错")
        return _unavailable(
            name,
            Text(f"{busy.en} (HTTP {status}: {reason})", f"{busy.zh}（HTTP {status}：{reason}）"),
            again=True,
            gone=status in GONE,
            wait=retry_after(getattr(getattr(error, "response", None), "headers", None)),
        )
    said = Text(f"HTTP {status}: {reason}", f"HTTP {status}：{reason}")
    if status < 500:
        return Failure(
            EngineError("invalid_request", Text(f"{name}: {said.en}", f"{name}：{said.zh}"))
        )
    return _unavailable(name, said)


def _unavailable(
    name: str,
    reason: Text,
    again: bool = False,
    gone: bool = False,
    wait: float | None = None,
    elsewhere: bool = False,
    cure: Text | None = None,
) -> Failure:
    message = Text(f"The server {name}: {reason.en}.", f"服务器 {name}：{reason.zh}。")
    return Failure(EngineError("unavailable", message, cure), again, wait, gone, elsewhere)


def _too_long(name: str, reason: str) -> EngineError:
    return EngineError(
        "context_length",
        Text(f"Too long for the model of {name}: {reason}", f"超出 {name} 的模型长度：{reason}"),
        Text("Shorten the message.", "请缩短这条消息。"),
    )


def retry_after(headers: Any) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or `Retry-After` as seconds or date."""
    if headers is None:
        return None
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if not (asked := headers.get("retry-after")):
            return None
        if asked.strip().replace(".", "", 1).isdigit():
            return float(asked)
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def refused_fields(error: Exception, sent: set[str]) -> set[str]:
    """Which of the optional fields `sent` a 400 or 422 complains about; empty if of none.

    Where it does not name one, LMDeploy's and vLLM's extras are the first to go.
    """
    if getattr(error, "status_code", None) not in (400, 422):
        return set()
    said = f"{error} {getattr(error, 'body', '')}".lower()
    if _mentions(said, TOO_LONG):
        return set()
    named = {field for field in sent - {"max_tokens"} if field in said}
    if "max_tokens" in sent and "max_completion_tokens" in said:
        named.add("max_tokens")  # OpenAI's newer models: "use 'max_completion_tokens' instead"
    if named or not _mentions(said, UNKNOWN_FIELD):
        return named
    return sent & set(EXTRAS) or sent - {"max_tokens"}


def _mentions(text: str, words: tuple[str, ...]) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in words)


def _reason(error: Exception, secret: str) -> str:
    """The server's own words, or the innermost cause, on one line; without the key."""
    body = getattr(error, "body", None)
    said = None
    if isinstance(body, dict):
        inner = body.get("error", body)
        said = inner.get("message") if isinstance(inner, dict) else inner
        said = said or body.get("detail") or body.get("message")
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(said or cause or type(error).__name__).split()) or type(cause).__name__
    if secret:
        text = text.replace(secret, "***")
    return text if len(text) <= REASON_CHARACTERS else text[:REASON_CHARACTERS] + "…"
