"""`python -m assistant knowledge …`: what its commands do."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from ..cli import Context, TerminalProgress
from ..errors import FailedError, UsageError
from ..outside import legible
from ..progress import Progress
from ..words import Text, terminal_language
from .base import Base
from .embedder import E5, Embedder
from .reading import PARSED, PLAIN, Unreadable
from .search import answer, search
from .settings import KnowledgeTable

_NOTHING = Text("The documents hold no answer to this.", "文档里没有这个问题的答案。")


def add(context: Context, name: str, paths: tuple[Path, ...]) -> None:
    """Read files, and folders with all below them; what cannot be read is told, the rest goes on."""
    base, _ = _open(context, name)
    files = list(_files(paths))
    added: list[str] = []
    unchanged: list[str] = []
    failed: list[dict[str, str]] = []
    started = time.monotonic()
    with base.writing(), TerminalProgress(context.quiet) as report:
        embedder = _embedder(report)
        for number, (file, known_as) in enumerate(files):
            report(Progress(Text("Reading documents", "读取文档"), number, len(files)))
            try:
                document, changed = base.add(file, known_as, embedder)
                (added if changed else unchanged).append(document.file)
            except (Unreadable, OSError) as error:
                why = (
                    error.message if isinstance(error, Unreadable) else Text(str(error), str(error))
                )
                failed.append({"file": known_as, "reason": legible(why.en)})
                context.say(Text(f"Not read: {why.en}", f"没有读取：{why.zh}"))
    seconds = round(time.monotonic() - started, 1)
    context.result(
        {"added": added, "unchanged": unchanged, "failed": failed, "seconds": seconds},
        Text(f"{len(added)} added, {len(unchanged)} unchanged, {len(failed)} not read ({seconds} s).",
             f"新增 {len(added)}，未变 {len(unchanged)}，未读 {len(failed)}（{seconds} 秒）。"),
    )  # fmt: skip
    if failed and not added and not unchanged:
        raise FailedError(Text("None of these could be read.", "这些文件都没能读取。"))


def show(context: Context, name: str) -> None:
    base, _ = _open(context, name)
    documents = base.documents()
    lines = [f"{one.file}  {one.pages} p.  {one.chunks} chunks" for one in documents]
    context.result({"documents": [one.model_dump() for one in documents]}, "\n".join(lines))


def remove(context: Context, name: str, documents: tuple[str, ...]) -> None:
    base, _ = _open(context, name)
    with base.writing():
        for document in documents:
            base.remove(document)
    context.result({"removed": list(documents)}, "\n".join(documents))


def find(context: Context, name: str, text: str, most: int) -> None:
    base, _ = _filled(context, name)
    with TerminalProgress(context.quiet) as report:
        hits = search(base, _embedder(report), _question(text), most)
    lines = [
        f"{hit.score:.2f}  {_where(hit.file, hit.chunk.page, hit.chunk.heading)}\n{hit.chunk.text}\n"
        for hit in hits
    ]
    context.result({"hits": [hit.as_dict() for hit in hits]}, "\n".join(lines), quotes=True)


def ask(context: Context, name: str, text: str) -> None:
    base, settings = _filled(context, name)
    with TerminalProgress(context.quiet) as report:
        found = answer(base, _embedder(report), _question(text), settings.min_score)
    nothing = _NOTHING.in_language(terminal_language())
    value = found.as_dict(nothing)
    sources = [
        f"[{number}] {_where(hit.file, hit.chunk.page, hit.chunk.heading)}"
        for number, (_, hit) in enumerate(found.quotes, 1)
    ]
    context.result(value, "\n".join([value["answer"], *sources]), quotes=True)


def _where(file: str, page: int | None, heading: str) -> str:
    return ", ".join(filter(None, (file, f"p. {page}" if page else "", heading)))


def _question(text: str) -> str:
    if not text.strip():
        raise UsageError(Text("The question is empty.", "问题是空的。"))
    return text[:2000]


def _embedder(report: TerminalProgress) -> Embedder:
    return E5(report)


def _open(context: Context, name: str) -> tuple[Base, KnowledgeTable]:
    if not re.fullmatch(r"[\w-][\w.-]{0,99}", name):
        raise UsageError(
            Text(f"{name!r} is not the name of a knowledge base.", f"{name!r} 不是知识库的名称。"),
            Text("Use letters, digits, - and _.", "请用字母、数字、- 和 _。"),
        )
    config = context.read_config({"knowledge": KnowledgeTable})
    settings: KnowledgeTable = config.tables["knowledge"]
    return Base(config.folder / settings.folder / name, settings), settings


def _filled(context: Context, name: str) -> tuple[Base, KnowledgeTable]:
    base, settings = _open(context, name)
    if not base.documents():
        raise UsageError(
            Text(f"The knowledge base {name} holds no documents.", f"知识库 {name} 里没有文档。"),
            Text("Add some: python -m assistant knowledge add PATH",
                 "请先添加：python -m assistant knowledge add PATH"),
        )  # fmt: skip
    return base, settings


def _files(paths: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    """Each file with the name it is known by: below a folder its path from there."""
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(one for one in folders if not one.startswith("."))
                for name in sorted(names):
                    file = Path(folder) / name
                    fit = file.suffix.lower() in PLAIN | PARSED and not name.startswith((".", "~$"))
                    if fit and file.is_file():
                        yield file, legible(file.relative_to(path).as_posix())
        elif path.is_file():
            yield path, legible(path.name)
        else:
            raise UsageError(
                Text(f"There is no file or folder {path}.", f"没有文件或文件夹 {path}。")
            )
