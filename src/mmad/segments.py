"""Segments in time: the record that predictions and ground truth share, and their overlap.

Every function works on whatever unit its input has (seconds or feature steps) and returns that unit.
Shape letters: M ground-truth instances, Q predictions, K classes, B clips, T feature steps, C channels.
"""

from typing import NotRequired, TypedDict

import torch
from torch import Tensor


class Segments(TypedDict):
    """Labelled segments of one clip; background is never a class.

    Keys:
        segments: (M, 2) float, start and end.
        labels: (M,) long, class index.
        scores: (M,) float in [0, 1], present for predictions only.
    """

    segments: Tensor
    labels: Tensor
    scores: NotRequired[Tensor]


def empty_segments(*, scored: bool = False) -> Segments:
    """A clip without any segment."""
    none: Segments = {"segments": torch.zeros(0, 2), "labels": torch.zeros(0, dtype=torch.long)}
    if scored:
        none["scores"] = torch.zeros(0)
    return none


def start_end(centered: Tensor) -> Tensor:
    """(..., 2) start and end of segments by centre and length.

    >>> start_end(torch.tensor([3.0, 2.0]))
    tensor([2., 4.])
    """
    center, length = centered.unbind(-1)
    return torch.stack([center - length / 2, center + length / 2], dim=-1)


def pairwise_tiou(first_M2: Tensor, second_Q2: Tensor, *, eps: float = 1e-8) -> Tensor:
    """Temporal intersection over union of every pair.

    Args:
        first_M2: (M, 2) start and end, any unit.
        second_Q2: (Q, 2) start and end, the same unit.
        eps: lower bound of the union, so that two empty segments give 0 and not NaN.

    Returns:
        (M, Q) tIoU in [0, 1]; (0, Q) or (M, 0) where a side is empty.

    >>> pairwise_tiou(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 3.0], [5.0, 6.0]]))
    tensor([[0.3333, 0.0000]])
    """
    return paired_tiou(first_M2[:, None], second_Q2[None], eps=eps)


def paired_tiou(first_N2: Tensor, second_N2: Tensor, *, eps: float = 1e-8) -> Tensor:
    """Temporal intersection over union, pair by pair.

    Args:
        first_N2: (..., 2) start and end, any unit.
        second_N2: (..., 2) start and end, the same unit; leading axes broadcast.
        eps: lower bound of the union, so that two empty segments give 0 and not NaN.

    Returns:
        (...) tIoU in [0, 1].

    >>> paired_tiou(torch.tensor([[0.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 3.0], [0.0, 1.0]]))
    tensor([0.3333, 1.0000])
    """
    (start, end), (other_start, other_end) = first_N2.unbind(-1), second_N2.unbind(-1)
    overlap = (torch.minimum(end, other_end) - torch.maximum(start, other_start)).clamp(min=0)
    length = (end - start) + (other_end - other_start)
    return overlap / (length - overlap).clamp(min=eps)
