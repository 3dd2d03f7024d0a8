"""The same servers as files for those who run them: Docker Compose, systemd, Slurm, Ray.

Keys stand in none of them: they come from the environment of whoever starts it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from .commands import (
    PROXY_ENVIRONMENT,
    Settings,
    api_server,
    page_command,
    proxy_server,
    shown,
)

Recipe = Literal["compose", "systemd", "slurm", "ray"]
FILES: dict[Recipe, str] = {
    "compose": "compose.yaml",
    "systemd": "assistant-lmdeploy.service",
    "slurm": "serve.sbatch",
    "ray": "serve_on_ray.py",
}
MODEL_IN_CONTAINER = "/model"


@dataclass(frozen=True)
class Fleet:
    """`servers` copies of the model; with more than one, a proxy in front. `port` is what the page
    calls; the copies of one machine listen on the ports above it."""

    settings: Settings
    servers: int
    host: str
    port: int
    image: str

    @property
    def behind_proxy(self) -> bool:
        return self.servers > 1


def recipe_text(kind: Recipe, fleet: Fleet) -> str:
    """The file of that kind."""
    return _WRITERS[kind](fleet)


def _compose(fleet: Fleet) -> str:
    settings = replace(fleet.settings, model=MODEL_IN_CONTAINER)
    key = settings.key_variable
    services: dict[str, Any] = {}
    for number in range(fleet.servers):
        name = f"server{number}"
        first = number * settings.tp
        proxy = f"http://proxy:{fleet.port}" if fleet.behind_proxy else ""
        # Behind a proxy a server announces the address it listens on: its own name in the network.
        host = name if fleet.behind_proxy else "0.0.0.0"
        services[name] = {
            "image": fleet.image,
            "command": api_server(settings, host, fleet.port, proxy),
            "volumes": [f"{fleet.settings.model}:{MODEL_IN_CONTAINER}:ro"],
            "ipc": "host",
            "restart": "unless-stopped",
            "deploy": {"resources": {"reservations": {"devices": [{
                "driver": "nvidia", "capabilities": ["gpu"],
                "device_ids": [str(gpu) for gpu in range(first, first + settings.tp)],
            }]}}},
            "healthcheck": {
                "test": ["CMD", "python3", "-c", _health(host, fleet.port)],
                "interval": "30s", "start_period": "600s", "retries": 3,
            },
        }  # fmt: skip
        if key:
            services[name]["environment"] = [key]
        if fleet.behind_proxy:
            services[name]["depends_on"] = ["proxy"]
    if fleet.behind_proxy:
        services["proxy"] = {
            "image": fleet.image,
            "command": proxy_server(settings, "0.0.0.0", fleet.port),
            "restart": "unless-stopped",
            "environment": [*([key] if key else []), *_proxy_assignments()],
        }
    front = "proxy" if fleet.behind_proxy else "server0"
    services["page"] = {
        "image": "python:3.11-slim",
        "working_dir": "/app",
        "volumes": [".:/app"],
        "command": ["sh", "-c", "pip install -q -r requirements-cpu.txt && exec "
                    + shown([*page_command(f"http://{front}:{fleet.port}/v1", settings.context_length), "--public", "--host", "0.0.0.0"])],
        "ports": ["7860:7860"],
        "stop_grace_period": "40s",
        "restart": "unless-stopped",
    } | ({"environment": [key]} if key else {})  # fmt: skip
    # JSON is YAML: no YAML library is needed to write it, and none misreads it.
    return (
        "# docker compose up -d     (written by: python -m deploy serve --write compose)\n"
        "# Each server has its own GPUs. Keys come from the environment or an .env file beside this.\n"
        + json.dumps({"services": services}, ensure_ascii=False, indent=2).replace("$", "$$")
        + "\n"
    )


def _proxy_assignments() -> list[str]:
    return [f"{name}={value}" for name, value in PROXY_ENVIRONMENT.items()]


def _health(host: str, port: int) -> str:
    where = "127.0.0.1" if host == "0.0.0.0" else host
    return f"import urllib.request; urllib.request.urlopen('http://{where}:{port}/health')"


def _systemd(fleet: Fleet) -> str:
    """Units for one machine: a template for the copies, one for the proxy."""
    settings = fleet.settings
    if fleet.behind_proxy:
        command = api_server(settings, fleet.host, "%i", f"http://{fleet.host}:{fleet.port}")
        name, also = (
            "assistant-lmdeploy@.service",
            "After=network-online.target assistant-proxy.service",
        )
    else:
        command = api_server(settings, fleet.host, fleet.port)
        name, also = FILES["systemd"], "After=network-online.target"
    units = [_unit(name, "LMDeploy api_server", also, command, settings, fleet)]
    if fleet.behind_proxy:
        units.append(
            _unit("assistant-proxy.service", "LMDeploy proxy", "After=network-online.target",
                  proxy_server(settings, fleet.host, fleet.port), settings, None)
        )  # fmt: skip
        ports = " ".join(str(fleet.port + 1 + number) for number in range(fleet.servers))
        head = (
            "# Two units: cut this file at the second [Unit].\n"
            f"# For each port of {ports}: systemctl enable --now assistant-lmdeploy@PORT\n"
            "# Give each copy its own GPUs: systemctl edit assistant-lmdeploy@PORT\n"
            "#   [Service]\n#   Environment=CUDA_VISIBLE_DEVICES=0\n"
        )
    else:
        head = f"# systemctl enable --now {name}\n"
    return head + "\n".join(units)


def _unit(
    name: str, what: str, after: str, command: list[str], settings: Settings, fleet: Fleet | None
) -> str:
    key = settings.key_variable
    keys = (
        f"EnvironmentFile=/etc/assistant.env\n# in it, readable by root alone: {key}=…\n"
        if key
        else ""
    )
    # In a unit a per cent sign stands for itself only when doubled; %i is the instance.
    start = shown(command).replace("%", "%%").replace("%%i", "%i")
    gpus = environment = ""
    if fleet:
        gpus = "# It takes the first GPUs it sees; CUDA_VISIBLE_DEVICES chooses others.\n"
    else:
        environment = "".join(f"Environment={one}\n" for one in _proxy_assignments())
    return (
        f"# {name}\n[Unit]\nDescription={what}: {settings.served_as}\n{after}\n"
        "Wants=network-online.target\n\n[Service]\n"
        f"{keys}{gpus}{environment}ExecStart=/usr/bin/env {start}\n"
        "Restart=on-failure\nRestartSec=10\nTimeoutStopSec=60\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def _slurm(fleet: Fleet) -> str:
    settings = fleet.settings
    key = settings.key_variable
    proxied = fleet.behind_proxy
    port = fleet.port + 1 if proxied else fleet.port
    server = _on_node(api_server(settings, "@HOST@", port, "@PROXY@" if proxied else ""))
    page = shown(page_command(f"http://@FIRST@:{fleet.port}/v1", settings.context_length))
    lines = [
        "#!/bin/bash",
        "#SBATCH --job-name=assistant",
        f"#SBATCH --nodes={fleet.servers}",
        "#SBATCH --ntasks-per-node=1",
        f"#SBATCH --gpus-per-node={settings.tp}",
        "#SBATCH --time=7-00:00:00",
        "# One copy of the model on each node, the proxy on the first. The model must lie at the same",
        "# path on all nodes. What the page is started with is printed at the top of the log.",
        "set -euo pipefail",
        *([f': "${{{key}:?set it before sbatch, which passes it on}}"'] if key else []),
        "first=$(hostname -I | awk '{print $1}')",
        "sed \"s/@FIRST@/$first/\" <<'PAGE'",
        page,
        "PAGE",
        "cat > serve-node.sh <<'NODE'",
        "HOST=$(hostname -I | awk '{print $1}')",
        f"exec {server}",
        "NODE",
    ]
    if proxied:
        lines += [
            f'export PROXY="http://$first:{fleet.port}"',
            f"{' '.join(_proxy_assignments())} {shown(proxy_server(settings, '0.0.0.0', fleet.port))} &",
        ]
    return "\n".join([*lines, "srun bash serve-node.sh"]) + "\n"


def _on_node(command: list[str]) -> str:
    """A shell line in which the words @HOST@ and @PROXY@ are the variables of that name."""
    words = {"@HOST@": '"$HOST"', "@PROXY@": '"$PROXY"'}
    return " ".join(words.get(word) or shown([word]) for word in command)


def _ray(fleet: Fleet) -> str:
    settings = fleet.settings
    server = api_server(settings, "@HOST@", "@PORT@", "@PROXY@")
    proxy = proxy_server(settings, "0.0.0.0", fleet.port)
    keys = ""
    if key := settings.key_variable:
        keys = f"{key} must be set where `ray start` runs, on every node.\n"
    return f'''"""LMDeploy's servers on a Ray cluster: python serve_on_ray.py on its head node.

