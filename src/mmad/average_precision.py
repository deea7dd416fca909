"""Detection-AP: how well scored segments find labelled ones, per class and tIoU threshold.

Everything is float64 numpy on the CPU. Letters: Q predictions, M ground-truth instances, K classes, T thresholds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import torch

from mmad.errors import MmadError
from mmad.matching import (
    Flags,
    Integers,
    Reals,
    Rows,
    check,
    check_scores,
    match,
    rank,
    table,
    union,
    without_duplicates,
)
from mmad.nms import hard_nms, soft_nms
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy

# Literal decimals: an arange gives 0.30000000000000004, which a tIoU of exactly 0.3 misses.
TIOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Protocol:
    """How Detection-mAP is counted; what published evaluations do differently.

    Args:
        thresholds: tIoU values.
        drop_duplicates: drop ground truth that repeats an earlier row of its clip and class within 1 ms at both ends,
            and rows without extent.
        later_first: of equal scores the later row ranks first; else the earlier one.
        union_extra: seconds added to every union.
        all_classes: a class without ground truth counts as 0 in the mean, if nothing is predicted for it either; else
            it does not count.
        body_predictions: what happens to predictions once their labels are body groups: "none"; "max" keeps the best
            of identical segments of a group; "nms" and "soft_nms" suppress once more, with `mmad.nms`'s defaults.
        body_truth: "exact" treats ground truth of a group as that of a class (`drop_duplicates`); "none" keeps all;
            "union" joins overlapping instances of a group.

    Raises:
        MmadError: a value that does not exist.
    """

    thresholds: tuple[float, ...] = TIOU_THRESHOLDS
    drop_duplicates: bool = True
    later_first: bool = False
    union_extra: float = 0.0
    all_classes: bool = False
    body_predictions: str = "none"
    body_truth: str = "exact"

    def __post_init__(self) -> None:
        if not isinstance(self.thresholds, Sequence) or self.union_extra < 0:
            raise MmadError(
                f"protocol.thresholds={self.thresholds}, protocol.union_extra={self.union_extra}: expected a list, "
                f"such as [0.5], and no negative seconds."
            )
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        if not self.thresholds or not all(0 < t <= 1 for t in self.thresholds):
            raise MmadError(f"protocol.thresholds={list(self.thresholds)}: expected tIoU values above 0, up to 1.")
        for name, known in (("body_predictions", ("none", "max", "nms", "soft_nms")), ("body_truth", _BODY_TRUTH)):
            if getattr(self, name) not in known:
                raise MmadError(f"protocol.{name}={getattr(self, name)}: choose {', '.join(known)}.")


_BODY_TRUTH = ("exact", "none", "union")

MMAD = Protocol()
"""The default: OpenTAD's rules, but of equal scores the first in the file ranks first."""
OPENTAD = Protocol(later_first=True)
"""OpenTAD's `evaluations/mAP.py`."""
POINTTAD = Protocol(
    thresholds=tuple(np.arange(0.1, 1.0, 0.1).tolist()),
    drop_duplicates=False,
    later_first=True,
    union_extra=1e-4,
    all_classes=True,
    body_truth="none",
)
"""PointTAD's `datasets/evaluate.py`, which the challenge's baseline uses."""


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


