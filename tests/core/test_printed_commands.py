"""Every command that the product prints is one: it exists, and so do the options it is printed with.

That the cures mend is tried where they are printed; this holds that none names what is gone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from assistant.__main__ import main as assistant
from deploy.__main__ import main as deploy
from train.__main__ import main as train

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"assistant": assistant, "train": train, "deploy": deploy}
COMMAND = re.compile(r"python -m (assistant|train|deploy)(?= |$)([^`\n。，；：、（）()“”\"]*)")
PROSE = re.compile(
    r"[:;,](?: |$)| - | or | and |\.(?: |$)"
)  # what ends a command inside a sentence


def texts(file: Path) -> Iterator[str]:
    """The strings of a module but its docstrings; what an f-string fills in is X."""
    tree = ast.parse(file.read_text("utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in documentation:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def printed(package: str) -> set[tuple[str, str]]:
    """Program and words of each command that a package prints."""
    files = sorted((ROOT / package).rglob("*.py"))
    return {
        (found[1], PROSE.split(found[2])[0].strip())
        for file in files
        for text in texts(file)
        for found in COMMAND.finditer(text)
    }


def fault(program: str, line: str) -> str:
    """What is wrong with a command line; empty where it is one."""
    command: click.Command = PROGRAMS[program]
    words = line.split()
    while isinstance(command, click.Group) and words and not words[0].startswith(("-", "X")):
        name = words.pop(0)
        if name in ("…", "..."):  # all of that group
            return ""
        if name not in command.commands:
            return f"no command {name!r}"
        command = command.commands[name]
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    for word in words:
        name = word.split("=")[0]
        if re.fullmatch(r"--?[a-z][a-z-]*", name) and name not in {*options, "--help"}:
            return f"no option {name}"
    return ""


@pytest.mark.parametrize("package", PROGRAMS)
def test_each_printed_command_exists_with_its_options(package):
    found = printed(package)
    assert len(found) > 5
    assert {f"{program} {line}": fault(program, line) for program, line in sorted(found)} == {
        f"{program} {line}": "" for program, line in found
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("data clean FILE --only empty", ""),
        ("data tidy FILE", "no command 'tidy'"),
        ("fit --recipe cpu", "no option --recipe"),
    ],
)
def test_what_is_no_command_is_found(line, said):
    assert fault("train", line) == said
