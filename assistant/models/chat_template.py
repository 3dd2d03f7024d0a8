"""Chat templates: where a model folder keeps its own, and how its text is compiled."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2
    from jinja2 import Template


def chat_template(folder: Path) -> str:
    """The chat template of a model folder, "" where there is none."""
    separate = folder / "chat_template.jinja"
    if separate.is_file():
        return separate.read_text(encoding="utf-8")
    inside = (_object(folder / "tokenizer_config.json")).get("chat_template", "")
    if isinstance(inside, list):  # several named templates
        inside = next((item["template"] for item in inside if item["name"] == "default"), "")
    return str(inside or "")


def compiled(source: str) -> Template:
    """A chat template compiled as transformers compiles it (`utils/chat_template_utils.py`)."""
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """{% generation %} … {% endgeneration %} marks answers; the text stays as it is."""

        tags = {"generation"}  # noqa: RUF012  (jinja2 declares it so)

        def parse(self, parser: jinja2.parser.Parser) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: int | None = None,
        separators: tuple[str, str] | None = None, sort_keys: bool = False,
    ) -> str:  # fmt: skip
        """JSON without the escapes that Jinja's own filter writes for HTML."""
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
            sort_keys=sort_keys,
        )  # fmt: skip

    room = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    room.filters["tojson"] = tojson
    room.globals["raise_exception"] = raise_exception
    room.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)
    return room.from_string(source)


def _object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
