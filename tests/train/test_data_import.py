"""`train data import`: every kind of file, every shape, and no row lost without a word."""

from __future__ import annotations

import csv
import gc
import io
import json
import subprocess
import sys
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime, time, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.conversation import Conversation, read_conversations
from assistant.errors import FailedError, UsageError
from train.data.importing import REASONS, Columns, ImportReport, Options, import_files, read_file

ROOT = Path(__file__).resolve().parents[2]
RIDDLES = ROOT / "tests" / "data" / "riddles.jsonl"


def imported(file: Path, options: Options | None = None) -> tuple[list[Conversation], ImportReport]:
    """What import makes of a file, with its counts checked against the files it wrote."""
    out = file.with_name(f"out-{file.name}.jsonl")
    report = import_files([file], out, options, force=True)
    rows = list(read_conversations(out))
    left_out = [json.loads(line) for line in report.dropped_file.open(encoding="utf-8")]
    assert report.rows_out == len(rows)
    assert report.rows_in == len(rows) + sum(line.get("rows", 1) for line in left_out)
    assert all(line["reason"] in REASONS for line in left_out)
    return rows, report


def pairs(rows: list[Conversation]) -> list[tuple[str, ...]]:
    return [tuple(message.content for message in row.messages) for row in rows]


def left_out(report: ImportReport) -> list[tuple[int, str]]:
    lines = report.dropped_file.read_text("utf-8").splitlines()
    return [(line["row"], line["reason"]) for line in map(json.loads, lines)]


# --- spreadsheets -----------------------------------------------------------------------------


@pytest.fixture
def sheet():
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "数据"
    book.active.append(["问题", "回答"])
    return book


def save(book, folder: Path) -> Path:
    file = folder / "book.xlsx"
    book.save(file)
    return file


def shown(folder: Path, value, code: str | None = None) -> str:
    """How one cell is read."""
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["问题", "回答"])
    book.active.append(["问", value])
    if code:
        book.active["B2"].number_format = code
    rows, _ = imported(save(book, folder))
    return rows[0].messages[-1].content


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (1.0, None, "1"),
        (2.5, None, "2.5"),
        (0.1 + 0.2, None, "0.3"),
        (13800138000, None, "13800138000"),
        (-7, None, "-7"),
        (0.5, "0%", "50%"),
        (0.1234, "0.0%", "12.3%"),
        (3.5, "0.00", "3.50"),
        (2.345, "0.00", "2.35"),
        (1234567.5, "#,##0.00", "1,234,567.50"),
        (42, "00000", "00042"),
        (99, '"¥"#,##0.00', "¥99.00"),
        (99, "[$¥-804]#,##0", "¥99"),
        (3, '0"个"', "3个"),
        (-5, "0;(0)", "(5)"),
        (1.5, "0.##", "1.5"),
        (True, None, "TRUE"),
        (date(2024, 5, 1), None, "2024-05-01"),
        (datetime(2024, 5, 1, 13, 30), None, "2024-05-01 13:30"),
        (datetime(2024, 5, 1, 13, 30), 'yyyy"年"m"月"d"日"', "2024年5月1日"),
        (datetime(2024, 5, 1, 13, 5), 'yyyy"年"m"月"d"日" h"时"mm"分"', "2024年5月1日 13时05分"),
        (datetime(2024, 5, 1, 13, 30), "m/d/yyyy", "2024-05-01"),
        (time(9, 5), None, "09:05"),
        (timedelta(hours=26, minutes=30), "[h]:mm", "26:30"),
        ("两行\n文字", None, "两行\n文字"),
        ("带_x000D_符号", None, "带\n符号"),
    ],
)
def test_cells_come_out_as_a_person_reads_them(tmp_path, value, code, text):
    assert shown(tmp_path, value, code) == text


def test_rich_text_comes_whole_and_reading_aids_do_not(tmp_path, sheet):
    from openpyxl.cell.rich_text import CellRichText, TextBlock
    from openpyxl.cell.text import InlineFont

    rich = CellRichText("祝", TextBlock(InlineFont(b=True), "姐姐"), "生日快乐")
    sheet.active.append(["问", rich])
    assert pairs(imported(save(sheet, tmp_path))[0]) == [("问", "祝姐姐生日快乐")]


