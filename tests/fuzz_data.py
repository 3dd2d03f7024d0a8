"""Files of data that nobody meant: imported, cleaned and linted, in this process.

    python tests/fuzz_data.py --what lint --minutes 20 --seed 1

Rows of every shape that `docs/data-shapes.md` lists are changed here and there, written in every
container and spoilt. Nothing may end with a traceback or not at all, and the account must add up:
rows in = rows out + rows left out. What failed is printed with its seed: `--seed N --count 1` does it
again. `test_data_accounting.py` runs a few hundred of these.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT / "tests" / "train", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from test_data_shapes import SAMPLES  # noqa: E402

from assistant.errors import AssistantError  # noqa: E402
from train.data.cleaning import Cleaner, clean_files  # noqa: E402
from train.data.cleaning.rules import DEFAULT, NAMES  # noqa: E402
from train.data.importing import Columns, Options, import_files  # noqa: E402
from train.data.linting import lint  # noqa: E402

SECONDS = 60  # that one file may take
STAGES = ("import", "clean", "lint")
ROWS = [row for _, row, _ in SAMPLES]
CASES = [
    {"question": case["question"], "answer": case["answer"]}
    for case in map(json.loads, (ROOT / "tests" / "data" / "clean_cases.jsonl").open("r", encoding="utf-8"))
]  # fmt: skip
KEYS = sorted(
    {key for row in ROWS if isinstance(row, dict) for key in row}
    | {"label", "train", "rating", "weight", "loss_mask", "images", "role", "问题", "回答", ""}
)
LEAVES: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, float("nan"), 10**400, "", "x", "<image>", "[]", '{"a":1}', "[1,2]",
    '[["a","b"]]', "\ud83d", "\0", "\ufffd", "### Human: a ### Assistant: b", "<think>x</think>y", "{name}", "${x}",
    [], {}, [None], [[]], [{}], {"role": "user"}, "[INST] a [/INST] b", "a\u200bb", "&lt;p&gt;", "```\nx\n", "=" * 300,
    "好的，以下是：\n1. x\n注意：y", "As an AI language model, I", "\\frac{a}{b}", "{{user}}: hi", "…" * 50,
]  # fmt: skip
ENDINGS = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".dat", ".gz", "")


def changed(value: Any, chance: random.Random) -> Any:
    """The value after some accidents."""
    if chance.random() < 0.1:
        return chance.choice(LEAVES)
    if isinstance(value, dict):
        found = {
            (chance.choice(KEYS) if chance.random() < 0.05 else key): changed(inner, chance)
            for key, inner in value.items()
            if chance.random() > 0.05
        }
        if chance.random() < 0.15:
            found[chance.choice(KEYS)] = chance.choice((*LEAVES, chance.choice(ROWS)))
        return found
    if isinstance(value, list):
        return [changed(inner, chance) for inner in value if chance.random() > 0.05]
    if isinstance(value, str) and chance.random() < 0.1:
        at = chance.randrange(len(value) + 1)
        return value[:at] + str(chance.choice(LEAVES)) + value[at:]
    return value


def text_of(rows: list[Any], chance: random.Random) -> str:
    """The rows in one of the containers that people use."""
    indent = chance.choice((None, 1))
    plain = chance.random() < 0.5
    return chance.choice((
        lambda: "\n".join(json.dumps(row, ensure_ascii=plain) for row in rows),
        lambda: json.dumps(rows, indent=indent),
        lambda: json.dumps({"data": rows, "x": chance.choice(LEAVES)}, indent=indent),
        lambda: json.dumps({"a": {"train": rows, "y": 1}, "b": rows[:2]}, indent=indent),
        lambda: "".join(json.dumps(row) for row in rows),
        lambda: json.dumps({str(number): row for number, row in enumerate(rows)}),
        lambda: table_of(rows, chance),
        lambda: json.dumps({"en": rows, "zh": rows[:1], "": None}, indent=indent),
        lambda: json.dumps({"faq": {"good": rows, "bad": rows[:2]}, "negative": rows[1:]}),
        lambda: json.dumps([["question", "answer"], *(cells_of(row) for row in rows)], indent=indent),
        lambda: "\n".join(json.dumps(cells_of(row)) for row in rows),
        lambda: json.dumps({"conversations": [cells_of(row) for row in rows], "x": chance.choice(LEAVES)}),
    ))()  # fmt: skip


def cells_of(row: Any) -> list[Any]:
    """The values of a row alone."""
    return list(row.values()) if isinstance(row, dict) else [row]


def table_of(rows: list[Any], chance: random.Random) -> str:
    out = io.StringIO()
    header = chance.choice(
        (["question", "answer"], ["问题", "回答", "备注"], chance.sample(KEYS, 4))
    )
    writer = csv.writer(out, delimiter=chance.choice(",;\t|"))
    writer.writerow(header)
    for row in rows:
        texts = [str(cell) for cell in (row.values() if isinstance(row, dict) else (row,))]
        writer.writerow([text.encode("utf-8", "replace").decode() for text in texts])
    return out.getvalue()


def spoilt(content: bytes, chance: random.Random) -> bytes:
    """The bytes after some accidents, or none."""
    for _ in range(chance.choice((0, 0, 1, 3))):
        at = chance.randrange(len(content) + 1)
        put = chance.choice(
            (
                b"",
                b"\n",
                b'"',
                b"{",
                b"]",
                b",",
                b"NaN",
                b"\\",
                b"\0",
                b"\xff",
                content[at : at + 30],
            )
        )
        content = content[:at] + put + content[at + chance.randrange(3) :]
    return gzip.compress(content) if chance.random() < 0.03 else content


def options_for(chance: random.Random) -> Options:
    names = chance.choice([(None, None)] * 8 + [("q", "a"), ("A", "B"), ("question", "answer")])
    return Options(
        Columns(*names) if names[0] else Columns(),
        chance.choice(["auto"] * 9 + ["messages", "xtuner", "sharegpt", "columns"]),
        header=chance.random() > 0.05,
        assistant=("x",) if chance.random() < 0.05 else (),
        ignore=(chance.choice(KEYS),) if chance.random() < 0.05 else (),
    )


class HangError(Exception):
    """A file took too long."""


def _too_long(*_: object) -> None:
    raise HangError


def one(seed: int, what: str) -> str:
    """Do what `seed` says, up to the stage `what`; gives what was wrong, or nothing."""
    chance = random.Random(seed)
    pool = ROWS if chance.random() < 0.5 else [*ROWS, *CASES]
    rows = [changed(chance.choice(pool), chance) for _ in range(chance.randrange(7))]
    encoding = chance.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "gb18030", "utf-16"))
    content = spoilt(text_of(rows, chance).encode(encoding, "replace"), chance)
    signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        file = Path(place, "rows" + chance.choice(ENDINGS))
        file.write_bytes(content)
        signal.alarm(SECONDS)
        try:
            _stages(file, what, chance)
        except HangError:
            return f"seed {seed}: {what} hangs"
        except AssistantError as error:
            if not error.message.en.strip():
                return f"seed {seed}: an error without a word"
        except Exception:  # that is what is looked for
            return f"seed {seed}: {what}\n{traceback.format_exc(limit=-5)}"
        finally:
            signal.alarm(0)
    return ""


def _stages(file: Path, what: str, chance: random.Random) -> None:
    out = file.with_name("imported.jsonl")
    try:
        import_files([file], out, options_for(chance)).text()
    finally:
        _account(out)
    if what == "import":
        return
    names = chance.choice((DEFAULT, NAMES, chance.sample(NAMES, 3)))
    cleaned = file.with_name("cleaned.jsonl")
    clean_files([out], cleaned, Cleaner(names))
    if what == "lint":
        report = lint([file if chance.random() < 0.3 else cleaned], max_length=64)
        json.dumps(report.as_json())


def _account(out: Path) -> None:
    """Rows in = rows out + rows left out, where a report was written."""
    report = out.with_suffix(".report.json")
    if report.exists():
        said = json.loads(report.read_text("utf-8"))
        assert said["rows_in"] == said["rows_out"] + sum(said["dropped"].values()), said


def run(seeds: Iterator[int], until: Callable[[], bool], what: str) -> tuple[int, list[str]]:
    """How many were tried, and what was wrong, until told to end."""
    tried, wrong = 0, []
    for seed in seeds:
        if until():
            break
        tried += 1
        if found := one(seed, what):
            wrong.append(found)
    return tried, wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", choices=STAGES, default="lint", help="how far each file goes")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10**9)
    chosen = parser.parse_args()
    end = time.monotonic() + 60 * chosen.minutes
    seeds = iter(range(chosen.seed, chosen.seed + chosen.count))
    tried, wrong = run(seeds, lambda: time.monotonic() > end, chosen.what)
    for found in wrong:
        print(found, end="\n\n")
    print(
        f"{tried} tried, {len(wrong)} wrong, {sum(found.endswith('hangs') for found in wrong)} of them hangs"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
