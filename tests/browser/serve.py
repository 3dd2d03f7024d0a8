"""Serve the page over the echo engine, for the browser tests and for looking at it by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from assistant.config import Config
from assistant.conversation import Message
from assistant.engines.base import Chunk, Generation, Sampling
from assistant.engines.echo import EchoEngine
from assistant.errors import AssistantError
from assistant.host import Host, Ready
from assistant.persona import Persona, persona_from_config
from assistant.progress import Progress, Report
from assistant.ui import build_page, launch_options
from assistant.words import Text

CONFIG = {
    "file": Path("assistant.toml"),
    "assistant": {
        "name": "小贝",
        "author": "贝贝",
        "system_prompt": "你是{name}，{author}的小助手。",
        "facts": [
            {"ask": "你是谁？", "answer": "我是{name}，{author}的小助手。"},
            {"ask": "你能做什么？", "answer": "我可以陪{author}聊天、写祝福、整理资料。"},
            {"ask": "Who are you?", "answer": "I am {name}, {author}'s assistant."},
        ],
    },
    "styles": {
        "rednote": {
            "label": {"zh": "小红书", "en": "Lively"},
            "prompt": "用活泼的小红书风格回答，可以用一两个 emoji。",
            "trigger": "，小红书风格",
            "temperature": 1.0,
        },
        "brief": {
            "label": {"zh": "简短", "en": "Brief"},
            "prompt": "只用一两句话回答。",
        },
    },
}


PROGRESS = Progress(Text("Downloading the model", "下载模型"), 42_000_000, 98_000_000, "B")


def config_with(**tables: object) -> Config:
    """The test configuration, some of its tables replaced."""
    return Config.model_validate({**CONFIG, **tables})


SLOWLY = "Slowly: "
SLOW_SECONDS = 0.08


class WatchedEcho(EchoEngine):
    """Echo that tells how many answers it is giving; a question that begins with SLOWLY takes
    so long that whatever a test does meanwhile is done before the answer ends."""

    def __init__(self, seconds_per_token: float = 0.004):
        super().__init__(seconds_per_token)
        self.running = 0
        self.prompts: list[list[Message]] = []
        self._lock = threading.Lock()

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        with self._lock:
            self.running += 1
            self.prompts.append(list(messages))
        slow = messages[-1].content.startswith(SLOWLY)
        return _Watched(super()._start(messages, sampling), self, SLOW_SECONDS if slow else 0)

    def ended(self) -> None:
        with self._lock:
            self.running -= 1


class _Watched(Generation):
    def __init__(self, inner: Generation, engine: WatchedEcho, seconds: float):
        self._inner = inner
        self._engine = engine
        self._seconds = seconds

    def __next__(self) -> Chunk:
        time.sleep(self._seconds)
        chunk = next(self._inner)
        if chunk.finish:
            self._engine.ended()
        return chunk

    def close(self) -> None:
        self._inner.close()


@dataclass
class Loading:
    """A load function that tests hold, let go and let fail."""

    engine: EchoEngine = field(default_factory=WatchedEcho)
    go: threading.Event = field(default_factory=threading.Event)
    error: AssistantError | None = None
    persona: Persona | None = None
    progress: Progress | None = PROGRESS
    note: Text | None = None

    def __call__(self, report: Report, persona: Persona) -> Ready:
        if self.progress:
            report(self.progress)
        self.go.wait()
        if self.error:
            raise self.error
        source = "weights" if self.persona else "config"
        return Ready(self.engine, self.persona or persona, source, self.note)


def loaded(seconds_per_token: float = 0.004, **more: object) -> Loading:
    """A Loading that is done at once."""
    loading = Loading(engine=WatchedEcho(seconds_per_token), **more)
    loading.go.set()
    return loading


@contextmanager
def served(
    loading: Loading | None = None,
    config: Config | None = None,
    port: int | None = None,
    **options: object,
) -> Iterator[str]:
    """The address of a page that answers by echo; `options` are `build_page`'s."""
    config = config or config_with()
    loading = loading or loaded()
    persona = persona_from_config(config)
    host = Host(lambda report: loading(report, persona), persona)
    host.start()
    if loading.go.is_set() and not loading.error:
        host.wait(10)
    page = build_page(host, config, **{"public": False, **options})
    _, address, _ = page.launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True,
        inbrowser=False, **launch_options(config),
    )  # fmt: skip
    try:
        yield address
    finally:
        loading.go.set()
        page.close(verbose=False)
        host.close()
