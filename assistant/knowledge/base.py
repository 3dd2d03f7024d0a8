"""A knowledge base on disk: each document a folder of its own, whole or absent.

    <folder>/<base>/documents/<key>/about.json, original, chunks.jsonl, vectors.npy

There is no index beside them that could be lost or outlive a document: what is searched is read from
these folders, and vectors of another embedder are made anew from chunks.jsonl.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..artifacts import now, sha256_of, whole_folder, write_json
from ..errors import BlockedError, UsageError
from ..words import Text
from .chunks import Chunk, chunks
from .embedder import Embedder
from .reading import read
from .settings import KnowledgeTable

ORIGINAL, ABOUT, CHUNKS, VECTORS = "original", "about.json", "chunks.jsonl", "vectors.npy"


class Document(BaseModel):
    """What is known of one document; `embedder` made its vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    bytes: int
    pages: int
    chunks: int
    embedder: str
    chunk_chars: int
    added: str


class Base:
    """One knowledge base. Reading needs no lock: a document's folder is replaced by a rename."""

    def __init__(self, folder: Path, settings: KnowledgeTable):
        self.folder, self._settings = folder, settings
        self._documents = folder / "documents"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the base alone, and clear what a killed process left. Raises BlockedError."""
        from filelock import FileLock, Timeout

        self._documents.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BlockedError(
                Text(f"Another process is changing {self.folder}.", f"另一个进程正在修改 {self.folder}。"),
                Text("Try again when it has ended.", "等它结束后再试。"),
            ) from None  # fmt: skip
        try:
            for place in self._documents.iterdir():
                if not (place / ABOUT).is_file() or "." in place.name:
                    shutil.rmtree(place)
            yield
        finally:
            lock.release()

    def documents(self) -> list[Document]:
        """The documents, by name."""
        found = [document for _, document in self._each()]
        return sorted(found, key=lambda document: document.file)

    def add(self, file: Path, name: str, embedder: Embedder) -> tuple[Document, bool]:
        """Take a file in under `name`, in the place of the one of that name; whether it was changed.

        Raises Unreadable."""
        place = self._place(name)
        sha256, longest = sha256_of(file), self._settings.chunk_chars
        known = _about(place)
        wanted = (sha256, embedder.identity, longest)
        if known and (known.sha256, known.embedder, known.chunk_chars) == wanted:
            return known, False
        pages = read(file, self._settings.max_file_mb << 20, self._settings.seconds_per_file)
        pieces = list(chunks(pages, longest))
        vectors = embedder.embed([searched_text(piece) for piece in pieces], "passage")
        document = Document(
            file=name, sha256=sha256, bytes=file.stat().st_size, pages=len(pages), chunks=len(pieces),
            embedder=embedder.identity, chunk_chars=longest, added=now(),
        )  # fmt: skip
        with whole_folder(place, force=True) as partial:
            shutil.copyfile(file, partial / ORIGINAL)
            _write(partial, document, pieces, vectors)
        return document, True

    def remove(self, name: str) -> None:
        """Take a document out, with its text. Raises UsageError for one that is not there."""
        place = self._place(name)
        if not place.is_dir():
            raise UsageError(
                Text(f"There is no document {name!r}.", f"没有文档 {name!r}。"),
                Text("See which there are: python -m assistant knowledge list",
                     "查看已有的文档：python -m assistant knowledge list"),
            )  # fmt: skip
        gone = place.with_name(place.name + ".removed")
        place.rename(gone)  # at once; what a kill leaves of it is cleared by the next change
        shutil.rmtree(gone)

    def passages(self, embedder: Embedder) -> tuple[list[tuple[str, Chunk]], Any]:
        """Every chunk with its file, and their vectors [n, d], made anew where another embedder's lie."""
        import numpy as np

        found: list[tuple[str, Chunk]] = []
        rows = []
        stale = any(document.embedder != embedder.identity for _, document in self._each())
        if stale:
            with self.writing():
                self._embed_again(embedder)
        for place, document in self._each():
            found += [(document.file, chunk) for chunk in _chunks(place)]
            rows.append(np.load(place / VECTORS, allow_pickle=False))
        return found, np.concatenate(rows) if rows else np.zeros((0, 1), np.float32)

    def _embed_again(self, embedder: Embedder) -> None:
        for place, document in self._each():
            if document.embedder == embedder.identity:
                continue
            pieces = _chunks(place)
            vectors = embedder.embed([searched_text(piece) for piece in pieces], "passage")
            with whole_folder(place, force=True) as partial:
                shutil.copyfile(place / ORIGINAL, partial / ORIGINAL)
                renewed = document.model_copy(update={"embedder": embedder.identity})
                _write(partial, renewed, pieces, vectors)

    def _each(self) -> list[tuple[Path, Document]]:
        places = sorted(self._documents.iterdir()) if self._documents.is_dir() else []
        known = ((place, _about(place)) for place in places if "." not in place.name)
        return [(place, document) for place, document in known if document]

    def _place(self, name: str) -> Path:
        key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return self._documents / key


def searched_text(chunk: Chunk) -> str:
    """What is embedded: the passage with the headings above it."""
    return f"{chunk.heading}\n{chunk.text}" if chunk.heading else chunk.text


def _about(place: Path) -> Document | None:
    try:
        return Document.model_validate_json((place / ABOUT).read_bytes())
    except (OSError, ValidationError):
        return None


def _chunks(place: Path) -> list[Chunk]:
    lines = (place / CHUNKS).read_text("utf-8").split("\n")
    return [Chunk(**json.loads(line)) for line in lines if line]


def _write(partial: Path, document: Document, pieces: list[Chunk], vectors: Any) -> None:
    import numpy as np

    lines = "".join(json.dumps(piece.as_dict()) + "\n" for piece in pieces)
    (partial / CHUNKS).write_text(lines, "utf-8")
    np.save(partial / VECTORS, vectors.astype(np.float32), allow_pickle=False)
    write_json(document.model_dump(), partial / ABOUT)
