"""What the assistant should have said: `corrections.jsonl` beside assistant.toml.

The page and the terminal write to it, its owner looks through it (`python -m train data
corrections`), and training reads what was accepted.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from .artifacts import now, whole_file
from .conversation import Message, check_order
from .errors import UsageError
from .outside import in_line
from .words import Text

CORRECTIONS_FILE = "corrections.jsonl"
LONGEST = 8000  # characters of a question or an answer
MOST_BEFORE = 4  # messages before a question that are kept with it

State = Literal["new", "accepted", "exam", "dropped"]
Source = Literal["page", "liked", "chat", "command"]
STATES: dict[State, Text] = {
    "new": Text("to look at", "待查看"),
    "accepted": Text("to train on", "用于训练"),
    "exam": Text("only to check with", "只用于检验"),
    "dropped": Text("dropped", "已弃用"),
}


class Correction(BaseModel):
    """An answer that was put right, or liked as it was.

    `said` is what the model had answered; `before` are the turns before the question; `ways` other
    ways of asking it, as the owner wrote them. `model` and `made` tell whose answer it was, and when
    it was corrected (ISO 8601, UTC).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    question: str
    answer: str
    said: str = ""
    source: Source
    state: State = "new"
    before: tuple[Message, ...] = ()
    ways: tuple[str, ...] = ()
    model: str = ""
    made: str = ""

    @field_validator("question", "answer")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("it is empty")
        if len(text) > LONGEST:
            raise ValueError(f"it is longer than {LONGEST} characters")
        return text

    @field_validator("before")
    @classmethod
    def _whole_turns(cls, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if messages:
            check_order(messages)
            if messages[-1].role != "assistant" or messages[0].role == "system":
                raise ValueError("the turns before it are not whole")
        return messages


def used(corrections: Iterable[Correction]) -> list[Correction]:
    """Those that were looked through: to train on, or only to check with."""
    return [one for one in corrections if one.state in ("accepted", "exam")]


def digest_of_used(corrections: Iterable[Correction]) -> str:
    """The sha256 of what training and check use of the corrections; "" where that is nothing."""
    lines = [one.model_dump_json() for one in used(corrections)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def made_correction(
    question: str, answer: str, source: Source, said: str = "", before: Sequence[Message] = (), model: str = "",
    ways: Sequence[str] = (),
) -> Correction:  # fmt: skip
    """A new correction. Raises UsageError for one without a question or an answer."""
    return _valid({
        "id": secrets.token_hex(3), "question": question, "answer": answer, "said": said,
        "source": source, "before": tuple(before)[-MOST_BEFORE:], "ways": tuple(ways), "model": model, "made": now(),
    })  # fmt: skip


def _valid(value: dict[str, Any]) -> Correction:
    try:
        return Correction.model_validate(value)
    except ValidationError as error:
        place, reason = error.errors()[0]["loc"][0], error.errors()[0]["msg"]
        raise UsageError(
            Text(f"No correction: {place}: {reason}.", f"无法更正：{place}：{reason}。")
        ) from None


def read_corrections(folder: Path) -> list[Correction]:
    """The corrections of a project, in the order they were made; none where there is no file.

    Raises UsageError naming the first line that is not one.
    """
    file = folder / CORRECTIONS_FILE
    if not file.exists():
        return []
    found = []
    for number, line in _lines(file):
        try:
            found.append(Correction.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise UsageError(
                Text(f"{in_line(file)}:{number}: not a correction ({place}: {first['msg']}).",
                     f"{in_line(file)}:{number}：不是更正（{place}: {first['msg']}）。"),
                Text("Mend that line, or take it out.", "请改正这一行，或删去它。"),
            ) from None  # fmt: skip
    return found


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(
            Text(f"{in_line(file)} is not UTF-8 text.", f"{in_line(file)} 不是 UTF-8 文本。")
        ) from None
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def note_answer(
    folder: Path,
    messages: Sequence[Message],
    source: Source,
    said: str | None = None,
    model: str = "",
) -> Correction:
    """Keep that the last of `messages`, an answer, is as it should be.

    Args:
        said: what the model had answered; None: just that.

    Raises UsageError, BlockedError.
    """
    *before, asked, answer = messages
    said = answer.content if said is None else said
    return keep_correction(
        folder,
        made_correction(
            asked.content, answer.content, source, said=said, before=before, model=model
        ),
    )


def keep_correction(folder: Path, correction: Correction) -> Correction:
    """Add a correction. One of the same question after the same turns takes the place of the earlier
    one and its id: the person has changed their mind. To like what was corrected so already changes
    nothing. Raises UsageError, BlockedError."""

    def changed(held: list[Correction]) -> list[Correction]:
        for place, other in enumerate(held):
            if (other.question, other.before) == (correction.question, correction.before):
                if correction.source == "liked" and correction.answer == other.answer:
                    return held
                said = other.said or correction.said
                ways = correction.ways or other.ways
                held[place] = correction.model_copy(
                    update={"id": other.id, "said": said, "ways": ways}
                )
                return held
        return [*held, correction]

    held = _change(folder, changed)
    return next(
        one for one in reversed(held)
        if (one.question, one.before) == (correction.question, correction.before)
    )  # fmt: skip


def forget_liked(folder: Path, question: str, before: Sequence[Message]) -> None:
    """Take back what was liked and not looked at yet."""

    def changed(held: list[Correction]) -> list[Correction]:
        asked = (question, tuple(before)[-MOST_BEFORE:])
        return [
            one for one in held
            if not (one.source == "liked" and one.state == "new" and (one.question, one.before) == asked)
        ]  # fmt: skip

    if (folder / CORRECTIONS_FILE).exists():
        _change(folder, changed)


def change_corrections(
    folder: Path,
    ids: Sequence[str],
    state: State,
    answer: str | None = None,
    ways: Sequence[str] = (),
    *,
    replaces_ways: bool = False,
) -> list[Correction]:
    """Give the corrections of these ids a state; "all" stands for all that are to look at. With an
    `answer`, or more `ways` of asking (all there are, with `replaces_ways`), those too. Returns what
    was changed.

    Raises UsageError for an id that is not there, having changed nothing.
    """
    found: list[Correction] = []

    def changed(held: list[Correction]) -> list[Correction]:
        known = {one.id for one in held}
        if unknown := [one for one in ids if one != "all" and one not in known]:
            raise UsageError(
                Text(f"There is no correction {unknown[0]}.", f"没有编号为 {unknown[0]} 的更正。"),
                Text("See them: python -m train data corrections list",
                     "查看全部：python -m train data corrections list"),
            )  # fmt: skip
        result = []
        for one in held:
            if one.id in ids or ("all" in ids and one.state == "new"):
                kept = () if replaces_ways else one.ways
                one = _valid(
                    one.model_dump()
                    | {"state": state, "ways": tuple(dict.fromkeys((*kept, *ways)))}
                    | ({} if answer is None else {"answer": answer})
                )
                found.append(one)
            result.append(one)
        return result

    _change(folder, changed)
    return found


def _change(
    folder: Path, changed: Callable[[list[Correction]], list[Correction]]
) -> list[Correction]:
    """Read, change and write the file, one at a time."""
    file = folder / CORRECTIONS_FILE
    with _alone(file):
        held = changed(read_corrections(folder))
        with whole_file(file) as out:
            for one in held:
                out.write(one.model_dump_json() + "\n")
    return held


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")):
        yield
