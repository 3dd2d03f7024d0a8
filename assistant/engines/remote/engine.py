"""The remote engine: asks a server, keeps to the engine contract."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import logging
import queue
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...conversation import Message
from ...errors import EngineError
from ...progress import Progress, Report, unreported
from ...words import Text
from ..base import Chunk, Engine, EngineInfo, Generation, Sampling
from .answer import read_answer
from .background import Background
from .failures import Failure
from .servers import Server, Servers, shown_model
from .settings import RemoteSettings
from .tokens import ESTIMATED, Counter, estimate, find_counter

if TYPE_CHECKING:
    import tenacity

logger = logging.getLogger(__name__)

ASSUMED_CONTEXT = 4096  # where neither the server nor the configuration says
COUNTS_KEPT = 256  # the same messages are counted several times on the way to an answer
COUNT_SECONDS = 15.0


class RemoteEngine(Engine):
    """Answers by way of OpenAI-compatible servers; the living ones take turns.

    Raises EngineError("unavailable") where no server is named or none can be used.
    """

    keeps_forms = True  # by the protocol; a server that does not says so

    def __init__(self, settings: RemoteSettings, report: Report = unreported):
        if not settings.urls:
            raise _no_urls()
        report(Progress(Text("Looking for the server", "正在连接服务器")))
        self._settings = settings
        self._servers = Servers(settings)
        self._background = Background("remote-engine")
        self._counts: collections.OrderedDict[tuple[Message, ...], int] = collections.OrderedDict()
        self._lock = threading.Lock()
        try:
            self._counter, self._info = self._background.run(self._open())
        except BaseException:
            self._background.close(self._servers.close())
            raise
        self._background.start(self._servers.watch())

    async def _open(self) -> tuple[Counter, EngineInfo]:
        await self._servers.look()
        alive = [server for server in self._servers.all if server.alive]
        counter, counted = await find_counter(alive[0])
        lengths = [server.context_length for server in alive if server.context_length]
        details = {"token counts": str(counted)}
        if self._settings.context_length is None and not lengths:
            said = Text("assumed; set [serve.remote] context_length",
                        "假定值；请设置 [serve.remote] context_length")  # fmt: skip
            details["context length"] = str(said)
        count = len(self._servers.all)
        return counter, EngineInfo(
            "remote",
            str(
                Text("a server", "服务器")
                if count == 1
                else Text(f"{count} servers", f"{count} 台服务器")
            ),
            shown_model(alive[0].model),
            self._settings.context_length or min(lengths, default=ASSUMED_CONTEXT),
            details,
        )

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        answer = _RemoteGeneration(self.count_tokens(messages))
        answer.follow(self._background.start(self._work(answer, tuple(messages), sampling)))
        return answer

    async def _work(
        self, answer: _RemoteGeneration, messages: tuple[Message, ...], sampling: Sampling
    ) -> None:
        """Try until a first token comes; then there is no way back."""
        tried: list[Server] = []
        try:
            async for attempt in self._retrying(tried):
                with attempt:
                    server = self._servers.next(tried)
                    tried.append(server)
                    await self._ask(server, answer, messages, sampling)
        except Failure as failure:
            failure.error.for_operators = True
            answer.outbox.put(failure.error)
        except Exception as error:  # a fault of ours: the reader must be told, not left waiting
            logger.exception("the remote engine failed")
            answer.outbox.put(
                EngineError(
                    "internal", Text(f"The remote engine failed: {error}", f"远程引擎出错：{error}")
                )
            )

    async def _ask(
        self,
        server: Server,
        answer: _RemoteGeneration,
        messages: tuple[Message, ...],
        sampling: Sampling,
    ) -> None:
        chunks = read_answer(server, messages, sampling, answer.prompt_tokens)
        try:
            async for chunk in chunks:
                answer.outbox.put(chunk)
        except Failure as failure:
            if failure.gone:
                server.alive = False
            logger.info("a try at %s failed: %s", server.address.name, failure.error.message.en)
            raise
        finally:
            await chunks.aclose()  # type: ignore[attr-defined]
        server.alive = True

    def _retrying(self, tried: list[Server]) -> tenacity.AsyncRetrying:
        import tenacity

        settings = self._settings
        backoff = tenacity.wait_exponential_jitter(
            settings.first_wait_seconds,
            settings.longest_wait_seconds,
            jitter=settings.first_wait_seconds,
        )

        def wait(state: tenacity.RetryCallState) -> float:
            failure = state.outcome and state.outcome.exception()
            asked = failure.wait if isinstance(failure, Failure) else None
            if self._servers.another(tried):
                return 0.0
            return backoff(state) if asked is None else asked

        def again(error: BaseException) -> bool:
            if not isinstance(error, Failure) or not error.again:
                return False
            here = not error.elsewhere and (error.wait or 0) <= settings.longest_wait_seconds
            return here or self._servers.another(tried)

        return tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(settings.attempts + len(self._servers.all) - 1),
            wait=wait,
            retry=tenacity.retry_if_exception(again),
            sleep=asyncio.sleep,
            reraise=True,
        )

    def count_tokens(self, messages: Sequence[Message]) -> int:
        key = tuple(messages)
        with self._lock:
            if key in self._counts:
                self._counts.move_to_end(key)
                return self._counts[key]
        count = self._background.run(self._count(key))
        with self._lock:
            self._counts[key] = count
            while len(self._counts) > COUNTS_KEPT:
                self._counts.popitem(last=False)
        return count

    async def _count(self, messages: tuple[Message, ...]) -> int:
        if self._counter is ESTIMATED[0]:
            return estimate(messages)
        try:
            server = self._servers.next()
            return await asyncio.wait_for(self._counter(server, messages), COUNT_SECONDS)
        except Exception as error:  # the answer itself will say what is wrong with the server
            logger.info("counting failed, estimated: %s", type(error).__name__)
            return estimate(messages)

    def describe(self) -> EngineInfo:
        return self._info

    def close(self) -> None:
        self._background.close(self._servers.close())


class _RemoteGeneration(Generation):
    """One answer: filled on the engine's thread, read by the caller's."""

    def __init__(self, prompt_tokens: int):
        self.prompt_tokens = prompt_tokens
        self.outbox: queue.SimpleQueue[Chunk | EngineError | None] = queue.SimpleQueue()
        self._work: concurrent.futures.Future[None] | None = None
        self._pieces = 0
        self._ended = False

    def follow(self, work: concurrent.futures.Future[None]) -> None:
        """`work` fills the outbox. However it ends, by itself or cancelled, the reader is woken."""
        self._work = work
        work.add_done_callback(lambda _: self.outbox.put(None))

    def __next__(self) -> Chunk:
        if self._ended:
            raise StopIteration
        item = self.outbox.get()
        if isinstance(item, Chunk) and item.finish is None:
            self._pieces += 1
            return item
        self._ended = True
        if isinstance(item, EngineError):
            raise item
        return item or Chunk(
            finish="cancelled", prompt_tokens=self.prompt_tokens, new_tokens=self._pieces
        )

    def close(self) -> None:
        if self._work is not None:
            self._work.cancel()


def _no_urls() -> EngineError:
    return EngineError(
        "unavailable",
        Text("The remote engine has no server to ask.", "远程引擎没有可用的服务器地址。"),
        Text(
            'Set urls in assistant.toml, for example:\n[serve.remote]\nurls = ["http://127.0.0.1:23333/v1"]',
            '请在 assistant.toml 里设置 urls，例如：\n[serve.remote]\nurls = ["http://127.0.0.1:23333/v1"]',
        ),
    )
