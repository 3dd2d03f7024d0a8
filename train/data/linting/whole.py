"""What can be wrong with a set of rows although each of them is right."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assistant.persona import Persona
from assistant.progress import Report
from assistant.words import Text

from ..text.near import near_groups, normalised
from .identity import is_identity_question, own_name
from .report import Coverage

COPIES = 10  # of one pair, and
COPIES_SHARE = 0.1  # of all rows: more of one pair is an error
ONE_ANSWER_SHARE = 0.2
LEAST_ROWS = 20  # below, shares tell nothing
IDENTITY_MOST, IDENTITY_LEAST = 0.6, 0.02
UNEVEN = 10  # times as many rows in one cell as in another
_YES = re.compile(r"^(?:是的?|对的?|能|可以|会的?|有的?|当然|没错|正确|yes|yeah|correct|true|of course)(?=[，,。.！!\s]|$)", re.IGNORECASE)  # fmt: skip
_NO = re.compile(r"^(?:不是?|不对|不能|不可以|不会|没有|并非|错误|错|no|nope|incorrect|false|not)(?=[，,。.！!\s]|$)", re.IGNORECASE)  # fmt: skip
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Said(NamedTuple):
    """A sound row in short: where, the system prompt, what was asked (all other turns but the
    answer), what was answered; `question` is what the user said in it."""

    file: int
    row: int
    system: str
    asked: str
    question: str
    answer: str
    style: str
    cell: Hashable = None


class Problem(NamedTuple):
    """A finding over a set of rows: `places` are numbers of rows in the set."""

    code: str
    places: Sequence[int]
    details: Sequence[str] = ()
    note: Text = Text("", "")
    total: int | None = None  # where it is not the number of places


@dataclass
class Gathered:
    """What is remembered of the rows for the checks of the whole."""

    rows: list[Said] = field(default_factory=list)
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    identity: int = 0

    def add(self, row: Said, meta: Mapping[str, Any], persona: Persona | None) -> None:
        """Remember a row."""
        self.rows.append(row)
        role, scene, style = (str(meta.get(name) or "") for name in ("role", "scene", "style"))
        if role or scene or style:
            self.cells[role, scene, style] += 1
        kind = meta.get("kind")
        if isinstance(kind, str) and kind:
            self.identity += kind in ("identity", "author", "base", "leading", "mid", "fact")
        elif is_identity_question(row.asked) or (
            persona is not None and persona.name in row.answer
        ):
            self.identity += 1


def repeated(rows: Sequence[Said], asked: Sequence[str]) -> tuple[list[Problem], list[int]]:
    """Repeated rows, repeated pairs; and for each row the first one of the same pair, whatever the
    system prompt. `asked` is normalised."""
    first: dict[tuple[str, str], int] = {}
    whole: dict[tuple[int, str], int] = {}
    same, again = [], {}
    for place, row in enumerate(rows):
        same.append(first.setdefault((asked[place], normalised(row.answer)), place))
        earlier = whole.setdefault((same[place], row.system), place)
        if earlier != place:
            again[place] = earlier
    copies = Counter(same)
    found = []
    if again:
        found.append(Problem("W201", list(again), [f"= {rows[at].row}" for at in again.values()]))
    many = [
        place
        for place, count in copies.items()
        if count >= COPIES and count > len(rows) * COPIES_SHARE
    ]
    if many:
        note = Text(
            ", ".join(f"{copies[place]} x {_short(rows[place].asked)!r}" for place in many[:3]),
            "，".join(f"“{_short(rows[place].asked)}” {copies[place]} 次" for place in many[:3]),
        )
        found.append(Problem("E105", many, [_short(rows[place].answer) for place in many], note,
                             sum(copies[place] for place in many)))  # fmt: skip
    return found, same


def one_answer(rows: Sequence[Said], same: Sequence[int]) -> Iterator[Problem]:
    """One answer that stands under many different questions."""
    if len(rows) < LEAST_ROWS:
        return
    places: dict[str, list[int]] = defaultdict(list)
    for place, original in enumerate(same):
        if original == place:
            places[rows[place].answer].append(place)
    most = max(places.values(), key=len)
    if len(most) >= COPIES and len(most) > len(rows) * ONE_ANSWER_SHARE:
        answer = _short(rows[most[0]].answer)
        note = Text(
            f"{answer!r} answers {len(most)} questions", f"“{answer}”回答了 {len(most)} 个问题"
        )
        yield Problem("W211", most, [], note)


def contradictions(
    rows: Sequence[Said], asked: Sequence[str], same: Sequence[int]
) -> Iterator[Problem]:
    """Questions that are answered in several ways, and those whose answers cannot all be true."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, original in enumerate(same):
        if original == place:
            groups[asked[place], rows[place].style].append(place)
    several = [group for group in groups.values() if len(group) > 1]
    against = [(group, why) for group in several if (why := _why(rows, group))]
    if against:
        places = [place for group, _ in against for place in group]
        yield Problem("E109", places, [why for group, why in against for _ in group])
    rest = [place for group in several if not _why(rows, group) for place in group]
    if rest:
        yield Problem("W203", rest, [_short(rows[place].asked) for place in rest])