def rewritten(file: Path, name: str, old: str, new: str) -> Path:
    """The workbook with one of its parts changed: what spreadsheet programs write, openpyxl does not."""
    import zipfile

    target = file.with_name("changed.xlsx")
    with zipfile.ZipFile(file) as source:
        parts = {item: source.read(item) for item in source.namelist()}
    assert old.encode() in parts[name], parts[name][:2000]
    parts[name] = parts[name].replace(old.encode(), new.encode())
    with zipfile.ZipFile(target, "w") as out:
        for item, text in parts.items():
            out.writestr(item, text)
    return target


def with_shared_strings(file: Path) -> Path:
    """The workbook with its texts in a table of their own, as spreadsheet programs write them."""
    import re
    import zipfile

    with zipfile.ZipFile(file) as source:
        parts = {item: source.read(item).decode() for item in source.namelist()}
    items: list[str] = []

    def shared(match: re.Match[str]) -> str:
        items.append(match[2])
        return f'{match[1]} t="s"><v>{len(items) - 1}</v></c>'

    sheet = "xl/worksheets/sheet1.xml"
    inline = re.compile(r'(<c [^>]*?) t="inlineStr"><is>(.*?)</is></c>', re.DOTALL)
    parts[sheet] = inline.sub(shared, parts[sheet])
    assert items
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    table = "".join(f"<si>{item}</si>" for item in items)
    parts["xl/sharedStrings.xml"] = f'<sst xmlns="{space}" count="{len(items)}">{table}</sst>'
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    types = "[Content_Types].xml"
    if kind not in parts[types]:
        override = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}" /></Types>'
        parts[types] = parts[types].replace("</Types>", override)
    target = file.with_name("shared.xlsx")
    with zipfile.ZipFile(target, "w") as out:
        for item, text in parts.items():
            out.writestr(item, text)
    return target


def test_shared_strings_rich_text_and_reading_aids(tmp_path, sheet):
    sheet.active.append(["问_x4E00_", "東京"])
    sheet.active.append(["二", "丙  丁 "])
    file = with_shared_strings(save(sheet, tmp_path))
    aid = '<t>東</t><rPh sb="0" eb="2"><t>トウキョウ</t></rPh></si><si><r><t>二</t></r><r><rPr><b/></rPr><t>！</t></r>'
    file = rewritten(file, "xl/sharedStrings.xml", "<t>東京</t></si><si><t>二</t>", aid)
    assert pairs(imported(file)[0]) == [("问一", "東"), ("二！", "丙  丁 ")]


def test_formulas_give_their_stored_results(tmp_path, sheet):
    sheet.active.append(["问一", "=1+1"])
    sheet.active.append(["问二", '="a"&"b"'])
    sheet.active.append(["问三", "=1/0"])
    file = save(sheet, tmp_path)
    part = "xl/worksheets/sheet1.xml"
    file = rewritten(file, part, '<c r="B2"><f>1+1</f><v />', '<c r="B2"><f>1+1</f><v>2</v>')
    file = rewritten(
        file, part, '<c r="B4"><f>1/0</f><v />', '<c r="B4" t="e"><f>1/0</f><v>#DIV/0!</v>'
    )
    rows, report = imported(file)
    assert pairs(rows) == [("问一", "2")]
    assert left_out(report) == [(3, "no_stored_value"), (4, "error_value")]
    detail = json.loads(report.dropped_file.read_text("utf-8").splitlines()[1])["detail"]
    assert detail == "B4"


def test_merged_cells_give_their_value_to_every_row(tmp_path, sheet):
    sheet.active["C1"] = "场景"
    for row in (
        ("祝姐姐", "一", "生日"),
        ("祝妈妈", "二", None),
        ("祝爸爸", "三", None),
        ("祝老师", "四", "春节"),
    ):
        sheet.active.append(row)
    sheet.active.merge_cells("C2:C4")
    rows, _ = imported(save(sheet, tmp_path))
    assert [row.meta["scene"] for row in rows] == ["生日", "生日", "生日", "春节"]


