"""Rendering and masking: the template's own words, and loss on the answers alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.conversation import Message
from assistant.errors import UsageError
from assistant.models import LocalModel
from train.base.tokenizer import load_tokenizer
from train.data.dataset import ConversationDataset, render_file
from train.data.render import IGNORED, TemplateError, prompt_ids, render, render_conversation

STRINGS = [
    "<|im_start|>user\nWho are you?<|im_end|>\n",
    "Hello  world\n\n  x",
    "你好，世界！我是小贝。",
    "😀 and 👨‍👩‍👧‍👦",
    "a\tb\r\nc",
    "1234567 3.14",
    "don't I'll",
    "龘𠮷",
    "  leading",
    "def f(x):\n    return x**2\n",
    "é ñ ü",
    "<|endoftext|>x<|im_start|>",
]


def talk(*said: str, system: str = "") -> list[Message]:
    turns = [
        Message(role=("user", "assistant")[number % 2], content=text)
        for number, text in enumerate(said)
    ]
    return [Message(role="system", content=system), *turns] if system else turns


@pytest.fixture(scope="session")
def tokenizer(embedded_base: Path):
    return load_tokenizer(str(embedded_base))


def learned_text(tokenizer, sample) -> str:
    return tokenizer.decode([label for label in sample.labels if label != IGNORED])


def test_ids_of_the_embedded_base_are_those_of_the_model(tokenizer):
    assert tokenizer("<|im_start|>user\nWho are you?<|im_end|>\n")["input_ids"] == [
        1, 4093, 198, 10576, 359, 346, 47, 2, 198,
    ]  # fmt: skip
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (None, 2, 0)


@pytest.mark.parametrize("text", STRINGS)
def test_ids_equal_those_of_openvino_reading_the_same_gguf(tokenizer, embedded_model, text):
    import openvino_genai

    other = openvino_tokenizer(openvino_genai, embedded_model)
    theirs = other.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
    ours = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ours == theirs
    assert tokenizer.decode(ours) == text


_opened: dict[Path, object] = {}


def openvino_tokenizer(openvino_genai, model: LocalModel):
    if model.path not in _opened:
        _opened[model.path] = openvino_genai.Tokenizer(str(model.path))
    return _opened[model.path]


def test_loss_falls_on_the_answer_and_its_closing_token(tokenizer):
    (sample,) = render(tokenizer, talk("你是谁？", "我是小贝😀。\n好"))
    assert sample.text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\n你是谁？<|im_end|>\n"
        "<|im_start|>assistant\n我是小贝😀。\n好<|im_end|>\n"
    )
    assert learned_text(tokenizer, sample) == "我是小贝😀。\n好<|im_end|>"
    assert len(sample.labels) == len(sample.input_ids)
    assert all(
        label in (IGNORED, token)
        for label, token in zip(sample.labels, sample.input_ids, strict=True)
    )


def test_every_answer_of_a_conversation_is_learned(tokenizer):
    (sample,) = render(tokenizer, talk("a", "b c", "d", "e", system="S"))
    assert learned_text(tokenizer, sample) == "b c<|im_end|>e<|im_end|>"


@pytest.mark.parametrize("said", [("a", "b"), ("你好", "好", "再见", "再见！"), ("x", " y")])
def test_training_asks_with_the_prompt_that_serving_asks_with(tokenizer, said):
    messages = talk(*said, system="你是小贝。")
    (sample,) = render(tokenizer, messages)
    prompt = prompt_ids(tokenizer, messages[:-1])
    assert list(sample.input_ids[: len(prompt)]) == prompt
    first = next(
        place for place, label in enumerate(sample.labels[len(prompt) :]) if label != IGNORED
    )
    assert first == 0


def test_a_token_that_reaches_into_the_prompt_is_not_learned(tokenizer):
    messages = talk("a", "\n\nb")  # the prompt's last newline and the answer's first are one token
    (sample,) = render(tokenizer, messages)
    assert learned_text(tokenizer, sample) == "\nb<|im_end|>"


def with_template(tokenizer, template: str):
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    return other


FORGETFUL = (  # as Qwen3: thoughts stand in the last answer only
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
UNCLOSED = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" + (
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
REWRITING = "{{ messages | length }}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"


def test_a_template_that_rewrites_earlier_answers_gives_a_sample_for_each(tokenizer):
    samples = render(with_template(tokenizer, FORGETFUL), talk("a", "b", "c", "d"))
    assert [learned_text(tokenizer, sample) for sample in samples] == [
        "<think></think>b<|im_end|>",
        "<think></think>d<|im_end|>",
    ]


@pytest.mark.parametrize(
    ("template", "says"), [(UNCLOSED, "does not close"), (REWRITING, "cannot be told")]
)
def test_a_template_that_cannot_be_masked_is_refused(tokenizer, template, says):
    with pytest.raises(TemplateError, match=says):
        render(with_template(tokenizer, template), talk("a", "b"))


def test_no_template_is_refused(tokenizer):
    with pytest.raises(TemplateError, match="no chat template"):
        render(with_template(tokenizer, None), talk("a", "b"))


def test_a_refusal_of_the_template_is_said(tokenizer):
    refusing = "{{ raise_exception('no system') }}"
    with pytest.raises(TemplateError, match="no system"):
        render(with_template(tokenizer, refusing), talk("a", "b"))


def test_cutting_leaves_no_closing_token_to_learn(tokenizer):
    (sample,) = render(tokenizer, talk("a", "one two three four five six"))
    cut = sample.cut(len(sample.input_ids) - 4)
    assert tokenizer.eos_token_id not in [label for label in cut.labels if label != IGNORED]


def test_file_becomes_samples_with_lengths(tmp_path, embedded_base):
    file = tmp_path / "train.jsonl"
    lines = [
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}',
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"%s"}]}'
        % ("long " * 100),
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    dataset = ConversationDataset(str(file), str(embedded_base), 64)
    assert len(dataset) == 2
    assert dataset.length == [len(dataset[0]["input_ids"]), 64]
    _, counts = render_file(file, load_tokenizer(str(embedded_base)), 64)
    assert (counts.conversations, counts.samples, counts.longest, counts.cut) == (2, 2, 64, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing to learn"),
        ('{"messages":[{"role":"user","content":"a"}]}', "nothing to learn"),
        ('{"messages":[{"role":"assistant","content":"a"}]}', "not a conversation"),
        (
            '{"messages":[{"role":"user","content":"a"},'
            '{"role":"assistant","content":"I am {name}"}]}',
            r"placeholder \{name\}",
        ),
        (
            '{"messages":[{"role":"user","content":"a"},'
            '{"role":"assistant","content":"我是{{AUTHOR}}训练的"}]}',
            r"placeholder \{\{AUTHOR\}\}",
        ),
    ],
)
def test_bad_data_is_refused(tmp_path, tokenizer, text, says):
    file = tmp_path / "train.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=says):
        render_file(file, tokenizer, 64)


def test_an_answer_cut_by_its_maker_teaches_no_stop(tokenizer):
    from assistant.conversation import Conversation

    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    whole = Conversation.model_validate({"messages": messages})
    cut = Conversation.model_validate({"messages": messages, "meta": {"ended": False}})
    (closed,) = render_conversation(tokenizer, whole)
    (left_open,) = render_conversation(tokenizer, cut)
    assert closed.learned == left_open.learned + 1
    assert left_open.input_ids == closed.input_ids
    different = [
        one for one, other in zip(closed.labels, left_open.labels, strict=True) if one != other
    ]
    assert different == [tokenizer.eos_token_id]
