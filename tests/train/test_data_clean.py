"""`train data clean`: each rule by its name, and nothing changed without being listed."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path

import pytest
import rule_figures
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.conversation import Conversation, Message, read_conversations
from assistant.errors import FailedError, UsageError
from assistant.persona import Style
from train.__main__ import main
from train.data.cleaning import DEFAULT, NAMES, Cleaner, Limits, chosen, clean_files
from train.data.cleaning.emoji import EMOJI

ROOT = Path(__file__).resolve().parents[2]
RIDDLES = ROOT / "tests" / "data" / "riddles.jsonl"


def row(answer: str, question: str = "祝姐姐生日快乐", **meta: str) -> Conversation:
    said = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Conversation(messages=said, meta=meta)


def cleaned(
    answer: str, question: str = "祝姐姐生日快乐", **how
) -> tuple[str | None, tuple[str, ...]]:
    """The answer after cleaning (None: removed), and the rules that were used."""
    kept, change = Cleaner(**{"names": NAMES, **how}).clean(1, row(answer, question))
    return kept.messages[-1].content if kept else None, change.rules if change else ()


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("lead", "当前祝福语如下：姐姐生日快乐！", "姐姐生日快乐！"),
        ("lead", "好的，以下是为您生成的生日祝福语：\n姐姐生日快乐！", "姐姐生日快乐！"),
        ("lead", "当然可以！以下是一段小红书风格的祝福：姐姐生日快乐", "姐姐生日快乐"),
        ("lead", "祝福语：姐姐生日快乐！", "姐姐生日快乐！"),
        ("lead", "Sure, here is a birthday wish for your sister: 生日快乐呀姐姐", "生日快乐呀姐姐"),
        ("lead", "Certainly! Here's a short greeting: 生日快乐呀姐姐", "生日快乐呀姐姐"),
        ("quotes", "“姐姐生日快乐！”", "姐姐生日快乐！"),
        ("quotes", '"姐姐生日快乐！"', "姐姐生日快乐！"),
        ("quotes", "「『姐姐生日快乐！』」", "姐姐生日快乐！"),
        ("title", "**生日祝福**\n\n姐姐生日快乐！", "姐姐生日快乐！"),
        ("title", "标题：给姐姐\n姐姐生日快乐！", "姐姐生日快乐！"),
        ("title", "# 祝福\n姐姐生日快乐！", "姐姐生日快乐！"),
        ("punctuation", "姐姐生日快乐！啦~", "姐姐生日快乐！"),
        ("punctuation", "祝你天天开心。哦！", "祝你天天开心。"),
        ("punctuation", "祝你开心。哦！爱你", "祝你开心。爱你"),
        ("punctuation", "，祝你开心！！！！", "祝你开心！"),
        ("punctuation", "祝你健康，，平安。。", "祝你健康，平安。"),
        ("notes", "姐姐生日快乐！（注：可按需要修改）", "姐姐生日快乐！"),
        ("notes", "姐姐生日快乐！\n\n注：共十个字。", "姐姐生日快乐！"),
        ("notes", "姐姐生日快乐！希望这段祝福能让您满意！", "姐姐生日快乐！"),
        ("notes", "姐姐生日快乐！\n\nLet me know if you need anything else.", "姐姐生日快乐！"),
        ("emoji", "生日快乐🎂🎉🎁🎈🌹", "生日快乐🎂🎉🎁"),
        ("control", "生\u200b日\x07快\ufeff乐", "生日快乐"),
        ("control", "第一页\x0c第二页\x0b又\x85一行", "第一页\n第二页\n又\n一行"),
        ("control", "一半是 $\x0crac{1}{2}$，\x08egin{x}", r"一半是 $\frac{1}{2}$，\begin{x}"),
        ("unicode", "生日快乐，１８岁　ＯＫ", "生日快乐，18岁 OK"),
        ("unicode", "cafe\u0301，生日快乐", "café，生日快乐"),
        ("html", "生日&nbsp;快乐 &amp; 平安<br/>爱你 &#39;", "生日\xa0快乐 & 平安\n爱你 '"),
        (
            "html",
            "Soup and a &quot;dish&quot; &amp; bread<br>Tea",
            'Soup and a "dish" & bread\nTea',
        ),
        ("space", "生日快乐  \n\n\n\n爱你 ", "生日快乐\n\n爱你"),
    ],
)
def test_each_rule_alone(rule, before, after):
    assert cleaned(before, names=[rule]) == (after, (rule,))
    others = [name for name in NAMES if name != rule]
    assert rule not in cleaned(before, names=others)[1]


@pytest.mark.parametrize(
    "answer",
    [
        "姐姐生日快乐！",
        "“你好”和“再见”都是招呼",
        "好的！",
        "啊，太美了！啊，真好",
        "这就是人生……",
        "# 一\n第一段\n# 二\n第二段",
        "比例是 3:2，时间是 12:30。",
        "```python\nprint('&amp;')  # 注：示例\n```",
        "用 `&lt;` 表示小于号",
        "以下是我的想法。我觉得可以。",
        "他说：“走吧。”我们就走了。",
        "👨\u200d👩\u200d👧 一家三口",
        "希望你一切都好！",
        "Use <br> to break a line and &nbsp; for a space.",
        "用<br>换行，写 &nbsp; 得到空格",
    ],
)
def test_what_is_right_stays(answer):
    assert cleaned(answer) == (answer, ())


def test_rules_work_together_in_one_go():
    before = (
        "好的，以下是为您生成的祝福语：\n\n**生日祝福**\n\n“姐姐生日快乐！啦~”\n\n（注：可修改）"
    )
    assert cleaned(before) == (
        "姐姐生日快乐！",
        ("lead", "title", "notes", "punctuation", "quotes"),
    )


@pytest.mark.parametrize(
    ("question", "answer", "kept"),
    [
        ("祝姐姐生日快乐", "Happy birthday to my dear sister!", True),
        ("How do I cook rice?", "先把米洗干净，然后加水煮二十分钟就好了。", True),
        ("把“你好，世界”翻译成英文", "Hello, world, and good morning", True),
        ("Write hello world in Python code", "print('hello') 这是代码，可以直接运行看看", True),
        ("祝姐姐生日快乐", "OK", True),
        ("你好", "Bonjour, comment allez-vous aujourd'hui mon ami ?", False),
        ("Bonjour, comment allez-vous aujourd'hui mon ami ?", "Je vais très bien, merci beaucoup mon ami !", True),
    ],
)  # fmt: skip
def test_language(question, answer, kept):
    text, rules = cleaned(answer, question)
    assert (text is not None) == kept
    assert kept or rules == ("language",)


def test_length_goes_by_the_style_of_meta_or_of_the_trigger():
    style = Style(name="rednote", label_zh="小红书", label_en="Lively", prompt="活泼", trigger="，小红书风格",
                  max_chars=8)  # fmt: skip
    cleaner = Cleaner(NAMES, styles={"rednote": style})
    for conversation in (
        row("这是一段太长太长的祝福", style="小红书"),
        row("这是一段太长太长的祝福", style="rednote"),
        row("这是一段太长太长的祝福", question="祝姐姐生日快乐，小红书风格"),
    ):
        kept, change = cleaner.clean(1, conversation)
        assert kept is None
        assert change.removed == "length"
    assert cleaner.clean(1, row("这是一段太长太长的祝福"))[0] is not None
    assert cleaner.clean(1, row("短短的祝福", style="小红书"))[0] is not None


def test_an_answer_of_which_nothing_is_left_goes():
    assert cleaned("\u200b \ufeff") == (None, ("empty",))


def test_emoji_are_counted_as_people_see_them():
    assert [
        len(EMOJI.findall(text))
        for text in ("👨\u200d👩\u200d👧", "🇨🇳", "👍🏽", "1️⃣", "❤️", "无", "🎂🎉")
    ] == [1, 1, 1, 1, 1, 0, 2]
    assert cleaned("好👍🏽🇨🇳", names=["emoji"], limits=Limits(max_emoji=1))[0] == "好👍🏽"


def test_only_and_skip():
    assert chosen() == DEFAULT == ("control", "html", "unicode", "space")
    assert chosen(generated=True) == NAMES
    assert chosen(skip=["html", "lead"]) == ("control", "unicode", "space")
    assert chosen(skip=["lead"], generated=True) == tuple(n for n in NAMES if n != "lead")
    assert chosen(["lead", "quotes"], ["quotes"]) == ("lead",)
    with pytest.raises(UsageError, match="laed"):
        chosen(["laed"], [])
    with pytest.raises(UsageError, match="--generated"):
        chosen(["lead"], [], generated=True)


def test_files_report_and_changes(tmp_path):
    file, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    rows = [
        row("姐姐生日快乐！"),
        row("“生日快乐”", scene="生日"),
        row("Je te souhaite un très joyeux anniversaire, ma chère sœur."),
    ]
    before = "".join(item.line() + "\n" for item in rows)
    file.write_text(before, "utf-8")
    report = clean_files([file], out, Cleaner(NAMES), dry_run=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert (report.rows_in, report.rows_out, report.changed) == (3, 2, 1)
    report = clean_files([file], out, Cleaner(NAMES))
    assert file.read_text("utf-8") == before
    assert list(read_conversations(out)) == [rows[0], row("生日快乐", scene="生日")]
    changes = [json.loads(line) for line in report.changes_file.open(encoding="utf-8")]
    assert changes == [
        {"file": str(file), "row": 2, "rules": ["quotes"],
         "changes": [{"message": 2, "before": "“生日快乐”", "after": "生日快乐"}]},
        {"file": str(file), "row": 3, "removed": "language", "before": json.loads(rows[2].line())},
    ]  # fmt: skip
    assert (dict(report.rules), dict(report.removed)) == ({"quotes": 1}, {"language": 1})
    with pytest.raises(UsageError, match="--force"):
        clean_files([file], out, Cleaner(NAMES))
    with pytest.raises(UsageError, match="never touched"):
        clean_files([file], file, Cleaner(NAMES), force=True)
    file.write_text(rows[2].line(), "utf-8")
    with pytest.raises(FailedError, match="--skip language"):
        clean_files([file], tmp_path / "c.jsonl", Cleaner(NAMES))
    assert not (tmp_path / "c.jsonl").exists()


def test_a_file_of_another_shape_is_pointed_to_import(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"instruction": "a", "output": "b"}\n', "utf-8")
    with pytest.raises(UsageError, match="train data import"):
        clean_files([file], tmp_path / "b.jsonl", Cleaner())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["好的，", "以下是", "祝福语：", "“", "”", "\n", "**题**", "！", "啦~", "。", "哦！", "注：", "（", "）",
                         "🎂", "&amp;", "\u200b", "生日快乐", "Sure, here is a wish: ", "```", "`", " ", "，"])
        | st.text(max_size=6),
        max_size=12,
    ).map("".join)
)  # fmt: skip
def test_cleaning_twice_changes_nothing_more(answer):
    cleaner = Cleaner(NAMES)
    once, _ = cleaner.clean(1, row(answer))
    if once is not None:
        twice, change = cleaner.clean(1, once)
        assert (twice, change) == (once, None)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["data", "clean", *map(str, arguments)])


def test_the_command_shows_a_diff(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(row("姐姐生日快乐！啦~").line() + "\n", "utf-8")
    done = run(file, "--generated", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "- 姐姐生日快乐！啦~\n+ 姐姐生日快乐！\n" in done.stdout
    assert "punctuation" in done.stdout
    assert not (tmp_path / "a.clean.jsonl").exists()
    assert json.loads(run(file, "--generated", "--json").stdout)["rules"] == {"punctuation": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.clean.changes.jsonl", "a.clean.jsonl", "a.clean.report.json", "a.jsonl",
    ]  # fmt: skip
    assert run(file, "--only", "nothing").exit_code == 2
    assert run(file, "--only", "lead", "--generated").exit_code == 2


def test_without_being_asked_no_words_are_taken_out(tmp_path):
    file = tmp_path / "a b.jsonl"
    answer = "好的，以下是为您生成的祝福语：\n“生日快乐！啦~”\n\n（注：可修改）"
    file.write_text(row(answer + " \n\n\n").line() + "\n", "utf-8")
    done = run(file)
    assert done.exit_code == 0, done.output
    assert [
        item.messages[-1].content for item in read_conversations(tmp_path / "a b.clean.jsonl")
    ] == [answer]
    assert "--generated" in done.stderr
    following = next(line for line in done.stderr.splitlines() if line.startswith("Next: "))
    assert Path(shlex.split(following)[-1]) == tmp_path / "a b.clean.jsonl"
    report = json.loads((tmp_path / "a b.clean.report.json").read_text("utf-8"))
    assert report["ran"] == list(DEFAULT)


def test_a_published_file_is_hardly_changed(tmp_path):
    from train.data.importing import import_files

    import_files([RIDDLES], tmp_path / "a.jsonl")
    report = clean_files([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", Cleaner(NAMES))
    assert report.rows_out == 61
    assert report.changed < 4


# --- Right rows of six kinds, and rows with something to mend --------------------------------------

CASES = rule_figures.cases("clean")
LEAST_PRECISION, LEAST_RECALL = 0.98, 0.9


def test_the_cases_are_of_six_kinds():
    kinds = Counter(case["kind"] for case in CASES)
    assert len(kinds) == 6
    assert min(kinds.values()) >= 25


def test_each_rule_finds_what_it_is_for_and_nothing_else():
    table = rule_figures.of_clean()
    assert set(table) == set(NAMES) - {"length"}  # goes by the style that the configuration gives
    assert min(figures.precision for figures in table.values()) >= LEAST_PRECISION, table
    assert min(figures.recall for figures in table.values()) >= LEAST_RECALL, table
    assert min(table[name].wanted for name in DEFAULT) >= 20, "they run on every file"


def test_by_default_no_words_of_any_case_go():
    cleaner = Cleaner(DEFAULT)
    for case in CASES:
        kept, change = cleaner.clean(1, row(case["answer"], case["question"]))
        assert kept is not None, case
        if not set(case.get("rules", ())) & set(DEFAULT):
            assert kept.messages[-1].content.split() == _bare(case["answer"]).split(), (
                case,
                change,
            )


def _bare(text: str) -> str:
    return text.replace("\u200b", "")


# --- Whatever a file holds ------------------------------------------------------------------------

PIECES = ("，、", "！", " ", " \n", "（共3个字）", "祝福语：", "\\(", "$", "“", "`", "🎂", "&amp;", "こ", "a, ", "*", "```\n", "<a ")  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_answer_of_one_piece_is_gone_through(piece):
    """A pattern that goes back over its run at every place would not come to an end here."""
    answer = piece * (10_000 // len(piece))
    Cleaner(NAMES).clean(1, row(answer))
    Cleaner(NAMES).clean(1, row("好的", question=answer))


OPTIONS = st.lists(
    st.sampled_from(["--generated", "--only", "--skip", "lead", "x", "--max-emoji", "-1", "--diff", "0", "-o", "", ".",
                     "a.jsonl", "b.jsonl", "--dry-run", "--json", "--force", "--set", "model.base=x", "\udcff"]),
    max_size=5,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    data=st.lists(
        st.sampled_from([row("好").line(), row("").line(), "\n", "{", "[]", "null", '{"messages": null}', "\ufeff", '"\\ud800"'])
        | st.text(max_size=8),
        max_size=5,
    ).map("".join)
    | st.binary(max_size=20),
    options=OPTIONS,
)  # fmt: skip
def test_no_file_and_no_options_bring_a_traceback(tmp_path, monkeypatch, data, options):
    monkeypatch.chdir(tmp_path)
    content = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    (tmp_path / "a.jsonl").write_bytes(content)
    done = run("a.jsonl", *options)
    assert done.exception is None or isinstance(done.exception, SystemExit), (options, data)
    assert done.exit_code in (0, 1, 2, 3)
