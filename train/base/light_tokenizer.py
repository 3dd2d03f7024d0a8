"""A base's tokenizer and chat template without transformers, for what only counts tokens.

Importing transformers takes seconds; the `tokenizers` library reads the same file in a tenth of
one, and a chat template is Jinja. The ids are those of transformers: a test holds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import UsageError
from assistant.models.chat_template import chat_template, compiled
from assistant.models.gguf import read_fields
from assistant.words import Text

from .gguf_tokenizer import read_parts

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import AddedToken, Tokenizer

_NAMED = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


@dataclass
class LightTokenizer:
    """Renders and encodes messages; called as transformers' tokenizers are, as far as
    `train.render` calls them."""

    backend_tokenizer: Tokenizer
    chat_template: str | None
    special: Mapping[str, str]  # "eos_token": "<|im_end|>", …; templates may write them
    _compiled: Template | None = None

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        encoded = self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": encoded.ids}

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, str]],
        tokenize: bool = False,
        add_generation_prompt: bool = False,
    ) -> str:
        """`messages` as the template writes them. Raises ValueError where there is none, jinja2's
        TemplateError where it refuses them."""
        assert not tokenize, "the text is encoded apart"
        if not self.chat_template:
            raise ValueError("chat_template is not set")
        if self._compiled is None:
            self._compiled = compiled(self.chat_template)
        return self._compiled.render(
            messages=messages, tools=None, documents=None,
            add_generation_prompt=add_generation_prompt, **self.special,
        )  # fmt: skip

    @property
    def eos_token_id(self) -> int | None:
        end = self.special.get("eos_token")
        return None if end is None else self.backend_tokenizer.token_to_id(end)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        return self.backend_tokenizer.get_added_tokens_decoder()


def from_gguf(file: Path) -> LightTokenizer:
    """The tokenizer inside a GGUF. Raises UsageError for a kind not known here."""
    fields = read_fields(file, "tokenizer.")
    parts = read_parts(lambda key: fields.get(f"tokenizer.{key}"), file.name)
    named = {"eos_token": parts.end, "pad_token": parts.pad}
    return LightTokenizer(parts.backend, parts.chat_template, named)


def from_folder(folder: Path) -> LightTokenizer | None:
    """The tokenizer of a model folder; None where it takes transformers to read it.

    Raises UsageError for a tokenizer.json that is damaged.
    """
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    config = _object(folder / "tokenizer_config.json")
    if not file.is_file() or "auto_map" in config:  # code of its own may do anything
        return None
    try:
        backend = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exceptions
        raise UsageError(
            Text(f"{file} cannot be read: {error}", f"{file} 无法读取：{error}"),
            Text("Copy or download the model again.", "请重新复制或下载该模型。"),
        ) from None
    backend.no_truncation()
    backend.no_padding()
    if "added_tokens_decoder" not in config:
        config = config | _object(folder / "special_tokens_map.json")
    _add_tokens(backend, config)
    named = {name: _content(config[name]) for name in _NAMED if config.get(name)}
    return LightTokenizer(backend, chat_template(folder), named)


def _add_tokens(backend: Tokenizer, config: Mapping[str, Any]) -> None:
    """Add the tokens that tokenizer_config.json names and tokenizer.json does not mark."""
    from tokenizers import AddedToken

    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    listed = config.get("added_tokens_decoder") or {}
    tokens = [listed[number] for number in sorted(listed, key=int)]
    tokens += [config[name] for name in _NAMED if config.get(name)]
    for name in ("additional_special_tokens", "extra_special_tokens"):
        more = config.get(name) or []
        tokens += more.values() if isinstance(more, Mapping) else more
    for token in tokens:
        content = _content(token)
        if content in known:
            continue
        known.add(content)
        flags = ("lstrip", "rstrip", "single_word", "normalized", "special")
        how = (
            {flag: token[flag] for flag in flags if flag in token}
            if isinstance(token, dict)
            else {}
        )
        backend.add_tokens([AddedToken(content, **({"special": True} | how))])


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, Mapping) else token)


def _object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
