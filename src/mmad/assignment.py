"""Which prediction answers for which ground-truth segment: a point of a temporal pyramid, or one of a set of queries.

Times and lengths are in feature steps.
Shape letters: B clips, P points of all levels, M ground-truth instances, K classes, Q queries, L layers, N pairs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmad.segments import Segments

FIRST_RANGE = 4.0
"""Longest distance to a boundary that the finest level regresses; every level doubles it."""

SAME_LENGTH = 1e-3
"""Segments whose lengths differ by no more than this share a point's class target."""


class Points(NamedTuple):
    """The points of a pyramid, finest level first.

    Args:
        level_P: (P,) long, pyramid level.
        position_P: (P,) float, feature steps.
        stride_P: (P,) float, feature steps from one point of the level to the next: 2**level.
        range_P2: (P, 2) float, shortest and longest distance to the farther boundary, in feature steps.
    """

    level_P: Tensor
    position_P: Tensor
    stride_P: Tensor
    range_P2: Tensor


class Assignment(NamedTuple):
    """What every point should predict.

    Args:
        classes_BPK: (B, P, K) float multi-hot.
        offsets_BP2: (B, P, 2) float, distance to start and end in strides of the level; void at negatives.
        positive_BP: (B, P) bool, points with any class.
    """

    classes_BPK: Tensor
    offsets_BP2: Tensor
    positive_BP: Tensor


def pyramid_points(steps: int, levels: int, *, device: torch.device | None = None) -> Points:
    """Points at 0, s, 2s, ... on every level of stride s, with regression ranges that double.

    Args:
        steps: T, divisible by 2**(levels - 1).
        levels: pyramid levels; the last one's range has no upper end.

    >>> pyramid_points(4, 2).position_P
    tensor([0., 1., 2., 3., 0., 2.])
    """
    level_P = torch.cat([torch.full((steps >> level,), level, device=device) for level in range(levels)])
    stride_P = 2.0**level_P
    position_P = torch.cat([torch.arange(0.0, steps, 2**level, device=device) for level in range(levels)])
    longest_P = FIRST_RANGE * stride_P
    range_P2 = torch.stack(
        [
            (longest_P / 2).masked_fill(level_P == 0, 0.0),
            longest_P.masked_fill(level_P == levels - 1, torch.inf),
        ],
        dim=1,
    )
    return Points(level_P, position_P, stride_P, range_P2)


def assign(
    points: Points,
    targets: list[Segments],
    *,
    classes: int,
    center_radius: float = 1.5,
    filter_similar: bool = True,
) -> Assignment:
    """Centre sampling: points near a segment's centre, on the level that suits its length.

    A point serves a segment if it lies strictly inside it, closer to its centre than `center_radius` strides,
    and its distance to the farther boundary is in the level's range. Of several segments the shortest wins.

    Args:
        points: of the pyramid.
        targets: ground truth of B clips, in feature steps.
        classes: K.
        center_radius: in strides of the level.
        filter_similar: a point has the class of its shortest segment (and of equally long ones) only, else
            those of all segments it serves. The boundaries are the shortest one's either way.

    Source: Zhang et al., ActionFormer (ECCV 2022), section 3.4; Tian et al., FCOS (2020), section 3.
    """
    segments_BM2, labels_BM = _padded(targets, points.position_P.device)
    served = _serve(points, segments_BM2, center_radius=center_radius, filter_similar=filter_similar)
    one_hot_BMK = F.one_hot(labels_BM, classes).float()
    offsets_BPM2 = torch.stack([served.left_BPM, served.right_BPM], dim=-1) / points.stride_P[:, None, None]
    return Assignment(
        classes_BPK=(served.serves_BPM.float() @ one_hot_BMK).clamp(max=1),
        offsets_BP2=offsets_BPM2.take_along_dim(served.winner_BP[..., None, None], dim=2).squeeze(2),
        positive_BP=served.serves_BPM.any(dim=2),
    )


def lost(
    points: Points,
    targets: list[Segments],
    *,
    center_radius: float = 1.5,
    filter_similar: bool = True,
) -> list[Tensor]:
    """Which segments `assign` gives no point: nothing is learned from them.

    They lie between two points, or shorter segments have all their points.

    Args:
        points, targets, center_radius, filter_similar: as for `assign`.

    Returns:
        Of each clip, (M,) bool.
    """
    segments_BM2, _ = _padded(targets, points.position_P.device)
    served = _serve(points, segments_BM2, center_radius=center_radius, filter_similar=filter_similar)
    lost_BM = ~served.serves_BPM.any(dim=1)
    return [lost_M[: len(target["labels"])] for lost_M, target in zip(lost_BM, targets, strict=True)]


