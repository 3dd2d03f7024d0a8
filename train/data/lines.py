"""Rows of JSONL files as the workshop reads them: one by one, with their numbers."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from assistant.conversation import Conversation, parse_conversation
from assistant.errors import AssistantError, UsageError
from assistant.outside import in_line
from assistant.shell import command_line
from assistant.words import Text

SAID_EVERY = 1 << 20  # bytes


class Numbered(NamedTuple):
    """A conversation and the line it stands on."""

    line: int
    conversation: Conversation


def raw_lines(file: Path, read: Callable[[int], None] | None = None) -> Iterator[tuple[int, bytes]]:
    """The filled lines of `file` and their numbers; `read` hears how many bytes were read.

    Raises UsageError if the file cannot be read.
    """
    refuse_streams([file])
    done = said = 0
    try:
        with file.open("rb") as source:
            for number, line in enumerate(source, 1):
                done += len(line)
                if read and done - said >= SAID_EVERY:
                    said = done
                    read(done)
                if line.strip():
                    yield number, line
    except OSError as error:
        raise cannot_read(file, error) from None


def refuse_streams(files: Iterable[Path]) -> None:
    """Raise UsageError for a device, which may never end, and for a pipe, which gives its rows only
    once, to none where nobody writes, and has no place beside it to write to."""
    for file in files:
        _refuse_stream(file)


def _refuse_stream(file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise cannot_read(file, error) from None
    pipe = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    if pipe or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        kind = Text("a pipe", "管道") if pipe else Text("a device", "设备")
        raise UsageError(
            Text(
                f"{in_line(file)} is {kind.en}, not a file.",
                f"{in_line(file)} 是{kind.zh}，不是文件。",
            ),
            Text("Save what comes from it into a file first.", "请先把其中的内容存成文件。"),
        )


def cannot_read(file: Path, error: OSError) -> UsageError:
    """The error for a file that does not open, in plain words."""
    if isinstance(error, FileNotFoundError):
        return UsageError(Text(f"There is no file {in_line(file)}.", f"没有文件 {in_line(file)}。"))
    if isinstance(error, IsADirectoryError):
        return UsageError(
            Text(
                f"{in_line(file)} is a folder, not a file.", f"{in_line(file)} 是文件夹，不是文件。"
            ),
            Text(
                f"Name the files in it: {in_line(file / '*')}",
                f"请指定其中的文件：{in_line(file / '*')}",
            ),
        )
    return UsageError(
        Text(
            f"Cannot read {in_line(file)}: {error.strerror}.",
            f"无法读取 {in_line(file)}：{error.strerror}。",
        )
    )


def conversations_of(file: Path, read: Callable[[int], None] | None = None) -> Iterator[Numbered]:
    """The conversations of a file that `import` or another stage of the kit wrote.

    Raises UsageError naming the first line that is not one, with the command that mends it.
    """
    for number, line in raw_lines(file, read):
        try:
            text = line.decode("utf-8").lstrip("\ufeff")
            yield Numbered(number, parse_conversation(text, where=f"{in_line(file)}:{number}"))
        except (UnicodeDecodeError, AssistantError) as error:
            said = error.message if isinstance(error, AssistantError) else None
            following = command_line("python", "-m", "train", "data", "import", file)
            raise UsageError(
                said
                or Text(
                    f"{in_line(file)}:{number}: not UTF-8 text.",
                    f"{in_line(file)}:{number}：不是 UTF-8 文本。",
                ),
                Text(f"Bring it into shape: {following}", f"请先转换格式：{following}"),
            ) from None


def size_of(file: Path) -> int:
    """Its bytes; 0 where it is not there, which reading it will say."""
    try:
        return file.stat().st_size
    except OSError:
        return 0