Ray places {fleet.servers} copies with {settings.tp} GPU(s) each and starts a copy that ended again; the proxy runs here.
The model must lie at the same path on all nodes. {keys}"""

import os
import socket
import subprocess

import ray

SERVER = {json.dumps(server, ensure_ascii=False)}
PROXY = {json.dumps(proxy, ensure_ascii=False)}
PROXY_ENVIRONMENT = {json.dumps(PROXY_ENVIRONMENT)}


@ray.remote(num_gpus={settings.tp}, max_retries=-1)
def serve(proxy: str) -> None:
    host = ray.util.get_node_ip_address()
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    words = {{"@HOST@": host, "@PORT@": str(port), "@PROXY@": proxy}}
    subprocess.run([words.get(word, word) for word in SERVER], check=True)


if __name__ == "__main__":
    ray.init(address="auto")
    front = f"http://{{ray.util.get_node_ip_address()}}:{fleet.port}"
    with subprocess.Popen(PROXY, env={{**os.environ, **PROXY_ENVIRONMENT}}):
        print("[serve.remote] urls = [\\"" + front + "/v1\\"]")
        ray.get([serve.remote(front) for _ in range({fleet.servers})])
'''


_WRITERS: dict[Recipe, Callable[[Fleet], str]] = {
    "compose": _compose,
    "systemd": _systemd,
    "slurm": _slurm,
    "ray": _ray,
}
