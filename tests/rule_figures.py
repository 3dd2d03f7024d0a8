"""How often the rules that delete or refuse are right: precision and recall, a line for each.

    python tests/rule_figures.py

Counted over the rows of `tests/data`, written for this project: each says what should be found in it.
`test_data_clean.py` holds the least of these figures.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from assistant.conversation import Conversation, Message  # noqa: E402
from train.data.cleaning import NAMES, Cleaner  # noqa: E402
from train.data.linting.content import ContentChecks  # noqa: E402

QUESTION = "祝姐姐生日快乐"


class Figures(NamedTuple):
    """How often a rule fired, how often rightly, and in how many rows there was something for it."""

    fired: int
    right: int
    wanted: int

    @property
    def precision(self) -> float:
        return self.right / max(self.fired, 1)

    @property
    def recall(self) -> float:
        return self.right / max(self.wanted, 1)


def cases(name: str) -> list[dict[str, Any]]:
    lines = (ROOT / "tests" / "data" / f"{name}_cases.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def of_clean() -> dict[str, Figures]:
    """For each rule of `clean`; right where the row came out as it should."""
    cleaner, fired, right, wanted = Cleaner(NAMES), Counter(), Counter(), Counter()
    for case in cases("clean"):
        turns = (("user", case.get("question") or QUESTION), ("assistant", case["answer"]))
        messages = tuple(Message(role=role, content=text) for role, text in turns)
        kept, change = cleaner.clean(1, Conversation(messages=messages))
        used = change.rules if change else ()
        expected = case.get("rules", ())
        fired.update(used)
        wanted.update(expected)
        text = kept.messages[-1].content if kept else None
        if text == case.get("expected", case["answer"]):
            right.update(set(used) & set(expected))
    return {name: Figures(fired[name], right[name], wanted[name]) for name in sorted(wanted)}


def of_placeholders() -> dict[str, Figures]:
    """For lint's E104, which refuses training, and W214, which warns."""
    checks, found = ContentChecks(None), Counter()
    wanted = Counter(case["is"] for case in cases("placeholder"))
    for case in cases("placeholder"):
        turns = [("user", case.get("question", "说说")), ("assistant", case["text"])]
        for code in {code for code, _ in checks.findings(turns)} & {"E104", "W214"}:
            found[code, case["is"]] += 1
    return {
        code: Figures(
            sum(count for (one, _), count in found.items() if one == code),
            found[code, kind],
            wanted[kind],
        )
        for code, kind in (("E104", "placeholder"), ("W214", "doubtful"))
    }


def main() -> None:
    print(f"{'rule':<12}{'fired':>7}{'right':>7}{'wanted':>8}{'precision':>11}{'recall':>8}")
    for name, figures in (of_clean() | of_placeholders()).items():
        print(f"{name:<12}{figures.fired:>7}{figures.right:>7}{figures.wanted:>8}"
              f"{figures.precision:>11.3f}{figures.recall:>8.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
