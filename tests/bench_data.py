"""How the data workshop grows with the rows. Run by hand:

    python -m tests.bench_data 10000 100000 1000000

Each stage runs as a person runs it, in a process of its own; seconds are wall time, those of a
processor are summed over cores, memory is the peak of the process. One row in ten is a copy of an earlier one with a typo, a filler, other
punctuation, or nothing changed.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.near_examples import _EN_WORDS, _ZH_WORDS, planted, questions

ROOT = Path(__file__).resolve().parent.parent
_SYLLABLES = ["ba", "co", "di", "fe", "gu", "ha", "jo", "ki", "lu", "ma", "ne", "po", "ra", "so", "tu", "ver", "wi", "yo", "zen", "ing", "st", "er", "al"]  # fmt: skip
_GLUE = ["the", "of", "is", "and", "to", "in", "a", "with", "for", "it"]
_PEAK = (
    "import resource, runpy, sys\n"
    "sys.argv = ['train', *sys.argv[1:]]\n"
    "try:\n"
    "    runpy.run_module('train', run_name='__main__', alter_sys=True)\n"
    "except SystemExit as done:\n"
    "    code = done.code or 0\n"
    "used = resource.getrusage(resource.RUSAGE_SELF)\n"
    "print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)\n"
    "sys.exit(code)\n"
)


def rows(count: int, seed: int = 7) -> Iterator[tuple[str, str]]:
    """Questions and answers, three in five Chinese, of about 70 tokens."""
    chooser = random.Random(seed)
    chinese = _ZH_WORDS + [
        "".join(chr(chooser.randrange(0x4E00, 0x5A00)) for _ in range(2)) for _ in range(6000)
    ]
    english = _EN_WORDS + ["".join(chooser.choices(_SYLLABLES, k=3)) for _ in range(6000)]
    earlier: list[tuple[str, str, str]] = []
    for _ in range(count):
        if earlier and chooser.random() < 0.1:
            language, question, answer = chooser.choice(earlier)
            kind = chooser.choice(["typo", "filler", "punctuation", "none"])
            ((_, question),) = planted([question], language, kind, 1, chooser)
        else:
            language = "zh" if chooser.random() < 0.6 else "en"
            if language == "zh":
                question = (
                    questions("zh", 1, chooser)[0] + "".join(chooser.choices(chinese, k=2)) + "？"
                )
                answer = (
                    "，".join(
                        "".join(chooser.choices(chinese, k=4)) for _ in range(chooser.randint(2, 9))
                    )
                    + "。"
                )
            else:
                question = (
                    f"{questions('en', 1, chooser)[0]} {' '.join(chooser.choices(english, k=2))}?"
                )
                words = chooser.choices(english, k=chooser.randint(6, 30))
                answer = " ".join(f"{word} {chooser.choice(_GLUE)}" for word in words) + "."
        if len(earlier) < 5000:
            earlier.append((language, question, answer))
        else:
            earlier[chooser.randrange(5000)] = (language, question, answer)
        yield question, answer


def measured(*arguments: str) -> tuple[float, float, int]:
    """Seconds, processor seconds and peak MiB of one command. Raises CalledProcessError."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, "data", *arguments, "-q"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 1):
        raise subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
    *_, used, peak = done.stderr.split()
    return seconds, float(used), int(peak) // 1024


def write_inputs(folder: Path, count: int) -> None:
    """The same rows as csv in GB18030, as a JSON array, and (up to Excel's limit) as xlsx."""
    from openpyxl import Workbook

    book = Workbook(write_only=True) if count <= 200_000 else None
    sheet = book.create_sheet("rows") if book else None
    with (
        (folder / "rows.csv").open("w", encoding="gb18030", newline="") as table,
        (folder / "rows.json").open("w", encoding="utf-8") as array,
    ):
        writer = csv.writer(table)
        writer.writerow(["问题", "回答"])
        if sheet is not None:
            sheet.append(["问题", "回答"])
        for number, (question, answer) in enumerate(rows(count)):
            writer.writerow([question, answer])
            array.write("[\n" if number == 0 else ",\n")
            array.write(json.dumps({"instruction": question, "output": answer}, ensure_ascii=False))
            if sheet is not None:
                sheet.append([question, answer])
        array.write("]\n")
    if book:
        book.save(folder / "rows.xlsx")


def main() -> None:
    counts = [int(text) for text in sys.argv[1:]] or [10_000]
    print("| rows | stage | seconds | of a processor | peak MiB |\n|---|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_inputs(folder, count)
            data = str(folder / "a.jsonl")
            stages = {
                "import csv (GB18030)": ("import", str(folder / "rows.csv"), "-o", data),
                "import json array": ("import", str(folder / "rows.json"), "-o", str(folder / "b.jsonl")),
                "import xlsx": ("import", str(folder / "rows.xlsx"), "-o", str(folder / "c.jsonl")),
                "clean": ("clean", data, "-o", str(folder / "d.jsonl"), "--diff", "0"),
                "lint with near duplicates": ("lint", data, "-o", str(folder / "lint"), "--set", "model.base=./none"),
                "split 7:3": ("split", data, "-o", str(folder / "data"), "--ratio", "7:3"),
                "mix": ("mix", data, "-o", str(folder / "e.jsonl")),
            }  # fmt: skip
            for stage, arguments in stages.items():
                if stage == "import xlsx" and not (folder / "rows.xlsx").exists():
                    continue
                seconds, used, peak = measured(*arguments)
                print(f"| {count:,} | {stage} | {seconds:.1f} | {used:.1f} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
