"""`train data generate`: plans, documents and paraphrases, before a server with every fault."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from servers.openai_server import StandIn, stand_in

from assistant.conversation import Conversation, Message, read_conversations, write_conversations
from assistant.engines.remote import RemoteEngine, RemoteSettings
from assistant.errors import EngineError, UsageError
from assistant.progress import unreported
from train.__main__ import main
from train.data.generating.ask import _Pace
from train.data.generating.documents import documents_work, passages, read_document, read_pairs
from train.data.generating.generate import Generated, generate, prepare
from train.data.generating.jobs import Unfit, Work
from train.data.generating.journal import Entry, open_journal, read_entries
from train.data.generating.paraphrase import paraphrase_work, read_lines
from train.data.generating.plan import PLANS, plan_work, read_plan
from train.data.generating.settings import GenerateTable

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"concurrent": 4}
PLAN = """
name = "small"
system = "写祝福。{instruction}"
prompt = "给{role}（{about_role}）写{scene}的祝福，{style}，{max_chars}字以内。\\n{conditions}"
typed = ["祝{role}{scene}{trigger}", "给{role}写：{scene}{trigger}"]
conditions = { way = ["短一些", "长一些"] }
roles = [
  { name = "奶奶", tags = ["长辈"] }, { name = "姐姐" }, { name = "领导", tags = ["职场"] },
  { name = "小李", tags = ["职场"] },
]
scenes = [
  { name = "生日", typed = "生日快乐" }, { name = "春节", typed = "春节快乐" },
  { name = "谈判", typed = "谈判顺利", only = ["职场"] },
  { name = "升职", typed = "升职快乐", never = ["长辈"] },
]
[[styles]]
name = "正常"
instruction = "自然"
max_chars = 40
examples = [{ typed = "祝舅舅生日快乐", answer = "舅舅生日快乐，愿您天天开心。" }]
[[styles]]
name = "小红书"
trigger = "，小红书风格"
instruction = "活泼"
max_chars = 40
examples = [{ typed = "祝舅舅生日快乐", answer = "舅舅生日快乐呀🎂愿您天天开心！" }]
"""
CELLS = (4 + 4 + 2 + 3) * 2


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as running:
        running.answer = wish
        running.retry_after = "0.05"
        yield running


@pytest.fixture
def engine(server: StandIn) -> Iterator[RemoteEngine]:
    opened = RemoteEngine(
        RemoteSettings(urls=(server.url,), first_wait_seconds=0.01, attempts=3, timeout_seconds=5)
    )
    yield opened
    opened.close()


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(PLAN, encoding="utf-8")
    return file


@pytest.fixture
def work(plan: Path) -> Work:
    return plan_work(plan.name, plan.parent)


def wish(messages: list[Message]) -> str:
    """An answer that tells which cell it is for."""
    return f"愿你一切都好{abs(hash(messages[-1].content)) % 10**6}号。"


def run(work: Work, engine, out: Path, resume: bool = False, **settings) -> Generated:
    table = GenerateTable(**(QUICK | settings))
    prepared = prepare(work, table, out, resume=resume, force=False)
    return generate(prepared, engine, resume=resume, report=unreported)


def cells(rows: list[Conversation]) -> Counter:
    return Counter((row.meta["role"], row.meta["scene"], row.meta["style"]) for row in rows)


def test_the_ready_plan_is_what_it_says():
    plan = read_plan(PLANS / "wishes-zh.toml")
    assert (len(plan.roles), len(plan.scenes), [style.name for style in plan.styles]) == (
        28, 18, ["正常", "小红书", "严肃"],
    )  # fmt: skip
    mask = plan.mask()
    assert mask["教师节"] == ["赵老师", "王教授", "刘教练"]
    assert not {"奶奶", "外婆", "女儿"} & set(mask["商务谈判"])
    assert set(mask["情人节"]) == {"妻子", "丈夫"}
    assert len(mask["春节"]) == 28
    assert all(mask.values())
    for style in plan.styles:
        assert len(style.examples) == 3
        assert all(len(example.answer) <= style.max_chars for example in style.examples)
    jobs = plan_work("wishes-zh", Path()).jobs
    assert len(jobs) == len({job.id for job in jobs}) == len({job.name for job in jobs}) == 906
    rows = [job.rows("愿你一切都好。", "m")[0] for job in jobs]
    assert all(
        row.messages[0].content.endswith("，小红书风格") == (row.meta["style"] == "小红书")
        for row in rows
    )
    assert "祝姐姐生日快乐，小红书风格" in {
        row.messages[0].content.replace("给姐姐写一段祝福：", "祝姐姐") for row in rows
    }


def test_rows_hold_what_a_person_types_and_meta_the_prompt(work, engine, server, tmp_path):
    done = run(work, engine, tmp_path / "out.jsonl")
    rows = list(read_conversations(tmp_path / "out.jsonl"))
    assert (done.rows, done.filled, done.jobs, done.outcome.unfilled) == (CELLS, CELLS, CELLS, {})
    assert set(cells(rows).values()) == {1}
    row = next(row for row in rows if row.meta["source"] == "small:姐姐/生日/小红书/1")
    asked, answer = (message.content for message in row.messages)
    assert asked in ("祝姐姐生日快乐，小红书风格", "给姐姐写：生日快乐，小红书风格")
    drawn = row.meta["conditions"]
    assert row.meta == {
        "kind": "generated", "language": "zh", "source": "small:姐姐/生日/小红书/1", "topic": "生日",
        "role": "姐姐", "scene": "生日", "style": "小红书", "conditions": drawn, "generator": "echo-chat",
        "prompt": f"给姐姐（）写生日的祝福，小红书，40字以内。\n- {drawn['way']}",
    }  # fmt: skip
    assert answer == wish([Message(role="user", content=row.meta["prompt"])])
    assert ("奶奶", "谈判", "正常") not in cells(rows)
    sent = next(
        one for one in server.requests if one["messages"][-1]["content"] == row.meta["prompt"]
    )
    assert [message["role"] for message in sent["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert sent["messages"][1]["content"] == "祝舅舅生日快乐，小红书风格"
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "out.journal.jsonl", "out.jsonl", "out.report.json", "small.toml",
    ]  # fmt: skip


def test_the_estimate_is_an_upper_bound_and_the_count_is_the_servers(
    work, engine, server, tmp_path
):
    prepared = prepare(work, GenerateTable(), tmp_path / "out.jsonl", resume=False, force=False)
    done = run(work, engine, tmp_path / "out.jsonl", price_prompt=1.0, price_answer=2.0)
    assert done.spent.requests == CELLS == len(server.requests)
    assert done.spent.answer_tokens <= prepared.estimate.answer_tokens
    assert done.spent.cost == pytest.approx(
        (done.spent.prompt_tokens + 2 * done.spent.answer_tokens) / 1e6
    )
    report = json.loads((tmp_path / "out.report.json").read_text("utf-8"))
    assert report["spent"] == done.spent.as_json()
    assert report["coverage"]["scene"] == {"升职": 6, "春节": 8, "生日": 8, "谈判": 4}


def test_every_cell_once_with_all_faults_and_two_kills(plan, server, tmp_path):
    chance = random.Random(7)
    faults = ["429", "500", "cut", "empty", "malformed", "slow", "cut_first", "html", "no_finish"]
    server.faults.extend(chance.choice([*faults, *[""] * 6]) for _ in range(400))
    answered = Counter()

    def now_and_then_unfit(messages: list[Message]) -> str:
        answered[messages[-1].content] += 1
        kind = chance.random()
        return (
            " "
            if kind < 0.1
            else "太长" * 60
            if kind < 0.2
            else "祝{姓名}好"
            if kind < 0.25
            else wish(messages)
        )

    server.answer = now_and_then_unfit
    out = tmp_path / "out.jsonl"
    journal = tmp_path / "out.journal.jsonl"
    command = [
        sys.executable, "-m", "train", "data", "generate", "--plan", str(plan), "--out", str(out),
        "--concurrent", "3", "--resume", "--json", "--set", f'serve.remote.urls=["{server.url}"]',
        "--set", "train.generate.tries=8", "--set", "serve.remote.timeout_seconds=5",
    ]  # fmt: skip
    kept: list[set[str]] = []
    for wanted in (7, 16):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 300
        while sum(not entry.unfit for entry in read_entries(journal)) < wanted:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert not out.exists()
        while server.running:  # requests under way end at the server
            assert time.monotonic() < deadline
            time.sleep(0.01)
        kept.append({entry.job for entry in read_entries(journal) if not entry.unfit})
        seen = len(server.requests)
    with journal.open("a", encoding="utf-8") as torn:
        torn.write('{"job": "half a li')
    last = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["rows"] == CELLS
    rows = list(read_conversations(out))
    work = plan_work(str(plan), tmp_path)
    assert cells(rows) == Counter(
        (job.meta["role"], job.meta["scene"], job.meta["style"]) for job in work.jobs
    )
    assert set(cells(rows).values()) == {1}
    assert {row.messages[1].content[:6] for row in rows} == {"愿你一切都好"}
    # What was kept when the second kill came was not asked for again.
    prompts = {job.messages[-1].content for job in work.jobs if job.id in kept[1]}
    assert len(prompts) == len(kept[1]) >= 16
    assert not prompts & {one["messages"][-1]["content"] for one in server.requests[seen:]}
    taken = [entry.job for entry in read_entries(journal) if not entry.unfit]
    assert len(taken) == len(set(taken)) == CELLS


def test_a_finished_generation_asks_for_nothing_and_a_changed_plan_for_the_changed_cells(
    plan, work, engine, server, tmp_path
):
    out = tmp_path / "out.jsonl"
    run(work, engine, out)
    with pytest.raises(UsageError, match="--resume"):
        prepare(work, GenerateTable(), out, resume=False, force=False)
    before = len(server.requests)
    first = out.read_bytes()
    assert run(work, None, out, resume=True).filled == CELLS
    assert (len(server.requests), out.read_bytes()) == (before, first)
    plan.write_text(PLAN.replace('instruction = "活泼"', 'instruction = "俏皮"'), encoding="utf-8")
    assert run(plan_work(plan.name, tmp_path), engine, out, resume=True).rows == CELLS
    assert len(server.requests) == before + CELLS // 2


def test_a_file_that_is_not_its_own_is_never_replaced_unasked(work, plan, tmp_path):
    out = tmp_path / "mine.jsonl"
    out.write_text("precious")
    for resume in (False, True):
        with pytest.raises(UsageError, match=r"mine\.jsonl"):
            prepare(work, GenerateTable(), out, resume=resume, force=False)
    for force in (False, True):
        with pytest.raises(UsageError, match="is an input"):
            prepare(work, GenerateTable(), plan, resume=False, force=force)
    assert (out.read_text(), plan.read_text("utf-8")) == ("precious", PLAN)


def test_the_budget_is_never_passed_and_more_of_it_goes_on(work, engine, server, tmp_path):
    out = tmp_path / "out.jsonl"
    done = run(work, engine, out, max_tokens_total=2000)
    assert done.outcome.out_of_budget
    assert 1 <= done.filled < CELLS
    assert 1500 < done.spent.tokens <= 2000
    assert len(list(read_conversations(out))) == done.filled
    again = run(work, engine, out, resume=True, max_tokens_total=2000)
    assert again.outcome.out_of_budget
    assert again.spent.tokens <= 2000
    cost = {"price_prompt": 100.0, "price_answer": 100.0}
    third = run(work, engine, out, resume=True, max_cost=0.25, **cost)
    assert third.outcome.out_of_budget
    assert again.filled < third.filled < CELLS
    assert third.spent.cost <= 0.25
    assert run(work, engine, out, resume=True).filled == CELLS


def test_a_limit_in_money_needs_prices(work, engine, tmp_path):
    with pytest.raises(UsageError, match="price_prompt"):
        run(work, engine, tmp_path / "out.jsonl", max_cost=1.0)


@pytest.mark.parametrize(("fault", "most"), [("500", 5 * 3 * 2 + 4), ("wrong key", 0)])
def test_a_generator_that_is_down_stops_the_work_and_nothing_is_lost(
    work, engine, server, tmp_path, fault, most
):
    out = tmp_path / "out.jsonl"
    run(replace(work, jobs=work.jobs[:5]), engine, out)
    before = len(server.requests)
    server.always, server.key = (None, "another") if fault == "wrong key" else (fault, None)
    done = run(work, engine, out, resume=True, tries=2, concurrent=2)
    assert isinstance(done.outcome.stopped, EngineError)
    assert done.outcome.stopped.code == "unavailable"
    assert done.filled == 5 == len(list(read_conversations(out)))
    assert len(server.requests) - before <= most + 12
    server.always = server.key = None
    assert run(work, engine, out, resume=True).filled == CELLS


def test_an_answer_that_is_never_fit_is_reported(work, engine, server, tmp_path):
    bad = work.jobs[3].messages[-1].content
    server.answer = lambda messages: "短" if messages[-1].content == bad else wish(messages)
    done = run(work, engine, tmp_path / "out.jsonl", tries=3)
    assert done.outcome.unfilled == {work.jobs[3].name: "only 1 characters"}
    assert done.outcome.stopped is None
    assert (done.filled, done.rows) == (CELLS - 1, CELLS - 1)
    assert len(server.requests) == CELLS + 2
    seeds = [one["seed"] for one in server.requests if one["messages"][-1]["content"] == bad]
    assert len(set(seeds)) == 3


def test_the_journal_is_for_one_process(tmp_path):
    file = tmp_path / "j.jsonl"
    with open_journal(file, keep=False) as journal:
        journal.add(Entry(job="a", name="a", answer="行\u2028到头"))
        assert [entry.answer for entry in read_entries(file)] == ["行\u2028到头"]
        with pytest.raises(UsageError, match="Another process"), open_journal(file, keep=True):
            pass
    with open_journal(file, keep=True) as journal:
        assert [entry.job for entry in journal.entries] == ["a"]


def test_the_pace_lets_so_many_begin_and_gives_way_when_stopped():
    pace, stop = _Pace(5), threading.Event()
    assert [pace.wait(stop) for _ in range(5)] == [True] * 5
    started = time.monotonic()
    threading.Timer(0.2, stop.set).start()
    assert pace.wait(stop) is False
    assert 0.15 < time.monotonic() - started < 2
    assert _Pace(0).wait(threading.Event()) is True


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('only = ["职场"]', 'only = ["公司"]'), "公司"),
        (('name = "姐姐"', 'name = "奶奶"'), "stands twice"),
        (("{about_role}", "{whose}"), "whose"),
        (('"祝{role}{scene}{trigger}"', '"祝{role}{name}"'), "name"),
        (("max_chars = 40", "max_characters = 40"), "max_characters"),
        (('never = ["长辈"]', 'only = ["长辈"], never = ["奶奶"]'), "for none"),
        (("[[styles]]", "[[styles"), "TOML"),
    ],
)
def test_faults_of_a_plan_are_named(plan, change, said):
    plan.write_text(PLAN.replace(*change), encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        read_plan(plan)


def test_the_command_says_plan_estimate_and_strange_triggers(server, plan, tmp_path):
    command = ["data", "generate", "--plan", str(plan), "--config", str(ROOT / "assistant.toml"), "--out",
               str(tmp_path / "o.jsonl"), "--set", f'serve.remote.urls=["{server.url}"]']  # fmt: skip
    dry = CliRunner().invoke(main, [*command, "--dry-run", "--json"])
    assert dry.exit_code == 0, dry.output
    said = json.loads(dry.stdout)
    assert (said["jobs"], said["left"], said["estimated_at_most"]["requests"]) == (
        CELLS,
        CELLS,
        CELLS,
    )
    assert "the mask leaves out 3 of 16 pairs" in dry.stderr
    assert server.requests == []
    some = CliRunner().invoke(main, [*command, "--limit", "4", "--json"])
    assert some.exit_code == 0, some.output
    assert json.loads(some.stdout)["rows"] == 4
    tight = CliRunner().invoke(main, [*command, "--resume", "--max-tokens-total", "900"])
    assert tight.exit_code == 1
    assert "budget" in tight.stderr
    none = CliRunner().invoke(main, ["data", "generate", "--config", str(ROOT / "assistant.toml")])
    assert none.exit_code == 2
    strange = CliRunner().invoke(
        main, [*command, "--dry-run", "--force", "--set", "styles.rednote.trigger=!"]
    )
    assert "「，小红书风格」" in strange.stderr


MARKDOWN = """# 退货说明

