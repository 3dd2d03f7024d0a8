"""The measurements of `make bench`, one function each."""

from __future__ import annotations

import importlib.util
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..config import Config
from ..conversation import Message
from ..engines import open_engine
from ..engines.base import Engine, Sampling
from ..engines.cpu.engine import CpuEngine, CpuSettings
from ..engines.cpu.weights import Readable, openvino_weights
from ..engines.llamacpp.process import is_installed
from ..errors import FailedError
from ..libraries import KIT
from ..models import LocalModel, fetch
from ..persona import persona_from_config
from ..progress import Progress
from ..progress import Report as Tell
from ..serving.reply import Reply, reply, system_messages
from ..shell import command_line
from ..weights import choose_weights
from ..words import Text
from .load import LONG_WORDS, STORY, memory_mb
from .peers import BareLlamaCpp, BareOpenVino, BareTransformers
from .report import BenchRow, Report, against, new_report

APP = str(KIT / "app.py")  # wherever the command was started
DECODE_TOKENS = 128
VISITORS = 16
VISITOR_TOKENS = 64


@dataclass(frozen=True)
class Rounds:
    """How often each figure is taken; the median is reported."""

    speed: int
    start: int


def run_bench(config: Config, model: str | None, quick: bool, tell: Tell, command: str) -> Report:
    """Measure everything that runs here; rows that need a library that is absent say so."""
    rounds = Rounds(3, 1) if quick else Rounds(7, 3)
    report = new_report(command)
    local = fetch(choose_weights(config, model).reference, base_folder=config.folder, report=tell)
    readable = openvino_weights(local, tell)
    for what, measure in (
        (Text("start-up", "启动"), lambda: _start_up(config, rounds)),
        (Text("engine", "引擎"), lambda: _engine(config, local, readable, rounds)),
        (Text("one person alone", "一人独用"), lambda: _decode_alone(config, local, rounds, tell)),
    ):
        tell(Progress(Text(f"Measuring: {what.en}", f"正在测量：{what.zh}")))
        report.rows += measure()
    return report


def _start_up(config: Config, rounds: Rounds) -> list[BenchRow]:
    helps = {
        "python app.py": [sys.executable, APP],
        "python -m assistant": [sys.executable, "-m", "assistant"],
        "python -m train": [sys.executable, "-m", "train"],
    }
    rows = []
    for name, line in helps.items():
        seconds = _median(lambda line=line: _timed([*line, "--help"]), rounds.start)  # type: ignore[misc]
        rows.append(BenchRow(f"`{name} --help`", seconds, "s", "< 0.5 s", seconds < 0.5))
    seconds = _median(lambda: _page_time(config), rounds.start)
    rows.append(BenchRow("page visible after `python app.py`", seconds, "s", "< 5 s", seconds < 5))
    return rows


def _timed(line: list[str]) -> float:
    """Seconds that a command of the kit takes. Raises FailedError where it does not run."""
    started = time.perf_counter()
    # In the kit's folder: its packages are found there, wherever the bench was started.
    done = subprocess.run(line, capture_output=True, cwd=KIT, errors="replace")
    if done.returncode:
        raise _does_not_run(line, done.stderr)
    return time.perf_counter() - started


def _does_not_run(line: list[str], said: str) -> FailedError:
    command = command_line(*line)
    lines = said.strip().splitlines() or ["-"]
    told = next((line for line in lines if line.startswith(("Error: ", "错误："))), lines[-1])
    return FailedError(
        Text(f"A program to measure ended at once: {told}", f"要测量的程序一启动就结束了：{told}"),
        Text(f"See what it says: cd {command_line(KIT)} && {command}",
             f"查看它的提示：cd {command_line(KIT)} && {command}"),
    )  # fmt: skip


def _page_time(config: Config) -> float:
    """Seconds from starting app.py to a page that answers; the model is still loading then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    line = [sys.executable, APP, "--port", str(port), "--config", str(config.file.resolve())]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as said,
        subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=said) as app,
    ):
        try:
            while app.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
                        page.read()
                    return time.perf_counter() - started
                except OSError:
                    time.sleep(0.02)
            said.seek(0)
            raise _does_not_run(line, said.read())
        finally:
            app.terminate()


def _engine(
    config: Config, local: LocalModel, readable: Readable, rounds: Rounds
) -> list[BenchRow]:
    settings = CpuSettings(cache_gb=config.serve.cache_gb, concurrent=VISITORS,
                           precision=config.serve.cpu_precision)  # fmt: skip
    started = time.perf_counter()
    engine = CpuEngine(readable.path, local.name, readable.context_length, settings)
    loaded = time.perf_counter() - started
    bare = BareOpenVino(readable.path, settings)
    try:
        rows = [BenchRow("model loaded", loaded, "s")]
        rows += _decode(config, engine, bare, local, rounds)
        rows += _together(engine, bare, rounds)
        rows += _first_token(engine, rounds)
        rows += _stop(engine, rounds)
        rows.append(BenchRow("memory of this process, both engines", memory_mb(), "MB"))
    finally:
        engine.close()
    return rows


def _decode(
    config: Config, engine: Engine, bare: BareOpenVino, local: LocalModel, rounds: Rounds
) -> list[BenchRow]:
    persona = persona_from_config(config)
    sampling = Sampling(temperature=0, max_tokens=DECODE_TOKENS, repetition_penalty=1.0)
    ours, theirs, torches = [], [], []
    transformers = _transformers(local)
    for number in range(rounds.speed):
        prompt = f"{number}. {STORY}"
        rate = _rate(lambda p=prompt: reply(persona, engine, [], p, None, sampling, ""))  # type: ignore[misc]
        ours.append(rate)
        messages = [*system_messages(persona.system_prompt, None), _asked(prompt)]
        theirs.append(bare.decode([messages], DECODE_TOKENS)[1])
        if transformers:
            prompt_ids = engine._encode(messages)  # type: ignore[attr-defined]
            torches.append(transformers.decode(prompt_ids, DECODE_TOKENS))
    rows = [
        against("decode, one person", statistics.median(ours), "tokens/s", "bare OpenVINO GenAI",
                statistics.median(theirs), "ratio ≥ 0.95", lambda ratio: ratio >= 0.95),
    ]  # fmt: skip
    if torches:
        rows.append(
            against("decode, one person", statistics.median(ours), "tokens/s",
                    "transformers generate", statistics.median(torches))
        )  # fmt: skip
    return rows


def _decode_alone(config: Config, local: LocalModel, rounds: Rounds, tell: Tell) -> list[BenchRow]:
    """What one person has who uses it alone, where that is llama.cpp's."""
    if local.format != "gguf" or not is_installed():
        return []
    persona = persona_from_config(config)
    sampling = Sampling(temperature=0, max_tokens=DECODE_TOKENS, repetition_penalty=1.0)
    engine = open_engine("cpu", local, config.serve, tell, single_user=True).engine
    bare = BareLlamaCpp(local.path, engine.describe().context_length)
    ours, theirs = [], []
    try:
        for number in range(rounds.speed):
            prompt = f"{number}. {STORY}"
            ours.append(_rate(lambda p=prompt: reply(persona, engine, [], p, None, sampling, "")))  # type: ignore[misc]
            messages = [*system_messages(persona.system_prompt, None), _asked(prompt)]
            theirs.append(bare.decode(messages, DECODE_TOKENS))
    finally:
        engine.close()
    return [
        against("decode, one person alone", statistics.median(ours), "tokens/s", "bare llama.cpp",
                statistics.median(theirs), "ratio ≥ 0.95", lambda ratio: ratio >= 0.95),
    ]  # fmt: skip


