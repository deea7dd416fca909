"""Which prediction finds which instance: rows of segments, their tIoU, and the greedy matching of both sides.

Everything is float64 numpy on the CPU. Letters: Q predictions, M ground-truth instances, T thresholds, G groups
(one clip and one class with ground truth), N instances of the fullest group.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmad.errors import MmadError
from mmad.segments import Segments

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SMALLEST_UNION = 1e-8
DUPLICATE_SECONDS = 1e-3
# Of predictions by instances that are compared at once; a long video may hold thousands of both.
LARGEST_PIECE = 2_000_000


@dataclass(frozen=True)
class Rows:
    """Segments of many clips, one row each.

    Args:
        clip: (n,) number of the clip; any integers.
        label: (n,) class index.
        segment: (n, 2) start and end in seconds.
        score: (n,) higher is surer; predictions only.

    Lists and other types of numbers become int64 and float64; 2.1 s as float32 is another time than 2.1 s, which can
    matter at a tIoU threshold.

    Raises:
        MmadError: lengths differ, or a clip or label is no whole number.

    >>> Rows(clip=np.array([0]), label=np.array([8]), segment=np.array([[0.5, 2.0]])).segment
    array([[0.5, 2. ]])
    """

    clip: Integers
    label: Integers
    segment: Reals
    score: Reals | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("clip", np.int64), ("label", np.int64), ("segment", np.float64), ("score", np.float64)):
            given = getattr(self, name)
            if given is None and name == "score":
                continue
            values = np.asarray(given, dtype=dtype)
            if dtype is np.int64 and (values != np.asarray(given)).any():
                raise MmadError(f"Rows: {name} holds numbers that are not whole, expected integers; round them")
            object.__setattr__(self, name, values.reshape(-1, 2) if name == "segment" and not values.size else values)
        lengths = {len(values) for values in (self.clip, self.label, self.segment, self.score) if values is not None}
        if len(lengths) > 1 or self.segment.shape != (len(self.clip), 2):
            shapes = ", ".join(f"{name} {getattr(self, name).shape}" for name in ("clip", "label", "segment"))
            score = "none" if self.score is None else str(self.score.shape)
            raise MmadError(f"Rows: {shapes}, score {score}; expected (n,), (n,), (n, 2) and (n,) or none")

    @classmethod
    def of(cls, clips: Sequence[Segments]) -> "Rows":
        """The segments of clips 0, 1, ...; scored where all of them have scores.

        Args:
            clips: one record of tensors per clip, in seconds.
        """
        scored = bool(clips) and all("scores" in clip for clip in clips)
        counts = [len(clip["labels"]) for clip in clips]
        return cls(
            clip=np.repeat(np.arange(len(clips)), counts),
            label=np.concatenate([np.zeros(0, np.int64), *(clip["labels"].cpu().numpy() for clip in clips)]),
            segment=np.concatenate([np.zeros((0, 2)), *(clip["segments"].cpu().double().numpy() for clip in clips)]),
            score=np.concatenate([clip["scores"].cpu().double().numpy() for clip in clips]) if scored else None,
        )

    def __len__(self) -> int:
        return len(self.clip)

    def take(self, index: Integers | Flags) -> "Rows":
        """The rows that an index array or a mask picks."""
        score = None if self.score is None else self.score[index]
        return Rows(self.clip[index], self.label[index], self.segment[index], score)


def check(rows: Rows, *, classes: int, side: str) -> None:
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


def check_scores(predictions: Rows, *, classes: int) -> Reals:
    """The scores of predictions; raises MmadError if they cannot be ranked."""
    check(predictions, classes=classes, side="predictions")
    if predictions.score is None:
        raise MmadError("the predictions have no scores, so they cannot be ranked; give each a score")
    missing = ~np.isfinite(predictions.score)
    if missing.any():
        raise MmadError(
            f"{missing.sum()} of {len(missing)} predicted scores are NaN or infinite, the first in clip "
            f"{predictions.clip[missing][0]}; look for a diverged training"
        )
    return predictions.score


def table(group_n: Integers, groups: int) -> Integers:
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


def without_duplicates(truth: Rows) -> Rows:
    """Ground truth without rows of no extent and without rows that repeat an earlier kept one."""
    truth = truth.take(truth.segment[:, 1] > truth.segment[:, 0])
    unique, group = _clip_and_label(truth)
    rows_GN = table(group, len(unique))
    segment_GN2 = truth.segment[rows_GN]
    keep_GN = rows_GN >= 0
    for n in range(1, rows_GN.shape[1]):
        gap = np.abs(segment_GN2[:, :n] - segment_GN2[:, n : n + 1]).max(axis=-1)
        keep_GN[:, n] &= ~((gap <= DUPLICATE_SECONDS) & keep_GN[:, :n]).any(axis=1)
    return truth.take(np.sort(rows_GN[keep_GN]))


def union(rows: Rows) -> Rows:
    """Overlapping segments of a clip and label joined into one, without scores; sorted by clip, label, start."""
    order = np.lexsort((rows.segment[:, 0], rows.label, rows.clip))
    clip, label, start = rows.clip[order], rows.label[order], rows.segment[order, 0]
    firsts: list[int] = []
    ends: list[float] = []
    for i, end in enumerate(rows.segment[order, 1]):
        last = firsts[-1] if firsts else None
        if last is not None and clip[last] == clip[i] and label[last] == label[i] and start[i] < ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            firsts.append(i)
            ends.append(end)
    kept = np.asarray(firsts, dtype=np.int64)
    return Rows(clip[kept], label[kept], np.column_stack([start[kept], np.asarray(ends, dtype=np.float64)]))


def rank(predictions: Rows, *, later_first: bool = False) -> Integers:
    """The order that puts predictions by class, and within a class the best score first.

    Args:
        predictions: Q scored rows.
        later_first: of equal scores the later row comes first; else the earlier one.

    Returns:
        (Q,) row numbers.
    """
    assert predictions.score is not None
    position = np.arange(len(predictions))
    return np.lexsort((-position if later_first else position, -predictions.score, predictions.label))


def match(ranked: Rows, truth: Rows, thresholds: Sequence[float], *, union_extra: float = 0.0) -> Integers:
    """The instance that each prediction claims at each threshold.

    In the order given, a prediction takes the free instance of its clip and class with the highest tIoU (the
    last of equal ones), if that tIoU reaches the threshold; it may fall back to a lower one when its best is
    taken. All groups are matched at once, one rank after the other: groups share no ground truth, so only the
    order inside a group matters. The loop is as long as the largest number of overlapping predictions of one
    clip and class.

    Args:
        ranked: (Q) predictions, best first within each class.
        truth: (M) ground truth.
        thresholds: T tIoU values.
        union_extra: seconds added to every union, as `tiou` does.

    Returns:
        (Q, T) rows of the ground truth, -1 where a prediction claims none.
    """
    thresholds_T = np.asarray(thresholds, dtype=np.float64)
    claimed_QT = np.full((len(ranked), len(thresholds_T)), -1, dtype=np.int64)
    if not len(truth) or not len(ranked):
        return claimed_QT
    unique, group = _clip_and_label(truth)
    rows_GN = table(group, len(unique))

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
    instances_G, candidates_G = (np.bincount(numbers, minlength=len(unique)) for numbers in (group, group_C))
    for groups, widest in _pieces(instances_G, candidates_G):
        inside = np.flatnonzero(np.isin(group_C, groups)) if len(groups) < len(unique) else np.arange(len(candidate))
        place = np.searchsorted(groups, group_C[inside])
        _claim(claimed_QT, ranked, candidate[inside], place, truth, rows_GN[groups, :widest], thresholds_T, union_extra)
    return claimed_QT


def _pieces(instances_G: Integers, candidates_G: Integers) -> Iterator[tuple[Integers, int]]:
    """Groups, ascending, in pieces of limited size once padded, each with the instances of its fullest group."""
    by_size = np.argsort(instances_G, kind="stable")
    begin, candidates = 0, 0
    for end, group in enumerate(by_size):
        candidates += int(candidates_G[group])
        if candidates * int(instances_G[group]) > LARGEST_PIECE and end > begin:
            piece = by_size[begin:end]
            yield np.sort(piece), int(instances_G[piece].max())
            begin, candidates = end, int(candidates_G[group])
    yield np.sort(by_size[begin:]), int(instances_G[by_size[begin:]].max())


def _claim(
    claimed_QT: Integers,
    ranked: Rows,
    candidate: Integers,
    group_C: Integers,
    truth: Rows,
    rows_GN: Integers,
    thresholds_T: Reals,
    union_extra: float,
) -> None:
    """Matches some groups and notes the claims.

    Args:
        claimed_QT: (Q, T) what is filled in.
        ranked: (Q) predictions.
        candidate: (C,) rows of the predictions that may claim something, ascending.
        group_C: (C,) their groups, rows of `rows_GN`.
        truth: (M) ground truth.
        rows_GN: (G, N) rows of the ground truth in each group, padded with -1.
        thresholds_T: (T,) tIoU values.
        union_extra: as in `tiou`.
    """
    tiou_CN = tiou(ranked.segment[candidate][:, None], truth.segment[rows_GN[group_C]], union_extra=union_extra)
    tiou_CN[rows_GN[group_C] < 0] = -1
    near = tiou_CN.max(axis=1) >= thresholds_T.min()
    candidate, group_C, tiou_CN = candidate[near], group_C[near], tiou_CN[near]

    # Flipped, so that argmax finds the last of equal tIoUs.
    tiou_CN, rows_GN = tiou_CN[:, ::-1], rows_GN[:, ::-1]
    taken_GTN = np.zeros((len(rows_GN), len(thresholds_T), rows_GN.shape[1]), dtype=bool)
    for row in table(group_C, len(rows_GN)).T:
        row_R = row[row >= 0]
        group_R = group_C[row_R]
        tiou_R1N = tiou_CN[row_R, None]
        free = (tiou_R1N >= thresholds_T[:, None]) & ~taken_GTN[group_R]
        best_RT = np.where(free, tiou_R1N, -1.0).argmax(axis=-1)
        r, t = np.nonzero(free.any(axis=-1))
        taken_GTN[group_R[r], t, best_RT[r, t]] = True
        claimed_QT[candidate[row_R[r]], t] = rows_GN[group_R[r], best_RT[r, t]]


def tiou(first: Reals, second: Reals, *, union_extra: float = 0.0) -> Reals:
    """Overlap over union of segments, broadcast against each other.

    Args:
        first, second: (..., 2) start and end in seconds. A segment that ends before it starts overlaps nothing.
        union_extra: seconds added to the union, as PointTAD's evaluation does (1e-4); 0 elsewhere.

    Returns:
        (...) fractions; 0 where both have no length.
    """
    start = np.maximum(first[..., 0], second[..., 0])
    end = np.minimum(first[..., 1], second[..., 1])
    overlap = np.maximum(end - start, 0)
    length = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    return overlap / np.maximum(length - overlap + union_extra, SMALLEST_UNION)
