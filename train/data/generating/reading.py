"""A person's documents: which are found, what text they have, and what of them was not read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from assistant.errors import UsageError
from assistant.outside import in_line, legible
from assistant.words import Text

from ..lines import refuse_streams

ENDINGS = (".txt", ".md", ".markdown", ".docx", ".pdf")
LOCK_MARK = "~$"  # before the name of a file that Word has open
SHOWN = 5  # unread files that a message names
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"


class UnreadableError(UsageError):
    """A document that cannot be read, and why."""

    def __init__(self, file: Path, why: Text):
        super().__init__(
            Text(
                f"{in_line(file)} cannot be read: {why.en}", f"无法读取 {in_line(file)}：{why.zh}"
            ),
            Text("Save it anew, or leave it out.", "请重新保存这个文件，或不要用它。"),
        )
        self.why = why


class Document(NamedTuple):
    """A file that was read; `name` tells it from the others."""

    path: Path
    name: str
    text: str


@dataclass
class ReadingAccount:
    """What became of every file that was found."""

    used: list[Path] = field(default_factory=list)
    without_text: list[Path] = field(default_factory=list)  # as scanned pages are
    unreadable: dict[Path, Text] = field(default_factory=dict)  # with the reason
    other_kinds: Counter[str] = field(default_factory=Counter)  # ending -> files
    pages_without_text: dict[Path, int] = field(default_factory=dict)
    short_passages: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "used": [str(path) for path in self.used],
            "without_text": [str(path) for path in self.without_text],
            "unreadable": {str(path): why.en for path, why in self.unreadable.items()},
            "other_kinds": dict(sorted(self.other_kinds.items())),
            "pages_without_text": {str(path): n for path, n in self.pages_without_text.items()},
            "short_passages": self.short_passages,
        }

    def notes(self) -> list[Text]:
        """What a person should know of what was not used, a line each."""
        found = [
            Text(f"Left out, it cannot be read: {in_line(path)}: {why.en}", f"无法读取，已略过：{in_line(path)}：{why.zh}")
            for path, why in self.unreadable.items()
        ]  # fmt: skip
        left = _left_out(self.without_text, self.other_kinds)
        if left:
            found.append(Text(f"Not used: {left.en}.", f"未使用：{left.zh}。"))
        for path, pages in self.pages_without_text.items():
            found.append(
                Text(f"{in_line(path)}: {pages} pages without text (pictures of pages are not read).",
                     f"{in_line(path)}：{pages} 页没有文字（图片页不会识别）。")
            )  # fmt: skip
        if self.short_passages:
            found.append(
                Text(f"Not used: {self.short_passages} pieces too short to ask about.",
                     f"未使用：{self.short_passages} 个过短、无从提问的片段。")
            )  # fmt: skip
        return found


def _left_out(without_text: Sequence[Path], others: Counter[str]) -> Text | None:
    parts = []
    if count := len(without_text):
        names = _names([path.name for path in without_text])
        files = "file" if count == 1 else "files"
        parts.append(
            Text(f"{count} {files} without text ({names})", f"{count} 个没有文字的文件（{names}）")
        )
    if count := others.total():
        kinds = [
            _names([ending or nothing for ending, _ in others.most_common()])
            for nothing in ("no ending", "无后缀")
        ]
        parts.append(
            Text(f"{count} of other kinds ({kinds[0]})", f"{count} 个其他类型的文件（{kinds[1]}）")
        )
    if not parts:
        return None
    return Text(", ".join(part.en for part in parts), "，".join(part.zh for part in parts))


def _names(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f", +{more}" if more > 0 else "")


def read_documents(places: Sequence[Path]) -> tuple[list[Document], ReadingAccount]:
    """The documents that `places` are or hold, and what became of every file.

    Raises UsageError for a place that is not there or of another kind, ImportError where a library
    is missing.
    """
    account = ReadingAccount()
    found: list[Document] = []
    names: set[str] = set()
    for path, name in _files(places, account):
        try:
            text, blank = read_pages(path)
        except UnreadableError as error:
            account.unreadable[path] = error.why
            continue
        if not text.strip():
            account.without_text.append(path)
            continue
        if blank:
            account.pages_without_text[path] = blank
        name = name if name not in names else str(path)
        names.add(name)
        account.used.append(path)
        found.append(Document(path, legible(name), text))
    return found, account


def _files(places: Sequence[Path], account: ReadingAccount) -> Iterator[tuple[Path, str]]:
    """Each document once, with a name; others are counted."""
    seen: set[str] = set()
    for place in places:
        listed = _in_folder(place, account) if place.is_dir() else [_named(place)]
        for path in listed:
            if (real := os.path.realpath(path)) not in seen:
                seen.add(real)
                inside = path.relative_to(place) if path != place else Path(path.name)
                yield path, inside.as_posix()


def _named(path: Path) -> Path:
    if path.exists():
        refuse_streams([path])
    if not path.is_file():
        raise UsageError(
            Text(f"There is no document {in_line(path)}.", f"没有文档 {in_line(path)}。"), _KINDS
        )
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(
            Text(
                f"{in_line(path)} is no document that can be read.",
                f"无法读取 {in_line(path)} 这种文档。",
            ),
            _KINDS,
        )
    return path


_KINDS = Text(f"Read are: {' '.join(ENDINGS)}", f"可读取：{' '.join(ENDINGS)}")


def _in_folder(folder: Path, account: ReadingAccount) -> Iterator[Path]:
    """The documents below a folder, sorted. Hidden files and Word's lock files are no one's text."""

    def refused(error: OSError) -> None:
        account.unreadable[Path(error.filename)] = Text(str(error.strerror), str(error.strerror))

    for place, inner, names in os.walk(folder, onerror=refused):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if name.startswith((".", LOCK_MARK)):
                continue
            path = Path(place, name)
            if path.suffix.lower() in ENDINGS:
                yield path
            else:
                account.other_kinds[path.suffix.lower().lstrip(".")] += 1


def read_document(file: Path) -> str:
    """The document's text; headings as `# …` where the format tells them. Raises as `read_pages`."""
    return read_pages(file)[0]


