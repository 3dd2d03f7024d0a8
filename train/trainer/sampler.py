"""The order of training: rows of about the same length together, batches in random order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from xtuner.dataset.samplers import LengthGroupedSampler
from xtuner.dataset.samplers.length_grouped import get_length_grouped_indices


class ShuffledBatchSampler(LengthGroupedSampler):
    """XTuner's batches of rows of like length, in random order but for the first.

    XTuner sorts the rows of fifty batches by length and takes them in that order: about thirty
    steps of long answers, then twenty of short ones, which are the assistant's about itself; and
    training ends with the shortest. At the high learning rate of a short run the model swings from
    one to the other. The same batches in random order cost no more. The batch with the longest row
    stays first, so that memory which does not suffice is found at once. Every pass over the data has
    the same batches, in an order of its own: what is frozen need not compute them again (`recall`).
    """

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed)
        rows = get_length_grouped_indices(self.length, self.group_batch_size, generator)
        repeated = -(
            -self.total_size // len(rows)
        )  # the last batch is filled up from the beginning
        batches = torch.tensor(rows * repeated)[: self.total_size].split(self.total_batch_size)
        generator.manual_seed(self.seed + self.epoch)
        order = 1 + torch.randperm(len(batches) - 1, generator=generator)
        shuffled = torch.cat([batches[0], *(batches[number] for number in order)])
        return iter(shuffled[self.rank :: self.world_size].tolist())
