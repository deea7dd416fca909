"""What was taken for what, and which classes that occur together are found together."""

import numpy as np

from mmad.diagnosis.false_positives import KINDS, WITH_OTHER_CLASS, kinds_of, lies_on
from mmad.diagnosis.level import Level
from mmad.diagnosis.records import Confusion, CoOccurrence, Pair
from mmad.matching import Reals, Rows, table, union


def confusion(level: Level) -> Confusion:
    """Counts of true against predicted classes, of the kept predictions."""
    claimed_Q, kept_Q, K = level.kept_claims_Q, level.kept_Q, level.classes
    kind_Q, target_Q, label_Q = kinds_of(level, claimed_Q), lies_on(level), level.predictions.label
    names = KINDS[level.settings.mode]
    matrix = np.zeros((K + 1, K + 1), dtype=np.int64)
    other_Q = kept_Q & np.isin(kind_Q, [names.index(name) for name in WITH_OTHER_CLASS if name in names])
    missed_M = ~level.matched(claimed_Q)
    np.add.at(matrix, (label_Q[claimed_Q >= 0], label_Q[claimed_Q >= 0]), 1)
    np.add.at(matrix, (level.truth.label[target_Q[other_Q]], label_Q[other_Q]), 1)
    matrix[K, :K] += np.bincount(label_Q[kept_Q & (kind_Q == len(names) - 1)], minlength=K)
    matrix[:K, K] += np.bincount(level.truth.label[missed_M], minlength=K)
    there = np.flatnonzero((level.instances_K > 0) | (np.bincount(label_Q[kept_Q], minlength=K) > 0)).tolist()
    shown = [*there, K]
    return {
        "names": [level.names[k] for k in there],
        "codes": [level.codes[k] or level.names[k] for k in there],
        "groups": [level.groups[level.group_K[k]] for k in there],
        "matrix": matrix[np.ix_(shown, shown)].tolist(),
    }


def co_occurrence(level: Level) -> CoOccurrence:
    """Pairs of classes that share time: how often both, one or none of the instances are found by kept predictions."""
    K = level.classes
    found_M = level.matched(level.kept_claims_Q)
    label_M = level.truth.label
    first, second = level.in_time
    found = found_M[first].astype(np.int64) + found_M[second]
    low, high = np.minimum(label_M[first], label_M[second]), np.maximum(label_M[first], label_M[second])
    counts = np.zeros((K, K, 3), dtype=np.int64)
    np.add.at(counts, (low, high, found), 1)
    true_KK = shared_seconds(level.truth, classes=K)
    predicted_KK = shared_seconds(level.predictions.take(level.kept_Q), classes=K)
    pairs: list[Pair] = [
        {
            "first": level.names[i],
            "second": level.names[j],
            "pairs": int(counts[i, j].sum()),
            "both": int(counts[i, j, 2]),
            "one": int(counts[i, j, 1]),
            "none": int(counts[i, j, 0]),
            "true_seconds": float(true_KK[i, j]),
            "predicted_seconds": float(predicted_KK[i, j]),
        }
        for i, j in np.argwhere((counts.sum(axis=2) > 0) | (predicted_KK > 0)).tolist()
    ]
    pairs.sort(key=lambda pair: (-pair["pairs"], -pair["true_seconds"], -pair["predicted_seconds"]))
    recall_K = np.bincount(label_M[found_M], minlength=K) / np.maximum(level.instances_K, 1)
    meets_M = level.overlapping_M > 0
    return {
        "pairs": pairs,
        "alone": int((~meets_M).sum()),
        "overlapping": int(meets_M.sum()),
        "recall_alone": _percent(found_M[~meets_M]),
        "recall_overlapping": _percent(found_M[meets_M]),
        "expected_both": _percent(recall_K[label_M[first]] * recall_K[label_M[second]]),
        "both": _percent(found == 2),
    }


def shared_seconds(rows: Rows, *, classes: int) -> Reals:
    """Time in which two classes are both active, summed over clips.

    Args:
        rows: segments of many clips.
        classes: K.

    Returns:
        (K, K) seconds above the diagonal, 0 elsewhere.
    """
    # Joined, so that no moment of a class counts twice.
    rows = union(rows)
    total_KK = np.zeros((classes, classes))
    clips, clip = np.unique(rows.clip, return_inverse=True)
    for inside in table(clip.reshape(-1), len(clips)):
        inside = inside[inside >= 0]
        start, end, label = rows.segment[inside, 0], rows.segment[inside, 1], rows.label[inside]
        both = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
        # Sorted by label, so a later row has no smaller class.
        first, second = np.nonzero(np.triu((both > 0) & (label[:, None] != label)))
        np.add.at(total_KK, (label[first], label[second]), both[first, second])
    return total_KK


def _percent(values: np.ndarray) -> float | None:
    return 100 * float(values.mean()) if len(values) else None
