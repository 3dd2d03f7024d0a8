"""The example projects: their files are sound, and their commands exist."""

import csv
import re
import shlex
from pathlib import Path

import click
import pytest

from app import main as app
from assistant.__main__ import main as assistant
from assistant.config import read_config
from train.__main__ import main as train
from train.data.generating.plan import PLANS, read_plan
from train.settings import TrainTable

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NAMES = ("personal", "qa", "wishes")
PROGRAMS = {"train": train, "assistant": assistant, "app.py": app}
COMMAND = re.compile(r"python (?:-m )?(?:train|assistant|app\.py) [^\n`…。]*")


def commands(readme: Path) -> list[list[str]]:
    return [shlex.split(line) for line in COMMAND.findall(readme.read_text("utf-8"))]


def test_there_are_three():
    assert tuple(sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_is_read(name):
    config = read_config(EXAMPLES / name / "assistant.toml", tables={"train": TrainTable})
    assert config.model.run in ("personal", "library", "wishes")
    assert config.run_folder == EXAMPLES / name / "runs" / config.model.run


@pytest.mark.parametrize(("name", "count"), [("personal", 4), ("qa", 6), ("wishes", 6)])
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


def test_the_spreadsheet_is_whole():
    with (EXAMPLES / "qa" / "faq.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 26
    assert all(set(row) == {"question", "answer", "topic"} and all(row.values()) for row in rows)
    assert len({row["question"] for row in rows}) == 26
