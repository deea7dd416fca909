"""Which clips make a batch: clips of like length together, in an order that depends on seed and epoch alone."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class LengthBatches(Sampler[list[tuple[int, int]]]):
    """Batches of clips of like length, so that little is padded; the same on every run and after a resume.

    A key is (epoch, clip index): the data set seeds its augmentation from both, whichever worker serves it. Each rank
    gets every `ranks`-th batch of one common order.

    Args:
        lengths: length of each clip, in any unit.
        batch_size: clips per batch and rank; the incomplete last batches of an epoch are left out.
        seed: with the epoch, decides the order.
        rank, ranks: this process and how many there are.
        pool: clips are shuffled, then sorted by length within pools of this many batches.
    """

    def __init__(
        self, lengths: list[int], *, batch_size: int, seed: int, rank: int = 0, ranks: int = 1, pool: int = 8
    ) -> None:
        self.lengths = torch.tensor(lengths)
        # A set smaller than one batch still trains.
        self.batch_size = min(batch_size, max(len(lengths) // ranks, 1))
        self.seed, self.rank, self.ranks, self.pool, self.epoch = seed, rank, ranks, pool, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    @property
    def sampler(self) -> "LengthBatches":
        """Itself: of a batch sampler, Lightning tells the epoch to this attribute."""
        return self

    def __len__(self) -> int:
        return len(self.lengths) // self.batch_size // self.ranks

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        order = torch.randperm(len(self.lengths), generator=generator)
        order = torch.cat(
            [pool[self.lengths[pool].argsort(stable=True)] for pool in order.split(self.batch_size * self.pool)]
        )
        batches = order[: len(order) // self.batch_size * self.batch_size].split(self.batch_size)
        shuffled = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
        for batch in shuffled[self.rank : len(self) * self.ranks : self.ranks]:
            yield [(self.epoch, index) for index in batch.tolist()]
