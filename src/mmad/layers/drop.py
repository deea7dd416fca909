"""Dropped paths, channels and single values that do not depend on how the clips of a step are spread over processes.

Every process draws what one process would draw for all clips of the step, and takes the part of its own: clip `b` of
rank `r` is clip `b * ranks + r` of the step. That needs the same seed on all ranks.
"""

import torch
from torch import Tensor, nn

from mmad.layers.processes import process


def kept(clips: int, *shape: int, rate: float, like: Tensor) -> Tensor:
    """What is kept of each clip, scaled so that the mean stays.

    Args:
        clips: B of this process.
        shape: of what is drawn for a clip.
        rate: probability of dropping.
        like: gives type and device.

    Returns:
        (B, *shape), 0 or 1 / (1 - rate).
    """
    rank, count = process()
    drawn = like.new_empty(clips * count, *shape).bernoulli_(1 - rate)
    if rate < 1:
        drawn.div_(1 - rate)
    return drawn[rank::count]


class DropPath(nn.Module):
    """Leaves a residual branch out for a clip, or for each of its rows by itself, in training.

    Args:
        rate: probability.

    Source: Huang et al., "Deep networks with stochastic depth" (ECCV 2016).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.rows = 1
        """Adjacent rows of the input that belong to one clip, such as its chunks."""

    def forward(self, branch: Tensor) -> Tensor:
        """The branch (B * rows, ...), zero where it is left out."""
        if not self.training or self.rate == 0:
            return branch
        ones = [1] * (branch.ndim - 1)
        if self.rows == 1:
            return branch * kept(len(branch), *ones, rate=self.rate, like=branch)
        # One draw for each clip, from which all its rows follow: how many there are depends on the padding.
        rank, count = process()
        seeds = torch.randint(2**62, (len(branch) // self.rows * count,))[rank::count].tolist()
        drawn = torch.cat([torch.rand(self.rows, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        stays = (drawn >= self.rate).to(branch) / (1 - self.rate)
        return branch * stays.view(-1, *ones)


class DropChannels(nn.Module):
    """Zeroes channels of a clip, at all of its steps, in training.

    Args:
        rate: probability.

    Source: Tompson et al., "Efficient object localization using convolutional networks" (CVPR 2015).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, feats_BCT: Tensor) -> Tensor:
        """(B, C, T) features, some channels zero."""
        if not self.training or self.rate == 0:
            return feats_BCT
        clips, channels, _ = feats_BCT.shape
        return feats_BCT * kept(clips, channels, 1, rate=self.rate, like=feats_BCT)


class Dropout(nn.Module):
    """Zeroes values of a clip, each by itself, in training.

    Args:
        rate: probability.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) values, some zero; their number must not depend on padding."""
        if not self.training or self.rate == 0:
            return x
        return x * kept(len(x), *x.shape[1:], rate=self.rate, like=x)


class TemporalDropout(nn.Module):
    """Zeroes values along time, each by itself, in training, the same ones whatever padding follows.

    Processes pad their windows differently, so that one draw for all steps would shift all that comes after it.

    Args:
        rate: probability.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) values, some zero."""
        if not self.training or self.rate == 0:
            return x_BTC
        clips, steps, channels = x_BTC.shape
        rank, count = process()
        # One draw for each clip, from which all its steps follow one after the other. On a GPU, what is drawn first
        # would depend on how much is drawn.
        seeds = torch.randint(2**62, (clips * count,))[rank::count].tolist()
        drawn = torch.stack(
            [torch.rand(steps, channels, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )
        return x_BTC * ((drawn >= self.rate).to(x_BTC) / (1 - self.rate))
