"""Libraries that are not installed: named in one sentence with the command that installs them."""

from __future__ import annotations

import ast
import json
import os
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest
from click.testing import CliRunner, Result
from train_fixtures import conversations, write_rows

from app import main as page
from assistant.__main__ import main as assistant
from assistant.libraries import KIT, LISTS, Listed, _python, installing, listed, missing_library
from assistant.outside import failure_from_outside
from assistant.run import Run
from assistant.serving.failures import said_of
from assistant.serving.host import Host, Ready
from deploy.__main__ import main as deploy
from train.__main__ import main as train
from train.trainer.child import kind_of
from train.trainer.process import explain

CONFIG = '[assistant]\nname = "Bei"\nauthor = "Beibei"\n[model]\nbase = "./base"\n[serve]\nengine = "echo"\n'
ROWS = "\n".join(json.dumps(row) for row in conversations(8)) + "\n"
OURS = ("assistant", "train", "deploy", "app")
PROGRAMS = {"train": train, "deploy": deploy, "assistant": assistant, "page": page}


@pytest.fixture
def hide(monkeypatch):
    """What hides a library, as if it were not installed."""

    def hidden(library: str) -> None:
        for name in [*sys.modules, library]:
            if name.split(".")[0] == library:
                monkeypatch.setitem(sys.modules, name, None)

    return hidden


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    """A folder with one file of each kind that a library reads."""
    import docx
    import openpyxl
    import pyarrow
    import pyarrow.parquet

    monkeypatch.chdir(tmp_path)
    (tmp_path / "assistant.toml").write_text(CONFIG, "utf-8")
    (tmp_path / "rows.jsonl").write_text(ROWS, "utf-8")
    (tmp_path / "phone.jsonl").write_text(ROWS.replace("?", " +86 13812345678?"), "utf-8")
    (tmp_path / "long.jsonl").write_text(ROWS.replace("?", " and more words to it" * 9), "utf-8")
    french = ROWS.replace("I am", "Je voudrais vous dire que je suis une personne bien élevée et")
    (tmp_path / "french.jsonl").write_text(french, "utf-8")
    (tmp_path / "id.jsonl").write_text(ROWS.replace("?", " 11010519491231002X?"), "utf-8")
    (tmp_path / "cp1251.csv").write_bytes(
        "question,answer\nКак вас зовут?,Меня зовут Бэй\n".encode("cp1251")
    )
    book = openpyxl.Workbook()
    for row in (("question", "answer"), ("Open?", "From nine.")):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    table = pyarrow.table({"question": ["a?"], "answer": ["A one"]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    document = docx.Document()
    document.add_paragraph("We open at nine. " * 30)
    document.save(tmp_path / "a.docx")
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4\n")
    write_rows(Run(tmp_path / "runs" / "default"), conversations(8))
    return tmp_path


def call(program: str, line: str) -> Result:
    done = CliRunner().invoke(PROGRAMS[program], shlex.split(line))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.mark.parametrize(
    ("library", "program", "line"),
    [
        ("openpyxl", "train", "data import a.xlsx -o out.jsonl"),
        ("pyarrow", "train", "data import a.parquet -o out.jsonl"),
        ("charset_normalizer", "train", "data import cp1251.csv -o out.jsonl"),
        ("docx", "train", "data generate --documents a.docx --dry-run"),
        ("pypdf", "train", "data generate --documents a.pdf --dry-run"),
        ("phonenumbers", "train", "data lint phone.jsonl"),
        ("stdnum", "train", "data lint id.jsonl"),
        ("rapidfuzz", "train", "data lint rows.jsonl"),
        ("numpy", "train", "data lint rows.jsonl"),
        ("rensa", "train", "data lint long.jsonl"),
        ("py3langid", "train", "data lint french.jsonl"),
        ("rapidfuzz", "train", "data split rows.jsonl -o parts"),
        ("transformers", "train", "data show rows.jsonl --rendered"),
        ("xtuner", "train", "all"),
        ("torch", "train", "bench"),
        ("huggingface_hub", "deploy", "model --to hf:me/bei --dry-run"),
        ("huggingface_hub", "assistant", "ask hi --engine cpu --model hf:me/bei"),
        ("modelscope_hub", "assistant", "ask hi --engine cpu --model modelscope:me/bei"),
        ("openai", "assistant", "ask hi --engine remote --set serve.remote.urls='[\"http://127.0.0.1:9/v1\"]'"),
        ("gradio", "page", "--port 0"),
    ],
)  # fmt: skip
def test_a_missing_library_is_one_sentence_with_what_installs_it(
    library, program, line, project, hide
):
    hide(library)
    done = call(program, line)
    assert done.exit_code == 3, done.output
    assert "Traceback" not in done.output
    error, cure = done.stderr.split("Error: ")[1].splitlines()[:2]
    found = listed(library)
    assert found is not None and "not installed" in error
    assert found.name in error.lower() or library in error or "OpenVINO" in error
    assert installs(cure.removeprefix("Install it: "), found), cure


def installs(command: str, library: Listed) -> bool:
    """Whether the printed command is pip's of this Python, over lists that are there and have the
    library."""
    words = shlex.split(command.split(" && ")[0])
    lists = [Path(word) for word in words if word.endswith(".txt")]
    if words[1:4] != ["-m", "pip", "install"] or shutil.which(words[0]) is None:
        return False
    if not lists:
        return words[4:] == [library.requirement]
    needed = KIT / library.list.replace(
        "-nodeps", ""
    )  # what is installed with nothing else comes after
    return [needed] == lists and library.list in command


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("program", ["app.py", "train", "deploy", "assistant"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_where_nothing_is_installed_each_program_says_so(
    program, language, hide, capsys, monkeypatch, tmp_path
):
    hide("click")
    monkeypatch.setenv("ASSISTANT_LANG", language)
    monkeypatch.setattr(sys, "argv", [program, "--json"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        if program == "app.py":
            runpy.run_path(str(KIT / program), run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__")
    assert ended.value.code == 3
    printed = capsys.readouterr()
    command = f"{_python()} -m pip install -r {KIT / 'requirements-cpu.txt'}"
    told = {
        "en": f"Error: The library click is not installed.\nInstall it: {command}\n",
        "zh": f"错误：没有安装 click 库。\n请安装：{command}\n",
    }
    assert printed.err == told[language]
    assert json.loads(printed.out) == {
        "error": {
            "message": "The library click is not installed.",
            "cure": f"Install it: {command}",
        }
    }


@pytest.mark.parametrize(
    ("program", "words"),
    [("deploy", "status"), ("train", "status"), ("assistant", "models"), ("app", "--port 0")],
)
def test_what_stands_before_a_commands_edge_is_told_too(program, words, tmp_path):
    """In a process of its own: here everything was imported long ago."""
    code = "import runpy, sys; sys.modules['tomlkit'] = None; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    done = subprocess.run(
        [sys.executable, "-c", code, program, *words.split(), "--json"], cwd=tmp_path, text=True,
        capture_output=True, check=False, timeout=60, env=os.environ | {"PYTHONPATH": str(KIT)},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("Error: The library tomlkit is not installed.\nInstall it: ")
    assert json.loads(done.stdout)["error"]["message"] == "The library tomlkit is not installed."


def test_every_library_that_the_kit_imports_is_in_a_list():
    imported = set()
    for file in [KIT / "app.py", *(one for name in OURS for one in (KIT / name).rglob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).split(".")[0])
    foreign = imported - sys.stdlib_module_names - set(OURS)
    assert {"openpyxl", "docx", "yaml", "modelscope_hub"} <= foreign
    assert {name for name in foreign if listed(name) is None} == {
        "matplotlib"
    }  # asked for, not needed


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("click", "requirements-cpu.txt"),
        ("openpyxl.reader.excel", "train/data/requirements.txt"),
        ("docx", "train/data/requirements.txt"),
        ("modelscope_hub", "deploy/requirements.txt"),
        ("torch", "train/requirements.txt"),
        ("xtuner", "train/requirements-nodeps.txt"),
        ("lmdeploy", "requirements.txt"),
        ("spaces", "deploy/requirements-zerogpu.txt"),
        ("left_pad", None),
        ("assistant", None),
    ],
)
def test_the_smallest_list_that_has_it(module, file):
    found = listed(module)
    assert (found and found.list) == file
    assert all((KIT / one).is_file() for one in LISTS)


def raised(code: str, package: str = "train.data.thing") -> ImportError:
    """What running the code raises, as if it stood in that module."""
    with pytest.raises(ImportError) as caught:
        exec(compile(code, "thing.py", "exec"), {"__name__": package})
    return caught.value


@pytest.mark.parametrize(
    "code",
    [
        "import left_pad",
        "from assistant.words import nothing",
        "from assistant import nothing_here",
        "import train.nothing",
        "raise ImportError('of no library')",
    ],
)
def test_an_import_of_anything_else_stays_a_fault(code):
    error = raised(code)
    assert missing_library(error) is None
    with pytest.raises(ImportError) as again:
        failure_from_outside(error)
    assert again.value is error


def test_a_fault_keeps_its_traceback_at_the_edge(project, monkeypatch):
    def broken(*_: object, **more: object) -> None:
        from assistant.words import nothing  # noqa: F401

    monkeypatch.setattr("train.data.mix.mix", broken)
    done = CliRunner().invoke(train, ["data", "mix", "rows.jsonl", "-o", "out.jsonl"])
    assert isinstance(done.exception, ImportError)


@pytest.mark.parametrize(
    ("code", "said", "command"),
    [
        ("from openpyxl import nothing", "cannot import name 'nothing'", "'openpyxl>=3.1'"),
        ("import openpyxl.nothing", "No module named 'openpyxl.nothing'", "'openpyxl>=3.1'"),
    ],
)
def test_a_library_that_is_there_and_does_not_work(code, said, command):
    error = raised(code)
    missing = missing_library(error)
    assert missing is not None and missing.exit_code == 3
    assert missing.message.en.startswith("The library openpyxl is installed but does not work here")
    assert said in missing.message.en and said in missing.message.zh
    assert missing.cure is not None
    assert missing.cure.en.endswith(f" -m pip install --force-reinstall {command}")


def test_what_a_listed_library_lacks_is_told_of_that_library(hide):
    hide("et_xmlfile")
    for name in [name for name in sys.modules if name.split(".")[0] == "openpyxl"]:
        sys.modules.pop(name)
    missing = missing_library(raised("import openpyxl"))
    assert missing is not None and "openpyxl is installed but does not work" in missing.message.en
    assert "et_xmlfile" in missing.message.en


def test_what_is_optional_to_a_library_is_not_told_as_its_damage():
    def wants_more():
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed")

    wants_more = FunctionType(
        wants_more.__code__, {"__name__": "httpx._config", "ImportError": ImportError}
    )
    with pytest.raises(ImportError) as caught:
        wants_more()
    assert missing_library(caught.value) is None


def test_the_page_tells_its_owner_and_hides_the_path_from_visitors(hide, caplog):
    hide("openpyxl")
    error = raised("import openpyxl")
    assert said_of(error, "zh", public=False).startswith("没有安装 openpyxl 库。\n请安装：")
    assert "openpyxl" not in said_of(error, "en", public=True)


def test_a_page_whose_model_cannot_load_says_which_library(hide, persona):
    hide("openvino_genai")

    def load(_: object) -> Ready:
        import openvino_genai  # noqa: F401

        raise AssertionError

    host = Host(load, persona)
    host.load_now()
    error = host.state().error
    assert error is not None and error.message.en == "The library openvino-genai is not installed."


def test_the_training_process_says_which_library(hide, tmp_path):
    hide("bitsandbytes")
    error = raised("import bitsandbytes")
    assert kind_of(error) == "library"
    assert kind_of(raised("import left_pad")) == "other"
    told = explain("library", "bitsandbytes", tmp_path / "train.log")
    assert told.exit_code == 3 and told.message.zh == "没有安装 bitsandbytes 库。"


@pytest.mark.parametrize("stamp", [False, True])
def test_make_installs_where_make_made_the_environment(stamp, tmp_path, monkeypatch):
    environment = tmp_path / ".venv"
    environment.mkdir()
    if stamp:  # then make takes all for installed, whatever is missing by now
        (environment / ".train").touch()
    for file in LISTS:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(KIT / file, tmp_path / file)
    monkeypatch.setattr("assistant.libraries.KIT", tmp_path)
    monkeypatch.setattr(sys, "prefix", str(environment))
    monkeypatch.setattr(sys, "executable", str(environment / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    python = ".venv/bin/python -m pip install"
    lists = ("-r train/requirements.txt", "--no-deps -r train/requirements-nodeps.txt")
    by_hand = " && ".join(f"{python} {one}" for one in lists)
    assert installing("torch").en == f"Install it: {by_hand if stamp else 'make train-env'}"
    assert installing("docx").en == f"Install it: {python} -r train/data/requirements.txt"
