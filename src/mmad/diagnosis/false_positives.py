"""What wrong predictions are, and what each kind of error costs."""

import numpy as np

from mmad.diagnosis.level import Level, average_precision_n
from mmad.diagnosis.records import FalsePositives
from mmad.matching import Flags, Integers

SLICES = 10
KINDS = {
    "class_first": (
        "true positive",
        "duplicate",
        "localisation",
        "substitution",
        "extra label",
        "confusion",
        "background",
    ),
    "detad": ("true positive", "double detection", "wrong label", "localization", "confusion", "background"),
}
WITH_OTHER_CLASS = ("substitution", "extra label", "wrong label", "confusion")


def kinds_of(level: Level, claimed_Q: Integers) -> Integers:
    """The kind of each prediction, as an index into `KINDS[mode]`.

    With t the tIoU threshold, b that of background, s the best tIoU with an instance of the prediction's class and o
    that with one of another class, "class_first" asks in this order: matched: true positive; s >= t: duplicate;
    s >= b: localisation; o >= t: substitution if that other instance is unmatched, else extra label; o >= b:
    confusion; else background. "detad" looks at the one instance with the highest tIoU of all: at t or more a double
    detection or a wrong label, at b or more localization or confusion.

    Args:
        level: the level.
        claimed_Q: rows of the ground truth claimed by each prediction, -1 for none.

    Source: DETAD (Alwassel et al., ECCV 2018); own class first as in Hoiem et al. (ECCV 2012).
    """
    t, b = level.settings.threshold, level.settings.background
    own, other, any_ = level.overlaps
    matched = claimed_Q >= 0
    if level.settings.mode == "detad":
        same_Q = any_.row >= 0
        same_Q[same_Q] = level.truth.label[any_.row[same_Q]] == level.predictions.label[same_Q]
        m = any_.tiou
        return np.select([matched, (m >= t) & same_Q, m >= t, (m >= b) & same_Q, m >= b], [0, 1, 2, 3, 4], 5)
    missed_M = ~level.matched(claimed_Q)
    free_Q = np.zeros(len(matched), dtype=bool)
    free_Q[other.row >= 0] = missed_M[other.row[other.row >= 0]]
    s, o = own.tiou, other.tiou
    return np.select([matched, s >= t, s >= b, (o >= t) & free_Q, o >= t, o >= b], [0, 1, 2, 3, 4, 5], 6)


def lies_on(level: Level) -> Integers:
    """(Q,) the instance of another class that an error is about: row of the ground truth, -1 for none."""
    _, other, any_ = level.overlaps
    return any_.row if level.settings.mode == "detad" else other.row


def false_positives(level: Level) -> FalsePositives:
    """The profile of the best ten times as many predictions as there are instances, class by class.

    Source: Fig. 6 of the MMAD paper and DETAD (Alwassel et al., ECCV 2018) for slices and removal; TIDE (Bolya et al.,
    ECCV 2020) for repair, here with the own class first.
    """
    names = KINDS[level.settings.mode]
    instances_Q = level.instances_K[level.predictions.label]
    inside = level.position_Q < SLICES * instances_Q
    claimed_Q = np.where(inside, level.claimed_Q, -1)
    kind_Q = kinds_of(level, claimed_Q)
    slice_Q = level.position_Q // np.maximum(instances_Q, 1)
    counts = np.zeros((SLICES, len(names)), dtype=np.int64)
    np.add.at(counts, (slice_Q[inside], kind_Q[inside]), 1)

    base = _map_n(level, claimed_Q >= 0, level.predictions.label, inside)
    removed = {
        name: _map_n(level, claimed_Q >= 0, level.predictions.label, inside & (kind_Q != kind)) - base
        for kind, name in enumerate(names)
        if kind
    }
    same_group: dict[str, int] = {}
    if len(level.groups) < level.classes:
        target_Q = lies_on(level)
        group_Q = level.group_K[level.predictions.label]
        for kind, name in enumerate(names):
            if name in WITH_OTHER_CLASS:
                chosen = inside & (kind_Q == kind)
                target_group = level.group_K[level.truth.label[target_Q[chosen]]]
                same_group[name] = int((target_group == group_Q[chosen]).sum())
    return {
        "kinds": list(names),
        "slices": counts.tolist(),
        "total": counts.sum(axis=0).tolist(),
        "base": base,
        "removed": removed,
        "repaired": {}
        if level.settings.mode == "detad"
        else _repaired(level, claimed_Q, kind_Q, inside, removed, base),
        "same_group": same_group,
        "idle": int((inside & (kind_Q == len(names) - 1) & (level.overlaps[2].tiou <= 0)).sum()),
    }


