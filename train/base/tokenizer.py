"""Load a base's tokenizer with transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assistant.errors import UsageError
from assistant.transformers_import import import_transformers
from assistant.words import Text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAID_AT_MOST = 300  # characters of a library's words that an error repeats


def load_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, as every stage of this kit reads it. Raises UsageError."""
    import_transformers()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # whatever transformers finds wrong with its files
        reason = " ".join(str(error).split())[:SAID_AT_MOST] or type(error).__name__
        raise UsageError(
            Text(f"The tokenizer in {folder} cannot be read: {reason}", f"无法读取 {folder} 里的分词器：{reason}"),
            Text("Copy or download its files again.", "请重新复制或下载其中的文件。"),
        ) from error  # fmt: skip
