"""What must not be published: keys, private data and paths of this machine, in what goes up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assistant.models.gguf import read_header
from assistant.words import Text

What = Literal["secret", "personal", "path"]
# Vocabularies: a hundred thousand word pieces, in which numbers and addresses mean nothing.
_VOCABULARY = {"tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "added_tokens.json"}
_TEXT_SUFFIXES = {".json", ".md", ".jinja", ".txt", ".py", ".toml", ".yaml", ".yml", ".cfg", ""}
_LOCAL_PATH = re.compile(
    r"(?<![\w.:/~-])(?:/(?:home|Users|root|mnt|data|tmp|var|work|workspace|opt|srv|media)/[\w.\-/]+"
    r"|[A-Za-z]:\\{1,2}[\w.\-\\]+|~/[\w.\-/]+)"
)
_PLACES_ELSEWHERE = ("/home/xlab-app-center", "/mnt/workspace")  # of the hosts, not of the person
_HEADER_MAX = 100_000_000


@dataclass(frozen=True)
class Finding:
    """Something found in a file; `shown` is masked, so that no report spreads it."""

    file: str
    what: What
    shown: str

    def text(self) -> Text:
        en, zh = _WORDS[self.what]
        return Text(f"{self.file}: {en}: {self.shown}", f"{self.file}：{zh}：{self.shown}")


_WORDS: dict[What, tuple[str, str]] = {
    "secret": ("a key or token", "密钥或令牌"),
    "personal": ("personal data (phone, e-mail, ID number)", "个人信息（电话、邮箱、证件号）"),
    "path": ("a path of this machine", "本机路径"),
}


def scan_file(file: Path, name: str) -> list[Finding]:
    """What is found in one file that is to be published; each finding once."""
    text = _text_of(file)
    if text is None:
        return []
    return list(dict.fromkeys(_findings(text, name, file.name in _VOCABULARY)))


def _findings(text: str, name: str, vocabulary: bool) -> Iterator[Finding]:
    from assistant.personal_data import personal

    if vocabulary:
        # Only whole keys: `personal` looks at the text once, and phone numbers are not wanted here.
        yield from (
            Finding(name, "secret", shown) for code, shown in personal(text) if code == "E107"
        )
        return
    for code, shown in personal(text):
        yield Finding(name, "secret" if code == "E107" else "personal", shown)
    for match in _LOCAL_PATH.finditer(text):
        if not match[0].startswith(_PLACES_ELSEWHERE):
            yield Finding(name, "path", match[0])


def _text_of(file: Path) -> str | None:
    """The text of a file, or the metadata in the header of its weights; None where there is none."""
    if file.suffix == ".safetensors":
        return _safetensors_metadata(file)
    if file.suffix == ".gguf":
        return json.dumps(read_header(file).texts, ensure_ascii=False)
    if file.suffix.lower() not in _TEXT_SUFFIXES:
        return None
    text = file.read_bytes().decode("utf-8", errors="replace")
    if file.suffix == ".json":  # so that \u escapes and \/ hide nothing
        try:
            return json.dumps(json.loads(text), ensure_ascii=False)
        except ValueError:
            return text
    return text


def _safetensors_metadata(file: Path) -> str | None:
    with file.open("rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if length > _HEADER_MAX:
            return None
        try:
            header = json.loads(source.read(length))
        except ValueError:
            return None
    return json.dumps(header.get("__metadata__", {}), ensure_ascii=False)
