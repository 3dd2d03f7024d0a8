"""TOML that a person edited: read with the mark that editors put before it, its faults in words.

The kit's own tables are read by `shipped_toml`: quicker, with the parser's own errors.
"""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path
from typing import Any

import tomlkit
import tomlkit.exceptions

from .errors import UsageError
from .words import Text

ENCODING = "utf-8-sig"  # Notepad puts a mark (BOM) before the first letter
_BLANK = ("Zs", "Zl", "Zp", "Cf", "Cc")  # kinds of letters that nobody sees
_KNOWN = {
    "\u00a0": Text("a no-break space", "不换行空格"),
    "\u3000": Text("a full-width space", "全角空格"),
    "\ufeff": Text("a byte order mark", "字节顺序标记（BOM）"),
    "\u200b": Text("a zero-width space", "零宽空格"),
}


def read_toml(file: Path) -> dict[str, Any]:
    """The tables of `file`. Raises UsageError where it cannot be read, is not UTF-8 or no TOML."""
    text = read_toml_text(file)
    try:
        return tomlkit.parse(text).unwrap()
    except tomlkit.exceptions.TOMLKitError as error:
        if found := _unseen(text, getattr(error, "line", None)):
            raise _unseen_letter(file, *found) from None
        raise UsageError(
            Text(f"{file} is not valid TOML: {error}.", f"{file} 不是有效的 TOML：{error}。"),
            Text(
                "Look at that line: a missing quote, bracket or equals sign is the usual cause.",
                "请看那一行：多半是少了引号、括号或等号。",
            ),
        ) from None
    except RecursionError:
        raise UsageError(
            Text(f"{file} is nested too deeply.", f"{file} 嵌套得太深。"),
            Text("Take the brackets away that nothing needs.", "请去掉多余的括号。"),
        ) from None


def shipped_toml(text: str) -> dict[str, Any]:
    """The tables of a file that comes with the kit.

    By the standard library where it can (Python 3.11): tomlkit, which keeps comments and blanks for
    writing back, took a second for each bank of questions.
    """
    if sys.version_info >= (3, 11):
        import tomllib  # novm: the line above asks for it

        return tomllib.loads(text)
    return tomlkit.parse(text).unwrap()


def read_toml_text(file: Path) -> str:
    """The text of a TOML file, without a mark before it. Raises UsageError."""
    try:
        return file.read_text(encoding=ENCODING)
    except UnicodeDecodeError as error:
        raise UsageError(
            Text(
                f"{file} is not UTF-8 text (byte {error.start}).",
                f"{file} 不是 UTF-8 文本（第 {error.start} 字节）。",
            ),
            Text("Save it as UTF-8.", "请另存为 UTF-8。"),
        ) from None
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            Text(f"Cannot read {file}: {reason}.", f"无法读取 {file}：{reason}。"),
            Text("Name a file that you may read.", "请指定一个可读的文件。"),
        ) from None


def _unseen(text: str, number: int | None) -> tuple[int, int, str] | None:
    """Line, column and letter of what nobody sees on line `number`, where reading stopped."""
    lines = text.split("\n")
    if number is None or not 0 < number <= len(lines):
        return None
    for column, letter in enumerate(lines[number - 1], 1):
        if letter not in " \t\r" and unicodedata.category(letter) in _BLANK:
            return number, column, letter
    return None


def _unseen_letter(file: Path, line: int, column: int, letter: str) -> UsageError:
    name = unicodedata.name(letter, "a control character").lower()
    known = _KNOWN.get(letter, Text(name, name))
    code = f"U+{ord(letter):04X}"
    return UsageError(
        Text(
            f"{file} has {known.en} ({code}) in line {line}, column {column}, where TOML allows none.",
            f"{file} 第 {line} 行第 {column} 列有{known.zh}（{code}），TOML 不允许。",
        ),
        Text(
            "It cannot be seen: delete what stands there and type it again.",
            "它是看不见的：请删掉那里的字符，重新输入。",
        ),
    )
