"""The Share tab: choose, read the plan, confirm, watch, get the link or the checklist."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import gradio as gr
from gradio.blocks import Block

from assistant.config import Config
from assistant.errors import AssistantError
from assistant.libraries import missing_library
from assistant.progress import Progress, Report
from assistant.serving.failures import said_of
from assistant.ui import OwnerTab
from assistant.ui.layout import seen

from ..sharing.plan import SharePlan
from ..tokens import hide, known_secrets
from . import shown, words
from .sharer import Sharer, Wish

LOOK_AGAIN = 0.25  # seconds between two looks at work under way
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
Result = TypeVar("Result")
Updates = dict[Block, Any]


def share_tab(read: Callable[[], Config]) -> OwnerTab:
    """The tab. `read` gives the configuration as it is now, with its `[share]` table."""
    return OwnerTab(words.TAB, lambda language: _Tab(Sharer(read)).build(language))


class _Tab:
    def __init__(self, sharer: Sharer):
        self._sharer = sharer

    def build(self, language: gr.Radio) -> None:
        """Lay it out in the current tab, and wire it."""
        with gr.Column(elem_id="share"):
            self._head = gr.HTML(elem_id="share-head")
            with gr.Row():
                self._run = gr.Dropdown([], elem_id="share-run", filterable=False)
                self._what = gr.Radio(value="merged", elem_id="share-what")
            self._target = gr.Dropdown([], elem_id="share-target", allow_custom_value=True)
            self._who = gr.Radio(value="private", elem_id="share-who")
            self._anyway = gr.Checkbox(False, elem_id="share-anyway")
            self._look = gr.Button(elem_id="share-plan", variant="primary")
            self._said = gr.HTML(elem_id="share-said")
            self._confirm = gr.Button(elem_id="share-confirm", variant="stop", visible="hidden")
            self._plan = gr.State(None)
        chosen: list[Any] = [self._run, self._what, self._target, self._who, self._anyway]
        asked = [language, *chosen]
        after = [self._said, self._confirm, self._plan]
        language.change(
            self.speak, [language, self._run, self._target], [self._head, *chosen, self._look, *after],
            queue=False, **QUIET,
        )  # fmt: skip
        gr.on(
            [one.input for one in chosen],
            self.forget,
            [language, self._what],
            [*after, self._anyway],
            queue=False,
            **QUIET,
        )
        self._look.click(self.look, asked, after, concurrency_limit=1, **QUIET)
        self._confirm.click(self.share, [*asked, self._plan], after, concurrency_limit=1, **QUIET)

    def speak(self, language: str, run: str | None, target: str | None) -> Updates:
        """Everything in `language`; what there is to choose is looked up anew."""

        def say(text: Any) -> str:
            return str(text.in_language(language))

        runs, targets = self._sharer.runs(), self._sharer.targets()
        nothing = "" if runs else shown.failure(say(words.NOTHING))
        return {
            self._head: f"<h2>{say(words.TITLE)}</h2><p>{say(words.LEAD)}</p>{nothing}",
            self._run: gr.Dropdown(
                runs, value=run if run in runs else next(iter(runs), None), label=say(words.RUN)
            ),
            self._what: gr.Radio(
                [(say(text), name) for name, text in words.KINDS.items()], label=say(words.WHAT)
            ),
            self._target: gr.Dropdown(
                targets, value=target or next(iter(targets), ""), label=say(words.TARGET),
                info=say(words.TARGET_INFO),
            ),
            self._who: gr.Radio(
                [(say(words.ONLY_ME), "private"), (say(words.EVERYONE), "public")],
                label=say(words.WHO_SEES),
            ),
            self._anyway: gr.Checkbox(label=say(words.ANYWAY)),
            self._look: gr.Button(say(words.PLAN), interactive=bool(runs)),
            **self._nothing_planned(),
        }  # fmt: skip

    def forget(self, language: str, what: str) -> Updates:
        """Another choice: the plan that was read is of no use any more."""
        return {**self._nothing_planned(), self._anyway: seen(what != "app")}

    def _nothing_planned(self) -> Updates:
        return {self._said: "", self._confirm: seen(False), self._plan: None}

    def look(self, language: str, *chosen: Any) -> Iterator[Updates]:
        """Plan, and show the plan; only reads the hub."""
        wish = _wish(*chosen)
        yield from self._watched(
            lambda report: self._sharer.plan(wish, report), language,
            lambda plan: self._planned(plan, wish, language),
        )  # fmt: skip

    def _planned(self, plan: SharePlan, wish: Wish, language: str) -> Updates:
        as_sent = plan.exists and not plan.to_send and not plan.blockers
        note = f"<p><strong>{words.AS_SENT.in_language(language)}</strong></p>" if as_sent else ""
        confirm = words.CONFIRM_PUBLIC if wish.public else words.CONFIRM
        possible = not plan.blockers and not as_sent
        return {
            self._said: note + shown.plan_card(plan, language),
            self._confirm: gr.Button(
                confirm.in_language(language), visible=True if possible else "hidden"
            ),
            self._plan: plan if possible else None,
        }

    def share(self, language: str, *chosen: Any) -> Iterator[Updates]:
        """Do what the plan says that was read."""
        *wished, plan = chosen
        if plan is None:
            return
        wish = _wish(*wished)
        yield from self._watched(
            lambda report: self._sharer.share(wish, plan, report), language,
            lambda done: {**self._nothing_planned(), self._said: shown.done_card(done, language)},
        )  # fmt: skip

    def _watched(
        self, work: Callable[[Report], Result], language: str, show: Callable[[Result], Updates]
    ) -> Iterator[Updates]:
        """Do `work` in a thread of its own, so that its progress can be shown, then `show` its
        result. It goes on when the page is closed: an upload is better whole than cut off."""
        steps: SimpleQueue[Progress] = SimpleQueue()
        ended: list[Callable[[], Updates]] = []

        def run() -> None:
            try:
                result = work(steps.put)
            except Exception as error:  # shown to the owner, whatever it is
                said = self._failed(error, language)
                ended.append(lambda: said)
            else:
                ended.append(lambda: show(result))

        thread = threading.Thread(target=run, name="share", daemon=True)
        thread.start()
        last: Progress | None = None
        yield {self._said: shown.progress_card(last, language), self._confirm: seen(False)}
        while thread.is_alive():
            thread.join(LOOK_AGAIN)
            newest = _newest(steps)
            if newest is not None and newest != last:
                last = newest
                yield {self._said: shown.progress_card(last, language)}
        yield ended[0]()

    def _failed(self, error: Exception, language: str) -> Updates:
        if isinstance(error, ImportError):
            error = missing_library(error) or error
        if isinstance(error, AssistantError):
            said = error.message.in_language(language)
            cure = error.cure.in_language(language) if error.cure else ""
        else:
            said, cure = said_of(error, language, public=False), ""
        secrets = known_secrets()
        return {
            **self._nothing_planned(),
            self._said: shown.failure(hide(said, secrets), hide(cure, secrets)),
        }


def _newest(steps: SimpleQueue[Progress]) -> Progress | None:
    newest = None
    while True:
        try:
            newest = steps.get_nowait()
        except Empty:
            return newest


def _wish(run: str | None, what: Any, target: str | None, who: str, anyway: bool) -> Wish:
    return Wish(run or "", what, target or "", who == "public", bool(anyway) and what != "app")
