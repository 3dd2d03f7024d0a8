"""`train data import` accounts for the whole file: every container, key and row is used, left out
with a reason, or named as not used; what says not to learn is obeyed; each printed cure works."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import fuzz_data
import pytest
from click.testing import CliRunner, Result

from assistant.conversation import read_conversations
from assistant.errors import FailedError, UsageError
from train.__main__ import main
from train.data.importing import Columns, ImportReport, Options, import_files
from train.data.importing.containers import JsonRows
from train.data.importing.json_stream import JsonStream
from train.data.importing.marks import Evidence, kind_of, verdict
from train.data.linting.content import ContentChecks
from train.data.mix import files_in, files_left_out
from train.data.text.media import links_picture, lost_picture, media_mark

PAIR = {"question": "a?", "answer": "A"}
OTHER = {"question": "b?", "answer": "B"}


def asked(question: str = "q", answer: str = "a", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question},
                         {"role": "assistant", "content": answer, **more}]}  # fmt: skip


def imported(
    file: Path, options: Options | None = None
) -> tuple[list[tuple[str, ...]], ImportReport]:
    """Texts of the conversations, and the report, whose counts agree with the files written."""
    out = file.with_name(f"out-{file.name}.jsonl")
    try:
        report = import_files([file], out, options, force=True)
    except FailedError:
        report = None
    dropped = [
        json.loads(line) for line in out.with_suffix(".dropped.jsonl").open(encoding="utf-8")
    ]
    rows = (
        [tuple(message.content for message in row.messages) for row in read_conversations(out)]
        if report
        else []
    )
    written = json.loads(out.with_suffix(".report.json").read_text("utf-8"))
    assert written["rows_in"] == len(rows) + sum(line.get("rows", 1) for line in dropped)
    assert report is not None, written
    return rows, report


def write(file: Path, value: Any, indent: int | None = None) -> Path:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=indent), "utf-8")
    return file


def lines(file: Path, *rows: Any) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return file


def left_out(report: ImportReport) -> list[tuple[int, str]]:
    return [(line["row"], line["reason"])
            for line in map(json.loads, report.dropped_file.open(encoding="utf-8"))]  # fmt: skip


# --- containers -------------------------------------------------------------------------------

CONTAINERS = [
    ({"train": [PAIR], "test": [OTHER]}, {"train": 1, "test": 1}, {}),
    ({"tags": ["x", "y"], "data": [PAIR, OTHER]}, {"data": 2}, {"tags": 2}),
    ({"authors": [{"name": "n"}], "data": [PAIR, OTHER]}, {"data": 2}, {"authors": 1}),
    ({"data": [PAIR, OTHER], "version": 3, "authors": [{"name": "n"}]}, {"data": 2}, {"version": 1, "authors": 1}),
    ({"data": {"train": [PAIR], "test": [OTHER]}, "note": "n"}, {"data.train": 1, "data.test": 1}, {"note": 1}),
    ({"1": PAIR, "2": OTHER}, {"1": 1, "2": 1}, {}),
    ({"rows": [{"row_idx": 0, "row": PAIR}, {"row_idx": 1, "row": OTHER}]}, {"rows[].row": 2}, {"rows[].row_idx": 2}),
    ({"conversations": [asked("a?", "A"), asked("b?", "B")]}, {"conversations": 2}, {}),
    ({"messages": [PAIR, OTHER]}, {"messages": 2}, {}),
    ([{"topic": "t", "items": [PAIR, OTHER]}], {"[].items": 2}, {"[].topic": 1}),
    ([[PAIR, OTHER]], {"[]": 2}, {}),
    ([{"train": [PAIR]}, {"train": [OTHER]}], {"[].train": 2}, {}),
    ({"en": [PAIR], "zh": [OTHER]}, {"en": 1, "zh": 1}, {}),
    ({"faq": {"de": [PAIR], "en": [OTHER]}}, {"faq.de": 1, "faq.en": 1}, {}),
    ({"positive": [PAIR, OTHER]}, {"positive": 2}, {}),
    ({"question": [PAIR], "answer": [OTHER]}, {"question": 1, "answer": 1}, {}),
    ({"categories": ["c"], "conversations": [["a?", "A"], ["b?", "B"]]}, {"conversations": 2}, {"categories": 1}),
]  # fmt: skip


@pytest.mark.parametrize("indent", [None, 1], ids=["one line", "indented"])
@pytest.mark.parametrize(("value", "places", "outside"), CONTAINERS)
def test_every_array_of_rows_is_read_and_the_rest_named(tmp_path, value, places, outside, indent):
    rows, report = imported(write(tmp_path / "a.json", value, indent))
    assert rows == [("a?", "A"), ("b?", "B")]
    assert dict(report.files[0].places) == places
    assert dict(report.files[0].outside) == outside


@pytest.mark.parametrize(("value", "places", "outside"), CONTAINERS[:9])
def test_what_is_longer_than_a_row_is_read_member_by_member(tmp_path, value, places, outside):
    """The same, where an object does not fit into memory."""
    from collections import Counter

    file, found = write(tmp_path / "a.json", value), Counter()
    with file.open(encoding="utf-8") as source:
        rows = list(JsonRows(JsonStream(source, limit=40), found))
    questions = [(row.value.get("question") or row.value["messages"][0]["content"]) for row in rows]
    assert questions == ["a?", "b?"]


@pytest.mark.parametrize(
    ("good", "bad"), [("positive", "negative"), ("good", "bad"), ("chosen", "rejected")]
)
def test_a_part_of_bad_answers_is_left_out_row_by_row(tmp_path, good, bad):
    for value in ({good: [PAIR], bad: [OTHER]}, {"data": {good: [PAIR], bad: [OTHER]}}):
        rows, report = imported(write(tmp_path / "a.json", value))
        assert rows == [("a?", "A")]
        assert left_out(report) == [(1, "in_bad_part")]
    with pytest.raises(FailedError) as failure:
        import_files([write(tmp_path / "a.json", {bad: [OTHER]})], tmp_path / "out.jsonl")
    assert "another name" in failure.value.cure.en


def test_an_empty_name_is_no_list_of_talks(tmp_path):
    value = {"messages": {"messages": None}, "": None, "rows": [PAIR]}
    rows, _ = imported(write(tmp_path / "a.json", value))
    assert rows == [("a?", "A")]


def test_a_talk_of_three_texts_costs_itself_alone(tmp_path):
    talks = {"conversations": [["a?", "A"], ["b?", "B", "c"]]}
    rows, report = imported(write(tmp_path / "a.json", talks))
    assert rows == [("a?", "A")] and left_out(report) == [(2, "order")]
    assert "taken in turn" in report.text().en


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_arrays_of_cells_are_a_table(tmp_path, ending):
    cells = [["question", "answer"], ["a?", "A"], ["b?", 3], ["c?", None]]
    file = tmp_path / f"a.{ending}"
    lines(file, *cells) if ending == "jsonl" else write(file, cells)
    rows, report = imported(file)
    assert rows == [("a?", "A"), ("b?", "3")]
    assert left_out(report) == [(4, "no_answer")]
    lines(file, *cells[1:3]) if ending == "jsonl" else write(file, cells[1:3])
    with pytest.raises(UsageError) as failure:
        imported(file)
    assert "--no-header --question A --answer B" in failure.value.cure.en
    options = Options(columns=Columns(question="A", answer="B"), header=False)
    rows, _ = imported(file, options)
    assert rows == [("a?", "A"), ("b?", "3")]


@pytest.mark.parametrize(
    ("text", "questions", "left"),
    [
        ("Customer,Agent\nWhich plan?,B\nOpen?,At nine.\n", ["Which plan?", "Open?"], "taken_for_header"),
        ("Ask,Say\nBlood type?,A\nName?,Bei\n", ["Blood type?", "Name?"], "taken_for_header"),
        ("A,B\nx?,y\n", ["x?"], ""),
        ("B,A\ny,x?\n", ["x?"], ""),
        ("Which?,A\nx?,y\n", ["x?"], "taken_for_header"),
    ],
)  # fmt: skip
def test_letters_are_columns_unless_the_first_row_is_titled_so(tmp_path, text, questions, left):
    file = tmp_path / "a.csv"
    file.write_text(text)
    rows, report = imported(file, Options(columns=Columns(question="A", answer="B")))
    assert [row[0] for row in rows] == questions
    assert [reason for _, reason in left_out(report)] == ([left] if left else [])


def test_a_short_title_that_no_column_is_lettered_is_a_title_below_other_rows_too(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("Our questions,\nque,rep\nx?,y\n")
    rows, report = imported(file, Options(columns=Columns(question="que", answer="rep")))
    assert rows == [("x?", "y")] and left_out(report) == [(1, "above_header")]


def test_one_column_is_not_both_question_and_answer(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("Ask,Say\nx?,y\n")
    with pytest.raises(UsageError, match="one column: A"):
        imported(file, Options(columns=Columns(question="A", answer="A")))


def test_the_rule_of_a_table_in_markdown_is_no_row(tmp_path):
    file = tmp_path / "a.md"
    file.write_text("| question | answer |\n|---|:-:|\n| a? | A |\n")
    rows, report = imported(file)
    assert rows == [("a?", "A")] and left_out(report) == [(2, "table_rule")]


def test_rows_in_each_line_of_jsonl(tmp_path):
    file = lines(tmp_path / "a.jsonl", {"data": [PAIR, OTHER]}, [PAIR, {"x": 1}], PAIR)
    rows, report = imported(file)
    assert [row[0] for row in rows] == ["a?", "b?", "a?", "a?"]
    assert left_out(report) == [(2, "unknown_shape")]


def test_what_stands_once_beside_rows_belongs_to_each_of_them(tmp_path):
    """As the seed tasks of Self-Instruct have it."""
    file = lines(
        tmp_path / "a.jsonl",
        {"id": 1, "instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}, {"input": "1 2", "output": "3"}]},
        {"id": 2, "instruction": "Greet.", "instances": [{"input": "", "output": "Hello."}]},
        {"system": "Be brief.", "data": [PAIR]},
    )  # fmt: skip
    rows, report = imported(file)
    assert rows == [
        ("Add.\n1 1", "2"), ("Add.\n1 2", "3"), ("Greet.", "Hello."), ("Be brief.", "a?", "A"),
    ]  # fmt: skip
    assert dict(report.files[0].outside) == {"[].id": 2}


@pytest.mark.parametrize("above", [
    {"question": "Which?"}, {"prompt": "Of what?"}, {"answer": "None."}, {"instruction": " "}, {"instruction": 5},
])  # fmt: skip
def test_what_would_take_the_place_of_a_rows_own_is_named_as_not_used(tmp_path, above):
    inner = {"prompt": "a?", "completion": "A"}
    rows, report = imported(lines(tmp_path / "a.jsonl", above | {"items": [inner]}, PAIR))
    assert rows[0] == ("a?", "A")
    named = {f"[].{key}": 1 for key, value in above.items() if str(value).strip()}
    assert dict(report.files[0].outside) == named


@pytest.mark.parametrize("count", [1, 2, 3])
def test_small_arrays_with_a_row_on_each_line(tmp_path, count):
    file = tmp_path / "a.json"
    body = ",\n".join([json.dumps(PAIR)] * count)
    for text in (f"[\n{body}\n]", f'{{\n"data": [\n{body}\n]\n}}', f"[{body},]", f"{body},\n"):
        file.write_text(text, "utf-8")
        assert imported(file)[1].rows_out == count


@pytest.mark.parametrize("broken", [
    '{"question":"a?" "answer":"A"}', '{"question":"a?,"answer":"A"}', '{"question":"a?","answer":undefined}',
    "{'question':'a?','answer':'A'}", '{"question":"a?","answer":"A}', '{"question":}', "?",
])  # fmt: skip
@pytest.mark.parametrize("between", [",", ",\n"])
def test_a_broken_item_costs_itself_only(tmp_path, broken, between):
    file, good = tmp_path / "a.json", json.dumps(OTHER)
    file.write_text(f"[{good}{between}{broken}{between}{good}{between}{good}]", "utf-8")
    rows, report = imported(file)
    assert [row[0] for row in rows] == ["b?"] * 3
    assert left_out(report) == [(2, "broken")]
    assert report.whole
    assert "line" in next(iter(report.files[0].dropped_details["broken"]))


def test_nan_and_line_ends_in_strings_cost_at_most_their_row(tmp_path):
    file = tmp_path / "a.json"
    file.write_text(
        '[{"question":"a?","answer":NaN},{"question":"b?","answer":"one\ntwo"}]', "utf-8"
    )
    rows, report = imported(file)
    assert rows == [("b?", "one\ntwo")]
    assert report.files[0].dropped_details == {"no_answer": {"answer: NaN": 1}}


def test_a_key_that_stands_twice_is_not_lost(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"question":"a?","answer":"A","answer":"B"}\n' * 2, "utf-8")
    rows, report = imported(file)
    assert rows == [("a?", "A")] * 2
    assert report.not_used == {"answer (2)": 2}


@pytest.mark.parametrize(
    "text", ["", "\n\n\n", "\ufeff", "[]", "question,answer\n", '{"data": []}']
)
@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "txt"])
def test_a_file_without_rows_says_so(tmp_path, text, suffix):
    file = tmp_path / f"a.{suffix}"
    file.write_text(text, "utf-8")
    with pytest.raises(FailedError, match="holds no rows"):
        import_files([file], tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.report.json").read_text("utf-8"))["rows_in"] == 0


# --- sheets -----------------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path) -> Path:
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "一月"
    for row in (
        ["问题", "回答", "备注", None],
        ["甲", "一", "早", None],
        ["乙", "二", None, "想法"],
    ):
        book.active.append(row)
    for name, rows in {
        "二月": [["问题", "回答"], ["丙", "三"]],
        "说明": [["x"], ["y"], ["z"]],
    }.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    hidden = book.create_sheet("旧")
    hidden.append(["问题", "回答"])
    hidden.append(["丁", "四"])
    hidden.sheet_state = "hidden"
    book.save(tmp_path / "book.xlsx")
    return tmp_path / "book.xlsx"


def test_every_sheet_with_a_header_is_read_and_the_others_named(book):
    rows, report = imported(book)
    assert rows == [("甲", "一"), ("乙", "二"), ("丙", "三")]
    written = report.as_json()["files"][0]
    assert written["sheet"] == "一月"
    assert [sheet["sheet"] for sheet in written["sheets"]] == ["一月", "二月"]
    assert written["sheets_not_read"] == {"说明": 3, "旧": 2}
    assert written["places"] == {"一月": 2, "二月": 1}
    assert written["not_used"] == {"备注": 1, "D": 1}
    assert "sheets not read: 说明 3, 旧 2 rows (--sheet NAME reads one)" in report.text().en
    assert imported(book, Options(sheet="旧"))[0] == [("丁", "四")]


@pytest.mark.parametrize(
    "name", ["rows.csv", "rows.xls", "rows.json", "rows", "rows.txt", "rows.jsonl", "rows.parquet"]
)
def test_content_decides_before_the_ending(tmp_path, book, name):
    file = tmp_path / name
    contents = {
        "xlsx": book.read_bytes(),
        "json": json.dumps([PAIR, OTHER], indent=1).encode("utf-16"),
        "jsonl": (json.dumps(PAIR) + "\n" + json.dumps(OTHER)).encode(),
        "table": "问题\t回答\n甲\t一\n乙\t二\n".encode("gb18030"),
    }
    for kind, content in contents.items():
        file.write_bytes(content)
        rows, report = imported(file)
        assert len(rows) == (3 if kind == "xlsx" else 2), (kind, report.text().en)


@pytest.mark.parametrize(("head", "said"), [
    (b"\xd0\xcf\x11\xe0", "save it as xlsx"), (b"\x1f\x8b\x08", "gunzip -c"), (b"%PDF-1.7", "generate --documents"),
    (b"ARROW1\0\0", "to_parquet"), (b"SQLite format 3\0", "sqlite3"), (b"<html><body>", "save it as xlsx"),
    (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"{\\rtf1", "docx, pdf or txt"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["a.xls", "a.xls x.xls"])
def test_known_kinds_that_hold_no_rows_are_named_with_what_to_do(tmp_path, head, said, name):
    file = tmp_path / name
    file.write_bytes(head + b"....")
    with pytest.raises(UsageError) as refused:
        import_files([file], tmp_path / "out.jsonl")
    assert said in refused.value.cure.en
    assert "FILE" not in refused.value.cure.en.replace("NEWFILE", "")


def test_zip_archives_are_told_apart(tmp_path):
    import zipfile

    for part, said in (
        ("word/document.xml", "--documents"),
        ("rows.csv", "unzip"),
        ("mimetype", "save it as xlsx"),
    ):
        file = tmp_path / "a.xlsx"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(part, "x")
        with pytest.raises(UsageError) as refused:
            import_files([file], tmp_path / "out.jsonl")
        assert said in refused.value.cure.en


# --- tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 30])
def test_text_in_a_column_without_a_title_is_never_dropped_silently(tmp_path, before):
    file = tmp_path / "a.csv"
    file.write_text(
        "question,answer\n" + "Hi?,Hi\n" * before + "Bye?,Bye, see you\nHi?,Hi\n", "utf-8"
    )
    rows, report = imported(file)
    assert rows == [("Hi?", "Hi")] * (before + 1)
    assert left_out(report) == [(before + 2, "too_many_cells")]


def test_an_index_column_is_named_and_costs_nothing(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(",question,answer\n0,a?,A\n1,b?,B\n", "utf-8")
    rows, report = imported(file)
    assert rows == [("a?", "A"), ("b?", "B")]
    assert report.not_used == {"A": 2}


def test_columns_are_said_and_those_not_used_named(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(
        "Question,Topic,Level,Place,Hint,Answer\n1+1=?,sums,2,p. 3,4,two\n2+2=?,,4,,,four\n",
        "utf-8",
    )
    _, report = imported(file)
    assert report.text().en.splitlines()[1] == (
        f'  {file}: csv, utf-8, delimiter ",", question ← Question, answer ← Answer; '
        "not used: Level 2, Topic 1, Place 1, Hint 1"
    )
    assert "问题 ← Question" in report.text().zh


def test_a_header_that_comes_again_is_no_row(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("question,answer\na?,A\nquestion,answer\nb?,B\n", "utf-8")
    rows, report = imported(file)
    assert (rows, left_out(report)) == ([("a?", "A"), ("b?", "B")], [(3, "header_again")])


def test_conversations_in_a_column(tmp_path):
    import csv

    file = tmp_path / "a.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([["id", "messages"], ["1", json.dumps(asked()["messages"])]])
    rows, report = imported(file)
    assert (rows, report.not_used) == ([("q", "a")], {"id": 1})


# --- what says not to learn -------------------------------------------------------------------


@pytest.mark.parametrize("mark", [
    {"label": False}, {"label": 0}, {"label": "bad"}, {"kto_tag": "false"}, {"weight": 0}, {"weight": "0.0"},
    {"train": False}, {"loss": 0}, {"is_train": "no"}, {"rejected": True}, {"deleted": 1}, {"skip": "yes"},
    {"accepted": False}, {"chosen": False}, {"quality": "poor"}, {"rating": "1/5"}, {"rating": "★☆☆☆☆"},
    {"feedback": "thumbs_down"}, {"feedback": "negative"}, {"status": "discarded"}, {"loss_mask": [1, 0, 1]}, {"标签": "差"}, {"是否采用": "否"},
    {"review": "未通过"}, {"vote": -1}, {"Do Not Train": True},
])  # fmt: skip
def test_what_says_not_to_learn_is_obeyed(tmp_path, mark):
    (key,) = mark
    good = {key: {"rating": "5/5", "vote": 1}.get(key, "")}
    rows, report = imported(
        lines(tmp_path / "a.jsonl", asked("good") | good, asked("bad") | mark, PAIR | mark)
    )
    assert [row[0] for row in rows] == ["good"]
    assert {reason for _, reason in left_out(report)} <= {"judged_bad", "not_to_learn"}
    assert all(
        key in detail for counted in report.files[0].dropped_details.values() for detail in counted
    )


@pytest.mark.parametrize("mark", [
    {"label": 4}, {"label": "sports"}, {"label": "negative"}, {"rating": 2}, {"score": 0.1}, {"weight": 0.5},
    {"status": "draft"}, {"correct": "no"}, {"correct": 0}, {"quality": 3}, {"loss": 2.31}, {"grade": "C"},
    {"rejected": "another answer"}, {"split": "test"}, {"good": "so so"},
])  # fmt: skip
def test_what_is_not_clear_is_named_as_not_used(tmp_path, mark):
    (key,) = mark
    rows, report = imported(lines(tmp_path / "a.jsonl", *[PAIR | mark] * 3))
    assert (len(rows), report.not_used) == (3, {key: 3})


@pytest.mark.parametrize(
    "mark", [{"label": True}, {"label": 1}, {"weight": 1}, {"train": True}, {"quality": "good"}]
)
def test_what_says_to_learn_is_learned(tmp_path, mark):
    rows, report = imported(lines(tmp_path / "a.jsonl", *[PAIR | mark] * 3))
    assert (len(rows), report.not_used) == (3, {})


def test_zero_among_classes_is_a_class(tmp_path):
    file = lines(tmp_path / "a.jsonl", *[PAIR | {"label": number} for number in range(5)])
    rows, report = imported(file)
    assert (len(rows), report.not_used) == (5, {"label": 5})


def test_marks_in_tables(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("question,answer,label,rating\na?,A,1,5\nb?,B,0,1\nc?,C,,3\n", "utf-8")
    rows, report = imported(file)
    assert [row[0] for row in rows] == ["a?", "c?"]
    assert report.not_used == {"rating": 2}
    assert imported(file, Options(least=(("rating", 4),)))[0] == [("a?", "A")]
    assert len(imported(file, Options(ignore=("label",)))[0]) == 3


@pytest.mark.parametrize("mark", [
    {"weight": 0}, {"train": False}, {"loss": False}, {"loss_weight": 0.0}, {"trainable": "no"}, {"label": False},
    {"rejected": True}, {"masked": True}, {"training_detail": [{"begin_offset": 0, "end_offset": 1, "train": False}]},
])  # fmt: skip
def test_no_answer_that_is_marked_is_trained_on(tmp_path, mark):
    def talk(*marked: int) -> dict[str, Any]:
        return {"messages": [turn for number in range(3) for turn in (
            {"role": "user", "content": f"q{number}"},
            {"role": "assistant", "content": f"a{number}"} | (mark if number in marked else {}))]}  # fmt: skip

    rows, report = imported(lines(tmp_path / "a.jsonl", talk(), talk(1), talk(0), talk(2, 1)))
    assert rows == [("q0", "a0", "q1", "a1", "q2", "a2"), ("q0", "a0"), ("q0", "a0")]
    assert left_out(report) == [(3, "turn_not_to_learn")]
    assert report.files[0].notes == {"cut_unlearned": 2}


def test_a_mask_of_one_value_a_turn(tmp_path):
    file = lines(
        tmp_path / "a.jsonl",
        {"messages": [*asked()["messages"], *asked()["messages"]], "loss_mask": [0, 1, 0, 0]},
    )
    assert imported(file)[0] == [("q", "a")]


@pytest.mark.parametrize(("key", "good", "bad"), [
    ("review_status", "approved", "rejected"), ("train_on_turn", True, False), ("masked_out", False, True),
    ("hallucination", "no", "yes"), ("是否采纳", "是", "否"), ("审核状态", "已通过", "未通过"), ("质检结果", "合格", "不合格"),
    ("Approval Status", "Approved", "Not approved"), ("good", True, False),
])  # fmt: skip
def test_other_names_of_a_verdict(tmp_path, key, good, bad):
    rows, report = imported(lines(tmp_path / "a.jsonl", PAIR | {key: good}, OTHER | {key: bad}))
    assert rows == [("a?", "A")] and report.not_used == {}
    (detail,) = (one for counted in report.files[0].dropped_details.values() for one in counted)
    assert detail.startswith(f"{key}: ")


@pytest.mark.parametrize(("file", "text", "cure", "mended"), [
    ("a.json", "// mine\n[{question:'a?'},]", "no comma", '[{"question":"a?","answer":"A"}]'),
    ("a.jsonl", '{"question":"a?","answer":"A","history":[["x",""]]}', "Fill in what is empty",
     '{"question":"a?","answer":"A","history":[["x","y"]]}'),
    ("a.jsonl", '{"question":"a?","answer":{"text":"A"},"best":"A"}', "--question KEY --answer KEY", ""),
])  # fmt: skip
def test_the_cure_of_rows_that_cannot_be_read_is_of_these(tmp_path, file, text, cure, mended):
    (tmp_path / file).write_text(text, "utf-8")
    with pytest.raises(FailedError) as refused:
        import_files([tmp_path / file], tmp_path / "out.jsonl", Options(), force=True)
    assert refused.value.cure is not None and cure in refused.value.cure.en
    named = Options()
    if mended:
        (tmp_path / file).write_text(mended, "utf-8")
    else:
        named = Options(columns=Columns(question="question", answer="best"))
    assert import_files([tmp_path / file], tmp_path / "out.jsonl", named, force=True).rows_out == 1


_WORDS = ("import FILE -o out", "lint FILE", "clean FILE -o out", "split FILE -o out", "mix FILE -o out", "show FILE",
          "generate --dry-run --paraphrase FILE", "generate --dry-run --documents FILE")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "kind"), [(words, kind) for words in _WORDS for kind in ("device", "pipe")]
)
def test_what_is_no_file_ends_and_is_named(tmp_path, monkeypatch, words, kind):
    """A pipe gives its rows once, and has no place beside it; a device may never end."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assistant.toml").write_text('[assistant]\nname = "Ada"\nauthor = "Me"\n', "utf-8")
    file = Path("/dev/zero")
    if kind == "pipe":
        file = tmp_path / "pipe.jsonl"
        os.mkfifo(file)
    done = CliRunner().invoke(main, ["data", *words.replace("FILE", str(file)).split()])
    assert done.exit_code == 2 and f"{file} is a {kind}, not a file." in done.stderr
    assert "Save what comes from it into a file first." in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "first", ["# questions of March\n", "// questions of March\n", "/* March */\n", ""]
)
def test_comments_between_rows_are_called_so(tmp_path, first):
    file = tmp_path / "a.jsonl"
    lines = [json.dumps(PAIR), "# the next is Ann's", json.dumps(OTHER), "  // the end", "{broken"]
    file.write_text(first + "\n".join(lines), "utf-8")
    rows, report = imported(file)
    assert len(rows) == 2
    assert report.dropped == {"comment": 3 if first else 2, "broken": 1}


