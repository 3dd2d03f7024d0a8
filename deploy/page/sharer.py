"""What the Share page does, as plain calls: what there is to share, the plan, the upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from assistant.config import Config
from assistant.errors import FailedError, UsageError
from assistant.progress import Report
from assistant.words import Text

from ..settings import ShareTable
from ..sharing.plan import SharePlan
from ..sharing.record import Shared
from ..target import parse_target
from ..tokens import find_token

What = Literal["merged", "adapter", "app"]


@dataclass(frozen=True)
class Wish:
    """What a person chose on the page. `anyway` shares a model whose check did not pass."""

    run: str
    what: What
    target: str
    public: bool = False
    anyway: bool = False


@dataclass(frozen=True)
class Done:
    """What lies on the hub now, and the steps that only a person can take."""

    shared: Shared
    steps: tuple[Text, ...] = ()


class Sharer:
    """Plans and shares. `read` gives the configuration as it is now, with its `[share]` table."""

    def __init__(self, read: Callable[[], Config]):
        self._read = read

    def runs(self) -> list[str]:
        """The runs that hold something to share, the configured one first."""
        config = self._read()
        found = [run.name for run in config.runs if run.kinds]
        return sorted(found, key=lambda name: name != config.run.name)

    def targets(self) -> list[str]:
        """Where `[share]` says that the model goes."""
        table: ShareTable = self._read().tables["share"]
        return list(table.to)

    def plan(self, wish: Wish, report: Report) -> SharePlan:
        """What would be done; the hub is only read. Raises UsageError for a wish that cannot be
        planned; what else stands against it is in `plan.blockers`."""
        with self._ready(wish, report) as (plan, _):
            return plan

    def share(self, wish: Wish, seen: SharePlan, report: Report) -> Done:
        """Do what the plan that was `seen` says.

        Raises FailedError where it would do something else by now, and whatever stands against it.
        """
        with self._ready(wish, report) as (plan, send_it):
            if plan != seen:
                raise FailedError(
                    Text("What would be done has changed since you read it. Nothing was sent.",
                         "计划在你确认之前发生了变化。没有发送任何内容。"),
                    Text("Look at the plan again.", "请重新查看计划。"),
                )  # fmt: skip
            return send_it()

    @contextmanager
    def _ready(self, wish: Wish, report: Report) -> Iterator[tuple[SharePlan, Callable[[], Done]]]:
        """The plan, and what does it; both good only inside the block."""
        # Not above: the page opens sooner without what only sharing needs.
        from ..apps.profiles import choose_profile
        from ..apps.share_app import choose_model, planned_app, send_app, service_of
        from ..sharing.share import planned_model, send

        config = self._read()
        run, private = config.run_named(wish.run), not wish.public
        if not wish.run or not run.exists:
            raise UsageError(
                Text("There is nothing to share yet.", "还没有可以分享的内容。"),
                Text("Train first: python -m train all", "请先训练：python -m train all"),
            )
        if wish.what != "app":
            target = parse_target(wish.target.strip())
            with planned_model(
                config, run, target, find_token(target.service), kind=wish.what, private=private,
                anyway=wish.anyway, report=report,
            ) as model:  # fmt: skip
                yield model.plan, lambda: Done(send(model, report))
            return
        target = parse_target(wish.target.strip(), "app")
        weights = choose_model(run, target, None)
        with planned_app(
            config, run, target, weights, choose_profile(target.hub, None),
            find_token(target.service), model_token=find_token(service_of(weights)),
            private=private, report=report,
        ) as app:  # fmt: skip

            def send_it() -> Done:
                done = send_app(app, report=report)
                return Done(done.shared, done.steps)

            yield app.ready.plan, send_it
