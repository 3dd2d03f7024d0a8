"""One request: filled on LMDeploy's event loop, read by the caller's thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING

from ...errors import EngineError
from ...words import Text
from ..base import Chunk, Finish, SettledGeneration
from ..token_text import DecodeMany, TextSoFar, next_pieces

if TYPE_CHECKING:
    from lmdeploy.serve.core.async_engine import GenOut
    from lmdeploy.serve.core.exceptions import RequestError

_FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length"}


class TurbomindGeneration(SettledGeneration):
    """The chunks of one answer. Closing it cancels the task that computes it."""

    def __init__(self, prompt: list[int], decode: DecodeMany):
        super().__init__()
        self.prompt = prompt
        self._decode = decode
        self._text = TextSoFar()
        self._new = 0
        self._cached = 0
        self._task: asyncio.Task[None] | None = None
        self.work: concurrent.futures.Future[None] | None = None  # done once the engine has let go

    def begin(self, task: asyncio.Task[None]) -> bool:
        """Note the task that computes this answer; False if nobody waits for it any more."""
        with self._lock:
            self._task = task
            return not self._settled

    def take(self, output: GenOut) -> None:
        """Hand over what LMDeploy made since the last time."""
        self._new = output.generate_token_len
        self._cached = output.cached_tokens
        self._text.tokens += output.token_ids or []
        if output.finish_reason is None:
            self._hand_over(output.response)
        elif output.finish_reason in _FINISHES:
            self._settle(self._last(_FINISHES[output.finish_reason], self._held()))
        else:
            self._settle(_broken_off(output.finish_reason))

    def fail(self, error: EngineError) -> None:
        """End with an error."""
        self._settle(error)

    def _hand_over(self, text: str) -> None:
        if text:
            self._text.begin, self._text.given = self._text.given, len(self._text.tokens)
            self._put(text)

    def _held(self) -> str:
        """What LMDeploy kept back because a character was incomplete, without that character: of
        several tokens that come together it drops the whole ones too."""
        return next_pieces([(self._text, True)], self._decode)[0]

    def _last(self, finish: Finish, text: str = "") -> Chunk:
        return Chunk(text, finish, len(self.prompt), self._new, self._cached)

    def close(self) -> None:
        if self._settle(self._last("cancelled")) and self._task is not None:
            # Not the future's cancel: that one calls itself done before the engine has let go.
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)


def refused(error: RequestError, prompt_tokens: int) -> EngineError:
    """A request that LMDeploy refused or could not finish, in the contract's codes."""
    code, said = error.code.value, error.message
    if code == "context_length_exceeded":
        return EngineError(
            "context_length",
            Text(
                f"TurboMind cannot hold a prompt of {prompt_tokens} tokens: {said}",
                f"TurboMind 放不下 {prompt_tokens} 个 token 的提示：{said}",
            ),
            Text(
                "Shorten the message, or give the KV cache more room: raise [serve.turbomind] "
                "cache_share, or set kv_bits = 8.",
                "请缩短消息，或给 KV 缓存更多空间：调大 [serve.turbomind] cache_share，"
                "或设 kv_bits = 8。",
            ),
        )
    if code in ("invalid_request", "unsupported_feature"):
        return EngineError(
            "invalid_request",
            Text(f"LMDeploy refused the request: {said}", f"LMDeploy 拒绝了请求：{said}"),
        )
    if code == "engine_unavailable":
        return EngineError(
            "unavailable",
            Text(f"TurboMind does not answer: {said}", f"TurboMind 没有响应：{said}"),
            Text("Restart the page.", "请重启页面。"),
        )
    return EngineError(
        "internal",
        Text(f"TurboMind failed: {said} ({code})", f"TurboMind 出错：{said}（{code}）"),
        Text(
            "The log has its reason. OUT_OF_MEMORY there means that the KV cache is full: raise "
            "[serve.turbomind] cache_share, set kv_bits = 8, or lower [serve.limits] concurrent.",
            "原因见日志。若是 OUT_OF_MEMORY，说明 KV 缓存已满：调大 [serve.turbomind] cache_share，"
            "设 kv_bits = 8，或调小 [serve.limits] concurrent。",
        ),
    )


def _broken_off(reason: str) -> EngineError:
    return EngineError(
        "truncated",
        Text(f"The engine broke the answer off ({reason}).", f"引擎中断了回答（{reason}）。"),
        Text("Ask again.", "请再问一次。"),
    )