def _transformers(local: LocalModel) -> BareTransformers | None:
    libraries = ("transformers", "torch")
    if local.format not in ("gguf", "hf") or not all(map(importlib.util.find_spec, libraries)):
        return None
    return BareTransformers(local.path)


def _rate(start: Callable[[], Reply]) -> float:
    """Tokens a second over the whole answer."""
    started = time.perf_counter()
    answer = start()
    for _ in answer:
        pass
    assert answer.last is not None
    return answer.last.new_tokens / (time.perf_counter() - started)


def _together(engine: Engine, bare: BareOpenVino, rounds: Rounds) -> list[BenchRow]:
    sampling = Sampling(temperature=0, max_tokens=VISITOR_TOKENS, repetition_penalty=1.0)
    ours, theirs = [], []
    for number in range(max(2, rounds.speed // 2)):
        prompts = [f"{number}-{visitor}. {STORY}" for visitor in range(VISITORS)]
        started = time.perf_counter()
        with ThreadPoolExecutor(VISITORS) as visitors:
            made = sum(visitors.map(lambda prompt: _tokens(engine, prompt, sampling), prompts))
        ours.append(made / (time.perf_counter() - started))
        theirs.append(bare.decode([[_asked(prompt)] for prompt in prompts], VISITOR_TOKENS)[1])
    return [
        against(f"{VISITORS} at once, all together", statistics.median(ours), "tokens/s",
                "bare continuous batching", statistics.median(theirs), "ratio ≥ 0.9",
                lambda ratio: ratio >= 0.9),
    ]  # fmt: skip


def _asked(prompt: str) -> Message:
    return Message(role="user", content=prompt)


def _tokens(engine: Engine, prompt: str, sampling: Sampling) -> int:
    chunks = list(engine.stream([_asked(prompt)], sampling))
    return chunks[-1].new_tokens


def _first_token(engine: Engine, rounds: Rounds) -> list[BenchRow]:
    one = Sampling(temperature=0, max_tokens=1)
    cold, second = [], []
    for number in range(rounds.speed):
        system = Message(role="system", content=f"{number} " + "word " * LONG_WORDS)
        turn = [system, Message(role="user", content="Hello")]
        cold.append(_first(engine, turn, one))
        answered = [
            *turn,
            Message(role="assistant", content="Hi."),
            Message(role="user", content="And?"),
        ]
        second.append(_first(engine, answered, one))
    return [
        against("time to first token, second turn", 1000 * statistics.median(second), "ms",
                "cold 500-token prompt", 1000 * statistics.median(cold), "ratio ≤ 0.3",
                lambda ratio: ratio <= 0.3),
    ]  # fmt: skip


def _first(engine: Engine, messages: list[Message], sampling: Sampling) -> float:
    started = time.perf_counter()
    for _ in engine.stream(messages, sampling):
        pass
    return time.perf_counter() - started


def _stop(engine: Engine, rounds: Rounds) -> list[BenchRow]:
    """Stop pressed with 16 answers running: seconds until the engine computes nothing."""
    seconds = []
    for _ in range(rounds.speed):
        running = [
            engine.stream([Message(role="user", content=f"{n} {STORY}")], Sampling(max_tokens=400))
            for n in range(VISITORS)
        ]
        for generation in running:
            next(generation)
        started = time.perf_counter()
        for generation in running:
            generation.close()
        threads = [threading.Thread(target=lambda g=g: list(g)) for g in running]  # type: ignore[misc]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds.append(time.perf_counter() - started)
    worst = max(seconds)
    return [BenchRow("stop pressed to engine idle, worst", worst, "s", "≤ 0.5 s", worst <= 0.5)]


def _median(measure: Callable[[], float], times: int) -> float:
    return statistics.median(measure() for _ in range(times))