@dataclass(frozen=True)
class Ranking:
    """Predictions of one level, best first within each class, and the instance that each of them claims.

    Args:
        predictions: (Q) ranked rows.
        order: (Q,) their row numbers in the input.
        truth: (M) ground truth that counts.
        claimed_QT: (Q, T) rows of `truth`, -1 for none.
        classes: K.
        protocol: what was followed.
    """

    predictions: Rows
    order: Integers
    truth: Rows
    claimed_QT: Integers
    classes: int
    protocol: Protocol

    @property
    def instances_K(self) -> Integers:
        """(K,) ground-truth instances of each class."""
        return np.bincount(self.truth.label, minlength=self.classes)

    @property
    def bounds(self) -> Integers:
        """(K + 1,) where each class's predictions begin, and the end."""
        return np.searchsorted(self.predictions.label, np.arange(self.classes + 1))

    def average_precision(self) -> Reals:
        """(K, T) fractions; NaN for a class that does not count."""
        bounds, instances_K = self.bounds, self.instances_K
        hits_QT = self.claimed_QT >= 0
        result_KT = np.full((self.classes, self.claimed_QT.shape[1]), np.nan)
        for label in range(self.classes):
            if instances_K[label]:
                result_KT[label] = _area(hits_QT[bounds[label] : bounds[label + 1]], int(instances_K[label]))
            elif self.protocol.all_classes and bounds[label] == bounds[label + 1]:
                result_KT[label] = 0
        return result_KT

    def average_recall(self, per_clip: Sequence[int]) -> Reals:
        """Share of each class's instances that the best predictions of a clip claim.

        Args:
            per_clip: J numbers of predictions, of all classes together.

        Returns:
            (J, K, T) fractions; NaN for a class without ground truth.
        """
        assert self.predictions.score is not None
        place = self.order if not self.protocol.later_first else -self.order
        best_first = np.lexsort((place, -self.predictions.score, self.predictions.clip))
        clip = self.predictions.clip[best_first]
        position = np.empty(len(clip), dtype=np.int64)
        position[best_first] = np.arange(len(clip)) - np.searchsorted(clip, clip)
        # A clip's best k are the first ones of each of its classes, so they claim what they claim among all.
        q, t = np.nonzero(self.claimed_QT >= 0)
        counts_JKT = np.zeros((len(per_clip), self.classes, self.claimed_QT.shape[1]))
        for j, most in enumerate(per_clip):
            kept = position[q] < most
            np.add.at(counts_JKT[j], (self.predictions.label[q[kept]], t[kept]), 1)
        instances_K = self.instances_K[:, None]
        return np.where(instances_K > 0, counts_JKT / np.maximum(instances_K, 1), np.nan)


def ranking(predictions: Rows, ground_truth: Rows, *, classes: int, protocol: Protocol = MMAD) -> Ranking:
    """Ranks and matches one level.

    Args:
        predictions: scored rows, in any order.
        ground_truth: rows without scores.
        classes: number of classes K.
        protocol: how to count.

    Raises:
        MmadError: a score is missing or NaN, a time is not finite, or a label is out of range.
    """
    check(ground_truth, classes=classes, side="ground truth")
    check_scores(predictions, classes=classes)
    truth = without_duplicates(ground_truth) if protocol.drop_duplicates else ground_truth
    order = rank(predictions, later_first=protocol.later_first)
    ranked = predictions.take(order)
    claimed_QT = match(ranked, truth, protocol.thresholds, union_extra=protocol.union_extra)
    return Ranking(ranked, order, truth, claimed_QT, classes, protocol)


def average_precision(predictions: Rows, ground_truth: Rows, *, classes: int, protocol: Protocol = MMAD) -> Reals:
    """All-point interpolated average precision of each class at each tIoU threshold.

    Predictions of a class claim ground truth in order of their score, equal scores in input order; see
    `mmad.matching.match`. A prediction that ends before it starts is a false positive.

    Args:
        predictions: scored rows, in any order.
        ground_truth: rows without scores.
        classes: number of classes K.
        protocol: how to count.

    Returns:
        (K, T) fractions in [0, 1]; a class without ground truth is NaN, one without predictions 0.

    Raises:
        MmadError: a score is missing or NaN, a time is not finite, or a label is out of range.

    Source:
        ActivityNet's detection evaluation, with OpenTAD's lower bound of the union and its rule for
        duplicates.
    """
    return ranking(predictions, ground_truth, classes=classes, protocol=protocol).average_precision()


def levels(
    predictions: Rows, ground_truth: Rows, *, taxonomy: Taxonomy, protocol: Protocol = MMAD
) -> tuple[Ranking, Ranking]:
    """The rankings of actions and of body groups.

    Args:
        predictions: scored rows with action labels.
        ground_truth: rows with action labels.
        taxonomy: the body group of each class.
        protocol: how to count.

    Raises:
        MmadError: the ground truth holds no instance, or as in `average_precision`.
    """
    action = ranking(predictions, ground_truth, classes=len(taxonomy.actions), protocol=protocol)
    if not len(action.truth):
        raise MmadError(
            "the ground truth holds no instance with an extent, so there is nothing to evaluate against; "
            "check the split and its annotation file"
        )
    body_of = np.asarray(taxonomy.body_of, dtype=np.int64)
    truth = ground_truth if protocol.body_truth == "exact" else action.truth
    truth = replace(truth, label=body_of[truth.label])
    if protocol.body_truth == "union":
        truth = union(truth)
    body = ranking(
        _merged(replace(predictions, label=body_of[predictions.label]), how=protocol.body_predictions),
        truth,
        classes=len(taxonomy.bodies),
        protocol=replace(protocol, drop_duplicates=protocol.drop_duplicates and protocol.body_truth == "exact"),
    )
    return action, body


