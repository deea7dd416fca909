"""Which clips make a batch: clips of like length together, in an order that depends on seed and epoch alone."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler


class LengthBatches(Sampler[list[tuple[int, int]]]):
    """Batches of clips of like length, so that little is padded; the same on every run and after a resume.

    A key is (epoch, place): the data set seeds its augmentation from both, whichever worker serves it. The place is the
    clip's index; the n-th repeat of a clip in one epoch has n times the number of clips added to it, so that it is
    augmented differently. A step's batch is the same however many ranks share it: each gets every `ranks`-th clip.

    Args:
        lengths: length of each clip, in any unit.
        batch_size: clips per batch and rank; the incomplete last batches of an epoch are left out.
        seed: with the epoch, decides the order.
        rank, ranks: this process and how many there are.
        pool: clips are shuffled, then sorted by length within pools of this many batches.
        factors: (N,) float64, how many times each clip comes in an epoch on average; None for once each. Which clips
            their fractional parts add is drawn anew in each epoch, but epochs are equally long.

    Source: of the factors, see `mmad.data.balance.repeat_factors`; fractional parts are drawn by systematic sampling
    (Madow, 1949), which gives each clip its own expectation and keeps the total.
    """

    def __init__(
        self,
        lengths: list[int],
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        pool: int = 8,
        factors: Tensor | None = None,
    ) -> None:
        self.lengths, self.factors = torch.tensor(lengths), factors
        # Rounded down, since the draw of an epoch gives the sum of the factors, rounded down or up.
        self.total = len(lengths) if factors is None else int(factors.sum())
        # A set smaller than one batch still trains.
        self.step_size = min(batch_size, max(self.total // ranks, 1)) * ranks
        self.seed, self.rank, self.ranks, self.pool, self.epoch = seed, rank, ranks, pool, 0
        self._begun = (-1, 0)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def skip(self, *, epoch: int, batches: int) -> None:
        """Leaves out the first batches of one epoch, which a broken run has seen."""
        self._begun = (epoch, batches)

    @property
    def sampler(self) -> "LengthBatches":
        """Itself: of a batch sampler, Lightning tells the epoch to this attribute."""
        return self

    def __len__(self) -> int:
        return self.total // self.step_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        order = self._shuffled(generator)
        clips = len(self.lengths)
        order = torch.cat(
            [pool[self.lengths[pool % clips].argsort(stable=True)] for pool in order.split(self.step_size * self.pool)]
        )
        batches = order[: len(self) * self.step_size].split(self.step_size)
        epoch, begun = self._begun
        for index in torch.randperm(len(batches), generator=generator).tolist()[begun if epoch == self.epoch else 0 :]:
            yield [(self.epoch, place) for place in batches[index][self.rank :: self.ranks].tolist()]

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        """(total,) places of the clips of an epoch, in random order."""
        clips = torch.randperm(len(self.lengths), generator=generator)
        if self.factors is None:
            return clips
        # Points at distance 1 from a random start, on a line on which each clip takes up its factor.
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        reached = (self.factors[clips].cumsum(0) + start).floor().long()
        times = reached.diff(prepend=torch.zeros(1, dtype=torch.long))
        first = (reached - times).repeat_interleave(times)
        repeat = torch.arange(int(reached[-1])) - first
        places = clips.repeat_interleave(times) + repeat * len(clips)
        return places[torch.randperm(len(places), generator=generator)[: self.total]]
