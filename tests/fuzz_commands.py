"""Arguments, environment and files that nobody meant, on every command, in this process.

    python tests/fuzz_commands.py --minutes 20 --seed 1

No command may end with a traceback, with another exit code than the documented ones, or not at all.
What failed is printed with its seed: `--seed N --count 1` does it again. `test_outside.py` runs a
few hundred of these.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

EXPECTED_CODES = {0, 1, 2, 3, 130}
CPU_SECONDS = 60  # that one command may take: none of these has real work to do
SECONDS = 240
# Where there is no network to be asked, and nothing to be measured.
ENVIRONMENT = {
    "HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9",
    "OPENXLAB_ENDPOINT": "http://127.0.0.1:9", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "",
    "ASSISTANT_LANG": "en", "HF_HUB_OFFLINE": "1",
}  # fmt: skip
CONFIG = """[assistant]
name = "Bei"
author = "Beibei"
languages = ["zh", "en"]
[[assistant.facts]]
ask = "What can you do?"
answer = "I chat with {author}."
[styles.lively]
label = { zh = "活泼", en = "Lively" }
prompt = "Be lively."
[model]
base = "./model"
[serve]
engine = "echo"
[train]
recipe = "auto"
[train.generate]
engine = "echo"
tries = 1
[share]
to = []
"""
ROW = '{"messages":[{"role":"user","content":"a?"},{"role":"assistant","content":"A"}]}\n'
PLAN = """name = "plan"
system = "You write."
prompt = "For {role}: {scene}, {instruction}"
typed = ["for {role} {scene}{trigger}"]
roles = [{ name = "mother" }]
scenes = [{ name = "birthday", typed = "birthday" }]
[[styles]]
name = "plain"
instruction = "Plain."
examples = [{ typed = "x", answer = "A good answer." }]
"""
TEXTS = [
    "", " ", "-", "--", "a", "你好", "\udcc4\udce3", "a\nb", "'", '"', "$(x)", "`x`", "😀", "\x1b[31m", "\x7f",
    "0", "-1", "1e400", "nan", "99999999999999999999", "true", "[", "{}", "a=b", "=", ".", "..", "~", "~nobody/x",
    "%s", "{name}", "{0}", "x" * 5000, "\u200b", "\ufeff", "hf:a/b", "hf:", "pypi:llm-none", "modelscope:../x",
    "openxlab:a/b@", "hf:a/b/c.gguf@main", "http://[::1", "C:\\x", "a:b", "\u202eabc", "é\u0301",
]  # fmt: skip
PATHS = [
    "assistant.toml", "rows.jsonl", "plan.toml", "model", "model/config.json", "part-00002-of-00002.gguf", "x.gguf",
    "docs", "docs/a.docx", "docs/a.pdf", "table.csv", "book.xlsx", "nowhere", "nowhere/x.jsonl", ".", "..", "",
    "rows.jsonl/below", "a" * 300, "new.jsonl", "new folder/我.jsonl", "-x.jsonl", "\udcc4.jsonl", "dangling",
    "loop/loop", "fifo-less", "empty", "binary", "/proc/none/x", "~nobody/x",
]  # fmt: skip
SETS = [
    "serve.engine=echo", "assistant.name=", "assistant.name=5", "assistant=5", "model.run=..", "model.base=./model",
    "model.base=./x.gguf", "model.weights=./model", "serve.limits.queue=-1", "train.data=5", "train.recipe=cpu",
    "train.generate.tries=0", "a.b", "a.=1", ".a=1", "serve.remote.urls=[\"http://[::1\"]", "share.to=[\"x\"]",
    "share.to=[\"hf:a/b\"]", "serve.keep_conversations=\0", "model.run=x y", "styles.x=1", "styles.x.prompt=a",
    "serve.context_length=1", "x.y=[[[[[[[[", "train.data.ordinary_files=[\"rows.jsonl\"]", "serve.engine=cpu",
    "serve.engine=turbomind", "serve.engine=remote", "serve.engine=transformers", "model.trust_remote_code=true",
]  # fmt: skip
VARIABLES = {
    "http_proxy": ["http://127.0.0.1:9", "127.0.0.1:9", "socks5://127.0.0.1:9", "x://", "", "http://[::1"],
    "ALL_PROXY": ["socks5://127.0.0.1:9", "socks5h://u:p@127.0.0.1:9", "http://", "🙂"],
    "no_proxy": ["*", "[::1]", "a,b,,", "fe80::/10", "http://x"],
    "HOME": ["", "/nonexistent", "rows.jsonl", "~"],
    "TMPDIR": ["/nonexistent", "rows.jsonl", ""],
    "ASSISTANT_HOME": ["rows.jsonl", "rows.jsonl/below", "/proc/none", "~nobody/x", "", "\udcc4", "home"],
    "ASSISTANT_LANG": ["zh", "zh_CN.GBK", "x", ""],
    "GRADIO_SERVER_PORT": ["x", "0", "99999", "7860", "７８６０", ""],
    "GRADIO_SERVER_NAME": ["", "nowhere.invalid", "0.0.0.0", "::1", "你好", "-"],
    "GRADIO_ROOT_PATH": ["/a", "//", "http://x/y", "\udcc4"],
    "GRADIO_SHARE": ["True"], "GRADIO_NUM_WORKERS": ["many"], "GRADIO_DEBUG": ["x"],
    "HF_ENDPOINT": ["http://127.0.0.1:9/", "x", "http://[::1", ""],
    "HF_TOKEN": ["x\ny", "\udcc4", ""], "SPACE_ID": ["a/b"], "MODELSCOPE_ENVIRONMENT": ["studio"],
    "ASSISTANT_PASSWORD": ["", "\udcc4"], "COLUMNS": ["x", "0"], "PYTHONIOENCODING": ["gbk"],
    "CUDA_VISIBLE_DEVICES": ["x", "-1", "0,0"], "OMP_NUM_THREADS": ["x"],
}  # fmt: skip
LINES = [
    b"hello\n", b"\xc4\xe3\n", b"/save rows.jsonl\n", b"/save x.md\n", b"/save! x.md\n", b"/save a/b.jsonl\n",
    b"/save\n", b"/save rows.jsonl/x.md\n", b"/save ~nobody/x.md\n", b"/style\n", b"/style x\n", b"/system\n",
    b"/system \xff\n", b"/reset\n", b"/x\n", b"/\n", b"\n", b"\0\n", b"y\n", b"n\n", b"x" * 100_000 + b"\n", b"/quit\n",
]  # fmt: skip
SLOW = {("train", "bench"), ("assistant", "bench")}  # they measure, with other programs
NEEDS_TRANSFORMERS = {("train", "data", "lint"), ("train", "data", "show"), ("train", "fit")}
PAGES = ("assistant.ui.page", "assistant.ui.serve")


def commands() -> dict[tuple[str, ...], tuple[click.Command, click.Command]]:
    """Every command by its words, with the group that is called."""
    import app
    from assistant.__main__ import main as assistant
    from deploy.__main__ import main as deploy
    from train.__main__ import main as train

    found: dict[tuple[str, ...], tuple[click.Command, click.Command]] = {
        ("app",): (app.main, app.main)
    }
    for name, group in (("assistant", assistant), ("train", train), ("deploy", deploy)):
        for words, command in _below(group):
            if (name, *words) not in SLOW:
                found[(name, *words)] = (group, command)
    return found


def _below(group: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(getattr(group, "commands", {}).items()):
        if hasattr(command, "commands"):
            yield from (((name, *words), inner) for words, inner in _below(command))
        else:
            yield (name,), command


def lay_out(folder: Path, chance: random.Random) -> None:
    """Files as people have them, and one or two of them spoilt."""
    files: dict[str, bytes] = {
        "assistant.toml": CONFIG.encode(), "plan.toml": PLAN.encode(), "rows.jsonl": ROW.encode() * 3,
        "table.csv": "问题,答案\na?,A\n".encode(), "empty": b"", "binary": bytes(range(256)), "book.xlsx": b"PK\x03\x04x",
        "model/config.json": b'{"model_type":"llama","max_position_embeddings":64}', "model/tokenizer.json": b"{}",
        "model/model.safetensors": b"\x02\0\0\0\0\0\0\0{}", "x.gguf": b"GGUF\x03\0\0\0" + bytes(16),
        "part-00001-of-00002.gguf": b"GGUF\x03\0\0\0" + bytes(16), "part-00002-of-00002.gguf": b"GGUF",
        "docs/a.docx": b"PK\x03\x04", "docs/a.pdf": b"%PDF-1.4", "docs/~$a.docx": b"x", "docs/b.md": b"# T\n" + b"word " * 30,
        "runs/default/data/train.jsonl": ROW.encode(), "runs/default/data/valid.jsonl": ROW.encode(),
        "runs/default/data/probes.jsonl": b'{"kind":"identity"}\n', "runs/default/data/manifest.json": b"{}",
        "runs/default/merged/config.json": b"{}", "runs/default/merged/manifest.json": b"{}",
        "runs/default/adapter/manifest.json": b'{"stage":"fit","started":"x","finished":"y"}',
        "runs/default/check/report.json": b"{}", "runs/default/fit/status.json": b"{}", "runs/default/shared.json": b"[]",
    }  # fmt: skip
    for name in chance.sample(sorted(files), chance.choice((0, 1, 1, 2))):
        files[name] = spoilt(files[name], chance)
    for name in chance.sample(sorted(files), chance.choice((0, 0, 1, 4))):
        if name != "assistant.toml" or chance.random() < 0.1:
            del files[name]
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "dangling").symlink_to("nowhere-at-all")
    (folder / "loop").symlink_to("loop")


def spoilt(content: bytes, chance: random.Random) -> bytes:
    """The bytes after one accident."""
    at = chance.randrange(len(content) + 1)
    many = chance.choice((b"[", b"{", b"a.", b'{"a":', b"\xff", b"\0", b"# ", b'"'))
    return chance.choice((
        lambda: content[:at], lambda: content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :],
        lambda: b"\xef\xbb\xbf" + content, lambda: content.decode("latin-1").encode("utf-16"),
        lambda: content[:at] + "\u200b\u00a0".encode() + content[at:], lambda: content[:at] + many * 3000 + content[at:],
        lambda: b"", lambda: content.replace(b"\n", b"\r"), lambda: content + content, lambda: b"null", lambda: b"[]",
        lambda: content.replace(b'"', "”".encode()), lambda: content.replace(b"1", b"1e999"), lambda: b"\x80" + content,
    ))()  # fmt: skip


def value_for(parameter: click.Parameter, chance: random.Random) -> str:
    """Something to write for an option or argument, more often fit than not."""
    kind = parameter.type
    if isinstance(kind, click.Choice) and chance.random() < 0.8:
        return str(chance.choice(list(kind.choices)))
    if (
        isinstance(kind, (click.types.IntParamType, click.types.FloatParamType))
        and chance.random() < 0.7
    ):
        return str(chance.choice((0, 1, 2, 3, 100, -1, 10**12)))
    if parameter.name == "sets":
        return chance.choice(SETS)
    return chance.choice(PATHS if chance.random() < 0.6 else TEXTS)


def arguments_for(command: click.Command, chance: random.Random) -> list[str]:
    """An argument list for a command."""
    words: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            least = 1 if parameter.required else 0
            words += [
                value_for(parameter, chance) for _ in range(chance.choice((least, least, 1, 2)))
            ]
        elif chance.random() < (0.35 if parameter.required else 0.12):
            words.append(parameter.opts[0])
            if not parameter.is_flag:  # type: ignore[attr-defined]
                words.append(value_for(parameter, chance))
    words = [word.replace("\0", "") for word in words]  # no system hands one to a program
    if "--debug" in words:
        words.remove("--debug")
    if chance.random() < 0.05:
        words.insert(chance.randrange(len(words) + 1), chance.choice(TEXTS))
    return words


def environment_for(folder: Path, chance: random.Random) -> dict[str, str]:
    """A person's environment."""
    named = chance.sample(sorted(VARIABLES), chance.choice((0, 0, 1, 1, 2, 3)))
    found = {"ASSISTANT_HOME": str(folder / "home"), "HOME": str(folder / "home")}
    return found | {name: chance.choice(VARIABLES[name]) for name in named if "\0" not in name}


