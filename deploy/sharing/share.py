"""Plan, confirm, send, verify: plain calls that a command line or a page can use.

with planned_model(config, run, target, ...) as ready:
    show(ready.plan)              # nothing was written anywhere outside the run's share/ folder
    shared = send(ready, report)  # raises before anything is sent if the plan has blockers
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from assistant.artifacts import now
from assistant.config import Config
from assistant.errors import AssistantError, BlockedError
from assistant.progress import Progress, Report, unreported
from assistant.run import MERGED, Kind, Run
from assistant.words import Text

from ..hubs import open_hub
from ..hubs.base import Hub, Listing, Repository, state_of
from ..stage import StagedFile, hashed, stage_run, staging
from ..target import Target
from ..tokens import Secret
from .blockers import (
    base_without_name,
    findings_in,
    gate,
    not_to_be_published,
    not_yours,
    other_visibility,
    stays_private,
    stays_there,
    too_large,
    warnings_of,
)
from .card import model_card
from .exports import WeightsFormat, read_export
from .kinds import Chosen, choose
from .plan import Blocker, PlannedFile, PlanText, SharePlan, Visibility
from .record import Shared, note_shared
from .source import read_source
from .verify import as_shared, compare, refuse_mismatches, same

CARD_FILE = "README.md"


@dataclass(frozen=True)
class Ready:
    """A plan, and the staged files that it speaks of. Good only inside `planned_model`.

    `settings` are what the hub is told beside when it makes the repository. `secret` (variable,
    token) goes into the host's own store, once the repository is there and as private as asked.
    """

    plan: SharePlan
    target: Target
    hub: Hub
    run: Run
    folder: Path
    files: tuple[StagedFile, ...]
    private: bool
    licence: str
    repository: str = ""  # see `deploy.hubs.open_hub`
    settings: Mapping[str, str] = field(default_factory=dict)
    secret: tuple[str, Secret] | None = None


@contextmanager
def planned_model(
    config: Config,
    run: Run,
    target: Target,
    token: Secret | None,
    *,
    kind: Kind | None = None,
    private: bool = True,
    anyway: bool = False,
    with_openvino: bool = True,
    formats: Sequence[WeightsFormat] = ("safetensors",),
    report: Report = unreported,
) -> Iterator[Ready]:
    """Stage a run's model for `target` and say what sending it would do; only reads the hub.

    `formats` says whether the merged model goes up as it is, as the GGUF files of `deploy export`, or
    both beside each other.

    What stands against it is in `plan.blockers`, not raised; `anyway` takes the check's verdict
    from them. Raises UsageError where there is nothing to share.
    """
    source = read_source(config, run, MERGED if "gguf" in formats else kind)
    exported = read_export(source, config.serve.sampling) if "gguf" in formats else None
    chosen = choose(source.folder, source.kind, with_openvino=with_openvino)
    if "safetensors" not in formats:
        chosen = Chosen((), ())
    shown = source.kind if chosen.taken else "gguf"  # an app asks for one that LMDeploy can read
    with staging(run, f"{shown}--{target.slug}") as work:
        folder = work / "files"
        more = exported.files if exported else {}
        stage_run(source.folder, chosen.taken, folder, source.base.public, more)
        for name, text in (exported.texts if exported else {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        card = model_card(source, target, sorted({*chosen.taken, *more}))
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
        files = hashed(folder, report)
        findings = findings_in(files)
        hub = open_hub(target, token)
        blockers = [
            *gate(source, anyway),
            *(exported.blockers(anyway) if exported else []),
            *base_without_name(source),
            *not_to_be_published(findings),
            *too_large(files, hub),
        ]
        plan = plan_files(
            target, hub, files, private=private, kind=shown, check=source.gate,
            warnings=warnings_of(source, findings), blockers=blockers, left_here=chosen.left,
        )  # fmt: skip
        yield Ready(plan, target, hub, run, folder, files, private, source.base.licence)


def plan_files(
    target: Target,
    hub: Hub,
    files: Sequence[StagedFile],
    *,
    private: bool,
    kind: str,
    check: str,
    warnings: Sequence[Text] = (),
    blockers: Sequence[Blocker] = (),
    left_here: Sequence[str] = (),
) -> SharePlan:
    """The plan for staged files; where the hub cannot be asked, its local half and why."""
    found = list(blockers)
    warned = list(warnings)
    account, repository, listing, asked = None, None, None, False
    try:
        who = hub.account()
        account = who.name
        found += not_yours(target, who)
        repository, listing = state_of(hub, target)
        asked = True
    except AssistantError as error:
        found.append(Blocker.of("hub", error))
    if asked and repository is None and (step := hub.by_hand(target, private)):
        found.append(Blocker.of("by_hand", step))
    if repository is not None:
        found += other_visibility(target, repository, private)
        warned += stays_private(target, repository, private)
    visibility: Visibility = "unknown"
    if asked:
        visibility = repository.visibility if repository else "private" if private else "public"
    there = listing or {}
    mine = {file.path for file in files}
    left_there = tuple(
        sorted(path for path in there if path not in mine and path != ".gitattributes")
    )
    if left_there:
        warned.append(stays_there(left_there))
    return SharePlan(
        target=str(target), hub=target.hub, what=target.what, kind=kind, url=hub.url(target),
        account=account, exists=repository is not None if asked else None,
        visibility=visibility, head=repository.head if repository else "",
        files=tuple(_planned(file, there) for file in files),
        left_there=left_there, left_here=tuple(left_here), check=check,
        warnings=tuple(PlanText.of(text) for text in warned), blockers=tuple(found),
    )  # fmt: skip


def send(ready: Ready, report: Report = unreported) -> Shared:
    """Do what the plan says, verify it by the hub's own hashes, and note it in deploy.json.

    Raises the plan's blockers, what the hub refuses (BlockedError), or FailedError where the hub
    does not have what was sent.
    """
    plan, hub, target = ready.plan, ready.hub, ready.target
    plan.refuse_blocked()
    repository = _repository(ready, report)
    if ready.secret is not None:
        hub.add_secret(target, *ready.secret)  # type: ignore[attr-defined]
    wanted = {file.path for file in plan.to_send}
    files = [file for file in ready.files if file.path in wanted]
    commit = repository.head
    if files:
        commit = hub.send(
            target, files, folder=ready.folder, head=repository.head,
            message=_message(plan), report=report,
        )  # fmt: skip
    report(Progress(Text(f"Verifying {target}", f"核对 {target}")))
    listing = hub.listing(target, commit)
    shared = {file.path: as_shared(file, listing.get(file.path)) for file in ready.files}
    refuse_mismatches(str(target), compare(shared, listing))
    result = Shared(
        repository=ready.repository,
        target=str(target), what=target.what, kind=plan.kind, url=plan.url, commit=commit,
        visibility=repository.visibility, check=plan.check, shared=now(), files=shared,
    )  # fmt: skip
    note_shared(ready.run, result)
    return result


def _repository(ready: Ready, report: Report) -> Repository:
    """The repository to write to, as it is now; made if it is not there. It must still be what
    the plan showed, and as private as was asked."""
    hub, target = ready.hub, ready.target
    if not ready.plan.exists:
        report(Progress(Text(f"Creating {target}", f"创建 {target}")))
        hub.create(target, private=ready.private, licence=ready.licence, **ready.settings)
    repository = hub.repository(target)
    if repository is None:
        raise BlockedError(
            Text(f"{target} was created, but the hub does not show it.", f"已创建 {target}，但平台没有显示它。"),
            Text("Wait a minute and run it again.", "请等一分钟再运行。"),
        )  # fmt: skip
    for blocker in other_visibility(target, repository, ready.private):
        raise blocker.error()
    if ready.plan.exists and repository.head != ready.plan.head:
        raise BlockedError(
            Text(f"{target} was changed after the plan was made. Nothing was sent.",
                 f"计划之后 {target} 被改动了。没有发送任何内容。"),
            Text("Run it again and read the new plan.", "请再运行一次，看新的计划。"),
        )  # fmt: skip
    return repository


def _planned(file: StagedFile, there: Listing) -> PlannedFile:
    known = there.get(file.path)
    status = "create" if known is None else "unchanged" if same(file, known) else "update"
    return PlannedFile(path=file.path, size=file.size, sha256=file.sha256, status=status)


def _message(plan: SharePlan) -> str:
    return f"Share {plan.what} ({plan.kind}): {len(plan.to_send)} files"
