"""What happens to decoded frames before the model; randomness comes from torch's generator, seeded per item."""

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from mmad.timebase import CHUNK

Size = int | tuple[int, int]

READ_MARGIN = 182 / 160
"""Clips are decoded a little larger than the model's input, so that random crops are not blown up; OpenTAD decodes at a
short side of 182 for 160."""


def height_width(resolution: Size) -> tuple[int, int]:
    """Height and width in pixels of a resolution given as one number (square) or two.

    >>> height_width(160)
    (160, 160)
    """
    if isinstance(resolution, int):
        return resolution, resolution
    height, width = resolution
    return int(height), int(width)


def read_side(resolution: Size) -> int:
    """Pixels of the smaller side of decoded frames, for a resolution of the model's input."""
    return round(min(height_width(resolution)) * READ_MARGIN)


class CoverCrop(nn.Module):
    """Scales frames until they cover the resolution, aspect ratio kept, and cuts out the centre.

    Args:
        resolution: height and width in pixels, or one number for a square.
    """

    def __init__(self, resolution: Size) -> None:
        super().__init__()
        self.height, self.width = height_width(resolution)

    def forward(self, video_FCHW: Tensor) -> Tensor:
        """(F, 3, H, W) uint8 to (F, 3, height, width) uint8."""
        height, width = video_FCHW.shape[-2:]
        scale = max(self.height / height, self.width / width)
        size = [max(round(height * scale), self.height), max(round(width * scale), self.width)]
        return F.center_crop(F.resize(video_FCHW, size, antialias=True), [self.height, self.width])


class ChannelGains(nn.Module):
    """Multiplies each colour channel of a clip by its own factor, for light of another strength and colour.

    Args:
        strength: standard deviation of the common factor's logarithm.
        tint: standard deviation of each channel's own logarithm.
    """

    def __init__(self, *, strength: float, tint: float) -> None:
        super().__init__()
        self.strength, self.tint = strength, tint

    def forward(self, video_FCHW: Tensor) -> Tensor:
        """(F, 3, H, W) uint8 to the same; the factors are drawn once per clip."""
        gains = torch.exp(torch.randn(1) * self.strength + torch.randn(3) * self.tint)
        return (video_FCHW * gains[:, None, None]).clamp_(0, 255).to(torch.uint8)


class StillChunks(nn.Module):
    """Replaces the frames of each chunk by its middle one: what is left is what a still picture tells."""

    def forward(self, video_FCHW: Tensor) -> Tensor:
        """(F, 3, H, W) to the same."""
        frames = torch.arange(len(video_FCHW))
        middle = frames - frames % CHUNK + CHUNK // 2
        return video_FCHW[middle.clamp(max=len(video_FCHW) - 1)]
