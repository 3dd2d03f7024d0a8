"""The card's snippets: this kit, transformers, LMDeploy and vLLM; GGUF's programs in `card_gguf`."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.words import Text

from ..target import Target
from .card_gguf import gguf_usage
from .front_matter import only_gguf
from .source import Source


def how_to_use(source: Source, target: Target, files: Sequence[str], language: str) -> str:
    """Commands and code that load these very files from this hub."""
    if only_gguf(files):
        ggufs = sorted(path for path in files if path.endswith(".gguf"))
        file = f"/{ggufs[0]}" if len(ggufs) > 1 else ""
        return "\n\n".join(
            [_kit(f"{target}{file}", language), *gguf_usage(target, files, language)]
        )
    parts = [_with_kit(source, target, language)]
    if source.kind == "adapter":
        parts += [_peft(source, target)] if source.base.public else []
    elif source.quantised_by:
        parts = [_lmdeploy(target, language), _packed(source.quantised_by, language)]
    else:
        parts += [
            _transformers(source, target),
            _lmdeploy(target, language),
            _vllm(target, language),
        ]
    parts += gguf_usage(target, files, language)
    if any(path.startswith("openvino/") for path in files):
        parts.append(
            Text("`openvino/` holds the same weights for the CPU engine.",
                 "`openvino/` 里是同一份权重，供 CPU 引擎使用。").in_language(language)
        )  # fmt: skip
    return "\n\n".join(parts)


def _with_kit(source: Source, target: Target, language: str) -> str:
    if source.kind == "adapter":
        return Text(
            "With the kit that made it: merge it onto its base (`python -m train merge`), then `make run`.",
            "用制作它的工具：先与基座合并（`python -m train merge`），再 `make run`。",
        ).in_language(language)
    return _kit(str(target), language)


def _kit(reference: str, language: str) -> str:
    said = Text("With the kit that made it:", "用制作它的工具：").in_language(language)
    return f"{said}\n\n```sh\npython app.py --model {reference}\npython -m assistant chat --model {reference}\n```"


def _fetch(target: Target) -> str:
    """Python lines after which `path` is what the libraries load."""
    if target.hub == "modelscope":
        return (
            "from modelscope_hub import HubApi  # pip install modelscope-hub\n\n"
            f'path = HubApi().download_repo("{target.repo}", "model")'
        )
    if target.hub == "openxlab":
        return f'# {_cloned(target)}\npath = "./{target.name}"'
    return f'path = "{target.repo}"'


def _cloned(target: Target) -> str:
    return f"git lfs install && git clone https://code.openxlab.org.cn/{target.repo}.git"


def _messages(source: Source) -> str:
    asked = "你是谁？" if "zh" in source.persona.languages else "Who are you?"
    system = source.persona.system("zh" if "zh" in source.persona.languages else "en")
    return f"[\n    {_message('system', system)},\n    {_message('user', asked)},\n]"


def _message(role: str, content: str) -> str:
    return f'{{"role": "{role}", "content": {_literal(content)}}}'


def _literal(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False).replace("`", "\\u0060")


def _answer() -> str:
    return (
        "inputs = tokenizer.apply_chat_template(\n"
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True\n'
        ").to(model.device)\n"
        "out = model.generate(**inputs, max_new_tokens=128, do_sample=False)\n"
        'print(tokenizer.decode(out[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))'
    )


def _transformers(source: Source, target: Target) -> str:
    return (
        "transformers:\n\n```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"{_fetch(target)}\n"
        "tokenizer = AutoTokenizer.from_pretrained(path)\n"
        'model = AutoModelForCausalLM.from_pretrained(path, dtype="auto")\n'
        f"messages = {_messages(source)}\n{_answer()}\n```"
    )


def _peft(source: Source, target: Target) -> str:
    base = source.base.public
    return (
        "PEFT:\n\n```python\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"{_fetch(target)}\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{base}")\n'
        f'base = AutoModelForCausalLM.from_pretrained("{base}", dtype="auto")\n'
        "model = PeftModel.from_pretrained(base, path)\n"
        f"messages = {_messages(source)}\n{_answer()}\n```"
    )


def _packed(method: str, language: str) -> str:
    return Text(f"Its weights are quantised ({method}, 4 bits): they run on a GPU alone.",
                f"权重已量化（{method}，4 位），只能在显卡上运行。").in_language(language)  # fmt: skip


def _lmdeploy(target: Target, language: str) -> str:
    said = Text("LMDeploy, on a GPU:", "LMDeploy，需要显卡：").in_language(language)
    if target.hub == "modelscope":
        command = f"LMDEPLOY_USE_MODELSCOPE=True lmdeploy serve api_server {target.repo}"
    elif target.hub == "openxlab":
        command = f"{_cloned(target)}\nlmdeploy serve api_server ./{target.name}"
    else:
        command = f"lmdeploy serve api_server {target.repo}"
    return f"{said}\n\n```sh\n{command} --backend turbomind\n```"


def _vllm(target: Target, language: str) -> str:
    said = Text("vLLM, on a GPU:", "vLLM，需要显卡：").in_language(language)
    if target.hub == "modelscope":
        command = f"VLLM_USE_MODELSCOPE=True vllm serve {target.repo}"
    elif target.hub == "openxlab":
        command = f"{_cloned(target)}\nvllm serve ./{target.name}"
    else:
        command = f"vllm serve {target.repo}"
    return f"{said}\n\n```sh\n{command}\n```"