def test_title_rows_blank_rows_and_trailing_blank_rows(tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    page = book.active
    page["A1"] = "二〇二四年祝福语"
    page.merge_cells("A1:C1")
    page["B3"], page["C3"] = "问题", "回答"
    page["B4"], page["C4"] = "甲", "一"
    page["B7"], page["C7"] = "乙", "二"
    page["B9"] = " "
    rows, report = imported(save(book, tmp_path))
    assert pairs(rows) == [("甲", "一"), ("乙", "二")]
    assert left_out(report) == [(1, "above_header"), (2, "blank"), (5, "blank")]
    assert report.rows_in == 2 + 1 + 1 + 2


def test_sheet_by_name_and_number_columns_by_letter_and_header(tmp_path, sheet):
    other = sheet.create_sheet("第二张")
    other.append(["编号", "顾客说", "我们答"])
    other.append([1.0, "在吗", "在的"])
    file = save(sheet, tmp_path)
    wanted = [("在吗", "在的")]
    by_letter = Columns(question="B", answer="C")
    by_header = Columns(question="顾客说", answer="我们答")
    for name in ("第二张", "2"):
        for columns in (by_letter, by_header):
            assert pairs(imported(file, Options(columns, sheet=name))[0]) == wanted
    kept = imported(file, Options(Columns("B", "C", meta=("编号",)), sheet="2"))[0]
    assert kept[0].meta == {"编号": "1"}
    with pytest.raises(UsageError, match="1=数据, 2=第二张"):
        imported(file, Options(sheet="9"))
    with pytest.raises(UsageError, match="B='顾客说'"):
        imported(file, Options(sheet="2"))
    with pytest.raises(UsageError, match="'Z'"):
        imported(file, Options(Columns(question="Z", answer="C"), sheet="2"))


def test_a_sheet_without_header(tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["在吗", "在的"])
    options = Options(Columns(question="A", answer="B"), header=False)
    assert pairs(imported(save(book, tmp_path), options)[0]) == [("在吗", "在的")]


def test_what_is_not_a_workbook_is_refused(tmp_path):
    for name, content in (
        ("a.xlsx", b"PK\x03\x04 no zip"),
        ("b.xls", b"\xd0\xcf\x11\xe0old"),
        ("c.doc", b"?"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError):
            imported(tmp_path / name)


def test_a_truncated_sheet_gives_what_was_read_and_says_so(tmp_path, sheet):
    for number in range(50):
        sheet.active.append([f"问{number}", f"答{number}"])
    file = rewritten(
        save(sheet, tmp_path), "xl/worksheets/sheet1.xml", '<row r="40"', '<row r="40" <'
    )
    rows, report = imported(file)
    assert 0 < len(rows) <= 38
    assert report.dropped["broken"] == 1
    assert not report.whole


# --- text files -------------------------------------------------------------------------------

TABLE = [["问题", "回答"], ["你好，世界", "第一行\n第二行"], ["他说“好”", 'say "hi", ok']]


def as_csv(delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(TABLE)
    return text.getvalue()


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "big5"]
)  # fmt: skip
def test_encodings_are_found(tmp_path, encoding):
    table = [["问题", "回答"], ["你好，世界" * 3, "今天天气怎么样？" * 3]]
    if encoding == "big5":
        table = [
            ["question", "answer"],
            ["請問這個問題怎麼解決", "我們可以這樣說：先看時間，再做決定"],
        ]
    file = tmp_path / "a.csv"
    with file.open("w", encoding=encoding, newline="") as out:
        csv.writer(out).writerows(table)
    assert pairs(imported(file)[0]) == [tuple(table[1])]


SPOKEN = {
    "zh": ("请问今天几点开门？", "我们每天九点开门"),
    "ja": ("営業時間は？", "九時からです、ありがとう"),
    "ru": ("Когда вы открыты?", "Каждый день с девяти"),
    "fr": ("Où est le café ?", "Derrière la gare, à côté"),
    "de": ("Wann öffnen Sie?", "Täglich früh, außer sonntags"),
    "en": ("Where is it?", "Behind the station"),
}


@pytest.mark.parametrize("suffix", ["csv", "json"])
@pytest.mark.parametrize(
    ("encoding", "language"),
    [
        *((encoding, "zh") for encoding in ("utf-7", "utf-32-le", "utf-32-be", "hz")),
        *((encoding, "ja") for encoding in ("utf-7", "iso2022_jp", "shift_jis", "euc_jp")),
        *((encoding, "ru") for encoding in ("utf-7", "utf-32-be", "cp1251")),
        *((encoding, "fr") for encoding in ("utf-7", "cp1252", "latin-1")),
        ("cp1252", "de"), ("cp037", "en"), ("utf-32-le", "en"),
    ],
)  # fmt: skip
def test_rare_encodings_are_read_rightly_and_guesses_are_told(tmp_path, encoding, language, suffix):
    question, answer = SPOKEN[language]
    file = tmp_path / f"a.{suffix}"
    row = {"question": question, "answer": answer}
    text = (
        f'question,answer\n{question},"{answer}"\n'
        if suffix == "csv"
        else json.dumps([row], ensure_ascii=False)
    )
    file.write_bytes(text.encode(encoding))
    rows, report = imported(file)
    assert pairs(rows) == [(question, answer)]
    guessed = encoding[:2] in ("cp", "sh", "eu", "la")
    assert ("(guessed; if wrong, name it with --encoding:" in report.text().en) == guessed
    if guessed and language != "en":
        assert report.files[0].details["encoding_guessed"][0] in text


@pytest.mark.parametrize(
    "text", ["1+1111 is it", "call +12345678", "A+B-?", "~{ab ~} x", "C++ or C+-"]
)
def test_ascii_that_looks_shifted_stays_as_it_is(tmp_path, text):
    file = tmp_path / "a.csv"
    file.write_text(f"question,answer\n{text},yes\n", "ascii")
    assert pairs(imported(file)[0]) == [(text, "yes")]


@pytest.mark.parametrize("written", ["utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32"])
def test_an_encoding_named_without_its_byte_order_is_read_with_or_without_a_mark(tmp_path, written):
    file = tmp_path / "a.csv"
    file.write_text("question,answer\nWho are you?,我是小贝\n", written)
    named = Options(encoding=written[:6])
    assert pairs(imported(file, named)[0]) == [("Who are you?", "我是小贝")]


@pytest.mark.parametrize(
    ("text", "delimiter", "columns"),
    [
        ('问题,回答,三,四\r\n"",;\r\n"","",;\r\n甲,一\r\n', ",", Columns()),
        ("题;解\n甲,乙;一,二\n丙,丁;三,四\n,;,\n,;,\n", ";", Columns(question="题", answer="解")),
        ("问题|回答\n" + "甲,乙,丙|一\n" * 9, "|", Columns()),
    ],
)
def test_the_delimiter_of_the_header_wins(tmp_path, text, delimiter, columns):
    file = tmp_path / "a.csv"
    file.write_text(text, "utf-8", newline="")
    _, report = imported(file, Options(columns))
    assert report.files[0].details["delimiter"] == delimiter


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiters_are_found(tmp_path, delimiter):
    for suffix in ("csv", "tsv"):
        file = tmp_path / f"a.{suffix}"
        file.write_text(as_csv(delimiter), "utf-8", newline="")
        assert pairs(imported(file)[0]) == [tuple(row) for row in TABLE[1:]]


def test_what_spreadsheet_programs_put_into_csv(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('sep=;\r\n问题;回答\r\n邮编;="00123"\r\n', "utf-8", newline="")
    rows, report = imported(file)
    assert pairs(rows) == [("邮编", "00123")]
    assert report.rows_in == 1


def test_an_open_quote_costs_its_own_line_only(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('问题,回答\n甲,一\n乙,"二\n丙,三\n丁,四\n', "utf-8", newline="")
    rows, report = imported(file)
    assert pairs(rows) == [("甲", "一"), ("丙", "三"), ("丁", "四")]
    assert left_out(report) == [(3, "open_quote")]


def test_damaged_bytes_cost_their_row_only(tmp_path):
    file = tmp_path / "a.csv"
    good = "".join(f"问题{number},这是第{number}个回答\n" for number in range(200))
    file.write_bytes(("问题,回答\n" + good).encode() + b"\xff\xfe bad,x\n" + "戊,五\n".encode())
    rows, report = imported(file)
    assert len(rows) == 201
    assert left_out(report) == [(202, "characters")]


def test_a_row_with_more_cells_than_the_table_is_not_cut_silently(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("问题,回答\n" + "甲,一\n" * 30 + "乙,二,三,四\n", "utf-8")
    _, report = imported(file)
    assert left_out(report) == [(32, "too_many_cells")]


# --- json, jsonl, parquet ---------------------------------------------------------------------

PAIR = {"instruction": "甲", "input": "", "output": "一"}


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.jsonl", json.dumps(PAIR) + "\n\n" + json.dumps(PAIR) + "\n", 2),
        ("a.jsonL", json.dumps([PAIR, PAIR], ensure_ascii=False, indent=1), 2),
        ("a.jsonL", json.dumps([PAIR]), 1),
        ("a.json", json.dumps([PAIR, PAIR]), 2),
        ("a.json", json.dumps({"version": 1, "data": [PAIR, PAIR, PAIR]}, indent=2), 3),
        ("a.json", json.dumps({"data": [PAIR]}), 1),
        ("a.json", json.dumps(PAIR, indent=2), 1),
        ("a.json", json.dumps(PAIR) + "\n" + json.dumps(PAIR), 2),
        ("a.json", json.dumps(PAIR, indent=2) + "\n" + json.dumps(PAIR, indent=2), 2),
        ("a.jsonl", "\n".join(json.dumps([{"from": "human", "value": "甲"}, {"from": "gpt", "value": "一"}])
                              for _ in range(2)), 2),
        ("a.jsonl", "\n".join([json.dumps(PAIR | {"tags": [{"a": 1}]})] * 2), 2),
        ("a.json", json.dumps(PAIR | {"tags": [{"a": 1}, {"b": 1}]}), 1),
        ("a.json", json.dumps(PAIR | {"tags": [{"a": 1}, {"b": 1}]}, indent=1), 1),
        ("a.json", "\ufeff" + json.dumps([PAIR]), 1),
    ],
)  # fmt: skip
def test_json_of_every_build(tmp_path, name, text, rows):
    file = tmp_path / name
    file.write_text(text, "utf-8")
    assert pairs(imported(file)[0]) == [("甲", "一")] * rows


def test_json_in_gb18030_and_utf16(tmp_path):
    long = {"instruction": "今天天气怎么样？", "output": "今天天气很好，我们可以出去走走。"}
    for encoding in ("gb18030", "utf-16"):
        file = tmp_path / "a.json"
        file.write_text(json.dumps([long] * 3, ensure_ascii=False), encoding)
        assert len(imported(file)[0]) == 3


def test_a_broken_line_costs_itself_a_broken_array_its_rest(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("{broken\n" + json.dumps(PAIR) + '\n"text"\n' + json.dumps(PAIR), "utf-8")
    rows, report = imported(file)
    assert len(rows) == 2
    assert left_out(report) == [(1, "broken"), (3, "not_object")]
    assert report.whole
    file = tmp_path / "a.json"
    file.write_text(json.dumps([PAIR] * 3)[:-8], "utf-8")
    rows, report = imported(file)
    assert len(rows) == 2
    assert left_out(report) == [(3, "broken")]
    assert not report.whole


def test_half_a_surrogate_pair_is_damage_and_a_whole_one_is_an_emoji(tmp_path):
    good, bad = (
        '{"question": "\\ud83d\\ude00", "answer": "\\u597d"}',
        '{"question": "a", "answer": "b\\ud83d"}',
    )
    literal = '{"question": "a", "answer": "\\\\ud83d"}'
    for name, text in (
        ("a.jsonl", "\n".join([good, bad, literal])),
        ("a.json", f"[{good},\n{bad},{literal}]"),
    ):
        file = tmp_path / name
        file.write_text(text, "utf-8")
        rows, report = imported(file)
        assert pairs(rows) == [("😀", "好"), ("a", "\\ud83d")]
        assert left_out(report) == [(2, "characters")]


def test_parquet_with_messages_and_with_columns(tmp_path):
    import pyarrow
    import pyarrow.parquet as parquet

    turns = [{"role": "user", "content": "甲"}, {"role": "assistant", "content": "一"}]
    tables = {
        "messages": {"messages": [turns, turns]},
        "columns": {"问题": ["甲", "甲", None], "回答": ["一", "一", "x"]},
    }
    for name, table in tables.items():
        file = tmp_path / f"{name}.parquet"
        parquet.write_table(pyarrow.table(table), file)
        rows, report = imported(file)
        assert pairs(rows) == [("甲", "一")] * 2
    assert left_out(report) == [(3, "no_question")]
    (tmp_path / "cut.parquet").write_bytes(file.read_bytes()[:-30])
    with pytest.raises(FailedError):
        imported(tmp_path / "cut.parquet")


# --- shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "shape", "said"),
    [
        ({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "甲"},
                       {"role": "assistant", "content": "一"}, {"role": "user", "content": "乙"},
                       {"role": "assistant", "content": "二"}]}, "messages", ("S", "甲", "一", "乙", "二")),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "甲"}]},
                       {"role": "assistant", "content": "一"}]}, "messages", ("甲", "一")),
        ({"system": "S", "conversations": [{"from": "human", "value": "甲"}, {"from": "gpt", "value": "一"}]},
         "sharegpt", ("S", "甲", "一")),
        ({"conversation": [{"system": "S", "input": "甲", "output": "一"}, {"input": "乙", "output": "二"}]},
         "xtuner", ("S", "甲", "一", "乙", "二")),
        ({"instruction": "译", "input": "甲", "output": "一", "history": [["早", "早上好"]], "system": "S"},
         "alpaca", ("S", "早", "早上好", "译\n甲", "一")),
        ({"prompt": "甲", "completion": "一"}, "prompt/completion", ("甲", "一")),
        ({"question": "甲", "answer": "一"}, "question/answer", ("甲", "一")),
        ({"问题": "甲", "答案": 1.0}, "question/answer", ("甲", "1")),
        ({"指令": "甲", "输入": "乙", "输出": "一"}, "question/answer", ("甲\n乙", "一")),
        ({"input": "甲", "output": "一"}, "question/answer", ("甲", "一")),
    ],
)  # fmt: skip
def test_shapes_are_recognised(tmp_path, row, shape, said):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(row), "utf-8")
    rows, report = imported(file)
    assert pairs(rows) == [said]
    assert report.files[0].shapes == {shape: 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [{"role": "assistant", "content": "一"}, {"role": "user", "content": "甲"}]}, "order"),
        ({"messages": [{"role": "user", "content": "甲"}, {"role": "tool", "content": "{}"}]}, "tools"),
        ({"messages": [{"role": "user", "content": "甲"}]}, "no_answer"),
        ({"messages": []}, "no_question"),
        ({"messages": [{"role": "user", "content": "甲"}, {"role": "tutor", "content": "一"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]},
                       {"role": "assistant", "content": "一"}]}, "media"),
        ({"question": "", "answer": "一"}, "no_question"),
        ({"question": "甲", "answer": None}, "no_answer"),
        ({"question": "甲", "answer": ["一"]}, "not_text"),
        ({"title": "甲"}, "unknown_shape"),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_left_out_with_its_reason(tmp_path, row, reason):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(row) + "\n" + json.dumps(PAIR), "utf-8")
    rows, report = imported(file)
    assert len(rows) == 1
    assert left_out(report) == [(1, reason)]


