"""The order of training: XTuner's batches, shuffled."""

from __future__ import annotations

import itertools

import pytest

pytestmark = pytest.mark.xdist_group("xtuner")

LENGTHS = [1 + (37 * number) % 101 for number in range(100)]
BATCH = 4


class Rows:
    def __init__(self, lengths: list[int]):
        self.length = lengths

    def __len__(self) -> int:
        return len(self.length)


def sampled(name: str, lengths: list[int] = LENGTHS, seed: int = 0, epoch: int = 0) -> list[int]:
    """The rows in order, by XTuner's sampler or ours."""
    from train.trainer.xtuner_patches import mend

    mend()
    from xtuner.dataset.samplers import LengthGroupedSampler

    from train.trainer.sampler import ShuffledBatchSampler

    kind = {"theirs": LengthGroupedSampler, "ours": ShuffledBatchSampler}[name]
    sampler = kind(Rows(lengths), BATCH, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def batches(rows: list[int]) -> list[tuple[int, ...]]:
    return [tuple(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]


def test_the_batches_are_xtuners_in_another_order():
    theirs, ours = batches(sampled("theirs")), batches(sampled("ours"))
    assert sorted(ours) == sorted(theirs)
    assert ours != theirs
    assert sorted(row for batch in ours for row in batch) == list(range(100))


def test_the_batch_with_the_longest_row_comes_first():
    assert max(LENGTHS) in [LENGTHS[row] for row in sampled("ours")[:BATCH]]


def test_lengths_do_not_fall_from_batch_to_batch():
    """Of XTuner's order nine of ten batches are followed by a shorter one; by chance it is half."""

    lengths = [1 + (37 * number) % 401 for number in range(400)]

    def falling(name: str) -> float:
        sums = [sum(lengths[row] for row in batch) for batch in batches(sampled(name, lengths))]
        return sum(after < before for before, after in itertools.pairwise(sums)) / (len(sums) - 1)

    assert falling("theirs") > 0.9
    assert falling("ours") < 0.65


def test_seed_and_epoch_decide_the_order():
    assert sampled("ours") == sampled("ours")
    assert sampled("ours") != sampled("ours", seed=1)
    assert sampled("ours") != sampled("ours", epoch=1)


def test_every_pass_has_the_same_batches_in_another_order():
    first, second = (batches(sampled("ours", epoch=epoch)) for epoch in (0, 1))
    assert sorted(first) == sorted(second)
    assert first != second


def test_gpus_share_each_batch(monkeypatch):
    sampled("ours")  # XTuner is imported as the kit imports it
    both = []
    for rank in (0, 1):
        monkeypatch.setattr(
            "xtuner.dataset.samplers.length_grouped.get_dist_info", lambda r=rank: (r, 2)
        )
        both.append(sampled("ours"))
    assert len(both[0]) == len(both[1])
    assert set(both[0]) | set(both[1]) == set(range(100))
    assert max(LENGTHS) in [LENGTHS[row] for row in both[0][:BATCH] + both[1][:BATCH]]


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_few_rows_fill_up_a_batch(rows):
    given = sampled("ours", LENGTHS[:rows])
    assert len(given) % BATCH == 0
    assert set(given) == set(range(rows))
