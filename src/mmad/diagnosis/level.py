"""One level of an evaluation, prepared for every analysis: what each prediction claims, and what it lies on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mmad.average_precision import Protocol, Ranking
from mmad.diagnosis.settings import Settings
from mmad.errors import MmadError
from mmad.matching import LARGEST_PIECE, Flags, Integers, Reals, Rows, match, table, tiou

ByClip = Mapping[int, Any] | Sequence[Any]
"""Something known of each clip, by clip number."""


@dataclass(frozen=True)
class Overlap:
    """Best tIoU of each row of one side with rows of the other.

    Args:
        tiou: (n,) fractions; -1 where there is none to compare with.
        row: (n,) row of the other side, the first of equal ones; -1 where there is none.
    """

    tiou: Reals
    row: Integers


@dataclass(frozen=True)
class Level:
    """Predictions of one level, by class and best first, with their matches at the analysis' two thresholds.

    Args:
        predictions: (Q) ranked rows.
        truth: (M) ground truth that counts.
        claimed_Q: rows of `truth` claimed at `settings.threshold`, -1 for none.
        loose_Q: the same at `settings.background`.
        order: (Q,) row of each prediction in the input.
        names, codes: K of each; codes are empty at body level.
        group_K: number of each class's body group.
        groups: names of the body groups.
        duration: (M,) seconds of each instance's clip; None where not all are known.
        settings: what was asked.
        protocol: how Detection-mAP is counted.
        clips: how many clips have rows of either side.
    """

    predictions: Rows
    truth: Rows
    claimed_Q: Integers
    loose_Q: Integers
    order: Integers
    names: Sequence[str]
    codes: Sequence[str]
    group_K: Integers
    groups: Sequence[str]
    duration: Reals | None
    settings: Settings
    protocol: Protocol
    clips: int

    @property
    def classes(self) -> int:
        """K."""
        return len(self.names)

    @property
    def score(self) -> Reals:
        """(Q,) scores."""
        assert self.predictions.score is not None
        return self.predictions.score

    @cached_property
    def instances_K(self) -> Integers:
        """(K,) instances of each class."""
        return np.bincount(self.truth.label, minlength=self.classes)

    @cached_property
    def bounds(self) -> Integers:
        """(K + 1,) where each class's predictions begin, and the end."""
        return np.searchsorted(self.predictions.label, np.arange(self.classes + 1))

    @property
    def by_score(self) -> Integers:
        """(Q,) rows of the predictions, the best of all classes first; equal scores as the protocol ranks them."""
        return np.lexsort((-self.order if self.protocol.later_first else self.order, -self.score))

    @cached_property
    def position_Q(self) -> Integers:
        """(Q,) rank of each prediction in its class, from 0."""
        return np.arange(len(self.predictions)) - self.bounds[self.predictions.label]

    @property
    def mean_instances(self) -> float:
        """N of mAP_N: instances per class that has any."""
        return len(self.truth) / max(int((self.instances_K > 0).sum()), 1)

    @cached_property
    def overlaps(self) -> tuple[Overlap, Overlap, Overlap]:
        """Of each prediction with instances of its own class, of other classes, and of any."""
        return _overlaps(self.predictions, self.truth, union_extra=self.protocol.union_extra)

    @cached_property
    def found_by(self) -> tuple[Reals, Reals]:
        """(M,) best tIoU of each instance with predictions of its own class, and of other classes; -1 for none."""
        own, other, _ = _overlaps(self.truth, self.predictions, union_extra=self.protocol.union_extra)
        return own.tiou, other.tiou

    @cached_property
    def in_time(self) -> tuple[Integers, Integers]:
        """Rows of the ground truth, pair by pair: instances of two classes that share time in a clip."""
        clips, clip = np.unique(self.truth.clip, return_inverse=True)
        firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for rows in table(clip.reshape(-1), len(clips)):
            rows = rows[rows >= 0]
            start, end, label = self.truth.segment[rows, 0], self.truth.segment[rows, 1], self.truth.label[rows]
            meet = (np.maximum(start[:, None], start) < np.minimum(end[:, None], end)) & (label[:, None] != label)
            first, second = np.nonzero(np.triu(meet))
            firsts.append(rows[first])
            seconds.append(rows[second])
        return np.concatenate(firsts), np.concatenate(seconds)

    @cached_property
    def overlapping_M(self) -> Integers:
        """(M,) how many instances of other classes share time with each instance."""
        return np.bincount(np.concatenate(self.in_time), minlength=len(self.truth))

    @cached_property
    def kept_Q(self) -> Flags:
        """Predictions from each class's best score upwards; see `best_score_K`."""
        return self.score >= self.best_score_K[self.predictions.label]

    @cached_property
    def best_score_K(self) -> Reals:
        """(K,) the score at which F1 of a class is highest, the first of equal ones; infinite if nothing is right."""
        best_K = np.full(self.classes, np.inf)
        for label in np.flatnonzero(self.instances_K):
            of_class = slice(self.bounds[label], self.bounds[label + 1])
            best_K[label] = best_score(
                self.score[of_class], self.claimed_Q[of_class] >= 0, instances=int(self.instances_K[label])
            )
        return best_K

    @property
    def kept_claims_Q(self) -> Integers:
        """`claimed_Q` of the kept predictions, -1 elsewhere."""
        return np.where(self.kept_Q, self.claimed_Q, -1)

    def only(self, kept_Q: Flags) -> "Level":
        """The level with some of its predictions, which must be the best of each class, so that matches stay."""
        return replace(
            self,
            predictions=self.predictions.take(kept_Q),
            claimed_Q=self.claimed_Q[kept_Q],
            loose_Q=self.loose_Q[kept_Q],
            order=self.order[kept_Q],
        )

    def matched(self, claimed_Q: Integers) -> Flags:
        """(M,) which instances are claimed."""
        found = np.zeros(len(self.truth), dtype=bool)
        found[claimed_Q[claimed_Q >= 0]] = True
        return found