def detection_map(
    predictions: Rows, ground_truth: Rows, *, taxonomy: Taxonomy, protocol: Protocol = MMAD
) -> DetectionReport:
    """Detection-mAP of actions and of body groups, in percent.

    Body level: every action label is replaced by its body group. By default predictions get no second suppression,
    and ground truth that becomes a duplicate counts once. Only classes with ground truth count.

    Args:
        predictions: scored rows with action labels.
        ground_truth: rows with action labels.
        taxonomy: names of the classes and the body group of each.
        protocol: how to count.

    Returns:
        `{"action": {"map": {"0.1": ...}, "avg": ..., "per_class": {name: ...}}, "body": {...}, "avg": ...}`
        where `avg` is the mean over thresholds and, on top, the mean of both levels.

    Raises:
        MmadError: the ground truth holds no instance, or as in `average_precision`.
    """
    action, body = levels(predictions, ground_truth, taxonomy=taxonomy, protocol=protocol)
    return report_of(action, body, taxonomy=taxonomy)


def report_of(action: Ranking, body: Ranking, *, taxonomy: Taxonomy) -> DetectionReport:
    """The report of `detection_map` from rankings.

    Raises:
        MmadError: the protocol has no mean: it counts classes without ground truth, and one of them is predicted.
    """
    actions = _level(action, names=taxonomy.actions)
    bodies = _level(body, names=taxonomy.bodies)
    return {"action": actions, "body": bodies, "avg": (actions["avg"] + bodies["avg"]) / 2}


def _level(ranking: Ranking, *, names: Sequence[str]) -> LevelReport:
    """Percentages of one level."""
    percent_KT = 100 * ranking.average_precision()
    counted = ~np.isnan(percent_KT[:, 0])
    if ranking.protocol.all_classes and not counted.all():
        name = names[int(np.flatnonzero(~counted)[0])]
        raise MmadError(
            f"protocol.all_classes=true: class {name!r} has predictions but no ground truth, so its precision has no "
            f"recall to go with and the mean is not a number; use protocol.all_classes=false"
        )
    present = np.flatnonzero(counted)
    thresholds = ranking.protocol.thresholds
    return {
        "map": {f"{t:g}": float(value) for t, value in zip(thresholds, percent_KT[present].mean(axis=0), strict=True)},
        "avg": float(percent_KT[present].mean()),
        "per_class": {names[int(k)]: float(percent_KT[k].mean()) for k in present},
    }


def _merged(predictions: Rows, *, how: str) -> Rows:
    """Predictions of body groups after the protocol's `body_predictions`."""
    assert predictions.score is not None
    if how == "none":
        return predictions
    if how == "max":
        best = rank(predictions)
        keys = np.column_stack([predictions.clip, predictions.label, predictions.segment])[best]
        return predictions.take(np.sort(best[np.unique(keys, axis=0, return_index=True)[1]]))
    suppress: Callable[..., Segments] = hard_nms if how == "nms" else soft_nms
    clips, position = np.unique(predictions.clip, return_inverse=True)
    merged: list[Segments] = []
    for rows in table(position.reshape(-1), len(clips)):
        clip = predictions.take(rows[rows >= 0])
        assert clip.score is not None
        record: Segments = {
            "segments": torch.from_numpy(clip.segment),
            "labels": torch.from_numpy(clip.label),
            "scores": torch.from_numpy(clip.score),
        }
        merged.append(suppress(record, max_per_class=len(clip), max_per_clip=len(clip)))
    result = Rows.of(merged)
    return replace(result, clip=clips[result.clip]) if len(result) else predictions.take(np.zeros(0, np.int64))


def _area(hits_QT: Flags, instances: int) -> Reals:
    """Area under the precision envelope: recall rises by 1 / instances at each hit."""
    precision = hits_QT.cumsum(axis=0) / np.arange(1, len(hits_QT) + 1)[:, None]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return (envelope * hits_QT).sum(axis=0) / instances