收到商品后七天内可以申请退货，商品和包装要完好。退回的运费由买家承担，商品有质量问题时由商家承担。

定制的商品不能退货。

## 发货时间

下午四点前付款的订单当天发货，之后的第二天发货。周末和节假日顺延到下一个工作日，遇到大促会再晚一到两天，请耐心等待。
"""


def test_documents_are_cut_into_passages_with_their_headings():
    assert passages(MARKDOWN) == [
        ("退货说明", "收到商品后七天内可以申请退货，商品和包装要完好。退回的运费由买家承担，商品有质量问题时由商家承担。\n定制的商品不能退货。"),
        ("发货时间", "下午四点前付款的订单当天发货，之后的第二天发货。周末和节假日顺延到下一个工作日，遇到大促会再晚一到两天，请耐心等待。"),
    ]  # fmt: skip
    long = "这是一句大约二十个字的话，用来凑成很长的段落。" * 100
    cut = [passage for _, passage in passages(long)]
    assert "".join(cut) == long
    assert max(map(len, cut)) <= 600
    assert all(passage.endswith("。") for passage in cut)
    english = "One sentence of several words stands here. " * 60
    assert " ".join(passage for _, passage in passages(english)) == english.strip()
    assert passages("short") == []


def test_documents_of_all_kinds_are_read(tmp_path):
    import docx

    (tmp_path / "a.md").write_text(MARKDOWN, encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(MARKDOWN.replace("#", "").encode("gb18030"))
    document = docx.Document()
    document.add_heading("退货说明", 1)
    document.add_paragraph("收到商品后七天内可以申请退货，商品和包装要完好。" * 3)
    document.save(str(tmp_path / "c.docx"))
    (tmp_path / "d.pdf").write_bytes(
        small_pdf("Goods can be sent back within seven days, in their box.")
    )
    (tmp_path / "e.xyz").write_text("no document")
    work = documents_work([tmp_path], 2, 1)
    assert [file.name for file in work.inputs] == ["a.md", "b.txt", "c.docx", "d.pdf"]
    assert [job.meta["source"] for job in work.jobs] == [
        "a.md#1",
        "a.md#2",
        "b.txt#1",
        "c.docx#1",
        "d.pdf#1",
    ]
    assert work.jobs[3].meta["topic"] == "退货说明"
    assert work.jobs[4].meta["language"] == "en"
    assert "within seven days" in work.jobs[4].messages[1].content
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(UsageError, match=r"bad\.pdf cannot be read"):
        read_document(tmp_path / "bad.pdf")
    for missing in (tmp_path / "none.md", tmp_path / "e.xyz"):
        with pytest.raises(UsageError):
            documents_work([missing], 2, 1)


def small_pdf(text: str) -> bytes:
    """A PDF of one page with one line."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]  # fmt: skip
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(out)
    return (
        out
        + b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
        % (table, start)
    )