def _map_n(level: Level, hits_Q: Flags, label_Q: Integers, kept_Q: Flags, instances_K: Integers | None = None) -> float:
    """mAP_N in percent of the kept predictions, in the order given."""
    ap_K, _ = average_precision_n(
        hits_Q[kept_Q],
        label_Q[kept_Q],
        instances_K=level.instances_K if instances_K is None else instances_K,
        mean_instances=level.mean_instances,
    )
    return float(100 * np.nanmean(ap_K)) if not np.isnan(ap_K).all() else 0.0


def _repaired(
    level: Level, claimed_Q: Integers, kind_Q: Integers, inside: Flags, removed: dict[str, float], base: float
) -> dict[str, float]:
    """Gains when errors are corrected: the best candidate of an unmatched instance becomes right, the others go."""
    names = KINDS["class_first"]
    localisation, substitution = names.index("localisation"), names.index("substitution")
    own, other, _ = level.overlaps
    missed_M = ~level.matched(claimed_Q)
    by_score = level.by_score

    def best_of(kind: int, row_Q: Integers) -> tuple[Integers, Integers]:
        """The best candidate of each missed instance, and that instance."""
        candidates = by_score[(inside & (kind_Q == kind))[by_score]]
        candidates = candidates[missed_M[row_Q[candidates]]]
        target, first = np.unique(row_Q[candidates], return_index=True)
        return candidates[first], target

    gains = dict(removed)
    loose, loose_target = best_of(localisation, own.row)
    hits_Q, kept_Q = claimed_Q >= 0, inside & (kind_Q != localisation)
    hits_Q[loose], kept_Q[loose] = True, True
    gains["localisation"] = _map_n(level, hits_Q, level.predictions.label, kept_Q) - base

    moved, moved_target = best_of(substitution, other.row)
    hits_Q, kept_Q, label_Q = claimed_Q >= 0, inside & (kind_Q != substitution), level.predictions.label.copy()
    hits_Q[moved], kept_Q[moved], label_Q[moved] = True, True, level.truth.label[moved_target]
    late_Q = np.zeros(len(label_Q), dtype=bool)
    late_Q[moved] = True
    order = np.lexsort((np.arange(len(label_Q)), late_Q, -level.score, label_Q))
    gains["substitution"] = _map_n(level, hits_Q[order], label_Q[order], kept_Q[order]) - base

    missed_M[loose_target] = missed_M[moved_target] = False
    fewer_K = level.instances_K - np.bincount(level.truth.label[missed_M], minlength=level.classes)
    gains["missed"] = _map_n(level, claimed_Q >= 0, level.predictions.label, inside, fewer_K) - base
    return gains


def rows_of_kinds(level: Level, kind_Q: Integers, kept_Q: Flags) -> list[dict[str, int]]:
    """By class, how many of the kept predictions are of each kind of error."""
    names = KINDS[level.settings.mode]
    counts_KE = np.zeros((level.classes, len(names)), dtype=np.int64)
    np.add.at(counts_KE, (level.predictions.label[kept_Q], kind_Q[kept_Q]), 1)
    return [dict(zip(names[1:], counts[1:].tolist(), strict=True)) for counts in counts_KE]
