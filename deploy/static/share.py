"""A static page on a hub: the same plan, sending and verifying as for any app."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assistant.config import Config
from assistant.errors import UsageError
from assistant.languages.kept import auto_languages
from assistant.models import fetch
from assistant.persona import read_persona
from assistant.progress import Report, unreported
from assistant.run import Run
from assistant.words import Text

from ..apps.bundle import STUDIO_FILE
from ..apps.profiles import Profile
from ..apps.share_app import ReadyApp, about, repository_settings
from ..hubs import open_hub
from ..sharing.blockers import findings_in, gate, not_to_be_published, personal_data
from ..sharing.exports import read_export
from ..sharing.front_matter import as_front_matter
from ..sharing.plan import Blocker
from ..sharing.share import Ready, plan_files
from ..sharing.source import read_source
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


@dataclass(frozen=True)
class ChosenModel:
    """The page to make, whose licence it has ("" for unknown), and what stands against sharing it."""

    site: Site
    licence: str
    blockers: tuple[Blocker, ...] = ()


def choose_model(
    config: Config, run: Run, named: str | None, anyway: bool, report: Report = unreported
) -> ChosenModel:
    """The named GGUF, else of what `deploy export` made of the run the smallest file.

    The run's check and the export's proof stand against it as they do in `deploy model`, unless
    `anyway`. Raises UsageError where there is no export, it is of other weights than the run's now, or
    the named model is no GGUF.
    """
    sampling, licence = config.serve.sampling, config.tables["share"].licence
    if named:
        model = fetch(named, base_folder=Path.cwd(), report=report)
        if model.format != "gguf":
            raise UsageError(
                Text(f"{named} is no GGUF file, which a browser needs.", f"{named} 不是 GGUF 文件，浏览器需要 GGUF。"),
                Text("Export the run: python -m deploy export", "请导出训练结果：python -m deploy export"),
            )  # fmt: skip
        persona = read_persona(model.path.parent) or auto_languages(config, model, None, report)
        return ChosenModel(Site(persona, sampling, model.path, model.path.stem), licence)
    source = read_source(config, run, "merged")
    exported = read_export(source, sampling)
    files = [file for name, file in exported.files.items() if name.endswith(".gguf")]
    file = min(files, key=lambda one: one.stat().st_size)
    return ChosenModel(
        Site(source.persona, sampling, file, file.stem),
        source.base.licence,
        (*gate(source, anyway), *exported.blockers(anyway)),
    )


@contextmanager
def planned_site(
    chosen: ChosenModel, run: Run, target: Target, profile: Profile, token: Secret | None, *,
    private: bool, report: Report = unreported,
) -> Iterator[ReadyApp]:  # fmt: skip
    """Make the page and say what sending it would do; only reads the hub."""
    with staging(run, target.slug) as work:
        folder = work / "files"
        write_site(chosen.site, folder, report, host_files(chosen, profile))
        files = hashed(folder, report)
        findings = findings_in(files)
        hub = open_hub(target, token, "")
        plan = plan_files(
            target, hub, files, private=private, kind=profile.name, check="-",
            warnings=[*about(profile), *personal_data(findings)],
            blockers=[*chosen.blockers, *not_to_be_published(findings)],
        )  # fmt: skip
        ready = Ready(
            plan, target, hub, run, folder, files, private, chosen.licence, "",
            repository_settings(profile), None,
        )  # fmt: skip
        yield ReadyApp(ready, profile, "")


def host_files(chosen: ChosenModel, profile: Profile) -> list[tuple[str, str]]:
    """README.md with the head that the host reads, and ModelScope's settings: name and text."""
    persona = chosen.site.persona
    if profile.hub == "hf":
        head = {
            "title": persona.name, "emoji": "💬", "colorFrom": "blue", "colorTo": "green",
            "sdk": "static", "app_file": "index.html", "custom_headers": _HEADERS,
        }  # fmt: skip
    else:
        head = {
            "domain": ["nlp"], "tags": ["chat"], "deployspec": {"entry_file": "index.html"},
        }  # fmt: skip
    if chosen.licence:
        head["license"] = chosen.licence
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
