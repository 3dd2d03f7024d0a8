"""Models on this disk: which kind, and whether they are whole."""

import json
from pathlib import Path

import pytest
from servers import tiny

from assistant.errors import UsageError
from assistant.models import LocalModel, fetch, gguf
from assistant.models.local import licence_of, open_local
from assistant.models.reference import Reference
from assistant.models.selection import select

HF = {"config.json": b"{}", "model.safetensors": tiny.safetensors(), "tokenizer.json": b"{}"}
ADAPTER = {"adapter_config.json": b"{}", "adapter_model.safetensors": tiny.safetensors()}
XML = b'<net><data element_type="i8" offset="16" size="48"/></net>'
OPENVINO = {
    f"openvino_{name}.{end}": content
    for name in ("model", "tokenizer", "detokenizer")
    for end, content in (("xml", XML), ("bin", bytes(64)))
} | {"config.json": b"{}"}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def refusal(folder: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        fetch(str(folder), base_folder=Path("/"))
    assert caught.value.exit_code == 2
    assert caught.value.cure is not None, "says what to do"
    return caught.value


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (HF, "hf"),
        (
            {**HF, "openvino/openvino_model.xml": XML, "openvino/openvino_model.bin": bytes(64)},
            "hf",
        ),
        ({**HF, "adapter_config.json": b"{}"}, "hf"),
        (ADAPTER, "adapter"),
        ({**ADAPTER, "config.json": b"{}"}, "adapter"),
        (OPENVINO, "openvino"),
    ],
)
def test_kinds_of_folder(files: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "model", files)
    found = fetch("./model", base_folder=tmp_path)
    assert found == LocalModel("./model", folder, kind, origin=str(folder))  # type: ignore[arg-type]
    assert found.name == "model"


def test_a_runs_model_is_called_by_its_run(tmp_path: Path) -> None:
    folder = fill(tmp_path / "runs" / "first" / "merged", HF)
    assert open_local(str(folder), folder).name == "first/merged"
    elsewhere = fill(tmp_path / "first" / "merged", HF)
    assert open_local(str(elsewhere), elsewhere).name == "merged"


def test_a_gguf_by_file_and_by_folder(tmp_path: Path) -> None:
    fill(tmp_path / "model", {"a.gguf": tiny.gguf(licence="apache-2.0"), "README.md": b"hello"})
    by_file = fetch("model/a.gguf", base_folder=tmp_path)
    by_folder = fetch("model", base_folder=tmp_path)
    assert (by_file.path, by_file.format) == (tmp_path / "model" / "a.gguf", "gguf")
    assert (by_folder.path, by_folder.licence) == (by_file.path, "apache-2.0")


def test_several_ggufs_must_be_named(tmp_path: Path) -> None:
    fill(tmp_path, {"a.gguf": tiny.gguf(), "b.gguf": tiny.gguf()})
    assert "a.gguf, b.gguf" in refusal(tmp_path).message.en


def test_every_cut_of_a_gguf_is_noticed(tmp_path: Path) -> None:
    whole = tiny.gguf(256)
    file = tmp_path / "model.gguf"
    file.write_bytes(whole)
    assert gguf.check(file).size == len(whole)
    for size in [*range(1, len(whole), 7), len(whole) - 1]:
        file.write_bytes(whole[:size])
        error = refusal(file)
        if size >= 4:
            assert "cut short" in error.message.en, size


