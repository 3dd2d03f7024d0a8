"""Where ordinary answers come from: the kit itself, the cache, or the base on its engine."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.config import Config, ServeTable
from assistant.engines import open_engine
from assistant.engines.base import Engine
from assistant.models import LocalModel
from assistant.progress import Report

from ..settings import DataTable
from . import base_answers as answers
from .shipped import shipped_answers

AT_ONCE = 16  # questions the base is asked side by side


class BaseSource:
    """Asks the base; its engine is started only where an answer is not known yet, and once. Leaving
    the `with` block closes it."""

    def __init__(
        self, config: Config, table: DataTable, model: LocalModel, report: Report,
        engine: Engine | None, shipped: bool = True,
    ):  # fmt: skip
        self.config = config
        self._table = table
        self._model = model
        self._report = report
        self._engine = engine
        self._shipped = shipped
        self._opened: Engine | None = None

    def __enter__(self) -> BaseSource:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()

    def engine(self) -> Engine:
        """The base's engine, started where it is not yet. Raises EngineError."""
        if self._engine:
            return self._engine
        if self._opened is None:
            limits = self.config.serve.limits.model_copy(update={"concurrent": AT_ONCE})
            serve = ServeTable.model_validate(self.config.serve.model_dump() | {"limits": limits})
            opened = open_engine(self._table.engine, self._model, serve, self._report)
            self._opened = opened.engine
        return self._opened

    def ask(self, asked: Sequence[str]) -> dict[str, answers.BaseAnswer]:
        """The base's answers, by question."""
        how = answers.sampling(self._table.ordinary_tokens)
        file = answers.cache_file(self._model, self._table.engine, how)
        if self._engine:
            return answers.base_answers(self._engine, asked, file, how, AT_ONCE, self._report)
        known = answers.read_answers(file)
        if self._shipped:
            known |= shipped_answers(self._model, self._table.engine, how)
        missing = [question for question in asked if question not in known]
        if missing:
            known |= answers.base_answers(self.engine(), missing, file, how, AT_ONCE, self._report)
        return {question: known[question] for question in asked}
