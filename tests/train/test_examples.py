"""The example projects: their files are sound, and their commands exist."""

import csv
import random
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from servers.openai_server import stand_in

from app import main as app
from assistant.__main__ import main as assistant
from assistant.config import read_config
from assistant.conversation import Message, read_conversations
from assistant.persona import persona_from_config
from train.__main__ import main as train
from train.check.measures import emoji_rule, has_emoji, in_style
from train.data.generating.plan import PLANS, read_plan
from train.data.identity_set.task_files import parted, task_rows
from train.settings import TrainTable
from train.trainer.trained_styles import mark_trained_styles, trigger_rows

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ("personal", "qa", "wishes", "wishes-en")
PROGRAMS = {"train": train, "assistant": assistant, "app.py": app}
COMMAND = re.compile(r"python (?:-m )?(?:train|assistant|app\.py) [^\n`…。]*")


def commands(readme: Path) -> list[list[str]]:
    return [shlex.split(line) for line in COMMAND.findall(readme.read_text("utf-8"))]


def test_there_are_four():
    assert tuple(sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_is_read(name):
    config = read_config(EXAMPLES / name / "assistant.toml", tables={"train": TrainTable})
    assert config.model.run in ("personal", "library", "wishes", "wishes-en")
    assert config.run.folder == EXAMPLES / name / "runs" / config.model.run


@pytest.mark.parametrize(
    ("name", "count"), [("personal", 4), ("qa", 6), ("wishes", 6), ("wishes-en", 5)]
)
def test_every_command_of_the_readme_exists(name, count):
    found = commands(EXAMPLES / name / "README.md")
    assert len(found) == count
    for words in found:
        program = words[2] if words[1] == "-m" else words[1]
        command: click.Command = PROGRAMS[program]
        rest = words[words.index(program) + 1 :]
        while isinstance(command, click.Group):
            command = command.commands[rest.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word for word in rest if word.startswith("--")}
        assert used <= known, (words, used - known)


def test_wishes_triggers_are_those_of_its_plans():
    config = read_config(EXAMPLES / "wishes" / "assistant.toml", tables={"train": TrainTable})
    ours = {style.trigger for style in config.styles.values()}
    for file in (PLANS / "wishes-zh.toml", EXAMPLES / "wishes" / "plan.toml"):
        assert {style.trigger for style in read_plan(file).styles if style.trigger} == ours
    small = read_plan(EXAMPLES / "wishes" / "plan.toml")
    assert small.mask() == {
        "生日": ["外婆", "老同学", "项目经理", "表弟"], "高考": ["表弟"], "项目上线": ["老同学", "项目经理"],
    }  # fmt: skip
    assert len(list(small.cells())) == 7 * 3 * 2


def test_the_english_wishes_differ_by_their_trigger_alone_and_keep_their_style():
    folder = EXAMPLES / "wishes-en"
    config = read_config(folder / "assistant.toml", tables={"train": TrainTable})
    persona = persona_from_config(config)
    lively, formal = persona.styles
    assert [emoji_rule(style) for style in persona.styles] == ["wanted", "unwanted"]
    rows = list(read_conversations(folder / "wishes.jsonl"))
    asked: dict[str, dict[str, str]] = {}
    for row in rows:
        question, answer = (message.content for message in row.messages)
        plain, style = parted(question, persona.styles)
        name = style.name if style else ""
        assert question == plain + (style.trigger if style else "")
        assert name == row.meta.get("style", "")
        assert name not in asked.setdefault(plain, {})
        asked[plain][name] = answer
        assert not {persona.name, persona.author} & {word for word in re.findall(r"\w+", answer)}
    assert len(rows) == 312
    assert len({row.messages[-1].content for row in rows}) == 312
    for answers in asked.values():
        assert answers.keys() == {"", "lively", "formal"}
        assert not has_emoji(answers[""])
        assert in_style(lively, answers["lively"])
        assert 1 <= sum(map(has_emoji, answers["lively"])) <= 2
        assert in_style(formal, answers["formal"])


def test_training_marks_the_styles_of_the_english_wishes():
    folder = EXAMPLES / "wishes-en"
    config = read_config(folder / "assistant.toml", tables={"train": TrainTable})
    persona = persona_from_config(config)
    table = config.tables["train"]
    task = task_rows(persona, table.data.task_files, folder, [], 42, random.Random(42))
    counts = trigger_rows(task.train, persona.styles)
    assert min(counts.values()) >= 3 * table.style_rows
    marked = mark_trained_styles(persona, counts, table.style_rows)
    assert [style.trained for style in marked.styles] == [True, True]


def test_the_spreadsheet_is_whole():
    with (EXAMPLES / "qa" / "faq.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 26
    assert all(set(row) == {"question", "answer", "topic"} and all(row.values()) for row in rows)
    assert len({row["question"] for row in rows}) == 26


# These take a base, minutes, or a person.
TRAINED = ("train all", "train data identity", "assistant chat", "assistant ask")


def answer(messages: list[Message]) -> str:
    """What a larger model would say to the wishes, the documents and the paraphrases."""
    asked = messages[-1].content
    if "Rewrite" in asked:
        question = asked.splitlines()[-1]
        return f"Please, {question}\nTell me: {question}\nCould you say: {question}"
    if "<<<" in asked:
        return (
            "Q: When is the museum open?\nA: From nine to five.\nQ: Is it free?\nA: Yes, for all."
        )
    return f"愿你平安喜乐，万事顺遂，第{len(asked)}份祝福。"


@pytest.mark.parametrize(
    ("name", "run", "made"),
    [
        ("personal", 0, {}),
        ("qa", 4, {"faq.jsonl": 26, "faq-paraphrased.jsonl": 78, "documents.jsonl": 2}),
        ("wishes", 4, {"wishes-zh.jsonl": 30}),
        ("wishes-en", 2, {}),
    ],
)
def test_the_data_commands_of_the_readme_run_in_their_order(name, run, made, tmp_path, monkeypatch):
    """In a copy, with a server where the README says to put one."""
    project = tmp_path / "examples" / name
    shutil.copytree(EXAMPLES / name, project, ignore=shutil.ignore_patterns("data", "runs"))
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FOLDER" / "museum.md").write_text(
        "# Museum\n\nThe museum of clocks is open from nine to five, and entry is free for all.\n"
    )
    monkeypatch.chdir(tmp_path)
    done = 0
    with stand_in() as server:
        server.answer = answer
        config = project / "assistant.toml"
        text = config.read_text("utf-8")
        urls = f'urls = ["{server.url}"]'
        if "[serve.remote]" in text:
            text = re.sub(r"(?m)^urls = \[\].*$", urls, text)
        else:
            text += f"\n[serve.remote]\n{urls}\n"
        config.write_text(text, "utf-8")
        for words in commands(project / "README.md"):
            program, rest = (words[2], words[3:]) if words[1] == "-m" else (words[1], words[2:])
            if program == "app.py" or f"{program} {' '.join(rest)}".startswith(TRAINED):
                continue
            if "--resume" in rest:
                rest += ["--limit", "30"]  # all 906 would take a minute
            said = CliRunner().invoke(PROGRAMS[program], rest)
            assert said.exit_code == 0, (words, said.output)
            done += 1
    assert done == run
    assert {
        file.name: len(list(read_conversations(file)))
        for file in (project / "data").glob("*.jsonl") if "." not in file.stem
    } == made  # fmt: skip
