"""The field's shapes of a row: one sample of each, recognised or refused by its name.

docs/data-shapes.md lists the same shapes; a test below compares the two.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from assistant.conversation import Conversation
from train.data.importing import CURES, NOTES, REASONS, Options, read_file

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "data-shapes.md"
LONG = "The shop opens at nine. It closes at six."


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def bot(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def human(text: str, **more: Any) -> dict[str, Any]:
    return {"from": "human", "value": text, **more}


def gpt(text: str, **more: Any) -> dict[str, Any]:
    return {"from": "gpt", "value": text, **more}


QA = ("q", "a")
TWO = ("q", "a", "q2", "a2")
# Shape as docs/data-shapes.md calls it, a row, and what becomes of it: texts, or a reason.
SAMPLES: list[tuple[str, Any, tuple[str, ...] | str]] = [
    # LLaMA-Factory
    ("alpaca", {"instruction": "q", "input": "", "output": "a"}, QA),
    ("alpaca", {"instruction": "q", "input": "i", "output": "a", "system": "s", "history": [["q0", "a0"]]},
     ("s", "q0", "a0", "q\ni", "a")),
    ("sharegpt", {"conversations": [human("q"), gpt("a")], "system": "s", "tools": "[]"}, ("s", *QA)),
    ("sharegpt with tools", {"conversations": [human("q"), {"from": "function_call", "value": "{}"},
                             {"from": "observation", "value": "{}"}, gpt("a")], "tools": "[{}]"}, "tools"),
    ("openai messages", {"messages": [{"role": "system", "content": "s"}, user("q"), bot("a")]}, ("s", *QA)),
    ("kto", {"messages": [user("q"), bot("a")], "label": True}, QA),
    ("kto", {"messages": [user("q"), bot("a")], "label": False}, "judged_bad"),
    ("kto", {"instruction": "q", "output": "a", "kto_tag": False}, "judged_bad"),
    ("dpo alpaca", {"instruction": "q", "input": "i", "chosen": "a", "rejected": "r"}, ("q\ni", "a")),
    ("dpo sharegpt", {"conversations": [human("q"), gpt("a"), human("q2")], "chosen": gpt("a2"),
                      "rejected": gpt("r")}, TWO),
    ("dpo messages", {"messages": [user("q")], "chosen": bot("a"), "rejected": bot("r")}, QA),
    ("pre-training text", {"text": LONG}, "plain_text"),
    ("multimodal", {"instruction": "q", "output": "a", "images": ["cat.jpg"]}, "media"),
    ("multimodal", {"messages": [user("<image>q"), bot("a")]}, "media"),
    ("LLaMA-Factory v1", {"messages": [{"role": "user", "content": [{"type": "text", "value": "q"}]},
        {"role": "assistant", "content": [{"type": "text", "value": "a"}], "loss_weight": 1.0}]}, QA),
    ("LLaMA-Factory v1", {"messages": [user("q"), bot("a", loss_weight=0.0)]}, "turn_not_to_learn"),
    # ms-swift
    ("query/response", {"query": "q2", "response": "a2", "history": [["q", "a"]]}, TWO),
    ("query/response", {"query": "q2", "response": "a2", "history": [{"query": "q", "response": "a"}]}, TWO),
    ("query/response", {"query": "q2", "response": "a2", "history": ["q", "a"]}, TWO),
    ("query/response", {"query": "q2", "response": "a2", "history": '[["q", "a"]]'}, TWO),
    ("ms-swift sharegpt", {"system": "s", "conversation": [{"human": "q", "assistant": "a"}]}, ("s", *QA)),
    ("rejected_response", {"messages": [user("q"), bot("a")], "rejected_response": "r"}, QA),
    ("loss on turns", {"messages": [user("q"), bot("a", loss=True), user("q2"), bot("a2", loss=False)]}, QA),
    ("loss on turns", {"messages": [user("q"), bot("a", loss=False), user("q2"), bot("a2")]}, "turn_not_to_learn"),
    ("ms-swift agent", {"tools": "[{}]", "messages": [user("q"), {"role": "tool_call", "content": "{}"},
                        {"role": "tool_response", "content": "{}"}, bot("a")]}, "tools"),
    ("grounding", {"messages": [user("q"), bot("a")], "objects": {"ref": ["dog"], "bbox": [[1, 2, 3, 4]]}}, "media"),
    ("pre-training messages", {"messages": [bot("a")]}, "order"),
    ("question alone", {"messages": [user("q")]}, "no_answer"),
    # axolotl
    ("jeopardy", {"question": "q", "category": "c", "answer": "a"}, QA),
    ("oasst", {"INSTRUCTION": "q", "RESPONSE": "a"}, QA),
    ("gpteacher", {"instruction": "q", "input": "i", "response": "a"}, ("q\ni", "a")),
    ("reflection", {"instruction": "q", "input": "", "output": "wrong", "reflection": "r", "corrected": "a"}, QA),
    ("explainchoice", {"question": "q", "choices": ["x", "y"], "solution": "y", "explanation": "e"}, ("q\nx\ny", "y")),
    ("summarizetldr", {"article": LONG, "summary": "Nine to six."}, "summary"),
    ("camel_ai", {"message_1": "q", "message_2": "a"}, QA),
    ("open_orca", {"system_prompt": "s", "question": "q", "response": "a"}, ("s", *QA)),
    ("context_qa", {"article": "t", "question": "q", "answer": "a"}, ("q\nt", "a")),
    ("context_qa", {"context": "t", "question": "q", "answer": "a"}, ("q\nt", "a")),
    ("context_qa 404", {"article": "t", "unanswerable_question": "q"}, "prompt_only"),
    ("creative_acr", {"instruction": "q", "revision": "a"}, QA),
    ("creative_acr critique", {"scores": "3", "critiques": "c", "instruction": "q", "answer": "bad"}, "critique"),
    ("metharme", {"prompt": "q", "generation": "a"}, QA),
    ("pygmalion", {"conversations": [{"role": "human", "value": "q"}, {"role": "bot", "value": "a"}]}, QA),
    ("chat_template", {"conversations": [user("q", train=False), bot("a", train=True)]}, QA),
    ("chat_template", {"conversations": [user("q"), bot("a"), user("q2"), bot("a2", train=False)]}, QA),
    ("chat_template", {"conversations": [user("q"), bot("a", train_detail=[
        {"begin_offset": 0, "end_offset": 1, "train": False}])]}, "turn_not_to_learn"),
    ("input_output", {"segments": [{"label": False, "text": "<s>q\n"}, {"label": True, "text": "a</s>"}]}, QA),
    ("input_output", {"segments": [{"label": False, "text": "### Human: q\n### Assistant: "},
                                   {"label": True, "text": "a"}]}, QA),
    ("tokenized", {"input_ids": [1, 2], "attention_mask": [1, 1], "labels": [1, 2]}, "tokens"),
    ("stepwise_supervised", {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]}, "stepwise"),
    ("argilla", {"instruction": "q", "chosen_response": "a", "rejected_response": "r"}, QA),
    ("argilla_chat", {"chosen": [user("q"), bot("a")], "rejected": [user("q"), bot("r")]}, QA),
    ("icr", {"input": "q", "chosen": "a", "rejected": "r"}, QA),
    ("intel", {"system": "s", "question": "q", "chosen": "a", "rejected": "r"}, ("s", *QA)),
    ("ultra", {"prompt": "q", "chosen": [user("q"), bot("a")], "rejected": [user("q"), bot("r")]}, QA),
    ("nectar", {"prompt": "q", "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 2}]}, "ranked"),
    ("kto argilla_chat", {"chosen": [user("q")], "completion": [bot("a")]}, QA),
    ("kto llama3", {"completion": [user("q"), bot("a")]}, QA),
    # XTuner
    ("xtuner", {"conversation": [{"system": "s", "input": "q", "output": "a"}, {"input": "q2", "output": "a2"}]},
     ("s", *TWO)),
    ("xtuner", {"conversation": [{"input": "q", "output": "a"},
                                 {"input": "q2", "output": "a2", "output_with_loss": False}]}, QA),
    ("xtuner pre-training", {"conversation": [{"system": "", "input": "", "output": LONG}]}, "no_question"),
    # TRL and unsloth
    ("prompt/completion", {"prompt": "q", "completion": "a"}, QA),
    ("prompt/completion messages", {"prompt": [user("q")], "completion": [bot("a")]}, QA),
    ("unpaired preference", {"prompt": "q", "completion": "a", "label": False}, "judged_bad"),
    ("preference", {"prompt": [user("q")], "chosen": [bot("a")], "rejected": [bot("r")]}, QA),
    ("prompt only", {"prompt": "q"}, "prompt_only"),
    ("response_chosen", {"prompt": "q", "response_chosen": "a", "response_rejected": "r"}, QA),
    ("response_j", {"question": "q", "response_j": "a", "response_k": "r"}, QA),
    ("win/lose", {"prompt": "q", "win": "a", "lose": "r"}, QA),
    ("good/bad", {"question": "q", "good": "a", "bad": "r"}, QA),
    ("preferred", {"prompt": "q", "preferred": "a", "dispreferred": "r"}, QA),
    ("response_accepted", {"question": "q", "response_accepted": "a", "response_rejected": "r"}, QA),
    ("openai preference", {"input": {"messages": [user("q")]}, "preferred_output": [bot("a")],
                           "non_preferred_output": [bot("r")]}, QA),
    ("openai weight", {"messages": [user("q"), bot("a"), user("q2"), bot("a2", weight=0)]}, QA),
    ("openai tools", {"messages": [user("q"), {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                      {"role": "tool", "tool_call_id": "1", "content": "{}"}, bot("a")]}, "tools"),
    ("guanaco text", {"text": "### Human: q### Assistant: a### Human: q2### Assistant: a2"}, TWO),
    ("alpaca text", {"text": "### Instruction:\nq\n\n### Input:\ni\n\n### Response:\na"}, ("q\ni", "a")),
    ("chatml text", {"text": "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
                             "<|im_start|>assistant\na<|im_end|>\n"}, ("s", *QA)),
    ("llama2 text", {"text": "<s>[INST] <<SYS>>\ns\n<</SYS>>\n\nq [/INST] a </s><s>[INST] q2 [/INST] a2 </s>"},
     ("s", *TWO)),
    ("hh-rlhf", {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: r"}, QA),
    # Firefly, BELLE, MOSS, WeClone
    ("firefly", {"conversation_id": 1, "category": "c", "conversation": [{"human": "q", "assistant": "a"}]}, QA),
    ("firefly kind", {"kind": "k", "input": "q", "target": "a"}, QA),
    ("belle", {"id": "1", "conversations": [human("q"), {"from": "assistant", "value": "a"}]}, QA),
    ("moss", {"conversation_id": 1, "meta_instruction": "s", "num_turns": 1, "chat": {"turn_1": {
        "Human": "<|Human|>: q<eoh>\n", "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
        "Commands": "<|Commands|>: None<eoc>\n", "Tool Responses": "<|Results|>: None<eor>\n",
        "MOSS": "<|MOSS|>: a<eom>\n"}}}, ("s", *QA)),
    ("weclone", {"instruction": "q", "output": "a", "images": []}, QA),
    ("weclone csv", {"id": 1, "is_sender": 0, "talker": "x", "msg": "q", "src": ""}, "chat_log"),
    # other well-known sets
    ("ultrachat", {"id": "1", "data": ["q", "a", "q2", "a2"]}, TWO),
    ("mt-bench", {"question_id": 1, "category": "w", "turns": ["q", "q2"]}, "no_speakers"),
    ("mt-bench", {"choices": [{"index": 0, "turns": ["a", "a2"]}]}, "no_speakers"),
    ("role and text", {"messages": [["user", "q"], ["assistant", "a"]]}, QA),
    ("role and text", {"conversations": [["Human", "q"], ["AI", "a"], ["Human", "q2"], ["AI", "a2"]]}, TWO),
    ("role and text", {"messages": [["Kim", "q"], ["Bei", "a"], ["Kim", "q2"], ["Bei", "a2"]]}, "role"),
    ("role and text", {"prompt": "q2", "response": "a2", "history": [["user", "q"], ["assistant", "a"]]}, TWO),
    ("pairs of texts", {"conversations": [["q", "a"], ["q2", "a2"]]}, TWO),
    ("a call as text", {"messages": [user("q"), bot('<tool_call>{"name": "f"}</tool_call>')]}, "tools"),
    ("ultrachat messages", {"prompt": "q", "prompt_id": "1", "messages": [user("q"), bot("a")]}, QA),
    ("dolly", {"instruction": "q", "context": "t", "response": "a", "category": "c"}, ("q\nt", "a")),
    ("math", {"problem": "q", "solution": "a"}, QA),
    ("flan", {"inputs": "q", "targets": "a"}, QA),
    ("hc3", {"question": "q", "human_answers": ["a"], "chatgpt_answers": ["b"]}, "ranked"),
    ("oasst tree", {"message_tree_id": "1", "prompt": {"text": "q", "role": "prompter", "replies": []}}, "tree"),
    ("oasst messages", {"message_id": "1", "role": "prompter", "text": "q"}, "single_message"),
    ("single-key turns", {"messages": [{"user": "q"}, {"assistant": "a"}]}, QA),
    ("human and gpt", {"conversations": [{"human": "q", "gpt": "a"}]}, QA),
    ("reasoning", {"messages": [user("q"), bot("a", reasoning_content="hm")]}, QA),
    ("reasoning", {"messages": [user("q"), bot("<think>hm</think>\n\na")]}, QA),
    ("reasoning", {"Question": "q", "Complex_CoT": "hm", "Response": "a"}, QA),
    ("one message a row", user("q"), "single_message"),
    ("names", {"dialogue": [{"role": "Kim", "text": "q"}, {"role": "Bei", "text": "a"}]}, "role"),
    ("squad", {"id": "1", "title": "t", "context": "c", "question": "q", "answers": {"text": ["a", "b"],
               "answer_start": [0, 1]}}, ("q\nc", "a")),
    ("squad", {"context": "c", "question": "q", "answers": {"text": [], "answer_start": []}}, "no_answer"),
    ("squad nested", {"title": "t", "paragraphs": [{"context": "c", "qas": [
        {"id": "1", "question": "q", "answers": [{"text": "a", "answer_start": 0}], "is_impossible": False}]}]},
     ("q\nc", "a")),
    ("squad nested", {"title": "t", "paragraphs": [{"context": "c", "qas": [
        {"id": "1", "question": "q", "answers": [], "is_impossible": True}]}]}, "no_answer"),
    ("hotpot_qa", {"id": "1", "question": "q", "answer": "a", "type": "bridge", "supporting_facts": {"title": ["t"],
                   "sent_id": [0]}, "context": {"title": ["t", "u"], "sentences": [["x.", " y."], ["z."]]}},
     ("q\nt: x. y.\nu: z.", "a")),
    ("hotpot_qa", {"_id": "1", "question": "q", "answer": "a", "context": [["t", ["x.", " y."]], ["u", ["z."]]]},
     ("q\nt: x. y.\nu: z.", "a")),
    ("pubmedqa", {"pubid": 1, "question": "q", "context": {"contexts": ["c", "d"], "labels": ["B", "R"]},
                  "long_answer": "a", "final_decision": "yes"}, ("q\nc\nd", "a")),
    ("pubmedqa", {"123": {"QUESTION": "q", "CONTEXTS": ["c", "d"], "LONG_ANSWER": "a", "final_decision": "yes"}},
     ("q\nc\nd", "a")),
    ("mmlu", {"question": "q", "subject": "s", "choices": ["x", "y"], "answer": 1}, "choices"),
    ("mmlu", {"question": "q", "choices": ["3", "4"], "answer": "4"}, ("q\n3\n4", "4")),
    ("c-eval", {"question": "q", "A": "x", "B": "y", "C": "z", "D": "w", "answer": "C"}, "choices"),
    ("mmlu", {"question": "q", "choices": ["2", "1"], "answer": "1"}, "choices"),
    ("mmlu", {"question": "q", "options": {"A": "x", "B": "y"}, "answer": ["A", "B"]}, "choices"),
    ("c-eval", {"question": "q", "A": "x", "B": "y", "answer": "The answer is B."}, "choices"),
    ("c-eval", {"question": "q", "A": "x", "B": None, "answer": "y"}, ("q", "y")),
    ("boolq", {"question": "q", "title": "t", "answer": True, "passage": "p"}, "yes_no"),
    ("boolq", {"question": "q", "passage": "p", "idx": 0, "label": 0}, "yes_no"),
    ("boolq", {"messages": [user("q"), bot(False)]}, "yes_no"),
    ("boolq", {"question": "q", "answer": "true"}, ("q", "true")),
    ("piqa", {"goal": "q", "sol1": "x", "sol2": "y", "label": 0}, "choices"),
    ("arc", {"id": "1", "question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}, "choices"),
    ("nli", {"premise": "p", "hypothesis": "h", "label": 0}, "pair"),
    ("sentence pairs", {"sentence1": "p", "sentence2": "h", "score": 4.2}, "pair"),
    ("triplets", {"anchor": "q", "positive": "p", "negative": "n"}, "triplet"),
    ("triplets", {"query": "q", "pos": ["p"], "neg": ["n"]}, "triplet"),
    ("triplets", {"query": "q", "positive": "p", "negative": "n"}, "triplet"),
    ("translation", {"translation": {"en": "q", "zh": "a"}}, "translation"),
    ("translation", {"en": "q", "zh": "a"}, "translation"),
    ("translation", {"src": "q", "tgt": "a"}, "translation"),
    ("rasa nlu", {"text": "q", "intent": "greet", "entities": []}, "intent"),
    ("rasa nlu", {"intent": "greet", "examples": "- hey\n- hello\n"}, "intent"),
    ("intents", {"tag": "greet", "patterns": ["q", "q2"], "responses": ["a", "a2"]}, "patterns"),
    ("cnn_dailymail", {"article": LONG, "highlights": "Nine to six.", "id": "1"}, "summary"),
    ("samsum", {"id": "1", "dialogue": "Amy: hi\nBob: hello", "summary": "They greet."}, "summary"),
    ("llava", {"id": "1", "image": "a.jpg", "conversations": [human("<image>\nq"), gpt("a")]}, "media"),
    ("chatgpt export", {"title": "t", "create_time": 1.0, "mapping": {"x": {"id": "x", "message": None, "parent": None,
                        "children": []}}}, "tree"),
    ("chatgpt export", {"title": "t", "mapping": {"x": {"id": "x", "message": {"author": {"role": "user"}, "content": {
        "content_type": "text", "parts": ["q"]}}, "children": []}}, "current_node": "x"}, "tree"),
    ("claude export", {"uuid": "1", "name": "n", "created_at": "2024", "chat_messages": [
        {"uuid": "2", "text": "q", "content": [{"type": "text", "text": "q"}], "sender": "human", "attachments": []},
        {"uuid": "3", "text": "a", "content": [{"type": "text", "text": "a"}], "sender": "assistant"}]}, QA),
    ("by columns", {"question": {"0": "q", "1": "q2"}, "answer": {"0": "a", "1": "a2"}}, "columnar"),
]  # fmt: skip


def outcome(tmp_path: Path, row: Any, options: Options | None = None) -> tuple[str, ...] | str:
    """The texts that become of a row, or the reason why it is left out."""
    file = tmp_path / "a.json"
    file.write_text(json.dumps([row]), "utf-8")
    ((_, item),) = read_file(file, options)
    if isinstance(item, Conversation):
        return tuple(message.content for message in item.messages)
    return str(item["reason"])


def test_what_may_be_questions_alone_is_read_where_the_person_says_so(tmp_path):
    row = {"question_id": 1, "turns": ["q", "a"]}
    assert outcome(tmp_path, row) == "no_speakers"
    assert outcome(tmp_path, row, Options(shape="messages")) == QA
    assert outcome(tmp_path, {"items": ["apple", "pear"]}) == "unknown_shape"


@pytest.mark.parametrize(("name", "row", "expected"), SAMPLES, ids=[name for name, _, _ in SAMPLES])
def test_each_shape_is_recognised_or_refused_by_name(tmp_path, name, row, expected):
    assert outcome(tmp_path, row) == expected


def test_the_page_lists_the_shapes_that_are_tried():
    listed = re.findall(r"^\| `([^`]+)`", PAGE.read_text("utf-8"), re.MULTILINE)
    assert listed == list(dict.fromkeys(name for name, _, _ in SAMPLES))
    assert len(listed) > 70


def test_every_reason_has_words_and_every_cure_a_reason():
    assert set(CURES) <= set(REASONS)
    for said in (*REASONS.values(), *CURES.values(), *NOTES.values()):
        assert said.en and said.zh and said.en != said.zh
    assert {expected for _, _, expected in SAMPLES if isinstance(expected, str)} <= set(REASONS)