@contextlib.contextmanager
def no_pages() -> Iterator[None]:
    """Without the page, which would stay open, with an API that closes as soon as it is open, and without
    the conversion of models, a minute each."""
    before = {name: sys.modules.get(name) for name in PAGES}
    nothing: Callable[..., Any] = lambda *_, **__: None  # noqa: E731
    sys.modules[PAGES[0]] = types.SimpleNamespace(answerer_for=nothing, build_page=nothing)  # type: ignore[assignment]
    sys.modules[PAGES[1]] = types.SimpleNamespace(serve=nothing)  # type: ignore[assignment]
    import app
    from assistant.api import serve
    from assistant.engines.cpu import weights as openvino_weights

    api = {name: getattr(serve, name) for name in ("Ending", "closed_at_the_end", "load_assistant")}
    serve.Ending = lambda *_: types.SimpleNamespace(wait=lambda: None)  # type: ignore[assignment,misc]
    serve.closed_at_the_end = contextlib.closing  # the real one ends the process under a thread
    serve.load_assistant = _no_export
    tabs, app.owner_tabs = app.owner_tabs, lambda _: ()
    export, openvino_weights.export = openvino_weights.export, _no_export
    try:
        yield
    finally:
        app.owner_tabs, openvino_weights.export = tabs, export
        for name, whole in api.items():
            setattr(serve, name, whole)
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def _no_export(*_: object, **__: object) -> None:
    from assistant.errors import EngineError
    from assistant.words import Text

    raise EngineError("unavailable", Text("Nothing is converted here.", "这里不转换。"))


