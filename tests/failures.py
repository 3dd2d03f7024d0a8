"""What a failed test leaves behind, as files under `.pytest_cache/failures/<test>/`.

Whoever starts a server, a program or a browser page says inside `kept_if_it_fails` how to get at what
it knows: its log, its screenshot. It is asked only when a test fails, and its answer written to a file;
`report.txt` beside it has the failure itself and the output that pytest captured.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

FOLDER = Path(".pytest_cache", "failures")  # below the root folder
LONGEST_NAME = 120

Give: TypeAlias = Callable[[], "str | bytes"]

_asked: list[tuple[str, Give]] = []  # alive now: of this test, or of a fixture that several share
_told: list[tuple[str, bytes]] = []  # by what ended with the failure, before pytest knew of it


@contextmanager
def kept_if_it_fails(name: str, give: Give) -> Iterator[None]:
    """While this holds, a test that fails writes what `give` returns to a file of that name."""
    source = (name, give)
    _asked.append(source)
    try:
        yield
    except BaseException:
        _told.append((name, _given(give)))
        raise
    finally:
        _asked.remove(source)


def _given(give: Give) -> bytes:
    try:
        given = give()
    except Exception as error:  # a page that is gone must not hide why the test failed
        given = f"(not to be had: {error!r})"
    return given if isinstance(given, bytes) else given.encode("utf-8", "replace")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write the files of a test that failed, while its fixtures are still there."""
    report = yield
    if report.failed:
        folder = _folder_of(item, fresh=call.when != "teardown")
        for name, said in [*_told, *((name, _given(give)) for name, give in _asked)]:
            _unused(folder, name).write_bytes(said)
        _unused(folder, f"report-{call.when}.txt").write_text(_report_text(report), "utf-8")
        report.sections.append(("kept as files", str(folder)))
    _told.clear()
    return report


def _folder_of(item: pytest.Item, fresh: bool) -> Path:
    """The test's own folder; emptied of what an earlier run left if `fresh`."""
    name = re.sub(r"[^\w.\[\]-]+", "_", item.nodeid)[-LONGEST_NAME:]
    folder = item.config.rootpath / FOLDER / name
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _unused(folder: Path, name: str) -> Path:
    """A path for that name: two pages of one test are page.png and page-2.png."""
    file, number = folder / name, 1
    while file.exists():
        number += 1
        file = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
    return file


def _report_text(report: pytest.TestReport) -> str:
    parts = [
        str(report.longreprtext),
        *(f"---- {title}\n{text}" for title, text in report.sections),
    ]
    return "\n\n".join(parts) + "\n"
