"""`train data mix|split|show`: rows put together, apart, and looked at."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from assistant.artifacts import read_manifest
from assistant.conversation import Conversation, Message, read_conversations
from assistant.errors import FailedError, UsageError
from tests.near_examples import planted, questions
from train.data.importing import import_files
from train.data.lines import Numbered
from train.data.mix import files_in, mix, parse_weights
from train.data.show import as_read, as_rendered, chosen_rows, rendered_json
from train.data.split import parse_ratio, split

ROOT = Path(__file__).resolve().parents[2]
OUT = Path("mixed.jsonl")
RIDDLES = ROOT / "tests" / "data" / "riddles.jsonl"


def row(question: str, answer: str = "好", **meta: str) -> Conversation:
    said = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Conversation(messages=said, meta=meta)


def write(file: Path, rows: list[Conversation]) -> Path:
    file.write_text("".join(item.line() + "\n" for item in rows), "utf-8")
    return file


def sides(folder: Path) -> tuple[list[Conversation], list[Conversation]]:
    return (
        list(read_conversations(folder / "train.jsonl")),
        list(read_conversations(folder / "valid.jsonl")),
    )


def asked(rows: list[Conversation]) -> set[str]:
    return {item.messages[0].content for item in rows}


@pytest.mark.parametrize(("text", "share"), [("7:3", 0.3), ("9：1", 0.1), ("0.8:0.2", 0.2)])
def test_ratio(text, share):
    assert parse_ratio(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["7", "7:0", "a:b", "1:2:3", "-1:2"])
def test_wrong_ratio(text):
    with pytest.raises(UsageError):
        parse_ratio(text)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_paraphrase_straddles(tmp_path, language):
    chooser = random.Random(8)
    originals = questions(language, 400, chooser)
    rows = [row(text, answer=str(number)) for number, text in enumerate(originals)]
    for kind in ("typo", "filler", "punctuation"):
        rows += [
            row(text, answer=str(source))
            for source, text in planted(originals, language, kind, 120, chooser)
        ]
    chooser.shuffle(rows)
    done = split([write(tmp_path / "a.jsonl", rows)], tmp_path / "data", parse_ratio("7:3"))
    train, valid = sides(tmp_path / "data")
    sources = [{item.messages[1].content for item in side} for side in (train, valid)]
    assert sources[0] & sources[1] == set()
    assert len(train) + len(valid) == len(rows) == done.rows
    assert abs(len(valid) / len(rows) - 0.3) < 0.01
    assert Counter(item.line() for item in train + valid) == Counter(item.line() for item in rows)


def test_multi_turn_questions_are_compared_whole(tmp_path):
    def talk(*questions: str) -> Conversation:
        said = [Message(role=role, content=text) for question in questions
                for role, text in (("user", question), ("assistant", "好"))]  # fmt: skip
        return Conversation(messages=tuple(said))

    rows = [talk("继续讲讲", text) for text in questions("zh", 30, random.Random(2))]
    done = split([write(tmp_path / "a.jsonl", rows)], tmp_path / "data", 0.5)
    assert (done.groups, done.largest_group) == (30, 1)


def test_cells_of_a_plan_are_questions_of_their_own(tmp_path):
    people = ["姐姐", "哥哥", "妈妈", "爸爸", "老师", "同学"]
    rows = [
        row(f"祝{person}生日快乐天天开心万事如意{style}", role=person, scene="生日", style=style)
        for person in people
        for style in ("", "，小红书风格", "，严肃风格")
    ]
    done = split([write(tmp_path / "a.jsonl", rows)], tmp_path / "data", 0.34)
    assert done.largest_group <= 3
    assert done.groups >= 6


def test_the_side_depends_on_seed_and_question_not_on_order(tmp_path):
    rows = [row(text) for text in questions("en", 100, random.Random(4))]
    first = write(tmp_path / "a.jsonl", rows)
    other = write(tmp_path / "b.jsonl", rows[::-1])
    split([first], tmp_path / "one", 0.3, seed=1)
    split([other], tmp_path / "two", 0.3, seed=1)
    split([first], tmp_path / "three", 0.3, seed=2)
    held = [asked(sides(tmp_path / name)[1]) for name in ("one", "two", "three")]
    assert held[0] == held[1] != held[2]
    assert [len(side) for side in held] == [30, 30, 30]


def test_the_folder_explains_itself_and_is_not_replaced_unasked(tmp_path):
    file = write(
        tmp_path / "a.jsonl", [row(text) for text in questions("zh", 20, random.Random(1))]
    )
    split([file], tmp_path / "data", 0.3)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "manifest.json", "train.jsonl", "valid.jsonl",
    ]  # fmt: skip
    manifest = read_manifest(tmp_path / "data")
    assert (manifest.stage, manifest.seed, list(manifest.inputs)) == ("data", 42, ["a.jsonl"])
    assert (manifest.notes["train"], manifest.notes["valid"]) == (14, 6)
    with pytest.raises(UsageError, match="--force"):
        split([file], tmp_path / "data", 0.3)
    split([file], tmp_path / "data", 0.5, force=True)
    assert len(sides(tmp_path / "data")[1]) == 10
    (tmp_path / "data" / "mine.txt").write_text("precious")
    for folder in (tmp_path / "data", tmp_path, file):
        with pytest.raises(UsageError):
            split([file], folder, 0.5, force=True)
    assert (tmp_path / "data" / "mine.txt").read_text() == "precious"
    assert file.is_file()


def test_one_question_cannot_be_separated(tmp_path):
    file = write(tmp_path / "a.jsonl", [row("你是谁", str(number)) for number in range(10)])
    with pytest.raises(FailedError, match="1 groups"):
        split([file], tmp_path / "data", 0.3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


def test_a_published_file_split_seven_to_three(tmp_path):
    import_files([RIDDLES], tmp_path / "a.jsonl")
    done = split([tmp_path / "a.jsonl"], tmp_path / "data", parse_ratio("7:3"))
    assert (done.train, done.valid, done.groups) == (43, 18, 61)


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "parts"
    place.mkdir()
    write(place / "identity.jsonl", [row(f"身份{number}") for number in range(10)])
    write(place / "ordinary.jsonl", [row(f"普通{number}") for number in range(40)])
    for side in ("dropped", "changes", "journal"):
        (place / f"ordinary.{side}.jsonl").write_text('{"row": 1}\n')
    return place


def test_mix_with_weights(folder, tmp_path):
    files = files_in([folder], OUT)
    assert [file.name for file in files] == ["identity.jsonl", "ordinary.jsonl"]
    weights = parse_weights(["identity=2.5", "ordinary.jsonl=0.5"], files)
    done = mix(weights, tmp_path / "mixed.jsonl", seed=3)
    rows = [item.messages[0].content for item in read_conversations(tmp_path / "mixed.jsonl")]
    counts = Counter(rows)
    mine = {text: count for text, count in counts.items() if text.startswith("身份")}
    assert (sum(mine.values()), len(mine), set(mine.values())) == (25, 10, {2, 3})
    assert Counter(text[:2] for text in rows) == {"身份": 25, "普通": 20}
    assert max(count for text, count in counts.items() if text.startswith("普通")) == 1
    assert rows != sorted(rows)
    assert done.rows == 45
    written = json.loads((tmp_path / "mixed.report.json").read_text("utf-8"))
    assert [file["rows_out"] for file in written["files"]] == [25, 20]
    again = mix(weights, tmp_path / "again.jsonl", seed=3)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "mixed.jsonl").read_bytes()
    assert again.rows == 45


def test_mix_to_a_number_of_rows_by_shares(folder, tmp_path):
    weights = parse_weights(["identity=1", "ordinary=3"], files_in([folder], OUT))
    done = mix(weights, tmp_path / "mixed.jsonl", total=101)
    assert sorted(file["rows_out"] for file in done.files) == [25, 76]


@pytest.mark.parametrize(
    "weight", ["identity", "nobody=1", "identity=-1", "identity=x", "identity=nan", "identity=inf"]
)
def test_wrong_weights(folder, weight):
    with pytest.raises(UsageError):
        parse_weights([weight], files_in([folder], OUT))


def test_mix_never_writes_over_what_it_reads(folder, tmp_path):
    """A file that is named is an input, also where it is the output; in a folder the earlier
    result is none."""
    one, two = folder / "identity.jsonl", folder / "ordinary.jsonl"
    before = one.read_bytes()
    with pytest.raises(UsageError, match="input"):
        mix(dict.fromkeys(files_in([one, two], one), 1.0), one, force=True)
    assert one.read_bytes() == before
    out = folder / "mixed.jsonl"
    for _ in range(2):
        assert mix(dict.fromkeys(files_in([folder], out), 1.0), out, force=True).rows == 50


@pytest.mark.parametrize(("weight", "total"), [(1.0, 10**12), (1e9, None), (1e300, None)])
def test_mix_refuses_more_rows_than_memory_holds(folder, tmp_path, weight, total):
    weights = dict.fromkeys(files_in([folder], OUT), weight)
    with pytest.raises(UsageError, match="at most 10,000,000"):
        mix(weights, tmp_path / "mixed.jsonl", total=total)
    assert not (tmp_path / "mixed.jsonl").exists()


def test_mix_refuses_what_is_no_conversation_and_nothing_at_all(folder, tmp_path):
    with pytest.raises(FailedError):
        mix(dict.fromkeys(files_in([folder], OUT), 0.0), tmp_path / "mixed.jsonl")
    (folder / "bad.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match=r"bad\.jsonl:1"):
        mix(dict.fromkeys(files_in([folder], OUT), 1.0), tmp_path / "mixed.jsonl")
    assert not (tmp_path / "mixed.jsonl").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError):
        files_in([tmp_path / "empty"], OUT)


def test_show_finds_and_numbers_rows(folder):
    files = [folder / "identity.jsonl", folder / "ordinary.jsonl"]
    found = list(chosen_rows(files, find="普通3", start=12))
    assert [item.line for item in found] == [14, *range(41, 51)]
    assert "#14" in as_read(found[0])
    assert "普通3" in as_read(found[0])


def test_show_renders_and_marks_what_is_learned(folder, embedded_model):
    from assistant.config import read_config
    from train.data.linting.lengths import base_tokenizer
    from train.data.render import render
    from train.settings import TrainTable

    config = read_config(ROOT / "assistant.toml", tables={"train": TrainTable})
    tokenizer = base_tokenizer(config)
    (first, *_) = chosen_rows([folder / "identity.jsonl"])
    text = as_rendered(first, tokenizer, 512)
    assert "⟦好<|im_end|>⟧" in text
    assert "<|im_start|>user\n身份0<|im_end|>" in text
    (sample,) = rendered_json(first, tokenizer, 512)
    (expected,) = render(tokenizer, first.conversation.messages)
    assert (sample["tokens"], sample["learned"]) == (len(expected.input_ids), expected.learned)
    assert "".join(part["text"] for part in sample["parts"]) == expected.text
    shorter = len(expected.input_ids) - 2  # the closing token and the newline
    (cut,) = rendered_json(first, tokenizer, shorter)
    assert (cut["tokens"], cut["cut"]) == (sample["tokens"], 2)
    assert cut["learned"] == expected.cut(shorter).learned < expected.learned
    assert "".join(part["text"] for part in cut["parts"]) == expected.text
    assert "2 cut" in as_rendered(first, tokenizer, shorter)
    assert "✂" in as_rendered(first, tokenizer, shorter)
    unfinished = Conversation(messages=first.conversation.messages, meta={"ended": False})
    (open_end,) = rendered_json(Numbered(1, unfinished), tokenizer, 512)
    assert open_end["learned"] == expected.unclosed().learned < expected.learned


def test_the_commands(folder, tmp_path):
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "train", "data", *map(str, arguments)], cwd=ROOT, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip

    mixed, out = tmp_path / "mixed.jsonl", tmp_path / "data"
    done = run("mix", folder, "-o", mixed, "--weight", "identity=2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows_out"] == 60
    done = run("split", mixed, "-o", out, "--ratio", "7:3", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["train"] + said["valid"] == 60
    done = run("show", folder / "identity.jsonl", "--rows", "2")
    assert (done.returncode, done.stdout.count("#")) == (0, 2)
    done = run("show", folder / "identity.jsonl", "--find", "没有这句")
    assert (done.returncode, done.stdout, "No row" in done.stderr) == (0, "", True)
    done = run("show", folder / "identity.jsonl", "--start", "9", "--json")
    assert [item["row"] for item in json.loads(done.stdout)["rows"]] == [9, 10]
    for wrong in (
        ("split", mixed, "-o", out),
        ("show", tmp_path / "none"),
        ("mix", folder, "-o", mixed),
    ):
        done = run(*wrong)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