@pytest.mark.parametrize(
    "answer",
    [
        "问：几天内可以退货？\n答：七天内。\n问：谁付运费？\n答：买家付，\n有质量问题时商家付。",
        "好的，以下是问答：\n\n1. 问题1：几天内可以退货？\n   回答1：七天内。\n\n2. 问题2：谁付运费？\n   回答2：买家付，\n有质量问题时商家付。\n",
        "**Q1:** 几天内可以退货？\n**A1:** 七天内。\n\n**Q2:** 谁付运费？\n**A2:** 买家付，\n有质量问题时商家付。",
    ],
)
def test_pairs_are_read_from_the_forms_that_models_write(answer):
    pairs = read_pairs(answer)
    assert [ask for ask, _ in pairs] == ["几天内可以退货？", "谁付运费？"]
    assert [reply.replace("\n", "") for _, reply in pairs] == [
        "七天内。",
        "买家付，有质量问题时商家付。",
    ]


@pytest.mark.parametrize("answer", ["", "我不知道。", "问：几天？", "Q: {question}\nA: {answer}"])
def test_answers_without_pairs_are_unfit(answer):
    with pytest.raises(Unfit):
        read_pairs(answer)


def test_questions_and_answers_from_documents(engine, server, tmp_path):
    (tmp_path / "help.md").write_text(MARKDOWN, encoding="utf-8")
    server.answer = lambda messages: (
        "问：能退货吗？\n答：七天内可以。\n问：何时发货？\n答：当天。\n问：多的？\n答：多的。"
    )
    done = run(documents_work([tmp_path / "help.md"], 2, 1), engine, tmp_path / "qa.jsonl")
    rows = list(read_conversations(tmp_path / "qa.jsonl"))
    assert (done.filled, done.rows) == (2, 4)
    assert [message.content for message in rows[0].messages] == ["能退货吗？", "七天内可以。"]
    assert (rows[0].meta["source"], rows[0].meta["topic"], rows[3].meta["pair"]) == (
        "help.md#1",
        "退货说明",
        2,
    )


