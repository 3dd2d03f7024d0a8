"""What was shared earlier: is it still there, and still the same."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from assistant.artifacts import sha256_of
from assistant.errors import AssistantError, DamagedError, UsageError
from assistant.models import fetch
from assistant.models.cache import HOME_VARIABLE
from assistant.progress import Progress, Report, unreported
from assistant.run import Run
from assistant.words import Text

from ..hubs import open_hub
from ..hubs.base import state_of
from ..target import What, parse_target
from ..tokens import VARIABLES, Secret, find_token, refuse_one_file_for_several
from .record import Shared, ShareRecord, read_record
from .verify import Mismatch, compare

State = Literal["same", "changed", "gone", "unknown", "not asked"]


def verify_shared(
    run: Run,
    targets: Sequence[str],
    token_file: Path | None,
    *,
    download: bool = False,
    report: Report = unreported,
) -> list[tuple[Shared, list[Mismatch]]]:
    """Compare every recorded file with the newest state of its repository, by the hub's hashes.

    `download` also fetches the model as anyone would, and hashes what arrives. Raises UsageError
    where nothing was shared, BlockedError where the hub cannot be asked or does not give a file: then
    nothing is known of that one.
    """
    found = []
    chosen = _chosen(run, read_record(run), targets)
    refuse_one_file_for_several((parse_target(one.target).service for one in chosen), token_file)
    for one in chosen:
        report(Progress(Text(f"Verifying {one.target}", f"核对 {one.target}")))
        target = parse_target(one.target, _what(one))
        token = find_token(target.service, token_file)
        hub = open_hub(target, token, one.repository)
        mismatches = compare(one.files, state_of(hub, target)[1] or {})
        if download and not mismatches and one.what == "model":
            mismatches = _delivered(one, token, report)
        found.append((one, mismatches))
    return found


def _chosen(run: Run, record: ShareRecord, targets: Sequence[str]) -> list[Shared]:
    wanted = [str(parse_target(one)) for one in targets]
    unknown = [name for name in wanted if record.find(name) is None]
    if unknown or not record.shared:
        name = unknown[0] if unknown else str(run)
        raise UsageError(
            Text(f"{name}: nothing was shared from this run.", f"{name}：这次训练没有分享过。"),
            Text("Share it: python -m deploy model", "请先分享：python -m deploy model"),
        )
    return [one for one in record.shared if not wanted or one.target in wanted]


def _delivered(one: Shared, token: Secret | None, report: Report) -> list[Mismatch]:
    """Fetch the repository as a stranger's kit would, and hash what arrived. Clients throw away what
    differs from the hub's hashes, and say so. Raises BlockedError for what the hub does not give."""
    by_commit = one.commit and not one.target.startswith("modelscope:")  # it names no commits
    revision = f"@{one.commit}" if by_commit else ""
    files = [f"{one.target}/{path}{revision}" for path in one.files if path.endswith(".gguf")]
    references = files if one.kind == "gguf" else [f"{one.target}{revision}", *files]
    with (
        tempfile.TemporaryDirectory() as home,
        _environment(home, VARIABLES[parse_target(one.target).service][0], token),
    ):
        found: dict[str, Mismatch] = {}
        for reference in references:
            try:
                there = fetch(reference, base_folder=Path(home), report=report).path
            except DamagedError as error:
                return [Mismatch(one.target, "damaged", f"({error.message.en})")]
            folder = there if there.is_dir() else there.parent
            for path, file in one.files.items():
                place = folder / path
                if place.is_file() and (digest := sha256_of(place)) != file.sha256:
                    shown = f"(sha256 {digest[:12]} ≠ {file.sha256[:12]})"
                    found[path] = Mismatch(path, "damaged", shown)
        return list(found.values())


@contextmanager
def _environment(home: str, variable: str, token: Secret | None) -> Iterator[None]:
    """A cache of its own, and the token in the variable where the downloading client looks."""
    changed = {HOME_VARIABLE: home} | ({variable: token.reveal()} if token else {})
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def status_of_shared(
    run: Run, token_file: Path | None, *, offline: bool = False
) -> list[tuple[Shared, State, Text]]:
    """Every recorded share with its present state; a hub that cannot be asked is "unknown"."""
    shared = read_record(run).shared
    refuse_one_file_for_several((parse_target(one.target).service for one in shared), token_file)
    return [(one, *_state(one, token_file, offline)) for one in shared]


def _state(one: Shared, token_file: Path | None, offline: bool) -> tuple[State, Text]:
    if offline:
        return "not asked", Text(
            f"{one.visibility} when it was shared", f"分享时为 {one.visibility}"
        )
    target = parse_target(one.target, _what(one))
    try:
        hub = open_hub(target, find_token(target.service, token_file), one.repository)
        repository, listing = state_of(hub, target)
    except AssistantError as error:
        return "unknown", Text(error.message.en, error.message.zh)
    if repository is None:
        return "gone", Text(
            "no longer there, or not to be seen with this token", "已不存在，或这个令牌看不到"
        )
    mismatches = compare(one.files, listing or {})
    if mismatches:
        return "changed", Text(f"{repository.visibility}; {len(mismatches)} files changed since",
                               f"{repository.visibility}；之后有 {len(mismatches)} 个文件被改动")  # fmt: skip
    return "same", Text(f"{repository.visibility}; all {len(one.files)} files as sent",
                        f"{repository.visibility}；{len(one.files)} 个文件与发送的一致")  # fmt: skip


def _what(one: Shared) -> What:
    return next(what for what in get_args(What) if what == one.what)
