"""How the page must be launched: its looks, its script, its thread count, what is switched off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..config import Config
from .shown import script_words
from .theme import theme

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("keep.js", "shelf.js", "files.js", "page.js")  # in the order they build on each other
OTHER_EVENTS = 24  # places for what is not an answer: page loads, polling, import and export
SESSIONS = 500  # of pages and programs that Gradio remembers; each takes an eighth of a megabyte


def launch_options(config: Config) -> dict[str, Any]:
    """Arguments for `Blocks.launch` (or `gr.mount_gradio_app`) that the page needs.

    `max_threads` is also how many events Gradio handles at once: each answer and each visitor in
    line is one. Run history is off because it would keep conversations; uploads are off because
    nothing of a visitor is stored on the server. Nothing is shared beyond the address it listens on.
    """
    limits = config.serve.limits
    return {
        "theme": theme(),
        "head": head(kept_by_owner=bool(config.serve.keep_conversations)),
        "footer_links": [],
        "max_threads": limits.concurrent + limits.queue + OTHER_EVENTS,
        "state_session_capacity": SESSIONS,
        "run_history": False,
        "enable_monitoring": False,
        "max_file_size": 1,
        "show_error": False,
        "ssr_mode": False,
        "share": False,  # Gradio's own default asks the environment, and where the page runs
        "mcp_server": False,
    }


def head(kept_by_owner: bool = False) -> str:
    """The page's script with its words, and its style, for the document's head.

    The style stands here because Gradio rewrites the selectors of `css`.
    """
    said = json.dumps(script_words(kept_by_owner), ensure_ascii=False).replace("<", "\\u003c")
    script = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    style = (STATIC / "page.css").read_text(encoding="utf-8")
    return f"<style>{style}</style><script>window.assistantWords = {said};\n{script}</script>"


def queue_options() -> dict[str, Any]:
    """Arguments for `Blocks.queue`: Gradio's own queue never refuses, `assistant.limits` does."""
    return {"default_concurrency_limit": None, "max_size": None, "api_open": True}
