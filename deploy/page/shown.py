"""Plans, progress, results and failures as HTML for the Share page."""

from __future__ import annotations

import html

from assistant.progress import Progress
from assistant.serving.text import escaped
from assistant.ui.shown import bar
from assistant.words import filled

from ..sharing.plan import MARKS, STATUS, VISIBILITIES, SharePlan, size
from . import words
from .sharer import Done

SHOWN_FILES = 16


def plan_card(plan: SharePlan, language: str) -> str:
    """The plan: target, account, visibility, check; what stands against it; every file. Files are
    folded where there are many, or where something stands against it."""
    facts = [
        (words.TO, f"{plan.target} · {plan.url}"),
        (words.ACCOUNT, plan.account or words.NO_ACCOUNT.in_language(language)),
        (words.VISIBILITY, VISIBILITIES[plan.visibility].in_language(language)),
        (words.CHECK, words.CHECKS[plan.check].in_language(language)),
    ]
    rows = "".join(
        f"<dt>{label.in_language(language)}</dt><dd>{html.escape(value)}</dd>"
        for label, value in facts
    )
    sums = filled(
        words.SENDS, sent=size(plan.bytes_to_send), total=size(plan.bytes_total),
        some=len(plan.to_send), files=len(plan.files),
    ).in_language(language)  # fmt: skip
    return (
        f'<section class="plan"><dl>{rows}</dl>{_against(plan, language)}'
        f"<p>{sums}</p>{_files(plan, language)}</section>"
    )


def _against(plan: SharePlan, language: str) -> str:
    blockers = "".join(
        failure(
            one.message.text.in_language(language),
            one.cure.text.in_language(language) if one.cure else "",
        )
        for one in plan.blockers
    )
    warnings = "".join(
        f'<p class="warning">{escaped(one.text.in_language(language))}</p>' for one in plan.warnings
    )
    return blockers + warnings


def _files(plan: SharePlan, language: str) -> str:
    rows = "".join(
        f'<tr class="{file.status}"><td>{MARKS[file.status]}</td><td>{html.escape(file.path)}</td>'
        f"<td>{size(file.size)}</td><td><code>{file.sha256[:12]}</code></td>"
        f"<td>{STATUS[file.status].in_language(language)}</td></tr>"
        for file in plan.files
    )
    opened = "" if plan.blockers or len(plan.files) > SHOWN_FILES else " open"
    return f"<details{opened}><summary>{words.FILES.in_language(language)}</summary><table>{rows}</table></details>"


def progress_card(progress: Progress | None, language: str) -> str:
    """One step under way."""
    return f'<div class="card" role="status">{bar(progress, language)}</div>'


def done_card(done: Done, language: str) -> str:
    """The link, and the checklist where there is one."""
    shared = done.shared
    said = filled(words.DONE, files=len(shared.files)).in_language(language)
    url = html.escape(shared.url, quote=True)
    steps = "".join(f"<li>{_linked(step.in_language(language))}</li>" for step in done.steps)
    left = f"<p>{words.LEFT.in_language(language)}</p><ol>{steps}</ol>" if steps else ""
    return (
        f'<div class="card shared" role="status"><strong>{said}</strong>'
        f'<p><a href="{url}" target="_blank" rel="noopener noreferrer">{url}</a></p>{left}</div>'
    )


def failure(said: str, cure: str = "") -> str:
    """What went wrong, and what mends it."""
    more = f"<p>{escaped(cure)}</p>" if cure else ""
    return f'<div class="card failed" role="alert"><strong>{escaped(said)}</strong>{more}</div>'


def _linked(text: str) -> str:
    """`text` with its addresses as links."""
    parts = [
        f'<a href="{html.escape(word, quote=True)}" target="_blank" rel="noopener noreferrer">{html.escape(word)}</a>'
        if word.startswith("https://")
        else html.escape(word)
        for word in text.split(" ")
    ]
    return " ".join(parts)
