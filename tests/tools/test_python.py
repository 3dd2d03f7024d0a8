"""The tool "python": what it computes, and that nothing gets out of it."""

import threading

import psutil
import pytest

from assistant.tools.base import ToolError
from assistant.tools.python import LONGEST_CODE, LONGEST_RESULT, Python, PythonArguments


@pytest.fixture(scope="module")
def python():
    tool = Python()
    yield tool
    tool.close()


def run(tool: Python, code: str) -> str:
    return tool.run(PythonArguments(code=code))


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("23*17", "391"),
        ("(10-3)/2", "3.5"),
        ("0.1 + 0.2", "0.3"),
        ("x = 4\nx ** 2", "16"),
        ("print('a', 1)\n2", "a 1\n2"),
        ("'圆' * 3", "圆圆圆"),
        ("[1, 'a', None]", "[1, 'a', None]"),
        ("from datetime import date\n(date(2026, 12, 31) - date(2026, 11, 27)).days", "34"),
        ("def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\nf(15)", "610"),
        ("import math\nmath.factorial(20)", "2432902008176640000"),
        ("x = 1", "None"),
        ("10**30", "1" + "0" * 30),
    ],
)
def test_it_gives_the_value_of_the_last_line_and_what_was_printed(python, code, result):
    assert run(python, code) == result


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("1/0", "ZeroDivisionError"),
        ("undefined", "NameError"),
        ("def f(:", "SyntaxError"),
        ("", "there is no code"),
        ("x" * (LONGEST_CODE + 1), "longer than"),
    ],
)
def test_what_fails_says_why_in_one_line(python, code, says):
    with pytest.raises(ToolError) as caught:
        run(python, code)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


ATTACKS = {
    "read a file": "open('/etc/passwd').read()",
    "write a file": "open('{folder}/out', 'w').write('x')",
    "pathlib": "from pathlib import Path\nPath('/etc/passwd').read_text()",
    "list a folder": "import os\nos.listdir('/')",
    "environment": "import os\nos.environ['SECRET_OF_THE_TEST']",
    "getenv": "import os\nos.getenv('SECRET_OF_THE_TEST').upper()",
    "shell": "import os\nos.system('touch {folder}/out')",
    "popen": "import os\nos.popen('id').read()",
    "subprocess": "import subprocess\nsubprocess.run(['touch', '{folder}/out'])",
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', 80))",
    "urllib": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1')",
    "ctypes": "import ctypes\nctypes.CDLL(None)",
    "import by name": "__import__('os').system('touch {folder}/out')",
    "importlib": "import importlib\nimportlib.import_module('os').listdir('/')",
    "sys.modules": "import sys\nsys.modules['os']",
    "eval": "eval('open(\"/etc/passwd\").read()')",
    "exec": "exec('import os')\nos.listdir('/')",
    "compile": "compile('1', 'x', 'eval')",
    "subclasses": "().__class__.__base__.__subclasses__()",
    "globals of a function": "(lambda: 0).__globals__['__builtins__']",
    "format string": "'{0.__class__.__mro__[1].__subclasses__}'.format(1)()",
    "frames": "import sys\nsys._getframe(0).f_back.f_globals",
    "traceback": "try:\n    1/0\nexcept Exception as e:\n    e.__traceback__.tb_frame.f_globals",
    "code object": "(lambda: 0).__code__.replace(co_code=b'')",
    "builtins": "import builtins\nbuiltins.open('/etc/passwd')",
    "input": "input()",
    "breakpoint": "breakpoint()",
    "pickle": "import pickle\npickle.loads(b'cos\\nsystem\\n(S\"id\"\\ntR.')",
    "threads": "import threading\nthreading.Thread(target=print).start()",
    "signals": "import os\nos.kill(os.getppid(), 9)",
    "endless loop": "while True:\n    pass",
    "endless for": "for x in iter(int, 1):\n    pass",
    "doubling list": "x = [0] * 10\nwhile True:\n    x = x + x",
    "large power": "9**9**9**9",
    "large string": "'a' * 10**10",
    "large range": "list(range(10**10))",
    "recursion": "def f():\n    return f()\nf()",
    "deep brackets": "(" * 3000 + ")" * 3000,
    "regular expression": "import re\nre.match(r'(a+)+$', 'a' * 40 + 'b').group()",
    "endless printing": "while True:\n    print('x' * 1000)",
    "memory in a dict": "d = {{}}\ni = 0\nwhile True:\n    d[i] = 'x' * 1000 + str(i)\n    i += 1",
    "surrogate": "print('\\ud800')\n'\\udfff' * 10**9",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_contained_and_the_next_call_answered(python, name, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_TEST", "s3cr3t")
    code = ATTACKS[name].replace("{folder}", str(tmp_path)).replace("{{", "{").replace("}}", "}")
    before = psutil.Process().memory_info().rss
    with pytest.raises(ToolError) as caught:
        said = run(python, code)
        raise AssertionError(f"not refused: {said[:200]}")
    assert "s3cr3t" not in str(caught.value)
    assert "root:" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert psutil.Process().memory_info().rss - before < 200 * 2**20
    assert run(python, "1 + 1") == "2"


def test_a_long_result_is_cut(python):
    said = run(python, "'x' * 100000")
    assert len(said) == LONGEST_RESULT + 1
    assert said.endswith("…")


def test_calls_see_nothing_of_each_other(python):
    run(python, "secret = 1")
    with pytest.raises(ToolError, match="NameError"):
        run(python, "secret")


def test_many_at_once_get_their_own_results(python):
    results: dict[int, str] = {}

    def one(number: int) -> None:
        results[number] = run(python, f"sum(range({number}))")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: str(sum(range(number))) for number in range(12)}


def test_closing_ends_the_workers():
    before = set(psutil.Process().children())
    tool = Python()
    assert run(tool, "1") == "1"
    workers = list(set(psutil.Process().children()) - before)
    assert workers
    tool.close()
    tool.close()
    _, alive = psutil.wait_procs(workers, 10)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
    with pytest.raises(ToolError):
        run(tool, "1")