def test_paraphrases_keep_the_answer(engine, server, tmp_path):
    file = tmp_path / "rows.jsonl"
    system = Message(role="system", content="你是小贝。")
    asked, said = (
        Message(role="user", content="你叫什么名字？"),
        Message(role="assistant", content="我叫小贝。"),
    )
    write_conversations(
        [Conversation(messages=(system, asked, said), meta={"kind": "identity"})], file
    )
    server.answer = lambda messages: (
        "好的，改写如下：\n1. 你的名字是什么？\n- 你叫什么名字？\n“怎么称呼你？”\n3、怎么称呼你？"
    )
    done = run(paraphrase_work(file, 3, 1), engine, tmp_path / "more.jsonl")
    rows = list(read_conversations(tmp_path / "more.jsonl"))
    assert done.rows == 2
    assert [row.messages[1].content for row in rows] == ["你的名字是什么？", "怎么称呼你？"]
    assert all((row.messages[0], row.messages[2]) == (system, said) for row in rows)
    assert rows[0].meta["of"] == "你叫什么名字？"
    for nothing in ("你叫什么名字？", "A: 我叫小贝。", "", "以下是："):
        with pytest.raises(Unfit):
            read_lines(nothing, "你叫什么名字？")


@pytest.mark.xdist_group("engines")
def test_a_local_engine_generates(cpu_engine, tmp_path):
    english = PLAN.replace("max_chars = 40", "max_chars = 400").replace(
        'system = "写祝福。{instruction}"', 'system = "You write short wishes."'
    )
    file = tmp_path / "plan.toml"
    file.write_text(english, encoding="utf-8")
    work = plan_work("plan.toml", tmp_path)
    some = replace(work, jobs=[replace(job, max_tokens=60) for job in work.jobs[:2]])
    done = run(some, cpu_engine, tmp_path / "out.jsonl", tries=6, temperature=0.7)
    assert done.outcome.stopped is None
    assert done.spent.requests >= 2
    assert done.filled + len(done.outcome.unfilled) == 2
    assert done.filled >= 1
    assert len(list(read_conversations(tmp_path / "out.jsonl"))) == done.filled
