"""`python -m train data corrections …`: look through what the assistant should have said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from assistant.cli import Context, common_options
from assistant.words import Text

from .common import in_words

if TYPE_CHECKING:
    from assistant.corrections import Correction, State

SHOWN = 70  # letters of a text on a line


@click.group("corrections", help=in_words(
    "What it should have said: noted while talking, looked through here, learned by the next training.",
    "它本该怎么说：对话时记下，在这里查看，下次训练时学会。"))  # fmt: skip
def corrections() -> None:
    """The commands of corrections."""


@corrections.command("list", help=in_words("All of them, with their ids.", "列出全部及编号。"))
@common_options
def list_command(context: Context) -> None:
    from assistant.corrections import CORRECTIONS_FILE, STATES, read_corrections

    folder = context.read_config().folder
    held = read_corrections(folder)
    counts = Counter(one.state for one in held)
    lines: list[Text | str] = [_shown(one) for one in held]
    lines += [Text(f"{counts[state]:>6} {said.en}", f"{counts[state]:>6} {said.zh}")
              for state, said in STATES.items() if counts[state]]  # fmt: skip
    if not held:
        lines = [Text(
            "There are none. In the talk: /fix WHAT IT SHOULD HAVE SAID; on your own page: edit the answer.",
            "还没有。在终端对话里：/fix 应有的回答；在自己的页面上：直接编辑回答。",
        )]  # fmt: skip
    context.result(
        {"file": str(folder / CORRECTIONS_FILE), "corrections": [_value(one) for one in held],
         "counts": {state: counts[state] for state in STATES}},
        "\n".join(map(str, lines)), quotes=True,
    )  # fmt: skip
    if counts["new"]:
        following = context.following(
            "python", "-m", "train", "data", "corrections", "accept", "all"
        )
        context.say(Text(f"Next: {following}", f"下一步：{following}"))


@corrections.command("add", help=in_words("Add one by hand.", "手工添加一条。"))
@click.argument("question")
@click.argument("answer")
@click.option("--said", default="", metavar="TEXT",
              help=in_words("What it had answered.", "它原来的回答。"))  # fmt: skip
@click.option("--way", "ways", multiple=True, metavar="TEXT",
              help=in_words("Another way of asking; may be repeated. Of several the last is kept for the check.",
                            "另一种问法，可重复；有多种时最后一种只用于检验。"))  # fmt: skip
@common_options
def add_command(
    context: Context, question: str, answer: str, said: str, ways: tuple[str, ...]
) -> None:
    from assistant.corrections import keep_correction, made_correction

    folder = context.read_config().folder
    made = made_correction(question, answer, "command", said=said, ways=ways)
    kept = keep_correction(folder, made)
    context.result({"correction": _value(kept)}, str(_shown(kept)), quotes=True)
    following = context.following("python", "-m", "train", "data", "corrections", "accept", kept.id)
    context.say(Text(f"Next: {following}", f"下一步：{following}"))


@corrections.command("accept", help=in_words(
    "Train on these; all: on all that are to look at.", "用这些来训练；all：所有待查看的。"))  # fmt: skip
@click.argument("ids", nargs=-1, required=True, metavar="ID…|all")
@click.option(
    "--answer",
    metavar="TEXT",
    help=in_words("Another answer, for one ID.", "改写回答，只限一个编号。"),
)
@click.option("--way", "ways", multiple=True, metavar="TEXT",
              help=in_words("Another way of asking, for one ID; may be repeated.", "另一种问法，只限一个编号，可重复。"))  # fmt: skip
@common_options
def accept_command(
    context: Context, ids: tuple[str, ...], answer: str | None, ways: tuple[str, ...]
) -> None:
    from assistant.errors import UsageError

    if (answer is not None or ways) and (len(ids) != 1 or ids == ("all",)):
        raise UsageError(
            Text(
                "--answer and --way are for one correction.", "--answer 和 --way 只用于一条更正。"
            ),
            Text("Name one ID.", "请只写一个编号。"),
        )
    _changed(context, ids, "accepted", answer, ways)


@corrections.command("exam", help=in_words(
    "Only check with these, never train on them.", "这些只用于检验，不参与训练。"))  # fmt: skip
@click.argument("ids", nargs=-1, required=True, metavar="ID…|all")
@common_options
def exam_command(context: Context, ids: tuple[str, ...]) -> None:
    _changed(context, ids, "exam")


@corrections.command("drop", help=in_words(
    "Use these for nothing; accept brings them back.", "弃用这些；可用 accept 恢复。"))  # fmt: skip
@click.argument("ids", nargs=-1, required=True, metavar="ID…|all")
@common_options
def drop_command(context: Context, ids: tuple[str, ...]) -> None:
    _changed(context, ids, "dropped")


def _changed(
    context: Context, ids: Sequence[str], state: State, answer: str | None = None, ways: Sequence[str] = ()
) -> None:  # fmt: skip
    from assistant.corrections import change_corrections

    changed = change_corrections(context.read_config().folder, ids, state, answer, ways)
    lines: list[Text | str] = [_shown(one) for one in changed]
    lines.append(Text(f"{len(changed)} changed", f"改动 {len(changed)} 条"))
    context.result(
        {"changed": [_value(one) for one in changed]}, "\n".join(map(str, lines)), quotes=True
    )
    if changed and state in ("accepted", "exam"):
        following = context.following("python", "-m", "train", "all", "--force")
        context.say(Text(f"Next: {following}", f"下一步：{following}"))


def _value(one: Correction) -> dict[str, Any]:
    return one.model_dump(mode="json")


def _shown(one: Correction) -> Text:
    from assistant.corrections import STATES

    said = STATES[one.state]
    lines = [f"  {_short(one.question)}", f"  + {_short(one.answer)}"]
    if one.said and one.said != one.answer:
        lines.insert(1, f"  - {_short(one.said)}")
    lines += [f"  ~ {_short(way)}" for way in one.ways]
    rest = "\n".join(lines)
    return Text(f"{one.id}  {said.en}\n{rest}", f"{one.id}  {said.zh}\n{rest}")


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"
