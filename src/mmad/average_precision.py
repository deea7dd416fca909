"""Detection-AP: how well scored segments find labelled ones, per class and tIoU threshold.

Everything is float64 numpy on the CPU. Letters: Q predictions, M ground-truth instances, K classes, T
thresholds, G groups (one clip and one class with ground truth), N instances of the fullest group.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from mmad.errors import MmadError
from mmad.taxonomy import Taxonomy

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# Literal decimals: an arange gives 0.30000000000000004, which a tIoU of exactly 0.3 misses.
TIOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SMALLEST_UNION = 1e-8
DUPLICATE_SECONDS = 1e-3


@dataclass(frozen=True)
class Rows:
    """Segments of many clips, one row each.

    Args:
        clip: (n,) int64, number of the clip; any integers.
        label: (n,) int64, class index.
        segment: (n, 2) float64, start and end in seconds.
        score: (n,) float64, higher is surer; predictions only.
    """

    clip: Integers
    label: Integers
    segment: Reals
    score: Reals | None = None

    def __len__(self) -> int:
        return len(self.clip)

    def take(self, index: Integers | Flags) -> "Rows":
        """The rows that an index array or a mask picks."""
        score = None if self.score is None else self.score[index]
        return Rows(self.clip[index], self.label[index], self.segment[index], score)


class LevelReport(TypedDict):
    """Percentages of actions or bodies: mAP per threshold, its mean, and that mean per class."""

    map: dict[str, float]
    avg: float
    per_class: dict[str, float]


class DetectionReport(TypedDict):
    """Percentages of both levels and the mean of the two averages."""

    action: LevelReport
    body: LevelReport
    avg: float


def average_precision(
    predictions: Rows,
    ground_truth: Rows,
    *,
    classes: int,
    thresholds: Sequence[float] = TIOU_THRESHOLDS,
    drop_duplicates: bool = True,
) -> Reals:
    """All-point interpolated average precision of each class at each tIoU threshold.

    Predictions of a class claim ground truth in order of their score, equal scores in input order. At each
    threshold a prediction takes the free instance of its clip and class with the highest tIoU (the last of
    equal ones), if that tIoU reaches the threshold; it may fall back to a lower one when its best is taken.

    Args:
        predictions: scored rows, in any order.
        ground_truth: rows without scores.
        classes: number of classes K.
        thresholds: T tIoU values.
        drop_duplicates: drop ground truth that repeats an earlier row of its clip and class within 1 ms at
            both ends, and rows without extent.

    Returns:
        (K, T) fractions in [0, 1]; a class without ground truth is NaN, one without predictions 0.

    Raises:
        MmadError: a score is missing or NaN, a time is not finite, or a label is out of range.

    Source:
        ActivityNet's detection evaluation, with OpenTAD's lower bound of the union and its rule for
        duplicates.
    """
    _check(ground_truth, classes=classes, side="ground truth")
    scores = _check_scores(predictions, classes=classes)
    truth = _without_duplicates(ground_truth) if drop_duplicates else ground_truth
    instances = np.bincount(truth.label, minlength=classes)

    ranked = predictions.take(np.lexsort((-scores, predictions.label)))
    hits_QT = _match(ranked, truth, np.asarray(thresholds, dtype=np.float64))
    bounds = np.searchsorted(ranked.label, np.arange(classes + 1))
    result_KT = np.full((classes, len(thresholds)), np.nan)
    for label in np.flatnonzero(instances):
        result_KT[label] = _area(hits_QT[bounds[label] : bounds[label + 1]], int(instances[label]))
    return result_KT


def detection_map(
    predictions: Rows,
    ground_truth: Rows,
    *,
    taxonomy: Taxonomy,
    thresholds: Sequence[float] = TIOU_THRESHOLDS,
) -> DetectionReport:
    """Detection-mAP of actions and of body groups, in percent.

    Body level: every action label is replaced by its body group; predictions get no second suppression,
    and ground truth that becomes a duplicate counts once. Only classes with ground truth count.

    Args:
        predictions: scored rows with action labels.
        ground_truth: rows with action labels.
        taxonomy: names of the classes and the body group of each.
        thresholds: tIoU values.

    Returns:
        `{"action": {"map": {"0.1": ...}, "avg": ..., "per_class": {name: ...}}, "body": {...}, "avg": ...}`
        where `avg` is the mean over thresholds and, on top, the mean of both levels.

    Raises:
        MmadError: the ground truth holds no instance, or as in `average_precision`.
    """
    # Checked here, on action labels, since the mapping to bodies would wrap a negative label around.
    _check(ground_truth, classes=len(taxonomy.actions), side="ground truth")
    _check_scores(predictions, classes=len(taxonomy.actions))
    body_of = np.asarray(taxonomy.body_of, dtype=np.int64)
    action = _level(predictions, ground_truth, names=taxonomy.actions, thresholds=thresholds)
    body = _level(
        replace(predictions, label=body_of[predictions.label]),
        replace(ground_truth, label=body_of[ground_truth.label]),
        names=taxonomy.bodies,
        thresholds=thresholds,
    )
    return {"action": action, "body": body, "avg": (action["avg"] + body["avg"]) / 2}


def _level(predictions: Rows, ground_truth: Rows, *, names: Sequence[str], thresholds: Sequence[float]) -> LevelReport:
    """Percentages of one level."""
    ap_KT = average_precision(predictions, ground_truth, classes=len(names), thresholds=thresholds)
    present = np.flatnonzero(~np.isnan(ap_KT[:, 0]))
    if not len(present):
        raise MmadError(
            "the ground truth holds no instance with an extent, so there is nothing to evaluate against; "
            "check the split and its annotation file"
        )
    percent_KT = 100 * ap_KT[present]
    return {
        "map": {f"{t:g}": float(value) for t, value in zip(thresholds, percent_KT.mean(axis=0), strict=True)},
        "avg": float(percent_KT.mean()),
        "per_class": {names[int(k)]: float(value) for k, value in zip(present, percent_KT.mean(axis=1), strict=True)},
    }


def _check(rows: Rows, *, classes: int, side: str) -> None:
    """Raises MmadError for a label out of range or a time that is not finite."""
    outside = (rows.label < 0) | (rows.label >= classes)
    if outside.any():
        label = rows.label[outside][0]
        raise MmadError(
            f"a label in the {side} is {label}, expected 0 to {classes - 1}; use the taxonomy of the labels"
        )
    endless = ~np.isfinite(rows.segment).all(axis=1)
    if endless.any():
        segment = rows.segment[endless][0].tolist()
        raise MmadError(f"a segment in the {side} is {segment}, expected finite seconds; look for what made it")


def _check_scores(predictions: Rows, *, classes: int) -> Reals:
    """The scores of predictions; raises MmadError if they cannot be ranked."""
    _check(predictions, classes=classes, side="predictions")
    if predictions.score is None:
        raise MmadError("the predictions have no scores, so they cannot be ranked; give each a score")
    missing = np.isnan(predictions.score)
    if missing.any():
        raise MmadError(
            f"{missing.sum()} of {len(missing)} predicted scores are NaN, the first in clip "
            f"{predictions.clip[missing][0]}; look for a diverged training"
        )
    return predictions.score


def _table(group_n: Integers, groups: int) -> Integers:
    """Row numbers of each group, in row order, padded with -1: (groups, size of the largest)."""
    counts = np.bincount(group_n, minlength=groups)
    order = np.argsort(group_n, kind="stable")
    slot = np.arange(len(group_n)) - np.repeat(counts.cumsum() - counts, counts)
    table = np.full((groups, counts.max(initial=0)), -1, dtype=np.int64)
    table[group_n[order], slot] = order
    return table


def _clip_and_label(rows: Rows) -> tuple[Integers, Integers]:
    """One key per (clip, label) pair that occurs, and the position of each row's key."""
    pairs = np.stack([rows.clip, rows.label], axis=1)
    unique, group = np.unique(pairs, axis=0, return_inverse=True)
    return unique, group.reshape(-1)


