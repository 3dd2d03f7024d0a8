"""What kind of file it is: by its first bytes, for every ending."""

from __future__ import annotations

import re
import shlex
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from assistant.errors import UsageError
from assistant.outside import in_line
from assistant.words import Text

from ..generating.reading import ENDINGS
from ..lines import cannot_read, refuse_streams
from .encodings import DAMAGED, told_by_head
from .records import CURES, Dropped, Options, Reading, Record

Reader = Callable[[Path, Options, Reading], Iterator[Record | Dropped]]

HEAD = 1 << 14  # bytes
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
_TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".txt")
_LINE_OF_JSON = re.compile(r'^\s*(?:\{\s*(?:"|\}|$)|\[\s*(?:[\[{"\]]|$))')
_DOCUMENTS = Text(
    "Questions from a document: python -m train data generate --documents {file}",
    "从文档出题：python -m train data generate --documents {file}",
)
_AS_DOCUMENT = Text(
    "Save it as docx, pdf or txt; questions from it: python -m train data generate --documents NEWFILE",
    "请另存为 docx、pdf 或 txt，再从中出题：python -m train data generate --documents 新文件",
)
_AS_XLSX = Text(
    "Open it in a spreadsheet program and save it as xlsx or csv.",
    "请用表格软件打开，另存为 xlsx 或 csv。",
)
_YAML_ENDINGS = (".yaml", ".yml")
_RASA = re.compile(
    r"^(?:nlu:\s*\n\s*- intent:|stories:\s*\n\s*- story:|rules:\s*\n\s*- rule:|## intent:|intents:\s*\n(?=[\s\S]*^responses:))",
    re.MULTILINE,
)
_AS_JSON = Text(*(
    says + " python -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, default=str)' "
    "< FILE > rows.json" for says in ("Make JSON of it and import that:", "请先转成 JSON 再导入: ")
))  # fmt: skip
_UNPACK = Text("Unpack it first: {how}", "请先解压：{how}")


def _unpack(how: str) -> Text:
    """The cure for a packed file. `{new}` in `how` is its name without the ending: the programs that
    unpack want to see theirs."""
    return Text(*(text.replace("{how}", how) for text in _UNPACK))


# First bytes -> what it is, and what to do.
_REFUSED: tuple[tuple[bytes, Text, Text], ...] = (
    (b"\xd0\xcf\x11\xe0", Text("an Office file of the old kind (xls, doc)", "旧格式的 Office 文件（xls、doc）"), _AS_XLSX),
    (b"\x1f\x8b", Text("packed with gzip", "gzip 压缩文件"), _unpack("gunzip -c < {file} > {new}")),
    (b"BZh", Text("packed with bzip2", "bzip2 压缩文件"), _unpack("bunzip2 -c < {file} > {new}")),
    (b"\xfd7zXZ\x00", Text("packed with xz", "xz 压缩文件"), _unpack("unxz -c < {file} > {new}")),
    (b"\x28\xb5\x2f\xfd", Text("packed with zstd", "zstd 压缩文件"), _unpack("unzstd -c < {file} > {new}")),
    (b"7z\xbc\xaf\x27\x1c", Text("a 7z archive", "7z 压缩包"), _unpack("7z x {file}")),
    (b"Rar!", Text("a rar archive", "rar 压缩包"), _unpack("unrar x {file}")),
    (b"%PDF", Text("a PDF", "PDF 文件"), _DOCUMENTS),
    (b"ARROW1", Text("an Arrow file", "Arrow 文件"),
     Text("Save it as parquet; datasets: Dataset.from_file(FILE).to_parquet(NEW)",
          "请另存为 parquet；datasets：Dataset.from_file(文件).to_parquet(新文件)")),
    (b"SQLite format 3\x00", Text("an SQLite database", "SQLite 数据库"),
     Text("Save the table as csv: sqlite3 -header -csv FILE 'select * from TABLE' > rows.csv",
          "请把表导出为 csv：sqlite3 -header -csv 文件 'select * from 表' > rows.csv")),
    (b"version https://git-lfs", Text("a git-lfs pointer, not the file itself", "git-lfs 指针，不是文件本身"),
     Text("Fetch the file: git lfs pull", "请取回文件：git lfs pull")),
    (b"{\\rtf", Text("an RTF document", "RTF 文档"), _AS_DOCUMENT),
    (b"\x89PNG", Text("a picture", "图片"), Text("Import text or tables.", "请导入文本或表格。")),
    (b"\xff\xd8\xff", Text("a picture", "图片"), Text("Import text or tables.", "请导入文本或表格。")),
)  # fmt: skip
_ZIPS: tuple[tuple[str, Text, Text], ...] = (
    ("word/document.xml", Text("a Word document", "Word 文档"), _DOCUMENTS),
    ("ppt/presentation.xml", Text("a presentation", "演示文稿"), _AS_DOCUMENT),
    ("xl/workbook.bin", Text("a binary workbook (xlsb)", "二进制工作簿（xlsb）"), _AS_XLSX),
    ("mimetype", Text("an OpenDocument file", "OpenDocument 文件"), _AS_XLSX),
)


