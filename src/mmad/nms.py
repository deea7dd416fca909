"""Non-maximum suppression of the detections of one clip, class by class, in any unit of time.

Shape letters: Q detections, K classes that occur, N detections of the most frequent one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmad.errors import MmadError
from mmad.segments import Segments, pairwise_tiou

SHORTEST = 1e-6
"""Added to every length, so that the tIoU of segments without length is 0 and not NaN."""


def soft_nms(
    detections: Segments,
    *,
    sigma: float = 0.5,
    min_score: float = 0.001,
    max_per_class: int = 200,
    max_per_clip: int = 200,
    voting_threshold: float | None = None,
) -> Segments:
    """Keeps taking the best detection of a class and lowers the scores of what overlaps it (Gaussian).

    All classes advance at once. A detection is dropped when its score, once lowered, is below `min_score`, so
    the best one of a class always stays. Of equal scores the first one in the input is taken first.

    Args:
        detections: Q scored segments.
        sigma: width; a detection keeps exp(-tIoU**2 / sigma) of its score.
        min_score: lowest score that is kept.
        max_per_class: detections kept of one class at most.
        max_per_clip: detections kept at most.
        voting_threshold: if set, the boundaries become the mean of those of the class at this tIoU or more,
            weighted by score.

    Returns:
        Segments with lowered scores, best first.

    Raises:
        MmadError: an option is out of range.

    Source: Bodla et al., "Soft-NMS" (ICCV 2017), section 3.
    """
    if not sigma > 0:
        raise MmadError(f"nms.sigma={sigma}: give a width above 0, such as 0.5.")
    _check(max_per_class, max_per_clip, voting_threshold)
    segments, labels, scores = detections["segments"], detections["labels"], detections["scores"]
    if len(scores) == 0:
        return detections
    # One row per class, most frequent first: the rows that still hold candidates are always the first ones.
    _, row_Q, counts_K = labels.unique(return_inverse=True, return_counts=True)
    by_class = sorted(row_Q.argsort(stable=True).split(counts_K.tolist()), key=len, reverse=True)
    index_KN = pad_sequence(by_class, batch_first=True, padding_value=-1)
    score_KN = scores[index_KN].masked_fill(index_KN < 0, -torch.inf)
    start_KN, end_KN = segments[index_KN].unbind(-1)
    length_KN = end_KN - start_KN + SHORTEST

    # A class yields falling scores: what it yields after `max_per_clip` picks is not among the clip's best.
    taken_index: list[Tensor] = []
    taken_score: list[Tensor] = []
    rows = len(by_class)
    for pick in range(min(len(by_class[0]), max_per_class, max_per_clip)):
        while len(by_class[rows - 1]) <= pick:
            rows -= 1
        best_K1, column_K1 = score_KN[:rows].max(dim=1, keepdim=True)
        if not best_K1.isfinite().any():
            break
        taken_index.append(index_KN[:rows].gather(1, column_K1))
        taken_score.append(best_K1)
        start, end, length = start_KN[:rows], end_KN[:rows], length_KN[:rows]
        overlap = (
            torch.minimum(end, end.gather(1, column_K1)) - torch.maximum(start, start.gather(1, column_K1))
        ).clamp(min=0)
        tiou = overlap / (length + length.gather(1, column_K1) - overlap)
        lowered = score_KN[:rows] * torch.exp(-tiou.square() / sigma)
        lowered.masked_fill_(~(lowered >= min_score), -torch.inf).scatter_(1, column_K1, -torch.inf)
        score_KN[:rows] = lowered

    kept, score = torch.cat(taken_index).flatten(), torch.cat(taken_score).flatten()
    kept, score = kept[score.isfinite()], score[score.isfinite()]
    in_order = kept.argsort()
    kept, score = kept[in_order], score[in_order]
    best = score.argsort(descending=True, stable=True)[:max_per_clip]
    return _keep(detections, kept[best], score[best], voting_threshold)


def hard_nms(
    detections: Segments,
    *,
    tiou_threshold: float = 0.5,
    min_score: float = 0.001,
    max_per_class: int = 200,
    max_per_clip: int = 200,
    voting_threshold: float | None = None,
) -> Segments:
    """Drops every detection that overlaps a better one of its class by more than the threshold.

    Args:
        detections: Q scored segments.
        tiou_threshold: largest tIoU of two detections of a class that both stay.
        min_score: lowest score that is kept.
        max_per_class: detections kept of one class at most.
        max_per_clip: detections kept at most.
        voting_threshold: as in `soft_nms`.

    Returns:
        Segments with their scores, best first.

    Raises:
        MmadError: an option is out of range.
    """
    if not 0 <= tiou_threshold <= 1:
        raise MmadError(f"nms.tiou_threshold={tiou_threshold}: give a tIoU from 0 to 1; 1 keeps all.")
    _check(max_per_class, max_per_clip, voting_threshold)
    segments, labels, scores = detections["segments"].double(), detections["labels"], detections["scores"]
    if len(scores) == 0:
        return detections
    # Imported here: it takes seconds, which evaluating a file of predictions shall not wait for.
    from torchvision.ops import batched_nms

    # A segment is a box of height 1; float64, since torchvision tells classes apart by shifting their boxes.
    low, high = torch.zeros_like(segments[:, 0]), torch.ones_like(segments[:, 0])
    boxes_Q4 = torch.stack([segments[:, 0], low, segments[:, 1], high], dim=1)
    kept = batched_nms(boxes_Q4, scores.double(), labels, tiou_threshold)
    kept = kept[scores[kept] >= min_score]
    row = labels[kept].unique(return_inverse=True)[1]
    rank = F.one_hot(row).cumsum(dim=0).gather(1, row[:, None])[:, 0] if len(row) else row
    kept = kept[rank <= max_per_class][:max_per_clip]
    return _keep(detections, kept, scores[kept], voting_threshold)


def _check(max_per_class: int, max_per_clip: int, voting_threshold: float | None) -> None:
    for name, most in (("max_per_class", max_per_class), ("max_per_clip", max_per_clip)):
        if most < 1:
            raise MmadError(f"nms.{name}={most}: give 1 at least, such as 200.")
    if voting_threshold is not None and not 0 < voting_threshold <= 1:
        raise MmadError(f"nms.voting_threshold={voting_threshold}: give a tIoU above 0 and up to 1; null for none.")


def _keep(detections: Segments, kept: Tensor, scores: Tensor, voting_threshold: float | None) -> Segments:
    """The kept detections with their final scores; their class votes on the boundaries if asked to."""
    segments, labels = detections["segments"][kept], detections["labels"][kept]
    if voting_threshold is not None:
        votes = pairwise_tiou(segments, detections["segments"]) >= voting_threshold
        votes = votes & (labels[:, None] == detections["labels"])
        weights = votes * detections["scores"]
        total = weights.sum(dim=1, keepdim=True)
        segments = torch.where(total > 0, weights @ detections["segments"] / total.clamp(min=1e-12), segments)
    return {"segments": segments, "labels": labels, "scores": scores}
