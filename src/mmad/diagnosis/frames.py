"""Per-frame mAP: how well each moment is labelled, whatever the boundaries of segments."""

from collections.abc import Sequence

import numpy as np
import torch

from mmad.diagnosis.records import FrameMAP
from mmad.matching import Integers, Reals, Rows
from mmad.taxonomy import Taxonomy


def frame_map(
    predictions: Rows, ground_truth: Rows, *, taxonomy: Taxonomy, durations: Sequence[float], rate: float
) -> FrameMAP:
    """Mean over classes with ground truth of the non-interpolated AP of all frames of all clips.

    A frame stands for the middle of 1 / rate seconds; it has the classes whose instances cover that moment, and for
    each class the best score of the predictions that cover it.

    Args:
        predictions: scored rows with action labels; clips numbered from 0.
        ground_truth: rows with action labels.
        taxonomy: the body group of each class.
        durations: seconds of each clip.
        rate: frames per second.

    Source: the metric of MS-TCT (Dai et al., CVPR 2022), whose frames are those of its features.
    """
    # Imported here: it takes seconds, and few ask for this metric.
    from torchmetrics.functional.classification import binary_average_precision

    frames_V = np.ceil(np.asarray(durations, dtype=np.float64) * rate - 0.5).astype(np.int64).clip(min=1)
    body_of = np.asarray(taxonomy.body_of, dtype=np.int64)
    means = []
    for label_of, classes in ((np.arange(len(body_of)), len(body_of)), (body_of, len(taxonomy.bodies))):
        ap = []
        for label in range(classes):
            truth_F = _painted(ground_truth.take(label_of[ground_truth.label] == label), frames_V, rate=rate)
            if truth_F.any():
                score_F = _painted(predictions.take(label_of[predictions.label] == label), frames_V, rate=rate)
                found = binary_average_precision(torch.from_numpy(score_F), torch.from_numpy(truth_F).long())
                ap.append(float(found))
        # Ground truth may be shorter than a frame and cover no middle of any.
        means.append(100 * float(np.mean(ap)) if ap else 0.0)
    return {"rate": rate, "action": means[0], "body": means[1]}


def _painted(rows: Rows, frames_V: Integers, *, rate: float) -> Reals:
    """(F,) the best value of the rows of a class that cover a frame: ranks of scores in (0, 1], or 1; 0 without one."""
    begin_V = np.cumsum(frames_V) - frames_V
    painted_F = np.zeros(int(frames_V.sum()))
    value = np.ones(len(rows))
    if rows.score is not None and len(rows):
        # Ranks, since the metric takes values outside 0 to 1 for logits; AP depends on their order alone.
        scores, rank = np.unique(rows.score, return_inverse=True)
        value = (rank.reshape(-1) + 1.0) / len(scores)
    first = np.ceil(rows.segment[:, 0] * rate - 0.5).astype(np.int64).clip(min=0)
    last = np.minimum(np.ceil(rows.segment[:, 1] * rate - 0.5).astype(np.int64), frames_V[rows.clip])
    for begin, a, b, v in zip(begin_V[rows.clip], first, last, value, strict=True):
        part = painted_F[begin + a : begin + max(a, b)]
        np.maximum(part, v, out=part)
    return painted_F
