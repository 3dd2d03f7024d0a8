"""The tool "python": code of the model's, run where it can reach nothing.

By Monty, an interpreter of its own that knows no files, no network and no environment, in a process of its
own. Here it gets limits that are always set: without one on time, an endless loop ran for minutes.
"""

from __future__ import annotations

import threading
from typing import Any

from ..libraries import not_installed
from ..words import Text
from .base import Arguments, Tool, ToolError

SECONDS = 2.0  # that one call may compute
WATCHDOG_SECONDS = 10.0  # after which a worker that does not even heed its limit is killed
MEMORY_BYTES = 64 * 2**20
DEEPEST_RECURSION = 200
LONGEST_CODE = 4000
LONGEST_RESULT = 4000  # characters: the model has to read it
SAID_AT_MOST = 300  # of an error


class PythonArguments(Arguments):
    """`code`: a program; its last expression is the result."""

    code: str


class Python(Tool):
    """Runs Python code in a sandbox.

    Raises:
        BlockedError: The sandbox is not installed.
    """

    name = "python"
    described = Text("runs Python code and gives the value of its last line; for arithmetic",
                     "运行 Python 代码，返回最后一行的值；用于计算")  # fmt: skip
    arguments = PythonArguments
    computes = True

    def __init__(self) -> None:
        try:
            import pydantic_monty
        except ImportError:
            raise not_installed("pydantic_monty") from None
        self._monty = pydantic_monty
        self._lock = threading.Lock()
        self._pool: Any = None
        self._closed = False

    def run(self, arguments: PythonArguments) -> str:
        monty = self._monty
        if not arguments.code.strip():
            raise ToolError("there is no code")
        if len(arguments.code) > LONGEST_CODE:
            raise ToolError(f"the code is longer than {LONGEST_CODE} characters")
        limits = monty.ResourceLimits(
            max_feed_duration_secs=SECONDS, max_memory=MEMORY_BYTES,
            max_recursion_depth=DEEPEST_RECURSION,
        )  # fmt: skip
        printed = monty.CollectString(max_bytes=LONGEST_RESULT * 4)
        try:
            with self._workers().checkout(limits=limits) as session:
                value = session.feed_run(arguments.code, print_callback=printed)
                shown = "" if value is None else _shown(value)
        except monty.MontyCrashedError:
            raise ToolError("the program was ended: it took too long or too much memory") from None
        except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
            raise ToolError(_in_line(error.display("type-msg"))) from None
        except monty.MontyError as error:
            raise ToolError(_in_line(f"{type(error).__name__}: {error}")) from None
        said = "\n".join(part for part in (printed.output.rstrip("\n"), shown) if part)
        if len(said) > LONGEST_RESULT:
            return said[:LONGEST_RESULT] + "…"
        return said or "None"

    def _workers(self) -> Any:
        """The pool of workers, started with the first call (9 ms) and kept."""
        with self._lock:
            if self._closed:
                raise ToolError("the sandbox is closed")
            if self._pool is None:
                pool = self._monty.Monty(request_timeout=WATCHDOG_SECONDS)
                self._pool = pool.__enter__()
            return self._pool

    def close(self) -> None:
        with self._lock:
            pool, self._pool, self._closed = self._pool, None, True
        if pool is not None:
            pool.__exit__(None, None, None)


def _shown(value: object) -> str:
    """The value as Python would print it; whole floats and rounding noise as a person would write."""
    if isinstance(value, float):
        return format(value, ".12g")
    return value if isinstance(value, str) else repr(value)


def _in_line(said: str) -> str:
    return " ".join(said.split())[:SAID_AT_MOST]
