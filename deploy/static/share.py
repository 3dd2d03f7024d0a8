"""A static page on a hub: the same plan, sending and verifying as for any app."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assistant.artifacts import content_sha256, read_manifest
from assistant.config import Config
from assistant.errors import UsageError
from assistant.languages.kept import auto_languages
from assistant.models import fetch
from assistant.persona import read_persona
from assistant.progress import Report, unreported
from assistant.run import MERGED, Run
from assistant.words import Text

from ..apps.bundle import STUDIO_FILE
from ..apps.profiles import Profile
from ..apps.share_app import ReadyApp, about, repository_settings
from ..hubs import open_hub
from ..sharing.blockers import findings_in, not_to_be_published, personal_data
from ..sharing.front_matter import as_front_matter
from ..sharing.share import Ready, plan_files
from ..stage import hashed, staging
from ..target import Target
from ..tokens import Secret
from .site import Site, write_site

# For pages that no worker of ours serves (a first visit, a frame): threads need both headers.
_HEADERS = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}


def site_of(config: Config, run: Run, named: str | None, report: Report = unreported) -> Site:
    """The page of the named GGUF, else of what `deploy export` made of the run, its smallest file.

    Raises UsageError where there is none, it is of other weights than the run's now, or the named
    model is no GGUF.
    """
    if named:
        model = fetch(named, base_folder=Path.cwd(), report=report)
        if model.format != "gguf":
            raise UsageError(
                Text(f"{named} is no GGUF file, which a browser needs.", f"{named} 不是 GGUF 文件，浏览器需要 GGUF。"),
                Text("Export the run: python -m deploy export", "请导出训练结果：python -m deploy export"),
            )  # fmt: skip
        persona = read_persona(model.path.parent) or auto_languages(config, model, None, report)
        return Site(persona, config.serve.sampling, model.path, model.path.stem)
    file = _exported(run)
    persona = read_persona(file.parent) or auto_languages(
        config, fetch(config.model.base, base_folder=config.folder), None, report
    )
    return Site(persona, config.serve.sampling, file, file.stem)


def _exported(run: Run) -> Path:
    files = sorted(run.gguf.glob("*.gguf"), key=lambda file: file.stat().st_size)
    if not files:
        raise UsageError(
            Text(f"There is no GGUF of the run {run.name}, which a browser needs.",
                 f"运行 {run.name} 还没有 GGUF，浏览器需要它。"),
            Text(f"Make it: python -m deploy export {run.name} - or name one: --model FILE.gguf",
                 f"请先导出：python -m deploy export {run.name}；或指定：--model 文件.gguf"),
        )  # fmt: skip
    inputs = read_manifest(run.gguf).inputs
    if any(
        inputs.get(f"{MERGED}/{file.name}") != content_sha256(file)
        for file in run.merged.glob("*.safetensors")
    ):
        raise UsageError(
            Text(f"{run.gguf} is of an earlier training of {run.name}.", f"{run.gguf} 是 {run.name} 之前一次训练的结果。"),
            Text(f"Export again: python -m deploy export {run.name} --force",
                 f"请重新导出：python -m deploy export {run.name} --force"),
        )  # fmt: skip
    return files[0]


@contextmanager
def planned_site(
    site: Site, run: Run, target: Target, profile: Profile, token: Secret | None, *,
    private: bool, licence: str, report: Report = unreported,
) -> Iterator[ReadyApp]:  # fmt: skip
    """Make the page and say what sending it would do; only reads the hub."""
    with staging(run, target.slug) as work:
        folder = work / "files"
        write_site(site, folder, report, host_files(site, profile, licence))
        files = hashed(folder, report)
        findings = findings_in(files)
        hub = open_hub(target, token, "")
        plan = plan_files(
            target, hub, files, private=private, kind=profile.name, check="-",
            warnings=[*about(profile), *personal_data(findings)],
            blockers=not_to_be_published(findings),
        )  # fmt: skip
        ready = Ready(
            plan, target, hub, run, folder, files, private, licence, "",
            repository_settings(profile), None,
        )  # fmt: skip
        yield ReadyApp(ready, profile, "")


def host_files(site: Site, profile: Profile, licence: str) -> list[tuple[str, str]]:
    """README.md with the head that the host reads, and ModelScope's settings: name and text."""
    persona = site.persona
    if profile.hub == "hf":
        head = {
            "title": persona.name, "emoji": "💬", "colorFrom": "blue", "colorTo": "green",
            "sdk": "static", "app_file": "index.html", "custom_headers": _HEADERS,
        }  # fmt: skip
    else:
        head = {
            "domain": ["nlp"], "tags": ["chat"], "deployspec": {"entry_file": "index.html"},
        }  # fmt: skip
    if licence:
        head["license"] = licence
    said = Text(
        f"**{persona.name}**, made by {persona.author}, runs in the visitor's own browser "
        "([wllama](https://github.com/ngxson/wllama), MIT): nothing that is written there leaves it.",
        f"**{persona.name}**，由 {persona.author} 制作，在访问者自己的浏览器里运行"
        "（[wllama](https://github.com/ngxson/wllama)，MIT）：写的内容不会离开浏览器。",
    )
    readme = f"{as_front_matter(head)}\n\n# {persona.name}\n\n{said.zh}\n\n{said.en}\n"
    files = [("README.md", readme)]
    if profile.hub == "modelscope":
        files.append((STUDIO_FILE, json.dumps({"sdk_type": "static"}, indent=2) + "\n"))
    return files
