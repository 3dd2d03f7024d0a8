"""The card's lines on GGUF files: Ollama, LM Studio and llama.cpp, from this very hub."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.words import Text

from ..target import Target


def gguf_usage(target: Target, files: Sequence[str], language: str) -> list[str]:
    """Commands that fetch and run the files; none where there are none."""
    ggufs = sorted(path for path in files if path.endswith(".gguf"))
    if not ggufs:
        return []
    file = _likeliest(ggufs)
    listed = ", ".join(f"`{path}`" for path in ggufs)
    names = Text(f"GGUF files: {listed}.", f"GGUF 文件：{listed}。").in_language(language)
    return [
        names,
        *_ollama(target, file),
        *_lm_studio(target, file, language),
        *_llama_cpp(target, file),
    ]


def _likeliest(ggufs: Sequence[str]) -> str:
    """The file that most people want: eight bits, where it is there."""
    return next((path for path in ggufs if "-Q8_0" in path), ggufs[0])


def _quant(file: str) -> str:
    return file.removesuffix(".gguf").rpartition("-")[2]


def _sh(name: str, *lines: str) -> str:
    body = "\n".join(lines)
    return f"{name}:\n\n```sh\n{body}\n```"


def _ollama(target: Target, file: str) -> list[str]:
    if target.hub == "hf":
        return [_sh("Ollama", f"ollama run hf.co/{target.repo}:{_quant(file)}")]
    if target.hub == "modelscope":
        return [_sh("Ollama", f"ollama run modelscope.cn/{target.repo}:{_quant(file)}")]
    made = target.name.lower()
    return [_sh("Ollama", *_cloned(target), f"printf 'FROM ./{target.name}/{file}\\n' > Modelfile",
                f"ollama create {made} -f Modelfile && ollama run {made}")]  # fmt: skip


def _lm_studio(target: Target, file: str, language: str) -> list[str]:
    if target.hub == "hf":
        return [_sh("LM Studio", f"lms get {target.repo}@{_quant(file).lower()}")]
    said = Text(f"LM Studio: download `{file}`, then `lms import {file}`.",
                f"LM Studio：下载 `{file}`，再运行 `lms import {file}`。")  # fmt: skip
    return [said.in_language(language)]


def _llama_cpp(target: Target, file: str) -> list[str]:
    if target.hub == "hf":
        return [_sh("llama.cpp", f"llama-cli -hf {target.repo}:{_quant(file)}")]
    if target.hub == "modelscope":
        fetch = f"modelscope download --model {target.repo} {file} --local_dir ."
        return [_sh("llama.cpp", fetch, f"llama-cli -m {file}")]
    return [_sh("llama.cpp", *_cloned(target), f"llama-cli -m {target.name}/{file}")]


def _cloned(target: Target) -> tuple[str, ...]:
    return (f"git lfs install && git clone https://code.openxlab.org.cn/{target.repo}.git",)
