"""Video frames that show their number as ten black or white bars."""

import torch

BITS = 10


def shown_numbers(video_FCHW: torch.Tensor) -> list[int]:
    """The numbers that the frames of a numbered video show."""
    width = video_FCHW.shape[-1]
    middles = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    bars = video_FCHW.float().mean(dim=(1, 2))[:, middles] > 127
    return [sum(int(on) << bit for bit, on in enumerate(row)) for row in bars]
