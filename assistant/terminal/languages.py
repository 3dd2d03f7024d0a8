"""`python -m assistant languages`: which languages the model knows, and what it said."""

from __future__ import annotations

from pathlib import Path

from ..artifacts import refuse_unwritable
from ..cli import Context, TerminalProgress
from ..config import EngineName
from ..engines import needs_weights, open_engine
from ..errors import UsageError
from ..languages.kept import keep_measure, kept_measure
from ..languages.measure import LanguageRecord, measure
from ..models import LocalModel, fetch
from ..weights import choose_weights, refuse_unpinned_remote_code
from ..words import LANGUAGE_NAMES, Text


def show_languages(
    context: Context, engine: EngineName | None, model: str | None, again: bool, out: Path | None
) -> None:
    """Print the languages that the model knows; ask it where that is not known, or `again`.

    Args:
        context: the command's.
        engine: instead of the configured engine.
        model: instead of the configured weights.
        again: ask although it is known.
        out: folder that the record is written into as well.

    Raises:
        UsageError: the engine has no weights of its own to ask.
    """
    config = context.read_config()
    refuse_unpinned_remote_code(config)
    name = engine or config.serve.engine
    if not needs_weights(name):
        raise UsageError(
            Text(f"The engine {name!r} has no weights here to ask.", f"引擎 {name!r} 在这里没有可以问的权重。"),
            Text("Name another: --engine cpu", "请换一个：--engine cpu"),
        )  # fmt: skip
    if out is not None:
        refuse_unwritable(out)
    with TerminalProgress(context.quiet) as progress:
        reference = choose_weights(config, model).reference
        local = fetch(reference, base_folder=config.folder, report=progress)
        measured = None if again else kept_measure(local)
        if measured is None:
            opened = open_engine(name, local, config.serve, progress).engine
            try:
                measured = measure(opened, report=progress)
            finally:
                opened.close()
            keep_measure(measured, local)
        if out is not None:
            keep_measure(measured, local, out)
    context.result(_as_json(local, measured), _as_text(local, measured))


def _as_json(local: LocalModel, measured: LanguageRecord) -> dict[str, object]:
    return {
        "model": local.reference,
        "known": list(measured.known()),
        "languages": {
            language: {
                "asked": len(asked),
                "right": sum(one.right for one in asked),
                "answers": [one.model_dump() for one in asked],
            }
            for language, asked in measured.answers.items()
        },
    }


def _as_text(local: LocalModel, measured: LanguageRecord) -> Text:
    known = measured.known()
    lines = [Text(f"{local.reference} knows:", f"{local.reference} 会：")]
    for language, asked in measured.answers.items():
        right, name = sum(one.right for one in asked), LANGUAGE_NAMES[language]
        does = Text("yes", "会") if language in known else Text("no", "不会")
        lines.append(Text(f"  {name.en}: {does.en} ({right} of {len(asked)} questions right)",
                          f"  {name.zh}：{does.zh}（{len(asked)} 题答对 {right} 题）"))  # fmt: skip
    return Text("\n".join(line.en for line in lines), "\n".join(line.zh for line in lines))
