"""What fails from outside: proxies, disks, encodings, the environment; and the cures that are printed."""

from __future__ import annotations

import contextlib
import errno
import http.server
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fuzz_commands
import httpx
import pytest
from click.testing import CliRunner, Result
from servers import tiny
from servers.listening import free_port
from servers.page import page

from assistant.__main__ import main as assistant
from assistant.artifacts import whole_file, whole_folder
from assistant.config import read_config
from assistant.conversation import Message
from assistant.engines.remote import RemoteEngine, RemoteSettings
from assistant.errors import BlockedError, EngineError, UsageError
from assistant.models import fetch
from assistant.models.failures import explain_output
from assistant.models.reference import Reference
from assistant.models.selection import select
from assistant.network import proxy_for, reach_this_machine_directly, without_proxies
from assistant.outside import failure_from_outside, refusing
from assistant.serving.listen import find_place, ignored_gradio_settings, take_away_gradio_settings
from assistant.serving.reply import reply
from assistant.shell import command_line, in_same_project
from train.__main__ import main as train

ROOT = Path(__file__).resolve().parents[2]
CONFIG = '[assistant]\nname = "Bei"\nauthor = "Beibei"\n[serve]\nengine = "echo"\n'
ROW = {
    "messages": [
        {"role": "user", "content": "Is it open?"},
        {"role": "assistant", "content": "Yes."},
    ]
}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies_of_the_machine(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose path a shell does not take as it is."""
    folder = tmp_path / "it's 我的 $project"
    folder.mkdir()
    (folder / "assistant.toml").write_text(CONFIG, "utf-8")
    (folder / "rows.jsonl").write_text(json.dumps(ROW) + "\n", "utf-8")
    return folder


def call(command, *words: str | Path, **more) -> Result:
    """Run a command in this process; it must end as commands do."""
    done = CliRunner().invoke(command, [str(word) for word in words], **more)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    return done


# Proxies


def test_this_machine_is_in_no_proxy_beside_what_stood_there(monkeypatch):
    monkeypatch.setenv("no_proxy", "intranet, [::1]")
    monkeypatch.setenv("NO_PROXY", "corp.example")
    reach_this_machine_directly("192.168.1.5")
    expected = "intranet,::1,corp.example,localhost,127.0.0.1,0.0.0.0,192.168.1.5"
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == expected
    reach_this_machine_directly()
    assert os.environ["no_proxy"] == expected
    httpx.Client().close()  # it fails to be made where it cannot read the variable


def test_proxies_are_hidden_within_the_block_alone(monkeypatch):
    named = ("http_proxy", "HTTPS_PROXY", "All_Proxy")
    for name in named:
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    with without_proxies():
        httpx.Client().close()
        assert not any(name.lower().endswith("_proxy") for name in os.environ)
    assert [os.environ[name] for name in named] == ["socks5://127.0.0.1:9"] * 3


@pytest.mark.parametrize(
    ("environment", "url", "found"),
    [
        ({"http_proxy": "http://me:secret@proxy:80/"}, "http://hub/x", ("http_proxy", "proxy:80")),
        ({"http_proxy": "http://proxy:80"}, "https://hub", None),
        ({"HTTPS_PROXY": "me:secret@proxy:80"}, "https://hub", ("HTTPS_PROXY", "proxy:80")),
        ({"ALL_PROXY": "socks5h://proxy:1080"}, "http://hub", ("ALL_PROXY", "proxy:1080")),
        ({"https_proxy": "a:1", "HTTPS_PROXY": "b:1"}, "https://hub", ("https_proxy", "a:1")),
        ({"all_proxy": "proxy:1", "no_proxy": ".example"}, "https://hub.example", None),
        ({"all_proxy": "proxy:1", "NO_PROXY": "*"}, "https://hub", None),
        ({"https_proxy": " "}, "https://hub", None),
        ({"https_proxy": "proxy:1"}, "pip index", ("https_proxy", "proxy:1")),
        ({"https_proxy": "proxy:1"}, "http://[::1", None),
    ],
)  # fmt: skip
def test_which_proxy_is_in_the_way(environment, url, found, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(url)
    assert (proxy and proxy[:2]) == found


@contextlib.contextmanager
def unwilling_proxy() -> Iterator[str]:
    """A proxy that answers 503 to whatever is asked of it."""

    class Unwilling(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST = do_CONNECT = answer

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unwilling)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[None]:
    """Hubs that no name server knows, so that only a proxy could reach them."""
    from huggingface_hub.utils import close_session

    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("ASSISTANT_HOME", str(tmp_path / "home"))
    close_session()  # it keeps a client with the proxies of its first call
    yield
    close_session()


def blocked(reference: str) -> BlockedError:
    with pytest.raises(BlockedError) as caught:
        fetch(reference, base_folder=ROOT)
    assert "secret" not in str(caught.value) + str(caught.value.cure)
    return caught.value


@pytest.mark.parametrize(
    ("reference", "variable"),
    [
        ("hf:me/model", "http_proxy"),
        ("hf:me/model", "ALL_PROXY"),
        ("modelscope:me/model", "ALL_PROXY"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_a_dead_proxy_before_a_hub_is_named(reference, variable, monkeypatch):
    place = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv(variable, f"http://me:secret@{place}")
    error = blocked(reference)
    assert f"through the proxy {place} that {variable} names" in error.message.en
    assert error.cure is not None
    assert f"env -u {variable} before" in error.cure.en


@pytest.mark.usefixtures("hub")
def test_a_proxy_that_refuses_is_named(monkeypatch):
    with unwilling_proxy() as place:
        monkeypatch.setenv("HTTP_PROXY", f"http://{place}")
        monkeypatch.setenv("http_proxy", f"http://{place}")
        assert (
            f"through the proxy {place} that http_proxy names" in blocked("hf:me/model").message.en
        )


@pytest.mark.parametrize("reference", ["hf:me/model", "modelscope:me/model"])
@pytest.mark.usefixtures("hub")
def test_a_proxy_that_no_client_can_use_is_named(reference, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")
    error = blocked(reference)
    assert "that ALL_PROXY names" in error.message.en
    assert error.cure is not None and "pip install socksio PySocks" in error.cure.en
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1:9")
    assert "that ALL_PROXY names" in blocked(reference).message.en


def test_what_pip_says_of_a_proxy_is_the_proxys(monkeypatch):
    reference = Reference("pypi", "llm-none")
    said = "ERROR: pip._vendor.requests.exceptions.InvalidSchema: Missing dependencies for SOCKS support."
    monkeypatch.setenv("PIP_PROXY", "socks5://127.0.0.1:9")
    told = explain_output(said, reference, ROOT, "pip index")
    assert "the proxy 127.0.0.1:9 that PIP_PROXY names" in told.message.en


def test_a_server_behind_a_proxy_is_not_blamed_for_it(monkeypatch):
    for value, says in (
        ("socks5://127.0.0.1:9", "socksio"),
        (f"127.0.0.1:{free_port()}", "env -u"),
    ):
        monkeypatch.setenv("all_proxy", value)
        with pytest.raises(EngineError) as caught:
            RemoteEngine(RemoteSettings(urls=("http://server.invalid/v1",)))
        assert "that all_proxy names" in caught.value.message.en
        assert caught.value.cure is not None and says in caught.value.cure.en


def test_the_page_opens_behind_any_proxy_and_keeps_to_itself(tmp_path):
    outside = {
        "http_proxy": f"http://127.0.0.1:{free_port()}", "HTTPS_PROXY": "socks5://127.0.0.1:9", "ALL_PROXY": "x://y",
        "no_proxy": "[::1]", "GRADIO_SHARE": "True", "GRADIO_MCP_SERVER": "True", "GRADIO_NUM_WORKERS": "many",
        "GRADIO_ALLOWED_PATHS": "/", "GRADIO_SSR_MODE": "True", "GRADIO_DEBUG": "x", "GRADIO_WATCH_DIRS": ".",
        "GRADIO_ROOT_PATH": "/bei",
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in outside.items():
                patch.setenv(name, value)
            opened = stack.enter_context(page(tmp_path))
        opened.ready()
        settings = httpx.get(opened.url + "/config").json()
        assert settings["root"].endswith("/bei")
        assert not settings.get("mcp_server") and not settings.get("share_url")
        assert httpx.get(opened.url + "/gradio_api/mcp/sse").status_code == 404
        assert httpx.get(opened.url + "/gradio_api/file=/etc/hostname").status_code in (403, 404)
        opened.until(lambda: "The page is open" in opened.said())
        said = opened.said()
    assert "Traceback" not in said and "public URL" not in said
    (ignored,) = [
        line for line in said.splitlines() if line.startswith("Ignored from the environment: ")
    ]
    expected = sorted(
        name for name in outside if name.startswith("GRADIO_") and name != "GRADIO_ROOT_PATH"
    )
    assert ignored.split(": ", 1)[1].split(". ")[0].split(", ") == expected


def test_the_trial_of_an_app_knows_no_proxy(monkeypatch):
    from deploy.apps.trial import try_bundle

    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("GRADIO_NUM_WORKERS", "many")
    assert try_bundle(ROOT, lambda _: None) > 0


# The environment of Gradio


def test_gradios_variables_are_taken_away_once_it_is_known_where_to_listen():
    environment = {
        "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": "7861", "GRADIO_ROOT_PATH": "/a", "PATH": "/bin",
        "GRADIO_TEMP_DIR": "/t", "GRADIO_SHARE": "true", "GRADIO_MCP_SERVER": "False", "GRADIO_NEW_ONE": "1",
    }  # fmt: skip
    place = find_place(None, None, None, False, environment, Path("/somewhere"))
    assert (place.address, place.port, place.root_path, place.public) == (
        "127.0.0.1",
        7861,
        "/a",
        False,
    )
    names = take_away_gradio_settings(environment)
    assert names == ["GRADIO_NEW_ONE", "GRADIO_SHARE"]
    assert sorted(environment) == ["GRADIO_TEMP_DIR", "PATH"]
    assert "GRADIO_NEW_ONE, GRADIO_SHARE" in ignored_gradio_settings(names).en


# Places that cannot be written


@pytest.mark.parametrize(
    "words",
    [
        ("data", "import", "rows.jsonl", "-o"), ("data", "clean", "rows.jsonl", "-o"),
        ("data", "mix", "rows.jsonl", "-o"), ("data", "split", "rows.jsonl", "-o"),
        ("data", "generate", "--paraphrase", "rows.jsonl", "--engine", "echo", "-o"),
    ],
    ids=lambda words: words[1],
)  # fmt: skip
def test_a_place_that_cannot_be_written_is_named_with_exit_3(words, project, monkeypatch):
    monkeypatch.chdir(project)
    done = call(train, *words, "assistant.toml/below/new.jsonl")
    assert done.exit_code == 3, done.output
    error = done.stderr[done.stderr.index("Error: ") :].splitlines()
    assert error[0].startswith("Error: Cannot write assistant.toml/below")
    assert len(error) == 2 and "choose another place" in error[1]
    assert call(train, *words, "elsewhere/new.jsonl").exit_code in (
        0,
        1,
    )  # 1: the echo does not paraphrase


def test_a_cure_names_the_folder_that_is_there_and_refuses(project, monkeypatch):
    def no_folder(path: str, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.chdir(project)
    with monkeypatch.context() as as_read_only:
        as_read_only.setattr(os, "mkdir", no_folder)
        done = call(train, "data", "import", "rows.jsonl")
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-2:] == [
        "Error: Cannot write data/rows.jsonl: Permission denied. Nothing half-written was left.",
        "Make . writable for you, or choose another place.",
    ]
    assert call(train, "data", "import", "rows.jsonl").exit_code == 0


def test_a_folder_that_may_not_be_entered_is_the_one_to_open(tmp_path, monkeypatch):
    within = tmp_path / "closed" / "deep" / "model.gguf"
    within.parent.mkdir(parents=True)
    may = os.access
    shut = str(tmp_path / "closed")
    monkeypatch.setattr(os, "access", lambda path, how: str(path) != shut and may(path, how))
    assert refusing(within) == shut
    monkeypatch.undo()
    assert refusing(within) == str(within.parent)


def test_a_report_that_could_not_be_written_is_not_begun(project, monkeypatch):
    from train.data.linting import run

    monkeypatch.chdir(project)
    with monkeypatch.context() as without_reading:
        without_reading.setattr(run, "lint", None)
        done = call(train, "data", "lint", "rows.jsonl", "--out", "assistant.toml/below")
    assert done.exit_code == 3, done.output
    assert "Error: Cannot write assistant.toml/below" in done.stderr
    assert call(train, "data", "lint", "rows.jsonl", "--out", "below").exit_code in (0, 1)
    assert sorted(file.name for file in Path("below").iterdir()) == ["lint.html", "lint.json"]


def test_a_bench_that_could_not_be_kept_is_not_begun(project, monkeypatch):
    monkeypatch.chdir(project)
    done = call(assistant, "bench", "--engine", "echo", "--out", "assistant.toml/below")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "Cannot write assistant.toml/below/load.json" in done.stderr


def test_a_cache_that_cannot_be_made_names_its_variable(project, monkeypatch):
    monkeypatch.setenv("ASSISTANT_HOME", str(project / "assistant.toml" / "home"))
    words = (
        "ask",
        "hi",
        "--engine",
        "cpu",
        "--model",
        "hf:me/model",
        "--config",
        project / "assistant.toml",
    )
    done = call(assistant, *words)
    assert done.exit_code == 3
    assert "The folder for models cannot be written: " in done.stderr
    assert "export ASSISTANT_HOME=" in done.stderr and "HF_ENDPOINT" not in done.stderr


def test_a_user_without_a_home_is_told_of_the_variable(monkeypatch):
    import pwd

    from assistant.models import home

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("ASSISTANT_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(BlockedError) as caught:
        home()
    assert caught.value.cure is not None and "ASSISTANT_HOME" in caught.value.cure.en
    with pytest.raises(UsageError, match="~/model"):
        fetch("~/model", base_folder=ROOT)


@pytest.mark.parametrize(
    ("error", "message", "cure"),
    [
        (OSError(errno.EROFS, "Read-only file system", str(ROOT)), f"{ROOT}: Read-only file system.", f"Make {ROOT} "),
        (OSError(errno.EACCES, "Permission denied", str(ROOT / "a" / "b")), f"{ROOT}/a/b: Perm", f"Make {ROOT} "),
        (OSError(errno.EACCES, "Permission denied", "no/such"), "no/such: Permission denied.", "Make . "),
        (OSError(errno.ENOSPC, "No space left on device"), "The system refused: No space", "Free some space"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "x: No space left", "Free some space"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 9), "x" * 9, "shorter name"),
        (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), "No folder for temp", "TMPDIR="),
        (FileNotFoundError(2, "No such file or directory", b"\xff"), "\udcff: No such", "Check that path"),
    ],
)  # fmt: skip
def test_what_nobody_foresaw_of_a_disk_is_said(error, message, cure):
    told = failure_from_outside(error)
    assert told.exit_code == 3
    assert told.message.en.startswith(message)
    assert cure in told.cure.en if told.cure else cure is None


def test_what_must_not_be_replaced_is_not(tmp_path, monkeypatch):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    for place in (".", "..", str(tmp_path), "../../a/b"):
        with (
            pytest.raises(UsageError, match="never replaced"),
            whole_folder(Path(place), force=True),
        ):
            pass
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match="no ordinary file"), whole_file(Path("pipe")):
        pass
    with pytest.raises(UsageError, match="is a folder"), whole_file(tmp_path):
        pass
    assert sorted(path.name for path in inside.iterdir()) == ["pipe"]


@pytest.mark.parametrize("name", [".", "..", "a/b", "../other", "a\\b"])
def test_what_is_no_run_is_refused(name, project):
    done = call(train, "status", "--run", name, "--config", project / "assistant.toml")
    assert done.exit_code == 2 and "is not the name of a run" in done.stderr


# Bytes that are not UTF-8


def test_damaged_arguments_are_refused_in_a_sentence(project):
    for words in (("ask", "a\udcc4\udce3"), ("ask", "hi", "--system", "\udcff")):
        done = call(assistant, *words, "--engine", "echo", "--config", project / "assistant.toml")
        assert done.exit_code == 2
        assert "holds bytes that are not UTF-8" in done.stderr and "\ufffd" in done.stderr


def test_a_damaged_line_does_not_end_the_conversation(project):
    lines = ["hello", b"\xc4\xe3", "/system \udcc4", "/save talk.jsonl", "/save talk.jsonl", "bye", "/save! talk.jsonl",
             "/save assistant.toml/x.md", "/save ~nobody-here/x.md", "/save .md", "/quit"]  # fmt: skip
    typed = b"\n".join(
        line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")
        for line in lines
    )
    here = os.getcwd()
    os.chdir(project)
    try:
        done = call(assistant, "chat", "--engine", "echo", input=typed)
    finally:
        os.chdir(here)
    assert done.exit_code == 0
    assert done.stderr.count("holds bytes that are not UTF-8") == 2
    assert "talk.jsonl is there already.\nReplace it: /save! talk.jsonl" in done.stderr
    assert "Cannot write assistant.toml/x.md" in done.stderr
    said = json.loads((project / "talk.jsonl").read_text("utf-8"))["messages"]
    assert [message["content"] for message in said if message["role"] == "user"] == ["hello", "bye"]


def test_an_engine_that_breaks_does_not_end_the_conversation(project, monkeypatch):
    from assistant.engines.echo import EchoEngine

    whole = EchoEngine.count_tokens

    def breaks(self, messages) -> int:
        if messages[-1].content == "break":
            raise RuntimeError("the library's own")
        return whole(self, messages)

    monkeypatch.setattr(EchoEngine, "count_tokens", breaks)
    monkeypatch.chdir(project)
    done = call(assistant, "chat", "--engine", "echo", input="hello\nbreak\n/save talk.md\n")
    assert "Error: The answer failed: the library's own" in done.stderr
    assert (project / "talk.md").read_text("utf-8") == "**You**\n\nhello\n\n**Bei**\n\nhello\n\n"


def test_no_engine_is_given_half_a_letter(persona, echo_engine):
    before = [Message(role="user", content="\ud83d"), Message(role="assistant", content="a")]
    for history, text in ((before, "hi"), ([], "\udcc4")):
        with pytest.raises(EngineError, match="not UTF-8") as caught:
            reply(persona, echo_engine, history, text)
        assert caught.value.code == "invalid_request"


def test_a_terminal_of_another_encoding_shows_what_it_can(project):
    def ask(*more: str) -> bytes:
        words = ["-m", "assistant", "ask", "你好😀", "--engine", "echo", *more]
        environment = {**os.environ, "PYTHONIOENCODING": "gbk", "ASSISTANT_LANG": "zh"}
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, capture_output=True, env=environment, check=True
        )
        return done.stdout

    assert ask() == "你好?\n".encode("gbk")
    assert json.loads(ask("--json").decode("ascii"))["text"] == "你好😀"


def test_names_of_any_bytes_are_printed_as_they_are(tmp_path):
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    (folder / "assistant.toml").write_text(CONFIG, "utf-8")
    done = call(train, "status", "--config", folder / "assistant.toml")
    assert done.exit_code == 0 and b"caf\xe9" in done.stdout_bytes
    told = json.loads(call(train, "status", "--json", "--config", folder / "assistant.toml").stdout)
    assert told["run"] == str(folder / "runs" / "default")


def test_files_of_any_name_are_imported_checked_and_generated_from(tmp_path):
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    config = ("--config", folder / "assistant.toml")
    (folder / "assistant.toml").write_text(CONFIG, "utf-8")
    rows = [{"question": f"Is it open on day {number}?", "answer": "Yes."} for number in range(20)]
    brought = folder / "ouvert \udce9.json"
    brought.write_text(json.dumps([*rows, {"question": "a?", "answer": ""}]), "utf-8")
    made, notes = folder / "rows \udce9.jsonl", folder / "notes \udce9.txt"
    notes.write_text("The garden is open all year round for everyone in the town.\n" * 3, "utf-8")
    for words in (
        ("import", brought, "-o", made),
        ("clean", made),
        ("lint", made),
        ("mix", made, "-o", folder / "mixed.jsonl"),
        ("split", made),
        ("generate", "--paraphrase", made, "--dry-run"),
        ("generate", "--documents", notes, "--dry-run"),
    ):
        done = call(train, "data", *words, *config)
        assert done.exit_code == 0, done.output
    for file in (
        "rows \udce9.report.json",
        "rows \udce9.dropped.jsonl",
        "rows \udce9.lint/lint.html",
    ):
        assert "caf\ufffd" in (folder / file).read_text("utf-8")
    manifest = json.loads(
        (folder / "runs" / "default" / "data" / "manifest.json").read_text("utf-8")
    )
    assert list(manifest["inputs"]) == ["rows \ufffd.jsonl"]


# TOML that a person edited


def test_a_mark_before_the_file_is_read(project):
    from train.data.generating.plan import PLANS, read_plan

    (project / "assistant.toml").write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())
    assert read_config(project / "assistant.toml").assistant.name == "Bei"
    plan = next(PLANS.glob("*.toml"))
    (project / "plan.toml").write_bytes(b"\xef\xbb\xbf" + plan.read_bytes())
    assert read_plan(project / "plan.toml") == read_plan(plan)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[assistant]\nname\u00a0= 'x'\n", "a no-break space (U+00A0) in line 2, column 5"),
        ("[assistant]\nname = \u200b'x'\n", "a zero-width space (U+200B) in line 2, column 8"),
        ("[\ufeffassistant]\n", "a byte order mark (U+FEFF) in line 1, column 2"),
        ("[assistant]\nname =\u3000'x'\n", "a full-width space (U+3000) in line 2, column 7"),
        ("[assistant]\nname = \u202e'x'\n", "right-to-left override (U+202E) in line 2, column 8"),
        ("a = " + "[" * 5000, "is nested too deeply"),
        ("[assistant]\nname = ”x”\n", "is not valid TOML"),
    ],
)  # fmt: skip
def test_what_nobody_sees_is_named_with_its_place(text, says, tmp_path):
    (tmp_path / "assistant.toml").write_text(text, "utf-8")
    with pytest.raises(UsageError) as caught:
        read_config(tmp_path / "assistant.toml")
    assert says in caught.value.message.en and caught.value.cure is not None


# Models that are not whole


HF = {"config.json": b"{}", "model.safetensors": tiny.safetensors()}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "tokenizer.json, tokenizer_config.json missing"),
        ({"tokenizer_config.json": b"{}", "chat_template.jinja": b"x"}, "tokenizer.json missing"),
        ({"vocab.json": b"{}"}, "merges.txt missing"),
        ({"tokenizer.json": tiny.pointer(b"x")}, "git-lfs pointer"),
        ({"tokenizer.json": b""}, "cut short"),
        ({"tokenizer.json": b'{"version": "1.0", '}, "not a whole JSON object"),
        ({"tokenizer.json": b"{}", "config.json": b"{"}, "not a whole JSON object"),
    ],
)  # fmt: skip
def test_a_model_without_a_whole_tokenizer_is_refused(more, says, tmp_path):
    for name, content in {**HF, **more}.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        fetch(str(tmp_path), base_folder=ROOT)
    assert says in caught.value.message.en and caught.value.cure is not None
    if "missing" in says:
        for name in says.removesuffix(" missing").split(", "):  # what the cure says
            (tmp_path / name).write_bytes(b"{}")
        assert fetch(str(tmp_path), base_folder=ROOT).format == "hf"


@pytest.mark.parametrize(
    "files",
    [("tokenizer.model",), ("vocab.txt",), ("vocab.json", "merges.txt"), ("qwen.tiktoken",)],
)
def test_every_kind_of_tokenizer_is_one(files, tmp_path):
    for name in (*HF, *files):
        (tmp_path / name).write_bytes(HF.get(name, b"{}"))
    assert fetch(str(tmp_path), base_folder=ROOT).format == "hf"


def parts_in(folder: Path, count: int = 3) -> list[Path]:
    files = [folder / f"m-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    for file in files:
        file.write_bytes(tiny.gguf())
    return files


def test_a_later_part_of_a_gguf_names_the_first(tmp_path):
    first, second, third = parts_in(tmp_path)
    for later in (second, third):
        with pytest.raises(UsageError) as caught:
            fetch(str(later), base_folder=ROOT)
        assert caught.value.cure is not None
        named = caught.value.cure.en.removeprefix("Name the first part: ")
        assert fetch(named, base_folder=ROOT).path == first  # what the cure says
    assert fetch(str(tmp_path), base_folder=ROOT).path == first
    third.unlink()
    for place in (first, second, tmp_path):
        with pytest.raises(UsageError, match=r"missing in .*: m-00003-of-00003\.gguf"):
            fetch(str(place), base_folder=ROOT)


def test_all_parts_of_a_gguf_are_fetched(tmp_path):
    names = [file.name for file in parts_in(tmp_path)]
    listed = [*names, "other.gguf", "README.md"]
    assert select([*names, "README.md"], Reference("hf", "me/m")) == ["README.md", *names]
    assert select(listed, Reference("hf", "me/m", file=names[0])) == ["README.md", *names]
    with pytest.raises(UsageError, match=f"Name the first part: hf:me/m/{names[0]}"):
        select(listed, Reference("hf", "me/m", file=names[1]))
    with pytest.raises(UsageError, match="parts are missing"):
        select(listed[:2], Reference("hf", "me/m", file=names[0]))


def test_a_gguf_without_words_is_no_model_that_talks(tmp_path):
    wordless = tiny.gguf().replace(b"tokenizer.ggml.tokens", b"clip.vision.something")
    (tmp_path / "mmproj.gguf").write_bytes(wordless)
    with pytest.raises(UsageError, match="holds no tokenizer"):
        fetch(str(tmp_path), base_folder=ROOT)


# Commands to paste, and cures that mend


def pasted(line: str) -> Result:
    """What a shell makes of a printed command, run in this process."""
    python, dash, module, *words = shlex.split(line)
    assert (python, dash) == ("python", "-m"), line
    return call({"train": train, "assistant": assistant}[module], *words)


def following(done: Result) -> str:
    """The command that is printed as the next one."""
    assert done.exit_code == 0, done.output
    return next(
        line for line in done.stderr.splitlines() if line.startswith("Next: ")
    ).removeprefix("Next: ")


def test_a_shell_reads_the_line_as_it_was_meant():
    words = ["a b", "it's", '"', "$HOME", "`x`", "我", "*", "\\", "a\nb", Path("-x.jsonl"), ""]
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {command_line(*words)}"], capture_output=True, check=True
    )
    expected = [f"./{word}" if isinstance(word, Path) else word for word in words]
    assert done.stdout.decode().split("\0")[:-1] == expected


@pytest.mark.parametrize(
    ("text", "run", "expected"),
    [
        ("Make it: python -m train data identity --force", "r", "Make it: python -m train data identity --config 'a b.toml' --set model.base=x --run r --force"),
        ("python -m train fit --run q", "r", "python -m train fit --config 'a b.toml' --set model.base=x --run q"),
        ("see: python -m assistant models lists them.", None, "see: python -m assistant models --config 'a b.toml' --set model.base=x lists them."),
        ("python -m deploy model --dry-run", "r", "python -m deploy model r --config 'a b.toml' --set model.base=x --dry-run"),
        ("python app.py", "r", "python app.py --config 'a b.toml' --set model.base=x --set model.run=r"),
        ("make train-env, python -m pip install x", "r", "make train-env, python -m pip install x"),
    ],
)  # fmt: skip
def test_commands_are_for_the_same_project(text, run, expected):
    assert in_same_project(text, Path("a b.toml"), ["model.base=x"], run) == expected
    assert in_same_project(text, Path("assistant.toml")) == text


def test_every_next_command_runs_whatever_the_path(project):
    config = ("--config", project / "assistant.toml")
    (project / "-x $1.json").write_text(
        '[{"question":"Is it open?","answer":"Yes, from ten to six."}]'
    )
    imported = call(train, "data", "import", project / "-x $1.json", *config)
    cleaned = pasted(following(imported))
    *lint, file = shlex.split(following(cleaned))  # which would load the base's tokenizer
    assert lint == ["python", "-m", "train", "data", "lint", *map(str, config)]
    assert Path(file).is_file()
    mixed = call(
        train, "data", "mix", project / "rows.jsonl", "-o", project / "mixed rows.jsonl", *config
    )
    rows = [json.dumps(ROW).replace("open", f"open on day {number}") for number in range(20)]
    (project / "mixed rows.jsonl").write_text("\n".join(rows) + "\n")
    split = pasted(following(mixed))
    assert (project / "runs" / "default" / "data" / "train.jsonl").is_file()
    last = shlex.split(following(split))
    assert last == ["python", "-m", "train", "fit", "--config", str(project / "assistant.toml")]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("fit", "--run", "mine"), 2),
        (("check", "--run", "mine"), 2),
        (("merge", "--run", "mine"), 2),
    ],
)
def test_the_command_of_a_cure_is_for_this_project_and_run(words, code, project):
    done = call(train, *words, "--config", project / "assistant.toml")
    assert done.exit_code == code
    cure = done.stderr.strip().splitlines()[-1]
    line = shlex.split(cure[cure.index("python -m train") :])
    assert line[line.index("--config") + 1] == str(project / "assistant.toml")
    assert line[line.index("--run") + 1] == "mine"
    told = json.loads(call(train, *words, "--json", "--config", project / "assistant.toml").stdout)
    assert told["error"]["cure"] == cure


def test_a_row_of_another_shape_is_mended_by_the_command_that_is_printed(project):
    odd = project / "odd one.jsonl"
    odd.write_text('{"question":"Is it open?","answer":"Yes."}\n')
    done = call(train, "data", "split", odd, "--config", project / "assistant.toml")
    assert done.exit_code == 2
    assert pasted(done.stderr.strip().splitlines()[-1].split(": ", 1)[1]).exit_code == 0
    assert (project / "data" / "odd one.jsonl").is_file()


def test_a_wrong_key_of_another_tool_is_noted(project):
    with (project / "assistant.toml").open("a") as file:
        file.write("[train]\nlerning_rate = 1\n[share]\nprivat = true\n")
    done = call(assistant, "models", "--config", project / "assistant.toml")
    assert done.exit_code == 0
    assert "[train] lerning_rate = 1: unknown key; check its spelling" in done.stderr
    assert "[share] privat" in done.stderr


# All of it at once


def test_no_traceback_whatever_is_typed():
    """A slice of the fuzzer: `python tests/fuzz_commands.py --minutes 20` does more."""
    tried, wrong = fuzz_commands.run(
        iter(range(1, 81)), lambda: False, fuzz_commands.NEEDS_TRANSFORMERS
    )
    assert tried == 80
    assert not wrong, "\n\n".join(wrong)


def test_the_fuzzer_finds_a_traceback(monkeypatch):
    def broken(*_: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("assistant.cli.Context.read_config", broken)
    _, wrong = fuzz_commands.run(
        iter(range(1, 21)), lambda: False, fuzz_commands.NEEDS_TRANSFORMERS
    )
    assert any("KeyError: 'ours'" in found for found in wrong)
