"""`deploy export`: the merged model of a run as GGUF files, or as a folder for Ollama."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assistant.artifacts import (
    Manifest,
    content_sha256,
    library_versions,
    now,
    read_manifest,
    whole_file,
    whole_folder,
    write_manifest,
)
from assistant.config import SamplingTable
from assistant.errors import BlockedError, UsageError
from assistant.persona import write_persona
from assistant.progress import Report
from assistant.records.export_report import EXPORT_REPORT_FILE, ExportReport, as_markdown
from assistant.run import MERGED, Run
from assistant.words import Text

from .formats import Quant, kind_for
from .gguf_file import Exportable, special_tokens, write_gguf
from .ollama import MODELFILE, go_template, hub_files, modelfile, parameters
from .template import turns

Format = Literal["gguf", "ollama"]
Prove = Callable[[Sequence[Path]], ExportReport]
STAGE = "export"
HEADER_BYTES = 4_000_000  # fields and tokenizer, about


@dataclass(frozen=True)
class Wanted:
    """What is to be written, and where."""

    format: Format
    quants: tuple[Quant, ...]
    out: Path
    sampling: SamplingTable
    force: bool


@dataclass(frozen=True)
class Exported:
    """The folder that was written, and what its proof says; None for no proof."""

    folder: Path
    files: tuple[Path, ...]
    report: ExportReport | None


def file_name(run: Run, model: Exportable, quant: Quant) -> str:
    """NAME-Q8_0.gguf; a name in other letters than Latin gives way to the run's."""
    name = re.sub(r"[^A-Za-z0-9._]+", "-", model.identity.persona.name).strip("-.")
    latin = name if re.search("[A-Za-z0-9]", name) else run.name
    return f"{latin}-{quant.suffix}.gguf"


def size_of(model: Exportable, quant: Quant) -> int:
    """About how many bytes a file takes."""
    import gguf

    total = HEADER_BYTES
    for name, tensor in model.tensors.items():
        values, size = gguf.GGML_QUANT_SIZES[
            kind_for(quant, name, tensor.shape, model.config.layers)
        ]
        count = 1
        for length in tensor.shape:
            count *= length
        total += count // values * size
    return total


def ollama_files(model: Exportable, sampling: SamplingTable, weights: str) -> dict[str, str]:
    """Modelfile, and the three files that Ollama reads from a hub, by name. Raises UsageError where
    Ollama's language cannot say what the model needs."""
    special = special_tokens(model.vocabulary)
    marks = turns(model.template, special)
    template = go_template(marks)
    if model.vocabulary.adds_bos:  # Ollama writes it by itself
        template = template.replace(special["bos_token"], "")
    settings = parameters(sampling, model.config.context_length, model.stops)
    persona = model.identity.persona
    return {
        MODELFILE: modelfile(weights, persona, template, settings, licence_text(model)),
        **hub_files(persona, template, settings),
    }


def licence_text(model: Exportable) -> str:
    """The licence's own words where they lie beside the weights, else its name."""
    found = sorted(model.folder.glob("LICEN[SC]E*"))
    return found[0].read_text(encoding="utf-8") if found else model.identity.licence


def export(
    run: Run, model: Exportable, wanted: Wanted, prove: Prove | None, report: Report
) -> Exported:
    """Write the folder whole, the proof in it; None of `prove` leaves that out.

    Raises UsageError where the folder is there, BlockedError where the disk refuses or the proof
    cannot be made (the files are there then), FailedError for weights that do not fit.
    """
    started = now()
    _refuse_foreign(wanted.out)
    names = [file_name(run, model, quant) for quant in wanted.quants]
    texts = ollama_files(model, wanted.sampling, names[0]) if wanted.format == "ollama" else {}
    proof: ExportReport | None = None
    unproven: BlockedError | None = None
    with whole_folder(wanted.out, force=wanted.force) as partial:
        _refuse_small_disk(model, wanted)
        files = [partial / name for name in names]
        for quant, file in zip(wanted.quants, files, strict=True):
            write_gguf(model, quant, wanted.sampling, file, report)
        if MODELFILE in texts:
            _write(texts[MODELFILE], partial / MODELFILE)
        write_persona(model.identity.persona, partial)
        if prove is not None:
            try:
                proof = prove(files)
            except BlockedError as error:
                unproven = error
        if proof is not None:
            _write(proof.model_dump_json(indent=2) + "\n", partial / EXPORT_REPORT_FILE)
            _write(as_markdown(proof), partial / "report.md")
        write_manifest(partial, _manifest(model, wanted, files, started))
    if unproven is not None:
        raise BlockedError(
            Text(f"{wanted.out} is written. {unproven.message.en}", f"已写入 {wanted.out}。{unproven.message.zh}"),
            unproven.cure,
        )  # fmt: skip
    return Exported(wanted.out, tuple(wanted.out / name for name in names), proof)


def _refuse_foreign(folder: Path) -> None:
    """--force replaces an earlier export, and nothing else that somebody keeps there."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        stage = read_manifest(folder).stage
    except UsageError:
        stage = ""
    if stage != STAGE:
        raise UsageError(
            Text(f"{folder} holds other things than an export: it is never replaced.",
                 f"{folder} 里有别的东西，不是导出结果，不会覆盖它。"),
            Text("Name a folder of its own: -o FOLDER", "请指定一个单独的文件夹：-o 文件夹"),
        )  # fmt: skip


def _refuse_small_disk(model: Exportable, wanted: Wanted) -> None:
    needed = sum(size_of(model, quant) for quant in wanted.quants)
    free = shutil.disk_usage(wanted.out.parent).free
    if free < needed:
        raise BlockedError(
            Text(f"The files take about {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free at {wanted.out.parent}.",
                 f"文件约需 {needed / 1e6:.0f} MB；{wanted.out.parent} 只剩 {free / 1e6:.0f} MB。"),
            Text("Make room, or name another place: -o FOLDER", "请腾出空间，或换一个位置：-o 文件夹"),
        )  # fmt: skip


def _manifest(model: Exportable, wanted: Wanted, files: Sequence[Path], started: str) -> Manifest:
    """The merged weights by sha256: what tells later whether these files are still of them."""
    weights = sorted(model.folder.glob("*.safetensors"))
    return Manifest(
        stage=STAGE,
        inputs={f"{MERGED}/{file.name}": content_sha256(file) for file in weights},
        settings={
            "format": wanted.format,
            "quants": [quant.name for quant in wanted.quants],
            "sampling": wanted.sampling.model_dump(mode="json"),
        },
        libraries=library_versions("gguf", "xllamacpp"),
        started=started,
        finished=now(),
        notes={"sha256": {file.name: content_sha256(file) for file in files}},
    )


def _write(text: str, file: Path) -> None:
    with whole_file(file) as out:
        out.write(text)
