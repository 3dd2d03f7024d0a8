"""Take the README's pictures from the real page: `make screenshots`.

Talks with whatever `make run` would talk with, so train first for a picture of your assistant.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
TALKS = {
    "zh": ("zh-CN", ["你是谁？", "What is the capital of France?"]),
    "en": ("en-US", ["Who are you?", "Explain a rainbow in two sentences."]),
}


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for language, (locale, questions) in TALKS.items():
                context = browser.new_context(
                    locale=locale, viewport={"width": 1280, "height": 800}
                )
                page = context.new_page()
                _open(page, f"http://127.0.0.1:{port}/")
                for question in questions:
                    _ask(page, question)
                page.screenshot(path=ROOT / "docs" / f"page-{language}.png")
                context.close()
            browser.close()
    finally:
        app.terminate()
        app.wait()


def _open(page: Page, url: str) -> None:
    for _ in range(100):
        try:
            page.goto(url)
            page.wait_for_selector("body.assistant-ready")
            return
        except Exception:  # not listening yet
            page.wait_for_timeout(300)
    raise SystemExit(f"no page at {url}")


def _ask(page: Page, question: str) -> None:
    box = page.locator("#box textarea")
    box.fill(question)
    box.press("Enter")
    page.wait_for_selector("#stop", state="visible")
    page.wait_for_selector("#stop", state="hidden", timeout=180_000)
    page.wait_for_timeout(800)


if __name__ == "__main__":
    (ROOT / "docs").mkdir(exist_ok=True)
    main()
