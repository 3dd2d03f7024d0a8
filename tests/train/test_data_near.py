"""Near duplicates: what is found, what is not, and that the time grows with the rows."""

from __future__ import annotations

import random

import pytest

from tests.near_examples import DIFFERENT, PARAPHRASES, planted, questions
from train.data.text.near import essence, near_groups, normalised


def together(one: str, other: str) -> bool:
    return near_groups([one, other]).first.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("你好，世界！", "你好世界"),
        ("Ｈｅｌｌｏ　World", "hello, world."),
        ("祝姐姐 生日快乐", "祝姐姐生日快乐"),
    ],
)
def test_normalised_ignores_width_case_punctuation_and_spaces(one, other):
    assert normalised(one) == normalised(other)


def test_punctuation_alone_is_not_all_the_same():
    assert normalised("？") != normalised("！")
    assert normalised("new york") != normalised("newyork")


@pytest.mark.parametrize(
    ("polite", "bare"),
    [
        ("请问你是谁呀？", "你是谁"),
        ("Could you please tell me the time?", "the time?"),
        ("请", "请"),
    ],
)
def test_essence_leaves_politeness_out(polite, bare):
    assert essence(polite) == normalised(bare)


@pytest.mark.parametrize(("one", "other"), PARAPHRASES)
def test_paraphrases_and_typos_are_alike(one, other):
    assert together(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_questions_are_not(one, other):
    assert not together(one, other)


def test_labels_keep_rows_apart():
    texts = ["祝老师生日快乐天天开心", "祝老帅生日快乐天天开心"]
    assert near_groups(texts).first.tolist() == [0, 0]
    assert near_groups(texts, apart=["老师", "老帅"]).first.tolist() == [0, 1]


def test_groups_pass_on_and_keep_the_first():
    texts = [
        "另一个完全不同的问题",
        "怎样学好英语口语呢",
        "怎样学好英语口吾呢",
        "怎样学妤英语口吾呢",
    ]
    groups = near_groups(texts)
    assert groups.first.tolist() == [0, 1, 1, 1]
    assert groups.members() == {1: [1, 2, 3]}
    assert near_groups([]).first.tolist() == []


@pytest.mark.parametrize("language", ["zh", "en"])
def test_recall_and_precision_on_planted_copies(language):
    """Copies with a typo, a filler, other punctuation or other order among many questions."""
    chooser = random.Random(3)
    originals = questions(language, 3000, chooser)
    copies = {kind: planted(originals, language, kind, 150, chooser)
              for kind in ("typo", "missing", "filler", "punctuation", "order")}  # fmt: skip
    texts, wanted = list(originals), {}
    for kind, made in copies.items():
        for source, text in made:
            wanted[len(texts)] = (kind, source)
            texts.append(text)
    first = near_groups(texts).first.tolist()
    found = {kind: 0 for kind in copies}
    for place, (kind, source) in wanted.items():
        found[kind] += first[place] == first[source]
    recall = {kind: count / len(copies[kind]) for kind, count in found.items()}
    least = {"typo": 0.95, "missing": 0.95, "filler": 0.95, "punctuation": 1.0, "order": 0.9}
    if language == "zh":
        least["order"] = 0.4  # no spaces to sort words by: found where most pairs of letters stay
    assert all(recall[kind] >= least[kind] for kind in least), recall
    origin = [*range(len(originals)), *(source for _, source in wanted.values())]
    groups: dict[int, set[int]] = {}
    for place, group in enumerate(first):
        groups.setdefault(group, set()).add(origin[place])
    wrong = sum(len(sources) - 1 for sources in groups.values())
    assert wrong <= 0.01 * sum(found.values()), wrong


def test_many_texts_under_one_key_do_not_take_the_square():
    """Rows of one template share most of their pieces; each is compared with a few others only."""
    from unittest import mock

    import rapidfuzz.process

    compared = 0
    real = rapidfuzz.process.cpdist

    def counting(ones, others, **how):
        nonlocal compared
        compared += len(ones)
        return real(ones, others, **how)

    chooser = random.Random(1)
    words = questions("zh", 2000, chooser)
    texts = [f"请为我写一段关于以下主题的文字，要求真诚自然：{word}" for word in words]
    with mock.patch("rapidfuzz.process.cpdist", counting):
        near_groups(texts)
    assert 0 < compared < 150 * len(texts)