def best_score(score: Reals, hits: Flags, *, instances: int) -> float:
    """The score at which F1 is highest, the first of equal ones; infinite if nothing is right.

    Args:
        score: (Q,) of predictions, best first.
        hits: (Q,) which of them are right.
        instances: how many there are to find.
    """
    if not hits.any():
        return np.inf
    f1 = 2 * hits.cumsum() / (np.arange(1, len(score) + 1) + instances)
    # A score keeps all predictions that have it, so only the last of equal ones is a place to cut.
    f1[:-1][score[:-1] == score[1:]] = 0
    return float(score[f1.argmax()])


def level_of(
    ranking: Ranking,
    *,
    names: Sequence[str],
    codes: Sequence[str],
    group_K: Sequence[int],
    groups: Sequence[str],
    durations: Mapping[int, float | None] | Sequence[float | None] | None,
    settings: Settings,
) -> Level:
    """A level from its ranking; `durations` are by clip number, in seconds; see `Level` for the other arguments."""
    known = None if durations is None else looked_up(ranking.truth.clip, durations)
    asked = (settings.threshold, settings.background)
    claimed_Q2 = match(ranking.predictions, ranking.truth, asked, union_extra=ranking.protocol.union_extra)
    return Level(
        predictions=ranking.predictions,
        truth=ranking.truth,
        claimed_Q=claimed_Q2[:, 0],
        loose_Q=claimed_Q2[:, 1],
        order=ranking.order,
        names=names,
        codes=codes,
        group_K=np.asarray(group_K, dtype=np.int64),
        groups=groups,
        duration=None if known is None or None in known else np.asarray(known, dtype=np.float64),
        settings=settings,
        protocol=ranking.protocol,
        clips=len(np.union1d(ranking.predictions.clip, ranking.truth.clip)),
    )


def looked_up(clips: Integers, known: ByClip) -> list:
    """What is known of each clip.

    Raises:
        MmadError: nothing is known of a clip.
    """
    there = known if isinstance(known, Mapping) else range(len(known))
    strange = [int(clip) for clip in clips if int(clip) not in there]
    if strange:
        raise MmadError(
            f"clip number {strange[0]} has rows, but its subject or duration is not given; give those of all clips"
        )
    return [known[int(clip)] for clip in clips]


def average_precision_n(
    hits_Q: Flags, label_Q: Integers, *, instances_K: Integers, mean_instances: float, cut: float = 0.0
) -> tuple[Reals, Flags]:
    """AP whose precision does not depend on how frequent a class is.

    Precision at recall R after F false positives is R N / (R N + F), N the mean number of instances of a class.

    Args:
        hits_Q: which predictions are true positives; by class, best first.
        label_Q: their classes, ascending.
        instances_K: instances of each class.
        mean_instances: N.
        cut: ranks with no more precision than this become false positives, once, before the area is taken.

    Returns:
        (K,) fractions, NaN for a class without instances; and the hits that the cut left.

    Source: Hoiem et al., "Diagnosing Error in Object Detectors" (ECCV 2012); DETAD (Alwassel et al., ECCV 2018).
    """
    result_K = np.full(len(instances_K), np.nan)
    hits_Q = hits_Q.copy()
    bounds = np.searchsorted(label_Q, np.arange(len(instances_K) + 1))
    for label in np.flatnonzero(instances_K):
        hits = hits_Q[bounds[label] : bounds[label + 1]]
        precision = _precision(hits, mean_instances / instances_K[label])
        if cut > 0:
            hits &= precision > cut
            precision = _precision(hits, mean_instances / instances_K[label])
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        result_K[label] = (envelope * hits).sum() / instances_K[label]
    return result_K, hits_Q


def _precision(hits: Flags, weight: float) -> Reals:
    right = hits.cumsum() * weight
    wrong = (~hits).cumsum()
    return right / np.maximum(right + wrong, 1e-300)


def _overlaps(rows: Rows, others: Rows, *, union_extra: float) -> tuple[Overlap, Overlap, Overlap]:
    """Best tIoU of each row with others of its clip: of its own label, of other labels, and of any."""
    results = tuple(Overlap(np.full(len(rows), -1.0), np.full(len(rows), -1)) for _ in range(3))
    if not len(rows) or not len(others):
        return results  # type: ignore[return-value]
    clips, clip = np.unique(others.clip, return_inverse=True)
    row_VN = table(clip.reshape(-1), len(clips))
    place = np.searchsorted(clips, rows.clip).clip(max=len(clips) - 1)
    known = np.flatnonzero(clips[place] == rows.clip)
    for piece in np.array_split(known, len(known) * row_VN.shape[1] // LARGEST_PIECE + 1):
        row_PN = row_VN[place[piece]]
        tiou_PN = tiou(rows.segment[piece][:, None], others.segment[row_PN], union_extra=union_extra)
        same_PN = others.label[row_PN] == rows.label[piece][:, None]
        there_PN = row_PN >= 0
        for result, mask_PN in zip(results, (same_PN & there_PN, ~same_PN & there_PN, there_PN), strict=True):
            masked_PN = np.where(mask_PN, tiou_PN, -1.0)
            best = masked_PN.argmax(axis=1)[:, None]
            result.tiou[piece] = np.take_along_axis(masked_PN, best, axis=1)[:, 0]
            found = mask_PN.any(axis=1)
            result.row[piece[found]] = np.take_along_axis(row_PN, best, axis=1)[found, 0]
    return results  # type: ignore[return-value]