def _without_duplicates(truth: Rows) -> Rows:
    """Ground truth without rows of no extent and without rows that repeat an earlier kept one."""
    truth = truth.take(truth.segment[:, 1] > truth.segment[:, 0])
    unique, group = _clip_and_label(truth)
    rows_GN = _table(group, len(unique))
    segment_GN2 = truth.segment[rows_GN]
    keep_GN = rows_GN >= 0
    for n in range(1, rows_GN.shape[1]):
        gap = np.abs(segment_GN2[:, :n] - segment_GN2[:, n : n + 1]).max(axis=-1)
        keep_GN[:, n] &= ~((gap <= DUPLICATE_SECONDS) & keep_GN[:, :n]).any(axis=1)
    return truth.take(np.sort(rows_GN[keep_GN]))


def _match(ranked: Rows, truth: Rows, thresholds_T: Reals) -> Flags:
    """Which predictions are true positives at which threshold.

    All groups are matched at once, one rank after the other: groups share no ground truth, so only the order
    inside a group matters. The loop is as long as the largest number of overlapping predictions of one clip
    and class.

    Args:
        ranked: (Q) predictions, best first within each class.
        truth: (M) ground truth.
        thresholds_T: (T,) tIoU.

    Returns:
        (Q, T) flags.
    """
    hits_QT = np.zeros((len(ranked), len(thresholds_T)), dtype=bool)
    if not len(truth) or not len(ranked):
        return hits_QT
    unique, group = _clip_and_label(truth)
    rows_GN = _table(group, len(unique))

    # Only predictions whose clip has ground truth of their class can hit. `unique` is sorted
    # by clip, then label, so its keys ascend.
    clips, labels = np.unique(unique[:, 0]), int(truth.label.max()) + 1
    keys_G = np.searchsorted(clips, unique[:, 0]) * labels + unique[:, 1]
    clip_Q = np.searchsorted(clips, ranked.clip).clip(max=len(clips) - 1)
    key_Q = clip_Q * labels + ranked.label
    group_Q = np.searchsorted(keys_G, key_Q).clip(max=len(keys_G) - 1)
    same = (clips[clip_Q] == ranked.clip) & (ranked.label < labels) & (keys_G[group_Q] == key_Q)
    candidate = np.flatnonzero(same)
    group_C = group_Q[candidate]

    tiou_CN = _tiou(ranked.segment[candidate][:, None], truth.segment[rows_GN[group_C]])
    tiou_CN[rows_GN[group_C] < 0] = -1
    near = tiou_CN.max(axis=1) >= thresholds_T.min()
    candidate, group_C, tiou_CN = candidate[near], group_C[near], tiou_CN[near]

    # Flipped, so that argmax finds the last of equal tIoUs.
    tiou_CN = tiou_CN[:, ::-1]
    taken_GTN = np.zeros((len(unique), len(thresholds_T), rows_GN.shape[1]), dtype=bool)
    for row in _table(group_C, len(unique)).T:
        row_R = row[row >= 0]
        group_R = group_C[row_R]
        tiou_R1N = tiou_CN[row_R, None]
        free = (tiou_R1N >= thresholds_T[:, None]) & ~taken_GTN[group_R]
        best_RT = np.where(free, tiou_R1N, -1.0).argmax(axis=-1)
        hit_RT = free.any(axis=-1)
        hits_QT[candidate[row_R]] = hit_RT
        r, t = np.nonzero(hit_RT)
        taken_GTN[group_R[r], t, best_RT[r, t]] = True
    return hits_QT


def _tiou(first: Reals, second: Reals) -> Reals:
    """Overlap over union of segments (..., 2), broadcast against each other."""
    start = np.maximum(first[..., 0], second[..., 0])
    end = np.minimum(first[..., 1], second[..., 1])
    overlap = np.maximum(end - start, 0)
    length = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    return overlap / np.maximum(length - overlap, SMALLEST_UNION)


def _area(hits_QT: Flags, instances: int) -> Reals:
    """Area under the precision envelope: recall rises by 1 / instances at each hit."""
    precision = hits_QT.cumsum(axis=0) / np.arange(1, len(hits_QT) + 1)[:, None]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return (envelope * hits_QT).sum(axis=0) / instances
