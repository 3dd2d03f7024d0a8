"""A file as pages of Markdown, in a child process with limits of memory, time and size.

python -m assistant.knowledge.reading FILE      (the child: a JSON list of [text, page] on stdout)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ..errors import UsageError
from ..words import Text
from .chunks import Page

PLAIN = {".txt", ".md", ".markdown", ".csv", ".tsv"}
PARSED = {".pdf", ".docx", ".pptx", ".xlsx", ".html", ".htm"}
MEMORY = 4 << 30
_LONGEST_TEXT = 20_000_000  # characters; more is an archive that unpacks without end
_KIT = Path(__file__).resolve().parents[2]


class Unreadable(UsageError):
    """A file that gives no text, with the reason."""


def read(file: Path, most_bytes: int, seconds: int) -> list[Page]:
    """The pages of a file. Raises Unreadable, or BlockedError where a library is missing."""
    if file.suffix.lower() not in PLAIN | PARSED:
        raise _unreadable(file, "this kind of file is not read", "不支持这种文件")
    if file.stat().st_size > most_bytes:
        raise _unreadable(file, f"larger than {most_bytes >> 20} MB", f"大于 {most_bytes >> 20} MB")
    pages = _parsed(file, seconds) if file.suffix.lower() in PARSED else [Page(_plain(file))]
    if not any(page.text.strip() for page in pages):
        raise _unreadable(file, "it holds no text", "里面没有文字")
    return pages


def _plain(file: Path) -> str:
    text = decoded(file.read_bytes())
    if text is None or text.count("\0") > 8:
        raise _unreadable(file, "it is not text", "不是文本")
    text = text.replace("\0", " ")
    return _rows(text, file.suffix.lower()) if file.suffix.lower() in (".csv", ".tsv") else text


def decoded(data: bytes) -> str | None:
    """The text of UTF-8, UTF-16 with its mark, or GB18030; None for what is none of them."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _rows(text: str, suffix: str) -> str:
    """A table row by row, each with the names of its columns: a row is found by itself."""
    import csv
    import io

    csv.field_size_limit(1 << 30)
    rows = list(csv.reader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ","))
    if len(rows) < 2:
        return text
    names = rows[0]
    return "\n\n".join(
        "; ".join(f"{name}: {cell}" for name, cell in zip(names, row, strict=False) if cell.strip())
        for row in rows[1:]
    )


def _parsed(file: Path, seconds: int) -> list[Page]:
    from importlib.util import find_spec

    from ..libraries import not_installed

    if find_spec("kreuzberg") is None:
        raise not_installed("kreuzberg")
    command = [sys.executable, "-m", "assistant.knowledge.reading", str(file.absolute())]
    try:
        done = subprocess.run(
            command, cwd=_KIT, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise _unreadable(file, f"not read within {seconds} s", f"{seconds} 秒内没有读完") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [
            "it crashed the reader"
        ]
        raise _unreadable(file, said[-1][:200], said[-1][:200])
    return [Page(text, number) for text, number in json.loads(done.stdout)]


def _unreadable(file: Path, en: str, zh: str) -> Unreadable:
    return Unreadable(Text(f"{file.name}: {en}.", f"{file.name}：{zh}。"))


def _child(file: str) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import kreuzberg

    config = kreuzberg.ExtractionConfig(  # type: ignore[call-arg]
        use_cache=False, disable_ocr=True, output_format="markdown",
        pages=kreuzberg.PageConfig(extract_pages=True),
    )  # fmt: skip
    try:
        found = kreuzberg.extract_file_sync(file, config=config)
    except Exception as error:  # whatever a parser of other people's files may raise
        sys.exit(" ".join(str(error).split()))
    pages: list[tuple[str, int | None]] = [
        (page["content"], page["page_number"]) for page in found.pages or ()
    ]
    pages = pages or [(found.content, None)]
    if sum(len(text) for text, _ in pages) > _LONGEST_TEXT:
        sys.exit("it unpacks to too much text")
    sys.stdout.buffer.write(json.dumps(pages).encode())


if __name__ == "__main__":
    _child(sys.argv[1])