def test_an_empty_or_foreign_gguf(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    for content in (b"", b"PK\3\4" + bytes(100)):
        file.write_bytes(content)
        assert "not a GGUF" in refusal(file).message.en
    file.write_bytes(b"GGUF" + (99).to_bytes(4, "little") + bytes(100))
    assert "version 99" in refusal(file).message.en


def test_garbage_in_a_gguf_header_is_an_error_not_a_crash(tmp_path: Path) -> None:
    whole = bytearray(tiny.gguf(64))
    file = tmp_path / "model.gguf"
    for at in range(8, 120):
        broken = bytearray(whole)
        broken[at] = 0xFF
        file.write_bytes(broken)
        try:
            gguf.check(file)
        except UsageError:
            continue


def test_a_gguf_header_is_walked_once_while_the_file_stays(tmp_path, monkeypatch) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(tiny.gguf(64))
    walks = []
    walk = gguf._HeaderReader.header
    monkeypatch.setattr(
        gguf._HeaderReader, "header", lambda reader: walks.append(1) or walk(reader)
    )
    assert gguf.read_header(file) == gguf.check(file) and len(walks) == 1
    file.write_bytes(tiny.gguf(128))
    gguf.check(file)
    assert len(walks) == 2
    file.write_bytes(tiny.gguf(128)[:-200])
    with pytest.raises(UsageError):
        gguf.check(file)


def test_the_embedded_header_agrees_with_the_gguf_package(embedded_model: LocalModel) -> None:
    header = gguf.check(embedded_model.path)
    assert header.size == embedded_model.path.stat().st_size == 98_362_432
    assert header.tensors == 272
    assert header.texts["general.license"] == "apache-2.0"


def test_every_cut_of_safetensors_is_noticed(tmp_path: Path) -> None:
    whole = HF["model.safetensors"]
    for size in (0, 3, 8, 20, 200, len(whole) - 1):
        fill(tmp_path, {**HF, "model.safetensors": whole[:size]})
        assert "cut short" in refusal(tmp_path).message.en, size
    fill(tmp_path, {**HF, "model.safetensors": b"<html>502 Bad Gateway</html>"})
    assert "not a safetensors" in refusal(tmp_path).message.en


def test_a_missing_shard(tmp_path: Path) -> None:
    weights = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    index = json.dumps({"weight_map": weights}).encode()
    fill(tmp_path, {"config.json": b"{}", "model.safetensors.index.json": index})
    fill(tmp_path, {"model-1.safetensors": tiny.safetensors()})
    assert "model-2.safetensors" in refusal(tmp_path).message.en


@pytest.mark.parametrize("name", ["model.safetensors", "model.gguf", "openvino_model.bin"])
def test_a_pointer_in_place_of_weights(name: str, tmp_path: Path) -> None:
    others = {"model.gguf": {}, "openvino_model.bin": OPENVINO}.get(name, HF)
    fill(tmp_path, {**others, name: tiny.pointer(b"weights")})
    error = refusal(tmp_path)
    assert "git-lfs pointer" in error.message.en
    assert "git lfs pull" in str(error.cure)


def test_openvino_must_be_whole(tmp_path: Path) -> None:
    fill(tmp_path, {**OPENVINO, "openvino_model.bin": bytes(63)})
    assert "63 bytes of 64" in refusal(tmp_path).message.en
    fill(tmp_path, {**OPENVINO, "openvino_model.xml": XML[:-6]})
    assert "cut short" in refusal(tmp_path).message.en
    (tmp_path / "openvino_model.bin").unlink()
    assert "no weights beside it" in refusal(tmp_path).message.en


def test_pickle_is_never_loaded(tmp_path: Path) -> None:
    fill(tmp_path, {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04."})
    error = refusal(tmp_path)
    assert "pickle only (pytorch_model.bin)" in error.message.en
    assert "safe_serialization" in str(error.cure)


def test_no_model_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no model" in refusal(tmp_path / "empty").message.en
    assert "holds no model" in refusal(fill(tmp_path / "c", {"config.json": b"{}"})).message.en
    (tmp_path / "notes.txt").write_text("hi")
    assert "not a model file" in refusal(tmp_path / "notes.txt").message.en


def test_licence_from_the_readme(tmp_path: Path) -> None:
    fill(tmp_path, {**HF, "README.md": b"---\nlanguage: zh\nlicense: 'apache-2.0'\n---\n# Hi\n"})
    assert licence_of(tmp_path) == "apache-2.0"


class TestSelection:
    """Which files of a hub repository are taken."""

    def of(self, *paths: str, file: str = "") -> list[str]:
        return select(paths, Reference("hf", "a/b", file=file))

    def test_safe_weights_and_what_they_need(self) -> None:
        wanted = [
            "LICENSE", "README.md", "chat_template.jinja", "config.json", "model.safetensors",
            "openvino/openvino_model.bin", "openvino/openvino_model.xml", "persona.json",
            "tokenizer.model",
        ]  # fmt: skip
        unwanted = [
            "pytorch_model.bin", "training_args.bin", "modeling_x.py", "model.Q4.gguf", "x.pt",
            "onnx/model.onnx", "original/model.safetensors", "consolidated.safetensors",
            ".gitattributes", "openvino/lone.bin", "/config.json", "../config.json", "flax.msgpack",
        ]  # fmt: skip
        assert self.of(*wanted, *unwanted) == wanted

    def test_a_gguf_only_where_nothing_else_is(self) -> None:
        assert self.of("README.md", "m.gguf") == ["README.md", "m.gguf"]
        both = ("README.md", "q4.gguf", "q8.gguf")
        assert self.of(*both, file="q8.gguf") == ["README.md", "q8.gguf"]
        with pytest.raises(UsageError, match="2 GGUF files") as caught:
            self.of(*both)
        assert "hf:a/b/q4.gguf" in str(caught.value.cure)
        with pytest.raises(UsageError, match="no such file"):
            self.of(*both, file="q2.gguf")

    def test_pickle_only_and_nothing(self) -> None:
        with pytest.raises(UsageError, match="pickle only"):
            self.of("config.json", "pytorch_model.bin")
        with pytest.raises(UsageError, match="holds no model"):
            self.of("README.md")