def _why(rows: Sequence[Said], group: Sequence[int]) -> str:
    """What makes the answers of one question contradict each other, "" if nothing does."""
    answers = [rows[place].answer.strip() for place in group]
    yes = next((answer for answer in answers if _YES.match(answer)), "")
    no = next((answer for answer in answers if _NO.match(answer)), "")
    if yes and no:
        return f"{_short(yes, 24)} / {_short(no, 24)}"
    if is_identity_question(rows[group[0]].asked):
        names = {name: answer.casefold() for answer in answers if (name := own_name(answer))}
        for one, other in itertools.combinations(names, 2):
            if one[:2] not in names[other] and other[:2] not in names[one]:
                return f"{one} / {other}"
    numbers: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for answer in answers:
        numbers[_NUMBER.sub("#", answer)].add(tuple(_NUMBER.findall(answer)))
    different = next((found for found in numbers.values() if len(found) > 1), None)
    return " / ".join(" ".join(found) for found in sorted(different)[:3]) if different else ""


def coverage(cells: Counter[tuple[str, str, str]]) -> Coverage:
    """The rows by role, scene and style."""
    ordered = [list(dict.fromkeys(cell[axis] for cell in cells)) for axis in range(3)]
    return Coverage(
        roles=tuple(ordered[0]), scenes=tuple(ordered[1]), styles=tuple(ordered[2]),
        cells={"\t".join(cell): count for cell, count in cells.items()},
    )  # fmt: skip


def uneven(covered: Coverage) -> Iterator[Problem]:
    """Cells of role and scene that lack a style others have, and cells far fuller than others."""
    filled = {
        (role, scene): covered.rows(role, scene)
        for role in covered.roles
        for scene in covered.scenes
    }
    filled = {cell: count for cell, count in filled.items() if count}
    if len(filled) < 2:
        return
    lacking = [
        f"{role} × {scene}: {style}"
        for role, scene in filled
        for style in covered.styles
        if style and not covered.cells.get(f"{role}\t{scene}\t{style}")
    ]
    notes_en, notes_zh = [], []
    if lacking:
        shown = "; ".join(lacking[:5])
        notes_en.append(f"{len(lacking)} cells lack a style ({shown})")
        notes_zh.append(f"{len(lacking)} 格缺少风格（{shown}）")
    least, most = min(filled.items(), key=_rows), max(filled.items(), key=_rows)
    if most[1] >= UNEVEN * least[1]:
        notes_en.append(
            f"{' × '.join(most[0])} has {most[1]} rows, {' × '.join(least[0])} {least[1]}"
        )
        notes_zh.append(
            f"{' × '.join(most[0])} 有 {most[1]} 行，{' × '.join(least[0])} 只有 {least[1]} 行"
        )
    if notes_en:
        note = Text("; ".join(notes_en), "；".join(notes_zh))
        yield Problem("W208", [], [], note, max(1, len(lacking)))


def _rows(item: tuple[tuple[str, str], int]) -> int:
    return item[1]


def balance(identity: int, total: int) -> Iterator[Problem]:
    """Too many rows of identity, or too few."""
    if total < LEAST_ROWS or identity < LEAST_ROWS // 2:
        return
    share = identity / total
    if share > IDENTITY_MOST or share < IDENTITY_LEAST:
        note = Text(
            f"{identity} of {total} rows ({share:.0%}) are about the assistant itself",
            f"{total} 行中有 {identity} 行（{share:.0%}）是关于助手自己的",
        )
        yield Problem("W209", [], [], note, identity)


def near(
    rows: Sequence[Said], same: Sequence[int], firsts: Sequence[int]
) -> tuple[list[Problem], int]:
    """Near duplicates that are not exact ones; and the size of the largest group."""
    members: dict[int, list[int]] = defaultdict(list)
    for place, first in enumerate(firsts):
        if same[place] == place:
            members[first].append(place)
    alike = [(place, group[0]) for group in members.values() for place in group[1:]]
    largest = max(map(len, members.values()), default=0)
    if not alike:
        return [], largest
    places = [place for place, _ in alike]
    return [Problem("W202", places, [f"~ {rows[first].row}" for _, first in alike])], largest


def leaked(rows: Sequence[Said], held: int, report: Report) -> Iterator[Problem]:
    """Rows of the held-out file (number `held`) whose question, or one near it, is trained on."""
    alike = near_groups(
        [row.question for row in rows], apart=[row.cell for row in rows], report=report
    )
    groups = alike.first.tolist()
    trained = {group: row for group, row in zip(groups, rows, strict=True) if row.file != held}
    found = {
        place: f"~ {trained[group].row}"
        for place, group in enumerate(groups)
        if rows[place].file == held and group in trained
    }
    if found:
        yield Problem("W213", list(found), list(found.values()))


def _short(text: str, longest: int = 40) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
