"""A batch as a tree of tokens: the same loss and gradients as its rows, one by one."""

from __future__ import annotations

import random

import pytest

from train.data.render import IGNORED
from train.trainer.prefix_tree import computed_share, grow

WORDS = 50


def row(prompt: list[int], answer: list[int]) -> tuple[list[int], list[int]]:
    return prompt + answer, [IGNORED] * len(prompt) + answer


def test_rows_share_what_they_begin_with_alike():
    tree = grow([row([1, 2, 3], [7]), row([1, 2, 4], [8]), row([5], [7])])
    assert tree.tokens.tolist() == [1, 2, 3, 7, 4, 8, 5, 7]
    assert tree.positions.tolist() == [0, 1, 2, 3, 2, 3, 0, 1]
    assert tree.predicting.tolist() == [2, 4, 6]
    assert tree.following.tolist() == [7, 8, 7]
    assert tree.ancestors[5].tolist() == [True, True, False, False, True, True, False, False]


def test_what_is_learned_is_never_shared():
    tree = grow([row([1, 2], [7, 8]), row([1, 2], [7, 8])])
    assert tree.tokens.tolist() == [1, 2, 7, 8, 7, 8]
    assert tree.predicting.tolist() == [1, 2, 1, 4]
    later = grow(
        [([1, 7, 2, 9], [IGNORED, 7, IGNORED, 9]), ([1, 7, 2, 5], [IGNORED, 7, IGNORED, 5])]
    )
    assert later.tokens.tolist() == [1, 7, 2, 9, 7, 2, 5]


def test_the_share_of_tokens_that_is_computed():
    rows = [row([1, 2, 3], [7]), row([1, 2, 4], [8]), row([1, 2, 3, 3], [7])]
    assert computed_share(rows, batch=1) == 1
    assert computed_share(rows, batch=2) == (6 + 5) / 13
    assert computed_share(rows, batch=3) == 8 / 13


def test_a_first_token_that_is_learned_has_nothing_that_predicts_it():
    tree = grow([([3, 4], [3, 4])])
    assert tree.following.tolist() == [4]


@pytest.mark.parametrize("seed", range(5))
def test_loss_and_gradients_are_those_of_the_rows(seed):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    chance = random.Random(seed)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, attn_implementation="eager",
        )
    )  # fmt: skip
    systems = [[chance.randrange(WORDS) for _ in range(length)] for length in (0, 3, 9)]
    rows = []
    for _ in range(6):
        ids: list[int] = list(chance.choice(systems))
        labels = [IGNORED] * len(ids)
        for _ in range(chance.randint(1, 3)):
            asked = [chance.randrange(4) for _ in range(chance.randint(1, 4))]
            said = [chance.randrange(WORDS) for _ in range(chance.randint(1, 6))]
            ids += asked + said
            labels += [IGNORED] * len(asked) + said
        rows.append((ids, labels))

    losses = [
        torch.nn.functional.cross_entropy(
            model(torch.tensor([ids])).logits[0, :-1],
            torch.tensor(labels[1:]),
            ignore_index=IGNORED,
            reduction="sum",
        )
        for ids, labels in rows
    ]
    learned = sum(label != IGNORED for _, labels in rows for label in labels[1:])
    alone = sum(losses) / learned
    alone.backward()
    wanted = {name: value.grad.clone() for name, value in model.named_parameters()}
    model.zero_grad()

    tree = grow(rows)
    assert len(tree.tokens) < sum(len(ids) for ids, _ in rows)
    hidden = torch.finfo(torch.float32).min * torch.from_numpy(~tree.ancestors)
    logits = model(
        input_ids=torch.from_numpy(tree.tokens)[None],
        position_ids=torch.from_numpy(tree.positions)[None],
        attention_mask=hidden[None, None],
    ).logits[0]
    together = torch.nn.functional.cross_entropy(
        logits[torch.from_numpy(tree.predicting)], torch.from_numpy(tree.following)
    )
    together.backward()
    assert together.item() == pytest.approx(alone.item(), rel=1e-5)
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.grad, wanted[name], rtol=1e-4, atol=1e-6)