def test_a_last_question_without_answer_is_left_out_and_noted(tmp_path):
    turns = [
        {"from": "human", "value": "甲"},
        {"from": "gpt", "value": "一"},
        {"from": "human", "value": "乙"},
    ]
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"conversations": turns}), "utf-8")
    rows, report = imported(file)
    assert pairs(rows) == [("甲", "一")]
    assert report.files[0].notes == {"unanswered_end": 1}


def test_system_prompt_added_or_mapped(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"q":"甲","a":"一","who":"S"}\n{"q":"乙","a":"二","who":""}\n', "utf-8")
    rows, _ = imported(file, Options(Columns("q", "a", system="who"), system="默认"))
    assert pairs(rows) == [("S", "甲", "一"), ("默认", "乙", "二")]


# --- promises ---------------------------------------------------------------------------------


def test_inputs_are_never_touched_and_results_not_replaced_unasked(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(PAIR), "utf-8")
    link = tmp_path / "link.jsonl"
    link.symlink_to(file)
    for out in (file, link):
        with pytest.raises(UsageError, match="never touched"):
            import_files([file], out, force=True)
    out = tmp_path / "b.jsonl"
    import_files([file], out)
    with pytest.raises(UsageError, match="--force"):
        import_files([file], out)
    assert file.read_text("utf-8") == json.dumps(PAIR)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.jsonl", "b.dropped.jsonl", "b.jsonl", "b.report.json", "link.jsonl",
    ]  # fmt: skip