class HangError(Exception):
    """A command took too long."""


def _too_long(*_: object) -> None:
    raise HangError


def one(seed: int, table: dict[tuple[str, ...], tuple[click.Command, click.Command]]) -> str:
    """Do what `seed` says; gives what was wrong about it, or nothing."""
    chance = random.Random(seed)
    words = chance.choice(sorted(table))
    group, command = table[words]
    arguments = [*words[1:], *arguments_for(command, chance)]
    here, before = os.getcwd(), dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=BASE) as place:
        folder = Path(place, "project")
        folder.mkdir()
        lay_out(folder, chance)
        environment = {**ENVIRONMENT, **environment_for(folder, chance)}
        typed = b"".join(chance.choices(LINES, k=chance.randrange(6)))
        for number in (signal.SIGALRM, signal.SIGPROF):
            signal.signal(number, _too_long)
        try:
            os.chdir(folder)
            signal.alarm(SECONDS)
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            done = CliRunner().invoke(group, arguments, input=typed, env=environment)
        except HangError:
            return f"seed {seed}: {words} {arguments} hangs"
        finally:
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
            tempfile.tempdir = None
    shown = f"seed {seed}: {' '.join(words)} {arguments!r} {environment_shown(environment)}"
    if isinstance(done.exception, HangError):
        return f"{shown} hangs"
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        import traceback

        return f"{shown}\n{''.join(traceback.format_exception(done.exception))[-2500:]}"
    if "Traceback (most recent call last)" in done.output:
        return f"{shown}\n{done.output[-2500:]}"
    if done.exit_code not in EXPECTED_CODES:
        return f"{shown}: exit code {done.exit_code}"
    if done.exit_code and not done.output.strip():
        return f"{shown}: exit code {done.exit_code} without a word"
    return ""


def environment_shown(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if ENVIRONMENT.get(name) != value}


BASE = tempfile.gettempdir()


def run(
    seeds: Iterator[int], until: Callable[[], bool], without: Container[tuple[str, ...]] = ()
) -> tuple[int, list[str]]:
    """How many were tried, and what was wrong, until told to end."""
    table = {words: found for words, found in commands().items() if words not in without}
    tried, wrong = 0, []
    with no_pages():
        for seed in seeds:
            if until():
                break
            tried += 1
            if found := one(seed, table):
                wrong.append(found)
    return tried, wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10**9)
    chosen = parser.parse_args()
    end = time.monotonic() + 60 * chosen.minutes
    tried, wrong = run(
        iter(range(chosen.seed, chosen.seed + chosen.count)), lambda: time.monotonic() > end
    )
    for found in wrong:
        print(found, end="\n\n")
    kinds = Counter("hang" if found.endswith("hangs") else "traceback or code" for found in wrong)
    print(f"{tried} tried, {len(wrong)} wrong: {dict(kinds)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