_SENTENCE = re.compile(r"'[^']*'")  # a command's word in quotation marks holds its line end


@pytest.mark.parametrize("words", [
    "import FILE -o OUT", "import FILE.broken -o OUT", "import missingFILE -o OUT", "clean FILE -o OUT", "clean FILE",
    "clean FILE.broken -o OUT", "lint FILE -o OUT", "lint FILE.broken -o OUT", "lint FILE --sound OUT", "mix FILE -o OUT",
    "mix FILE --weight FILE=2 -o OUT", "mix FILE.broken -o OUT", "mix . -o OUT --force", "split FILE -o OUT", "split FILE.broken -o OUT",
    "show FILE.broken", "show missingFILE", "show .", "generate --dry-run -o o --paraphrase FILE", "generate --dry-run --documents FILE",
])  # fmt: skip
def test_a_file_name_is_one_line_wherever_it_is_said(tmp_path, monkeypatch, words):
    """A line end in a name, and what turns a line's direction, are shown as \\n and \\u202e."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assistant.toml").write_text('[assistant]\nname = "Ada"\nauthor = "Me"\n', "utf-8")
    name = "a\nb\u202e\x1b.jsonl"
    questions = ("What is a fjord?", "Who mends the roof?", "Where do swallows sleep?")
    rows = [json.dumps(asked(text, text[::-1])) for text in questions]
    (tmp_path / name).write_text("\n".join(rows), "utf-8")
    (tmp_path / f"{name}.broken").write_text("{x\n", "utf-8")
    given = [word.replace("FILE", name).replace("OUT", f"out{name}") for word in words.split()]
    done = CliRunner().invoke(main, ["data", *given])
    said = _SENTENCE.sub("", done.output)
    assert done.exit_code in (0, 1, 2) and "Traceback" not in said
    assert not re.findall("[^\n]*(?:\u202e|\x1b|a\nb)[^\n]*", said)
    assert r"a\nb\u202e\x1b" in said or words == "show ."


ONE, TWO = (
    '{"question": "a?", "answer": "see http://b.c # d"}',
    '{"question": "b?", "answer": "/* B"}',
)


@pytest.mark.parametrize(
    ("text", "comments"),
    [
        (f"[ // note\n {ONE},\n {TWO}\n]", 1),
        (f"// head\n[\n{ONE},\n# mid\n{TWO} /* one */\n] // end", 4),
        (f"/* over\n {{ lines */ [{ONE}, /* and\n[ again */ {TWO}]", 2),
        ('{ // note\n "data": [\n' + ONE + ",\n// x\n" + TWO + "\n]}", 2),
        (
            '[{"question": "a?", // why\n /* here: */ "answer": "see http://b.c # d"},\n'
            + TWO
            + "]",
            2,
        ),
        (f"{ONE} // note\n/* x */ {TWO}\n", 2),
        (f"[{ONE}, /* never closed\n{TWO}]", 1),
        (f"[{ONE}, /* {'long ' * 40_000}*/ {TWO}, // {'x' * 70_000}\n]", 2),
    ],
    ids=range(8),
)
def test_comments_in_json_are_read_over_and_counted(tmp_path, text, comments):
    file = tmp_path / "a.json"
    file.write_text(text, "utf-8")
    rows, report = imported(file)
    assert rows == [("a?", "see http://b.c # d"), ("b?", "/* B")]
    assert report.rows_in == 2 and report.files[0].outside == {"comments": comments}


def test_a_comment_over_several_lines_between_rows_is_told(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(f"{ONE}\n/* two\nlines */\n{TWO}\n/* never closed\n{ONE}\n", "utf-8")
    rows, report = imported(file)
    assert len(rows) == 3 and report.dropped == {"comment": 3}


@pytest.mark.parametrize(
    "table",
    [
        "question,A,B,C,D,answer\nq,x,,,,A\nq,,,,,B\nq,x,y,,,y\n",
        "question,choices,answer\nq,\"['x', 'y']\",A\nq,,Option B\nq,x|y,y\n",
        "question,options,answer\nq,A. x B. y,b\nq,A. x B. y,选B\nq,A. x B. y,y\n",
        "question,option_a,option_b,answer\nq,x,y,option_b\nq,x,y,A and B\nq,x,y,y\n",
        "题目,选项1,选项2,答案\nq,x,y,2\nq,x,,选项1\nq,x,y,y\n",
    ],
)
def test_an_answer_that_names_a_choice_is_refused_in_each_row_of_a_table(tmp_path, table):
    file = tmp_path / "a.csv"
    file.write_text(table, "utf-8")
    rows, report = imported(file)
    assert [row[-1] for row in rows] == ["y"] and report.dropped == {"choices": 2}


def test_the_first_choice_is_not_the_answer_of_a_table_without_one(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("question,A,B,correct\nq,x,y,2\n", "utf-8")
    with pytest.raises(UsageError, match="letter or number"):
        imported(file)


def test_a_letter_is_no_answer_in_a_table_of_choices(tmp_path):
    table = "id,question,A,B,C,D,answer\n0,Which?,x,y,z,w,C\n1,Where?,x,y,z,w,far away\n"
    (tmp_path / "a.csv").write_text(table, "utf-8")
    rows, report = imported(tmp_path / "a.csv")
    assert [row[-1] for row in rows] == ["far away"] and report.dropped == {"choices": 1}


def test_verdicts_by_scale():
    assert kind_of("Loss_Weight") == "weight"
    assert verdict("rating", 0, frozenset({0.0, 1.0})) == "not"
    assert verdict("rating", 0, frozenset({-1.0, 0.0, 1.0})) == "unclear"
    assert verdict("verdict", 0, frozenset({0.0, 3.0})) == "unclear"
    assert Evidence().flags == frozenset()


@pytest.mark.parametrize(("text", "tag"), [
    ("<image>What is it?", "<image>"), ("What is it? <image>", "<image>"), ("a\n<video>\nb", "<video>"),
    ("<image><image>both", "<image>"), ("<img>cat.jpg</img> what", "<img>cat.jpg</img>"), ("<|image_1|> x", "<|image_1|>"),
    ("What does the <image> tag do?", ""), ("`<image>` in SVG", ""), ("<video>\n<source src=a>\n</video>", ""),
    ("a < b and c > d", ""),
])  # fmt: skip
def test_tags_that_stand_for_a_picture(text, tag):
    assert media_mark(text) == tag


@pytest.mark.parametrize(("question", "answer", "outcome"), [
    ("![cat](cat.png) What is it?", "A cat.", "![cat](cat.png)"),
    ("![](./a b.png)", "A cat.", "![](./a b.png)"),
    ("![](<img/1.jpg> \"title\")\n多少钱？", "三元。", '![](<img/1.jpg> "title")'),
    ("What is it?", "![cat](data:image/png;base64," + "iVBOR" * 400 + ")", "![cat](data:image/png;base64," + "iVBOR" * 6 + "…"),
    ("<img src='data:image/gif;base64,R0lGOD' alt=x> what?", "A dot.", "<img src='data:image/gif;base64,R0lGOD' alt=x>"),
    ("Show me a cat.", "![cat](https://example.com/cat.png)", "![cat](https://example.com/cat.png)"),
    ("Show me a cat.", "Here: ![cat](https://example.com/cat.png)", "linked"),
    ("How do I get in?", "By the back door.\n![map](map.png)", "linked"),
    ("![logo](https://example.com/l.png) Whose logo is this?", "Ours.", "linked"),
    ("Why is <img src=cat.png> not shown?", "The path is wrong.", "linked"),
    ("How is a picture written in Markdown? ![a](b.png)?", "So: ![text](file.png)", "linked"),
    ("How is a picture written?", "So: `![text](file.png)`", "kept"),
    ("How is a picture written?", "```\n![text](data:image/png;base64,AA)\n```", "kept"),
    ("Wow! [here](a.png)", "Yes.", "kept"),
])  # fmt: skip
def test_pictures_that_a_text_shows(tmp_path, question, answer, outcome):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    rows, report = imported(lines(tmp_path / "a.jsonl", {"messages": turns}, PAIR))
    found = [
        code for code, _ in ContentChecks(None).findings([(t["role"], t["content"]) for t in turns])
    ]
    if outcome in ("kept", "linked"):
        assert rows == [(question, answer), ("a?", "A")]
        assert report.files[0].notes == ({"picture_links": 1} if outcome == "linked" else {})
        said = "1 kept as they are: the text links pictures, which this kit does not learn"
        assert (said in report.text().en) == (outcome == "linked")
        assert "E110" not in found
    else:
        assert rows == [("a?", "A")]
        assert report.files[0].dropped_details == {"media": {outcome: 1}}
        assert "E110" in found


def test_pictures_are_looked_for_in_time():
    for text in ("![a](" * 20_000, "![" * 50_000, "<img " * 20_000, "![](data:" + "A" * 10**6):
        assert not links_picture(text) and not lost_picture(text, asked=True)


def test_pictures_tools_and_reasoning(tmp_path):
    part = {"type": "image_url", "image_url": {"url": "x"}}
    rows, report = imported(lines(
        tmp_path / "a.jsonl",
        asked() | {"images": []}, asked() | {"images": ["a.jpg"]}, PAIR | {"图片": "a.png"}, PAIR | {"tools": "a hammer"},
        {"messages": [{"role": "user", "content": [part]}, {"role": "assistant", "content": "a"}]},
        asked() | {"tools": [{"type": "function"}]}, asked(tool_calls=[{"id": "1"}]), asked(thinking="hm"),
    ))  # fmt: skip
    assert rows == [("q", "a"), ("a?", "A"), ("q", "a")]
    assert [reason for _, reason in left_out(report)] == [
        "media",
        "media",
        "media",
        "tools",
        "tools",
    ]
    assert report.not_used == {"tools": 1, "messages[].thinking": 1}
    assert report.files[0].notes == {"reasoning": 1}


# --- keys -------------------------------------------------------------------------------------


def test_every_key_is_used_or_named(tmp_path):
    file = lines(
        tmp_path / "a.jsonl",
        asked(name="bei") | {"id": 1, "meta": {"a": 1}, "empty": "", "system": "s"},
        {"prompt": "p", "question": "q", "answer": "a", "scene": "x" * 300, "meta": "text"},
        {
            "messages": [{"role": "system", "content": "own"}, *asked()["messages"]],
            "system": "other",
        },
    )
    rows, report = imported(file)
    assert rows == [("s", "q", "a"), ("q", "a"), ("own", "q", "a")]
    assert report.not_used == {
        "messages[].name": 1, "id": 1, "prompt": 1, "scene": 1, "meta": 1, "system": 1,
    }  # fmt: skip


def test_chats_by_name(tmp_path):
    talk = [
        ("Kim", "hi"),
        ("Kim", "there?"),
        ("Bei", "yes"),
        ("Ann", "good"),
        ("Bei", "bye"),
        ("Bei", "all"),
    ]
    file = lines(
        tmp_path / "a.jsonl", {"dialogue": [{"role": name, "text": text} for name, text in talk]}
    )
    rows, report = imported(file, Options(assistant=("bei",)))
    assert rows == [("hi\nthere?", "yes", "good", "bye\nall")]
    assert report.files[0].notes == {"merged": 1}
    rows, report = imported(file, Options(assistant=("Ann",)))
    assert rows == [("hi\nthere?\nyes", "good")]
    assert report.files[0].notes == {"merged": 1, "unanswered_end": 1}
    lines(file, {"dialogue": [{"role": name, "text": text} for name, text in talk[2:]]})
    rows, report = imported(file, Options(assistant=("Bei",)))
    assert rows == [("good", "bye\nall")]
    assert report.files[0].notes == {"merged": 1, "opening": 1}


def test_the_first_line_is_louder_where_most_rows_are_left_out(tmp_path):
    file = lines(tmp_path / "a.jsonl", PAIR, *[{"title": "t", "body": "b"}] * 5)
    _, report = imported(file)
    assert report.text().en.splitlines()[0] == (
        "MOST ROWS WERE LEFT OUT: 5 of 6, above all: no question and answer were recognised (title, body)"
    )


# --- commands and their cures -----------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)], env={"ASSISTANT_LANG": "en"})


def followed(said: str, begins: str) -> list[str]:
    """The command that an error prints, as words."""
    (line,) = [line for line in said.splitlines() if begins in line]
    return shlex.split(line[line.index(begins) + len("python -m train data ") :])


def test_the_cure_for_a_table_without_a_header_works(tmp_path):
    file, out = tmp_path / "a.csv", tmp_path / "out.jsonl"
    file.write_text("Who are you?,I am Bei.\nHow old are you?,Three.\n", "utf-8")
    done = run("import", file, "-o", out)
    assert done.exit_code == 2
    assert "--no-header --question A --answer B" in done.output
    done = run("import", file, "-o", out, "--question", "A", "--answer", "B")
    assert "1 conversations of 2 rows" in done.output
    assert "add --no-header" in done.output
    done = run(
        "import", file, "-o", out, "--no-header", "--question", "A", "--answer", "B", "--force"
    )
    assert "2 conversations of 2 rows" in done.output


@pytest.mark.parametrize("text", [
    ("Once upon a time there was a dog. " * 20 + "\n") * 40,
    "It was a fine day, and the shop was open.\nThe owner, Bei, stood at the door.\n\nShe saw no one.\n",
    "今天天气很好，店里开着门。\n店主小贝站在门口，看着街上，等人来。\n\n没有人来，她五点就关门了。\n",
])  # fmt: skip
def test_plain_text_is_refused_in_a_few_words(tmp_path, text):
    file = tmp_path / "my tale.txt"
    file.write_text(text, "utf-8")
    done = run("import", file, "-o", tmp_path / "out.jsonl")
    assert done.exit_code == 2
    assert len(done.output) < 600
    assert followed(done.output, "python -m train data generate")[-1] == str(file)


@pytest.mark.parametrize("command", ["show", "mix", "split"])
def test_extra_keys_are_named_and_import_takes_them(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    file = lines(
        Path("data") / "my rows.jsonl",
        *[asked(f"q{n}") | {"label": True, "id": n} for n in range(9)],
    )
    out = [] if command == "show" else ["-o", "out.jsonl" if command == "mix" else "out"]
    refused = run(command, file, *out)
    assert refused.exit_code == 2
    assert "keys it does not have: label, id" in refused.output
    assert "Extra inputs" not in refused.output
    done = run(*followed(refused.output, "python -m train data import"))
    assert done.exit_code == 0, done.output
    assert "not used: id 9" in done.output
    brought = Path("data") / "my rows.imported.jsonl"
    assert run(command, brought, *out).exit_code == 0


def test_mix_says_what_of_a_folder_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("my parts")
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jsonl", "B.JSONL", "sub/s.jsonl"):
        lines(folder / name, asked())
    write(folder / "b.json", [PAIR])
    (folder / "c.csv").write_text("question,answer\na?,A\n", "utf-8")
    for name in ("a.dropped.jsonl", "a.report.json", ".hidden", "~$c.xlsx"):
        (folder / name).write_text("{}", "utf-8")
    (folder / "notes.md").write_text("x", "utf-8")
    assert [file.name for file in files_in([folder], Path("m.jsonl"))] == ["B.JSONL", "a.jsonl"]
    assert {kind: len(names) for kind, names in files_left_out([folder]).items()} == {
        ".json": 1, ".csv": 1, ".md": 1, "folder": 1,
    }  # fmt: skip
    done = run("mix", folder, "-o", "m.jsonl")
    assert done.exit_code == 0, done.output
    assert "2 rows" in done.output
    assert run(*followed(done.output, "python -m train data import")).exit_code == 0
    again = run("mix", folder, folder / "sub", "-o", "m.jsonl", "--force", "--json")
    told = json.loads(again.stdout)
    assert told["rows_out"] == 5
    assert sorted(told["left_out"]) == [".csv", ".json", ".md"]


def test_wrong_options_are_refused(tmp_path):
    file = lines(tmp_path / "a.jsonl", PAIR)
    for wrong in ("rating", "rating=x", "=3", "rating=nan"):
        done = run("import", file, "-o", tmp_path / "out.jsonl", "--least", wrong)
        assert (done.exit_code, "--least rating=4" in done.output) == (2, True)


@pytest.mark.parametrize("row", [
    {"question": "q", "answer": "a", "image": "cat.jpg"},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]},
])  # fmt: skip
def test_no_columns_are_asked_for_where_none_would_help(tmp_path, row):
    done = run("import", lines(tmp_path / "a.jsonl", row), "-o", tmp_path / "out.jsonl")
    assert done.exit_code == 1
    assert "Nothing in it can be learned here" in done.output
    assert "--question" not in done.output


def test_an_answer_under_a_name_of_its_own_is_named_as_the_cure_says(tmp_path):
    file = lines(tmp_path / "a.jsonl", {"prompt": "q", "ideal": "a"})
    out = ("-o", tmp_path / "out.jsonl")
    assert "--question KEY --answer KEY" in run("import", file, *out).output
    done = run("import", file, *out, "--question", "prompt", "--answer", "ideal")
    assert "1 conversations of 1 rows" in done.output


def test_a_table_of_preference_pairs_learns_the_chosen_answers(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("prompt,response_chosen,response_rejected\nq,a,r\n", "utf-8")
    rows, report = imported(file)
    assert (rows, report.not_used) == ([("q", "a")], {"response_rejected": 1})


def test_answers_to_choose_from_are_taken_by_name(tmp_path):
    file = lines(
        tmp_path / "a.jsonl",
        {"question": "q", "human_answers": ["", "a", "b"], "chatgpt_answers": ["c"]},
    )
    rows, report = imported(file, Options(Columns("question", "human_answers")))
    assert (rows, report.not_used) == ([("q", "a")], {"chatgpt_answers": 1})


def test_no_traceback_whatever_is_in_a_file():
    """A slice of the fuzzer: `python tests/fuzz_data.py --minutes 20` does more."""
    assert fuzz_data.run(iter(range(1, 301)), lambda: False, "lint") == (300, [])


def test_the_fuzzer_finds_a_traceback(monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(fuzz_data, "clean_files", broken)
    _, wrong = fuzz_data.run(iter(range(1, 21)), lambda: False, "clean")
    assert any("KeyError: 'ours'" in found for found in wrong)
