"""Serve the page over the echo engine, for the browser tests and for looking at it by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.config import Config
from assistant.conversation import Message
from assistant.engines.base import Chunk, Generation, Sampling
from assistant.engines.echo import EchoEngine
from assistant.errors import AssistantError
from assistant.persona import Persona, persona_from_config
from assistant.progress import Progress, Report
from assistant.serving.host import Host, Ready
from assistant.serving.listen import ListenAddress, choose_port
from assistant.ui import build_page, launch_options
from assistant.words import Text

PROJECT = Path(__file__).resolve().parents[2] / ".pytest_cache" / "page"  # what the owner corrects
CONFIG = {
    "file": PROJECT / "assistant.toml",
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


PATIENCE = 60.0  # seconds that a test waits for what must come


def config_with(serve: dict[str, Any] | None = None, **tables: object) -> Config:
    """The test configuration, some of its tables replaced. However long a test holds an answer, the
    engine is not taken for stuck."""
    patient = {"operations": {"stall_seconds": 3600}}
    return Config.model_validate({**CONFIG, "serve": {**patient, **(serve or {})}, **tables})


HELD = "Held: "
HELD_AT = 12  # characters
ENDLESS = "Endless: "


class WatchedEcho(EchoEngine):
    """Echo that tells how many answers it is giving. A question that begins with HELD is answered by
    its first HELD_AT characters, and by the rest once `go_on` is called; the answer to one that begins
    with ENDLESS never ends by itself."""

    def __init__(self, seconds_per_token: float = 0.001):
        super().__init__(seconds_per_token)
        self.running = 0
        self.prompts: list[list[Message]] = []
        self.released = 0
        self._lock = threading.Lock()

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        with self._lock:
            self.running += 1
            self.prompts.append(list(messages))
            released = self.released  # who sees it running may call `go_on` at once
        return _Watched(super()._start(messages, sampling), self, messages[-1].content, released)

    def go_on(self) -> None:
        """End what is held now."""
        with self._lock:
            self.released += 1

    def ended(self) -> None:
        with self._lock:
            self.running -= 1


class _Watched(Generation):
    def __init__(self, inner: Generation, engine: WatchedEcho, asked: str, released: int):
        self._inner = inner
        self._engine = engine
        self._held_since = released if asked.startswith(HELD) else None
        self._is_endless = asked.startswith(ENDLESS)
        self._given = 0
        self._closed = threading.Event()

    def __next__(self) -> Chunk:
        if self._given >= HELD_AT:
            while self._held_since == self._engine.released and not self._closed.is_set():
                self._closed.wait(0.02)
        if self._is_endless and not self._closed.wait(0.02):
            return Chunk("…")
        chunk = next(self._inner)
        self._given += len(chunk.text)
        if chunk.finish:
            self._engine.ended()
        return chunk

    def close(self) -> None:
        self._closed.set()
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


def loaded(engine: EchoEngine | None = None, **more: object) -> Loading:
    """A Loading that is done at once."""
    loading = Loading(engine=engine or WatchedEcho(), **more)
    loading.go.set()
    return loading


class Stage:
    """A served page's host, in whose place another may step: as if the page had just been opened."""

    def __init__(self, persona: Persona, loading: Loading):
        self.address = ""
        self._persona = persona
        self._load(loading)

    @property
    def engine(self) -> EchoEngine:
        """What answers, once it is loaded."""
        return self._loading.engine

    def begin_again(self, loading: Loading) -> None:
        """Load anew, by `loading`."""
        self.close()
        self._load(loading)

    def _load(self, loading: Loading) -> None:
        self._loading = loading
        self._host = Host(lambda report: loading(report, self._persona), self._persona)
        self._host.start()
        if loading.go.is_set() and not loading.error:
            self._host.wait(PATIENCE)

    def close(self) -> None:
        """Let the engine go, also one that is not loaded yet."""
        self._host.close()
        self._loading.go.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)


@contextmanager
def served(
    loading: Loading | None = None,
    config: Config | None = None,
    port: int = 0,
    **options: object,
) -> Iterator[Stage]:
    """A page that answers by echo, at the stage's `address`; `options` are `build_page`'s."""
    config = config or config_with()
    stage = Stage(persona_from_config(config), loading or loaded())
    page = build_page(stage, config, **{"public": False, **options})
    place, held = choose_port(ListenAddress("own", "127.0.0.1", port, "", False, False))
    _, stage.address, _ = page.launch(
        server_name=place.address, server_port=place.port, prevent_thread_lock=True, quiet=True,
        inbrowser=False, **launch_options(config),
    )  # fmt: skip
    held.close()
    try:
        yield stage
    finally:
        page.close(verbose=False)
        stage.close()
