"""Which instances are missed, and for which instances a detector is good."""

import math

import numpy as np
from scipy.stats import binomtest

from mmad.diagnosis.level import Level, average_precision_n
from mmad.diagnosis.records import Bucket, Characteristic, FalseNegatives, Interval
from mmad.diagnosis.settings import UNITS, Buckets
from mmad.matching import Flags, Integers, Reals

DETAD_CUT = 0.05
EDGE_SECONDS = 0.1
REASONS = ("loose", "taken", "other class", "nothing")
# Times that come from frames miss an edge such as 3 s by rounding errors only.
DECIMALS = 6


def reasons_of(level: Level) -> Integers:
    """(M,) why an instance could be missed, as an index into `REASONS`; meaningful for the missed ones.

    A prediction of its class lies on it, but too loosely; else one at the threshold was matched with another instance;
    else a prediction of another class reaches the threshold; else nothing does.
    """
    own_M, other_M = level.found_by
    t, b = level.settings.threshold, level.settings.background
    return np.select([(own_M >= b) & (own_M < t), own_M >= t, other_M >= t], [0, 1, 2], 3)


def false_negatives(level: Level) -> FalseNegatives:
    """Missed instances and mAP_N, of all and by characteristic; all predictions of the level count.

    mAP_N of a bucket: predictions matched with an instance outside it are left out, and its classes' instances are
    those inside; false positives of a class burden all of its buckets.

    Source: Fig. 7 of the MMAD paper; DETAD (Alwassel et al., ECCV 2018).
    """
    cut = DETAD_CUT if level.settings.mode == "detad" else 0.0
    hits_Q = level.claimed_Q >= 0
    _, surviving_Q = average_precision_n(
        hits_Q,
        level.predictions.label,
        instances_K=level.instances_K,
        mean_instances=level.mean_instances,
        cut=cut,
    )
    missed_M = ~level.matched(np.where(surviving_Q, level.claimed_Q, -1))
    everything = np.ones(len(missed_M), dtype=bool)
    map_n, _ = _map_n(level, everything)
    counts = np.bincount(reasons_of(level)[missed_M], minlength=len(REASONS)).tolist()
    missed = int(missed_M.sum())
    return {
        "instances": len(missed_M),
        "missed": missed,
        "rate": 100 * missed / len(missed_M),
        "interval": wilson(missed, len(missed_M)),
        "reasons": dict(zip(REASONS, counts, strict=True)),
        "predictions_per_clip": len(level.predictions) / level.clips,
        "map_n": map_n or 0.0,
        "characteristics": [
            _characteristic(level, name, values_M, level.settings.buckets[name], missed_M, map_n or 0.0)
            for name, values_M in characteristics(level).items()
        ],
    }


def characteristics(level: Level) -> dict[str, Reals]:
    """By name, (M,) the values of the characteristics asked for; without durations, of those that need none."""
    truth, duration = level.truth, level.duration
    length_M = truth.segment[:, 1] - truth.segment[:, 0]
    values: dict[str, Reals] = {}
    for name in level.settings.buckets:
        if name == "length":
            values[name] = length_M
        elif name == "instances":
            values[name] = _counts(truth.clip[:, None])
        elif name == "same_class":
            values[name] = _counts(np.column_stack([truth.clip, truth.label]))
        elif name == "overlapping":
            values[name] = level.overlapping_M.astype(np.float64)
        elif duration is not None and name == "coverage":
            # An instance that is marked longer than its clip covers all of it.
            values[name] = np.minimum(length_M / duration, 1)
        elif duration is not None and name == "edge":
            touches = (truth.segment[:, 0] <= EDGE_SECONDS) | (truth.segment[:, 1] >= duration - EDGE_SECONDS)
            values[name] = touches.astype(np.float64)
    return {name: value.round(DECIMALS) for name, value in values.items()}


def bucket_of(values_M: Reals, buckets: Buckets) -> Integers:
    """(M,) index of each value's bucket, -1 outside all."""
    edges = np.asarray(buckets.edges)
    index = np.searchsorted(edges, values_M, side="left") - 1
    index[values_M == edges[0]] = 0
    return np.where((index >= 0) & (index < len(buckets.labels)), index, -1)


def wilson(count: int, of: int) -> Interval:
    """Wilson's 95 % interval of a share, in percent."""
    low, high = binomtest(count, of).proportion_ci(0.95, method="wilson")
    return 100 * float(low), 100 * float(high)


def _counts(keys: Integers) -> Reals:
    """How many rows have the key of each row."""
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    return counts[inverse.reshape(-1)].astype(np.float64)


def _map_n(level: Level, inside_M: Flags) -> tuple[float | None, int]:
    """mAP_N in percent of the instances inside, and the number of classes; None without any."""
    claimed_Q = level.claimed_Q
    outside_Q = claimed_Q >= 0
    outside_Q[outside_Q] = ~inside_M[claimed_Q[outside_Q]]
    instances_K = np.bincount(level.truth.label[inside_M], minlength=level.classes)
    if not instances_K.any():
        return None, 0
    ap_K, _ = average_precision_n(
        (claimed_Q >= 0)[~outside_Q],
        level.predictions.label[~outside_Q],
        instances_K=instances_K,
        mean_instances=level.mean_instances,
    )
    return float(100 * np.nanmean(ap_K)), int((instances_K > 0).sum())


def _characteristic(
    level: Level, name: str, values_M: Reals, buckets: Buckets, missed_M: Flags, overall: float
) -> Characteristic:
    index_M = bucket_of(values_M, buckets)
    made: list[Bucket] = []
    for number, label in enumerate(buckets.labels):
        inside_M = index_M == number
        instances, missed = int(inside_M.sum()), int((inside_M & missed_M).sum())
        map_n, classes = _map_n(level, inside_M)
        made.append(
            {
                "label": label,
                "above": _finite(buckets.edges[number]),
                "up_to": _finite(buckets.edges[number + 1]),
                "instances": instances,
                "missed": missed,
                "rate": 100 * missed / instances if instances else None,
                "interval": wilson(missed, instances) if instances else None,
                "map_n": map_n,
                "classes": classes,
            }
        )
    known = [bucket["map_n"] for bucket in made if bucket["map_n"] is not None] or [overall]
    return {
        "name": name,
        "unit": UNITS[name],
        "buckets": made,
        "sensitivity": max(known) - min(known),
        "impact": max(known) - overall,
        "lowest": min(known) / overall if overall else None,
        "highest": max(known) / overall if overall else None,
    }


def _finite(edge: float) -> float | None:
    return edge if math.isfinite(edge) else None
