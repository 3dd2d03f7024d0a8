"""What the page says of the assistant's state, as HTML in one language. Everything is escaped."""

from __future__ import annotations

import html
from pathlib import PurePosixPath
from typing import NamedTuple

from ..persona import Persona, Style
from ..progress import Progress
from ..serving.answerer import Step
from ..serving.host import HostState
from ..serving.text import escaped
from ..words import LANGUAGES, Text, filled
from . import words

EXAMPLE_COUNT = 4


def heading(state: HostState, language: str) -> str:
    """Name, and quietly: model, engine and device, where the persona is from, the note."""
    parts = []
    if state.info:
        engine = f"{state.info.name} · {state.info.device}"
        parts += [
            _model_name(state.info.model),
            engine if state.info.device != "none" else state.info.name,
        ]
    parts.append(words.PERSONA_FROM[state.persona_source].in_language(language))
    facts = "".join(f"<span>{html.escape(part)}</span>" for part in parts)
    note = f'<p class="note">{escaped(state.note.in_language(language))}</p>' if state.note else ""
    name, system = html.escape(state.persona.name), html.escape(state.persona.system(language))
    return (
        f'<h1 dir="auto" data-name="{name}" data-system="{system}">{name}</h1>'
        f'<p class="facts">{facts}</p>{note}'
    )


def _model_name(model: str) -> str:
    """The model without the path of this machine, where it is one."""
    is_path = model.startswith(("/", ".", "~")) or "\\" in model
    return PurePosixPath(model.replace("\\", "/")).name if is_path else model


def loading_card(state: HostState, language: str, *, public: bool) -> str:
    """The progress of loading, or why it failed and what mends it; empty once ready.

    In public the reason is the owner's to know.
    """
    if state.phase == "ready":
        return ""
    if state.phase == "failed":
        told = state.error if state.error and not public else None
        said = told.in_language(language) if told else words.OWNER_MUST.in_language(language)
        return (
            f'<div class="card failed" role="alert"><strong>{words.FAILED.in_language(language)}'
            f"</strong><p>{escaped(said)}</p></div>"
        )
    return (
        f'<div class="card" role="status"><strong>{words.LOADING.in_language(language)}</strong>'
        f"{bar(state.progress, language)}<p>{words.LOADING_HINT.in_language(language)}</p></div>"
    )


def bar(progress: Progress | None, language: str) -> str:
    """A step under way: what, how far, and a bar; one that only moves where the end is not known."""
    fraction = progress.fraction if progress else None
    what = progress.what.in_language(language) if progress else ""
    amount = "" if progress is None or fraction is None else _amount(progress, fraction)
    now = "" if fraction is None else f' aria-valuenow="{fraction * 100:.0f}"'
    width = "" if fraction is None else f' style="width:{fraction * 100:.1f}%"'
    moving = "" if fraction is not None else " unknown"
    return (
        f'<div class="step"><span>{escaped(what)}</span><span>{amount}</span></div>'
        f'<div class="bar{moving}" role="progressbar" aria-valuemin="0" aria-valuemax="100"{now} '
        f'aria-label="{words.LOADING.in_language(language)}"><i{width}></i></div>'
    )


def _amount(progress: Progress, fraction: float) -> str:
    if progress.unit == "B" and progress.total:
        return f"{progress.done / 1e6:.0f} / {progress.total / 1e6:.0f} MB"
    return f"{fraction * 100:.0f} %"


def waiting(step: Step, language: str) -> str:
    """One quiet line while nothing is written yet; empty while writing."""
    said = {
        "loading": words.WAITING_FOR_MODEL,
        "in line": filled(words.IN_LINE, ahead=step.ahead, seconds=step.seconds),
        "thinking": words.THINKING,
    }.get(step.phase)
    if said is None:
        return used(step, language)
    return f'{used(step, language)}<p class="quiet busy" role="status">{said.in_language(language)}</p>'