@torch.no_grad()
def hungarian(cost_QM: Tensor) -> tuple[Tensor, Tensor]:
    """One query for each instance, such that their costs together are the least.

    Args:
        cost_QM: (Q, M) what it costs to let a query answer for an instance; what is not finite is the dearest.

    Returns:
        Queries and their instances, min(Q, M) long each, on the cost's device; queries ascend.

    Source: Kuhn, "The Hungarian method for the assignment problem" (1955), in scipy's implementation; Carion et al.,
    DETR (ECCV 2020), for detection.

    >>> hungarian(torch.tensor([[1.0, 9.0], [0.0, 2.0], [5.0, 5.0]]))
    (tensor([0, 1]), tensor([0, 1]))
    """
    cost = cost_QM.double().cpu().numpy()
    finite = np.isfinite(cost)
    if not finite.all():
        # One of them has to cost more than any choice among the finite ones can save.
        low, high = (cost[finite].min(), cost[finite].max()) if finite.any() else (0.0, 0.0)
        cost = np.where(finite, cost, high + (high - low + 1) * min(cost.shape))
    queries, instances = linear_sum_assignment(cost)
    return torch.from_numpy(queries).to(cost_QM.device), torch.from_numpy(instances).to(cost_QM.device)


def matched(costs: Sequence[Tensor]) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Which query of every layer and clip answers for which instance, each layer and clip by `hungarian`.

    Args:
        costs: (L, Q, M) of each of B clips, whose M differ.

    Returns:
        Layers, clips and queries of all pairs, which index (L, B, Q), and their instances, counted over all clips.
    """
    found: list[Tensor] = []
    first = 0
    for clip, cost_LQM in enumerate(costs):
        # All layers at once: a GPU is waited for once for each clip.
        for layer, cost_QM in enumerate(cost_LQM.detach().cpu()):
            query_N, instance_N = hungarian(cost_QM)
            layer_N, clip_N = torch.full_like(query_N, layer), torch.full_like(query_N, clip)
            found.append(torch.stack([layer_N, clip_N, query_N, first + instance_N]))
        first += cost_LQM.shape[2]
    layer_N, clip_N, query_N, pair_N = torch.cat(found, dim=1).to(costs[0].device)
    return (layer_N, clip_N, query_N), pair_N


class _Served(NamedTuple):
    """Which point serves which segment.

    Args:
        left_BPM, right_BPM: distance of each point to each segment's start and end, in feature steps.
        serves_BPM: bool, whether the point has the segment's class.
        winner_BP: the shortest segment that the point may serve.
    """

    left_BPM: Tensor
    right_BPM: Tensor
    serves_BPM: Tensor
    winner_BP: Tensor


def _padded(targets: list[Segments], device: torch.device) -> tuple[Tensor, Tensor]:
    # One empty segment more than any clip has: nothing lies strictly inside it, so it pads without a mask.
    segments_BM2 = pad_sequence([target["segments"] for target in targets], batch_first=True).to(device)
    labels_BM = pad_sequence([target["labels"] for target in targets], batch_first=True).to(device)
    return F.pad(segments_BM2.float(), (0, 0, 0, 1)), F.pad(labels_BM, (0, 1))


def _serve(points: Points, segments_BM2: Tensor, *, center_radius: float, filter_similar: bool) -> _Served:
    start_B1M, end_B1M = segments_BM2[:, None].unbind(-1)
    position_P1, stride_P1 = points.position_P[:, None], points.stride_P[:, None]
    center_B1M, radius_P1 = (start_B1M + end_B1M) / 2, center_radius * stride_P1
    left_BPM, right_BPM = position_P1 - start_B1M, end_B1M - position_P1
    inside_BPM = torch.minimum(
        position_P1 - torch.maximum(center_B1M - radius_P1, start_B1M),
        torch.minimum(center_B1M + radius_P1, end_B1M) - position_P1,
    )
    farther_BPM = torch.maximum(left_BPM, right_BPM)
    shortest_P1, longest_P1 = points.range_P2[:, :1], points.range_P2[:, 1:]
    serves_BPM = (inside_BPM > 0) & (farther_BPM >= shortest_P1) & (farther_BPM <= longest_P1)

    length_BPM = (end_B1M - start_B1M).expand_as(serves_BPM).masked_fill(~serves_BPM, torch.inf)
    least_BP, winner_BP = length_BPM.min(dim=2)
    if filter_similar:
        serves_BPM = serves_BPM & (length_BPM <= least_BP[..., None] + SAME_LENGTH)
    return _Served(left_BPM, right_BPM, serves_BPM, winner_BP)