def read_in_memory(file: Path) -> tuple[int, int]:
    """Rows, and the bytes that reading them took at most. Asked once before: what is loaded or
    kept the first time is not counted."""
    for _ in read_file(file):
        pass
    gc.collect()
    tracemalloc.start()
    rows = sum(1 for _ in read_file(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return rows, peak


def test_memory_does_not_grow_with_the_file(tmp_path):
    from openpyxl import Workbook

    peaks: dict[str, list[int]] = {}
    for count in (1_000, 4_000):
        book = Workbook(write_only=True)
        page = book.create_sheet()
        page.append(["问题", "回答"])
        for number in range(count):
            page.append([f"第{number}个问题", f"这是第{number}个回答，" * 20])
        book.save(tmp_path / "a.xlsx")
        rows = [
            {"question": f"第{number}个问题", "answer": "这是回答，" * 40}
            for number in range(count)
        ]
        (tmp_path / "a.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
        with (tmp_path / "a.csv").open("w", encoding="gb18030", newline="") as out:
            csv.writer(out).writerows([["问题", "回答"], *(list(row.values()) for row in rows)])
        del rows
        # a process of its own: tracemalloc counts what other tests' threads do here as well
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            for name in ("a.xlsx", "a.json", "a.jsonl", "a.csv"):
                read, peak = alone.submit(read_in_memory, tmp_path / name).result()
                assert read == count
                peaks.setdefault(name, []).append(peak)
    for name, (small, large) in peaks.items():
        assert large < small * 1.25 + 300_000, (name, small, large)


def test_a_file_as_collections_publish_it(tmp_path):
    report = import_files([RIDDLES], tmp_path / "out.jsonl")
    assert (report.rows_in, report.rows_out) == (61, 61)
    assert report.files[0].shapes == {"alpaca": 61}


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "train", "data", *arguments], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def test_the_command(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("问题,回答\n甲,一\n乙,\n", "utf-8")
    out = tmp_path / "out.jsonl"
    done = run("import", str(file), "-o", str(out), "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["rows_in"], said["rows_out"], said["dropped"]) == (2, 1, {"no_answer": 1})
    assert json.loads((tmp_path / "out.report.json").read_text("utf-8"))["rows_out"] == 1
    assert run("import", str(file), "-o", str(out), folder=tmp_path).returncode == 2
    broken = tmp_path / "b.json"
    broken.write_text(json.dumps([PAIR, PAIR])[:-5], "utf-8")
    done = run("import", str(broken), "-o", str(tmp_path / "b.jsonl"), folder=tmp_path)
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_failed_import_left_is_in_nobodys_way(tmp_path):
    file, out = tmp_path / "a.csv", tmp_path / "out.jsonl"
    file.write_text("问题,回答\n甲,\n", "utf-8")
    for _ in range(2):
        with pytest.raises(FailedError, match="No conversation"):
            import_files([file], out)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.csv", "out.dropped.jsonl", "out.report.json",
    ]  # fmt: skip
    file.write_text("问题,回答\n甲,一\n", "utf-8")
    assert import_files([file], out).rows_out == 1
    (tmp_path / "other.dropped.jsonl").write_text("mine", "utf-8")
    with pytest.raises(UsageError, match=r"other\.dropped\.jsonl is there"):
        import_files([file], tmp_path / "other.jsonl")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.csv", "There is no file"),
        ("folder", "is a folder"),
        ("a.doc", "generate --documents"),
    ],
)
def test_files_that_cannot_be_read_are_told_in_plain_words(tmp_path, name, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.doc").write_text("hello", "utf-8")
    with pytest.raises(UsageError) as refused:
        import_files([tmp_path / name], tmp_path / "out.jsonl")
    assert (
        said in f"{refused.value.message.en} {refused.value.cure.en if refused.value.cure else ''}"
    )


# --- fuzzing ----------------------------------------------------------------------------------

FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["messages", "conversations", "conversation", "role", "from", "content", "value",
                         "input", "output", "system", "question", "answer", "history", "meta", "text"])
        | st.text(max_size=5),
        inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


def survives(file: Path) -> dict | None:
    """Import ends without anything but an expected failure, and every row is accounted for.

    Gives the written report, None where the file was refused.
    """
    try:
        imported(file)
    except UsageError:
        return None
    except FailedError:
        pass  # not one conversation: the report is written all the same
    (written,) = file.parent.glob("out-*.report.json")
    report = json.loads(written.read_text("utf-8"))
    assert report["rows_in"] == report["rows_out"] + sum(report["dropped"].values())
    for side in file.parent.glob("out-*"):
        side.unlink()
    return report


@FUZZ
@given(rows=st.lists(VALUES, max_size=8), suffix=st.sampled_from(["json", "jsonl"]))
def test_fuzzed_json_values(tmp_path, rows, suffix):
    file = tmp_path / f"f.{suffix}"
    text = json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows))
    file.write_text(text, "utf-8")
    report = survives(file)
    as_lines = suffix == "jsonl" and len(rows) > 1 and isinstance(rows[0], (dict, list))
    if report and report["whole"] and (suffix == "json" or as_lines):
        assert report["rows_in"] >= len(rows)  # more where an array holds arrays of rows