def used(step: Step, language: str) -> str:
    """The tools that the answer used, a line each, to fold away; empty where there is none."""
    if not step.used:
        return ""
    summary = filled(words.USED, count=len(step.used)).in_language(language)
    lines = "".join(
        f'<li class="{"done" if one.error is None else "failed"}" dir="auto">'
        f"{escaped(one.line().in_language(language))}</li>"
        for one in step.used
    )
    return f'<details class="used" open><summary>{summary}</summary><ol>{lines}</ol></details>'


def outcome(step: Step, language: str) -> str:
    """What is worth saying of a finished answer: turns left out, cut, stopped."""
    said: list[Text] = []
    if step.dropped_turns:
        said.append(filled(words.DROPPED, count=step.dropped_turns))
    if step.finish == "length":
        said.append(words.CUT)
    if step.finish == "cancelled":
        said.append(words.STOPPED)
    line = " ".join(part.in_language(language) for part in said)
    return used(step, language) + (quiet(line) if line else "")


def notice(said: str) -> str:
    """A failure, said next to the message box; it goes away with the next message."""
    return f'<p class="notice" role="alert">{escaped(said)}</p>'


def quiet(said: str) -> str:
    """One line said quietly."""
    return f'<p class="quiet" role="status">{escaped(said)}</p>'


def imported(count: int, language: str) -> str:
    """How many conversations came in."""
    return quiet(filled(words.IMPORTED, count=count).in_language(language))


def empty_page(persona: Persona, language: str) -> str:
    """The greeting that stands in an empty conversation (Markdown and HTML for gr.Chatbot)."""
    greeting = filled(words.GREETING, name=html.escape(persona.name)).in_language(language)
    invitation = words.INVITATION.in_language(language)
    if language not in persona.languages:
        invitation = words.SPEAKS_ONLY[persona.languages[0]].in_language(language)
    return f'<div class="hello"><h2 dir="auto">{greeting}</h2><p>{invitation}</p></div>'


class Example(NamedTuple):
    """A question to begin with, and the style it shows off, if any."""

    text: str
    style: Style | None = None

    def shown(self, language: str) -> dict[str, str]:
        """For gr.Chatbot."""
        label = f" · {self.style.label(language)}" if self.style else ""
        return {"text": self.text, "display_text": self.text + label}


def examples(persona: Persona, language: str) -> list[Example]:
    """The persona's own facts in this language, common questions, and one in its first style.

    Where it does not speak this language, in the first that it does: what it can answer.
    """
    if language not in persona.languages:
        language = persona.languages[0]
    own = [fact.ask for fact in persona.facts if fact.language == language]
    *common, styled = (text.in_language(language) for text in words.EXAMPLES)
    texts = list(dict.fromkeys([*own[: EXAMPLE_COUNT - 2], *reversed(common)]))
    first = persona.styles[0] if persona.styles else None
    return [*map(Example, texts[: EXAMPLE_COUNT - 1]), Example(styled, first)]


def style_choices(persona: Persona, language: str) -> list[tuple[str, str]]:
    """Label and name of each style, the plain one first."""
    plain = (words.NO_STYLE.in_language(language), "")
    return [plain, *((style.label(language), style.name) for style in persona.styles)]


def style_does(style: Style | None, language: str) -> str:
    """What a style does, in words."""
    if style is None:
        return f'<p class="does">{words.NO_STYLE_DOES.in_language(language)}</p>'
    how = words.STYLE_TRAINED if style.trained else words.STYLE_ASKS
    quoted = f"“{style.prompt}”"
    parts = [f"{how.in_language(language)}{'：' if language == 'zh' else ': '}{quoted}"]
    if style.temperature is not None:
        parts.append(filled(words.STYLE_TEMPERATURE, value=style.temperature).in_language(language))
    return f'<p class="does">{escaped(" · ".join(parts))}</p>'


def script_words(kept_by_owner: bool) -> dict[str, dict[str, str]]:
    """The words of the browser's own script, by language; they say who keeps conversations."""
    said = words.SCRIPT | ({"kept": words.KEPT_BY_OWNER} if kept_by_owner else {})
    return {
        language: {key: text.in_language(language) for key, text in said.items()}
        for language in LANGUAGES
    }