def reader_of(file: Path, options: Options) -> tuple[str, Reader]:
    """The kind of a file and what reads it. Raises UsageError for one that is not there, or of no
    kind that can be read, with what to do."""
    refuse_streams([file])
    try:
        with file.open("rb") as source:
            head = source.read(HEAD)
    except OSError as error:
        raise cannot_read(file, error) from None
    from .delimited import delimited_records, is_table
    from .json_files import json_records
    from .parquet_files import parquet_records
    from .spreadsheet import spreadsheet_records

    if head.startswith(b"PAR1"):
        return "parquet", parquet_records
    if head.startswith(b"PK\x03\x04"):
        _check_zip(file)
        return "xlsx", spreadsheet_records
    for first, what, cure in _REFUSED:
        if head.startswith(first):
            raise _refused(file, what, cure)
    text = _as_text(head)
    suffix = file.suffix.lower()
    if _is_json(text, suffix in _JSON_ENDINGS):
        return "json", json_records
    if re.match(r"\s*(<!doctype html|<html|<table|<\?xml)", text, re.IGNORECASE):
        cure = _AS_XLSX if suffix.startswith(".xls") else _AS_DOCUMENT
        raise _refused(file, Text("an HTML or XML page", "HTML 或 XML 页面"), cure)
    if _RASA.search(text):
        what = Text("Rasa training data (utterances and intents)", "Rasa 训练数据（话语和意图）")
        raise _refused(file, what, CURES["intent"])
    if suffix in _YAML_ENDINGS and not is_table(text, options):
        raise _refused(file, Text("a YAML file", "YAML 文件"), _AS_JSON)
    if suffix in _TABLE_ENDINGS or not text.strip() or is_table(text, options):  # whatever its name
        return suffix.lstrip(".") if suffix in _TABLE_ENDINGS else "csv", delimited_records
    if suffix in _JSON_ENDINGS:
        return "json", json_records  # damaged from the first line on
    if _is_tar(file):
        raise _refused(file, Text("a tar archive", "tar 归档文件"), _unpack("tar xf {file}"))
    raise _unknown(file, text)


def _is_tar(file: Path) -> bool:
    try:
        return tarfile.is_tarfile(file)
    except OSError:
        return False


def _as_text(head: bytes) -> str:
    """The beginning of a file as text, as far as its shape can be told from it."""
    if told := told_by_head(head):
        return head.decode(told, "replace").lstrip("\ufeff")
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError:
        return head.decode("gb18030", "replace")


def _is_json(text: str, named: bool) -> bool:
    """Whether a text is JSON: its first filled line begins as JSON does; where the name says so, one
    of the first lines."""
    filled = [line for line in text.splitlines() if line.strip()]
    if not filled:
        return False
    if _LINE_OF_JSON.match(filled[0]) or (named and filled[0].lstrip()[:1] in ("{", "[")):
        return True
    return named and any(_LINE_OF_JSON.match(line) for line in filled[:20])


def _check_zip(file: Path) -> None:
    """Raise UsageError for a zip archive that is no workbook."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # damaged: reading it says so
    if "xl/workbook.xml" in names:
        return
    for name, what, cure in _ZIPS:
        if name in names:
            raise _refused(file, what, cure)
    if not any(name.startswith("xl/") for name in names):
        raise _refused(file, Text("a zip archive", "zip 压缩包"), _unpack("unzip {file}"))


def _refused(file: Path, what: Text, cure: Text) -> UsageError:
    quoted, unpacked = shlex.quote(str(file)), shlex.quote(str(_unpacked(file)))
    cure = Text(*(text.replace("{new}", unpacked) for text in cure))
    return UsageError(
        Text(f"{in_line(file)} is {what.en}: no rows can be read from it.", f"{in_line(file)} 是{what.zh}，无法从中读取数据行。"),
        Text(*(re.sub(r"\{file\}|\bFILE\b", lambda _: quoted, text) for text in cure)),
    )  # fmt: skip


def _unpacked(file: Path) -> Path:
    """Where to unpack a file to: its name without the packer's ending, else another name."""
    if file.suffix.lower() == ".tgz":
        return file.with_suffix(".tar")
    if file.suffix.lower() in (".gz", ".bz2", ".xz", ".zst"):
        return file.with_suffix("")
    return file.with_name(f"{file.stem}-unpacked{file.suffix}")


def _unknown(file: Path, text: str) -> UsageError:
    """A text may be one to ask about; nothing is known of bytes."""
    cure = Text(
        "Save it as xlsx, csv, tsv, json, jsonl or parquet.",
        "请另存为 xlsx、csv、tsv、json、jsonl 或 parquet。",
    )
    if not ({"\0", DAMAGED} & set(text)):
        document, first = shlex.quote(str(file)), ""
        if file.suffix.lower() not in ENDINGS:
            document = shlex.quote(f"{file}.txt")
            first = f"cp {shlex.quote(str(file))} {document} && "
        command = f"{first}python -m train data generate --documents {document}"
        cure = Text(
            f"{cure.en} Questions from a text: {command}", f"{cure.zh}从文本出题：{command}"
        )
    return UsageError(
        Text(f"{in_line(file)} is of no kind known here.", f"{in_line(file)} 不是可识别的类型。"),
        cure,
    )
