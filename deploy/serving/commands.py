"""The command lines of LMDeploy's servers (0.18), from a model and `[serve]`."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assistant.config import ServeTable
from assistant.engines.turbomind.settings import QUANT_POLICY

# Seconds between the proxy's looks at its servers. A dead one is never busy, so that until the next
# look it draws nearly every question; LMDeploy's own 90 would be a minute and a half of them.
PROXY_ENVIRONMENT = {"LMDEPLOY_CONTROLLER_HEART_BEAT_EXPIRATION": "5"}
# LMDeploy takes its keys as arguments only, which every user of the machine can read. This adds
# them inside the process, from the variable; it needs nothing but LMDeploy, so it runs in its own
# container image too.
# Double quotes inside: a systemd unit knows no quoted word that goes on after its quote.
_WITH_KEYS = (
    'import os, sys; sys.argv += ["--api-keys", *os.environ["{variable}"].split()]; '
    "from lmdeploy.cli.entrypoint import run; run()"
)


@dataclass(frozen=True)
class Settings:
    """What all copies of the model have in common.

    `served_as` is the name that clients ask for. `key_variable` names the environment variable
    that holds the keys, separated by blanks; empty: no keys.
    """

    model: str
    served_as: str
    tp: int
    cache_share: float
    max_batch: int
    kv_bits: Literal[16, 8, 4]
    context_length: int | None
    prefix_caching: bool
    weight_format: str
    trust_remote_code: bool
    key_variable: str = ""


def settings_of(
    serve: ServeTable, model: str, served_as: str, *, trust_remote_code: bool, with_keys: bool,
    own_context: int | None = None,
) -> Settings:  # fmt: skip
    """The settings that the `turbomind` engine would have, for servers. `own_context` is what the
    model's config says it reads."""
    table = serve.turbomind
    lengths = [length for length in (serve.context_length, own_context) if length]
    return Settings(
        model,
        served_as,
        table.tp,
        table.cache_share,
        table.max_batch or serve.limits.concurrent,
        table.kv_bits,
        min(lengths, default=None),
        table.prefix_caching,
        table.weight_format,
        trust_remote_code,
        serve.remote.key_variable if with_keys else "",
    )


def context_length_of(model: Path) -> int | None:
    """The tokens that the model's config.json says it reads; None where it does not say."""
    config = json.loads((model / "config.json").read_text("utf-8"))
    length = config.get("text_config", config).get("max_position_embeddings")
    return length if isinstance(length, int) else None


def api_server(settings: Settings, host: str, port: int | str, proxy: str = "") -> list[str]:
    """`lmdeploy serve api_server …`. With a `proxy`, `host` must be an address that the proxy can
    call: the server announces itself by it."""
    arguments = [
        "serve", "api_server", settings.model,
        "--backend", "turbomind",
        "--chat-template", "hf",  # unasked, LMDeploy chooses a template by words in the path
        "--model-name", settings.served_as,
        "--server-name", host,
        "--server-port", str(port),
        "--tp", str(settings.tp),
        "--cache-max-entry-count", f"{settings.cache_share:g}",
        "--max-batch-size", str(settings.max_batch),
        "--quant-policy", str(QUANT_POLICY[settings.kv_bits]),
    ]  # fmt: skip
    if settings.context_length:
        arguments += ["--session-len", str(settings.context_length)]
    if settings.prefix_caching:
        arguments += ["--enable-prefix-caching"]
    if settings.weight_format != "auto":
        arguments += ["--model-format", settings.weight_format]
    if settings.trust_remote_code:
        arguments += ["--trust-remote-code"]
    if proxy:
        arguments += ["--proxy-url", proxy]
    return _lmdeploy(arguments, settings.key_variable)


def proxy_server(settings: Settings, host: str, port: int | str) -> list[str]:
    """`lmdeploy serve proxy …`. Its own record of nodes, written into the library's folder, is off:
    servers announce themselves."""
    arguments = [
        "serve", "proxy", "--server-name", host, "--server-port", str(port),
        "--disable-cache-status",
    ]  # fmt: skip
    return _lmdeploy(arguments, settings.key_variable)


def _lmdeploy(arguments: list[str], key_variable: str) -> list[str]:
    if not key_variable:
        return ["lmdeploy", *arguments]
    return ["python", "-c", _WITH_KEYS.replace("{variable}", key_variable), *arguments]


def page_command(url: str, context_length: int | None = None) -> list[str]:
    """The page in front of the servers at `url` (".../v1"). LMDeploy's do not say how many tokens they
    read: the page is told `context_length` where it is known, and assumes it elsewhere."""
    sets = [f'serve.remote.urls=["{url}"]']
    if context_length:
        sets.append(f"serve.remote.context_length={context_length}")
    return [
        "python", "app.py", "--engine", "remote",
        *(word for one in sets for word in ("--set", one)),
    ]  # fmt: skip


def shown(command: list[str]) -> str:
    """A command as a shell takes it."""
    return shlex.join(command)