def read_pages(file: Path) -> tuple[str, int]:
    """The document's text, and how many of its pages have none.

    Raises UnreadableError, or ImportError where the library is missing.
    """
    try:
        return _reader(file)(file)
    except (ImportError, UnreadableError):
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableError(file, Text(f"{reason}.", f"{reason}。")) from None
    except Exception as error:  # whatever the library says of a file that is none of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        why = Text(f"it is damaged, or of another kind ({reason}).",
                   f"文件已损坏，或不是这种格式（{reason}）。")  # fmt: skip
        raise UnreadableError(file, why) from None


def _reader(file: Path) -> Callable[[Path], tuple[str, int]]:
    """By what the file begins with: an ending may be wrong."""
    with file.open("rb") as source:
        head = source.read(1024)
    if b"%PDF-" in head:
        return _read_pdf
    if head.startswith(b"PK\x03\x04"):
        return _read_docx
    if head.startswith(_OLD_OFFICE):
        raise UnreadableError(
            file, Text("it is a document of Word before 2007, or encrypted; save it as .docx.",
                 "这是 Word 2007 以前的文档，或已加密；请另存为 .docx。")
        )  # fmt: skip
    if file.suffix.lower() in (".docx", ".pdf") and head:
        kind = file.suffix.lower()
        raise UnreadableError(
            file, Text(f"it is no {kind} file inside.", f"内容不是 {kind} 格式。")
        )
    return _read_text


def _read_text(file: Path) -> tuple[str, int]:
    from ..importing.encodings import detect_encoding, open_text

    with open_text(file, detect_encoding(file)) as source:
        text = source.read().replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise UnreadableError(file, Text("it is no text.", "内容不是文本。"))
    return text.lstrip("\ufeff"), 0


def _read_docx(file: Path) -> tuple[str, int]:
    from .word import text_of

    return text_of(file), 0


def _read_pdf(file: Path) -> tuple[str, int]:
    import logging

    import pypdf

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of each small fault it mends
    pages = [page.extract_text() for page in pypdf.PdfReader(file).pages]
    return "\n\n".join(pages), sum(not page.strip() for page in pages)