@FUZZ
@given(
    content=st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    head=st.sampled_from([b"", b"PK\x03\x04", b"PAR1", b"[{", b'{"messages": [', "问题,回答\n".encode(),
                          '问题,回答\n甲,"'.encode("gb18030"), b"\xff\xfe", b"\xef\xbb\xbf"]),
    suffix=st.sampled_from(["csv", "tsv", "json", "jsonl", "xlsx", "parquet", "txt"]),
)  # fmt: skip
def test_fuzzed_bytes(tmp_path, content, head, suffix):
    file = tmp_path / f"f.{suffix}"
    file.write_bytes(head + content)
    survives(file)


CELLS = st.lists(
    st.lists(st.text(alphabet="问答a,;|\t\"'\n\r �", max_size=8), max_size=4), max_size=12
)


def test_the_first_header_tells_the_delimiter(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes('问题,回答,三,四\r\n问,";a\r;a"\r\n'.encode())
    assert pairs(imported(file)[0]) == [("问", ";a\n;a")]


@FUZZ
@given(cells=CELLS, quoted=st.booleans())
def test_fuzzed_csv_loses_no_filled_line(tmp_path, cells, quoted):
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerow(["问题", "回答", "三", "四"])
    for row in cells:
        writer.writerow(row)
    file = tmp_path / "f.csv"
    file.write_text(text.getvalue(), "utf-8", newline="")
    report = survives(file)
    assert report is not None
    filled = sum(any(cell.strip() for cell in row) for row in cells)
    assert report["rows_in"] - report["dropped"].get("blank", 0) == filled


@FUZZ
@given(cells=CELLS)
def test_fuzzed_sheet_loses_no_filled_row(tmp_path, cells):
    from openpyxl import Workbook

    book = Workbook()
    for row in (["问题", "回答", "三", "四"], *cells):
        book.active.append(row)
    report = survives(save(book, tmp_path))
    assert report is not None
    filled = sum(any(cell.strip() for cell in row) for row in cells)
    assert report["rows_in"] - report["dropped"].get("blank", 0) == filled


def test_fuzzed_workbooks(tmp_path, sheet):
    """Single bytes of every part of a workbook changed: read, reported or refused."""
    import random
    import zipfile

    for number in range(30):
        sheet.active.append([f"问{number}", number / 3, None, datetime(2024, 1, 1)])
    sheet.active.merge_cells("D2:D5")
    file = save(sheet, tmp_path)
    with zipfile.ZipFile(file) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    chooser = random.Random(5)
    target = tmp_path / "f.xlsx"
    for _ in range(120):
        name = chooser.choice([part for part in parts if part.startswith("xl/")])
        content = bytearray(parts[name])
        for _ in range(chooser.randint(1, 4)):
            content[chooser.randrange(len(content))] = chooser.randrange(256)
        with zipfile.ZipFile(target, "w") as out:
            for part, original in parts.items():
                out.writestr(part, bytes(content) if part == name else original)
        survives(target)
    whole = file.read_bytes()
    for _ in range(40):
        cut = bytearray(whole)
        cut[chooser.randrange(len(cut))] ^= 1 << chooser.randrange(8)
        target.write_bytes(bytes(cut[: chooser.randrange(len(cut) // 2, len(cut) + 1)]))
        survives(target)


def test_running_text_is_told_from_a_table(tmp_path):
    file = tmp_path / "essay.txt"
    file.write_text(
        "The keeper of the lighthouse, who was old, counted ships, and wrote. " * 9 + "\n", "utf-8"
    )
    with pytest.raises(UsageError) as caught:
        import_files([file], tmp_path / "out.jsonl")
    assert caught.value.cure
    assert "generate --documents FILE" in caught.value.cure.en
    assert "generate --documents FILE" in caught.value.cure.zh
