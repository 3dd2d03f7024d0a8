"""The log as JSON, one object a line on stdout: for the collectors that operators use.

Nothing of a conversation is in it: a message is written without its arguments and an exception
without its words (its class and the places it came through stand there), for both may quote what a
visitor wrote. What is meant to be read stands in a record's `fields`.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import datetime, timezone
from typing import Any, TextIO

OWN = "assistant"  # this logger says what it does; of libraries only warnings are wanted
UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")


class JsonFormatter(logging.Formatter):
    """`{"time","level","logger","message", ...fields}`; time is ISO 8601 in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": str(record.msg),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            kind, _, trace = record.exc_info
            line["exception"] = kind.__name__
            line["at"] = [
                f"{place.filename}:{place.lineno} {place.name}"
                for place in traceback.extract_tb(trace)
            ]
        return json.dumps(line, ensure_ascii=False)


def log_as_json(out: TextIO | None = None) -> None:
    """Send all logging to `out` (default stdout) as JSON lines."""
    handler = logging.StreamHandler(out or sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(OWN).setLevel(logging.INFO)


def take_over_uvicorn() -> None:
    """Have the web server's own log go the same way; to be called once it has started, for it
    sets its handlers then."""
    for name in UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
