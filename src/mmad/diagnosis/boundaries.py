"""How far predicted starts and ends are from the true ones."""

import numpy as np

from mmad.diagnosis.false_negatives import DECIMALS, bucket_of
from mmad.diagnosis.level import Level
from mmad.diagnosis.records import Boundaries, Offsets
from mmad.diagnosis.settings import BUCKETS
from mmad.matching import Integers, Reals

EDGES = tuple(round(-2 + 0.2 * i, 1) for i in range(21))
TOLERANCES = (0.1, 0.25, 0.5, 1.0)


def boundaries(level: Level) -> Boundaries:
    """Errors at both ends, of kept predictions and the instances that they match at the low threshold.

    Matching at the threshold that decides what is right would hide the large errors.
    """
    off_P2, prediction_P = offsets(level)
    segment_P2 = level.truth.segment[level.loose_Q[prediction_P]]
    length_P = segment_P2[:, 1] - segment_P2[:, 0]
    buckets = level.settings.buckets.get("length", BUCKETS["length"])
    index_P = bucket_of(length_P.round(DECIMALS), buckets)
    ratio_P = 1 + (off_P2[:, 1] - off_P2[:, 0]) / length_P
    near = {limit: 100 * (np.abs(off_P2) <= limit).mean(axis=0) for limit in TOLERANCES if len(off_P2)}
    return {
        "onset": summary(off_P2[:, 0]),
        "offset": summary(off_P2[:, 1]),
        "by_length": [
            (label, summary(off_P2[index_P == number, 0]), summary(off_P2[index_P == number, 1]))
            for number, label in enumerate(buckets.labels)
        ],
        "edges": list(EDGES),
        "onset_histogram": _histogram(off_P2[:, 0]),
        "offset_histogram": _histogram(off_P2[:, 1]),
        "within": {f"{limit:g}": (float(share[0]), float(share[1])) for limit, share in near.items()},
        "length_ratio": float(np.median(ratio_P)) if len(ratio_P) else None,
    }


def offsets(level: Level) -> tuple[Reals, Integers]:
    """(P, 2) predicted minus true start and end in seconds of the matched pairs, and (P,) the predictions' rows."""
    pair_P = np.flatnonzero(level.kept_Q & (level.loose_Q >= 0))
    difference = level.predictions.segment[pair_P] - level.truth.segment[level.loose_Q[pair_P]]
    return difference.round(DECIMALS), pair_P


def summary(seconds_P: Reals) -> Offsets:
    """Quartiles and mean size of differences in seconds."""
    if not len(seconds_P):
        return {"pairs": 0, "median": None, "lower": None, "upper": None, "absolute": None}
    lower, median, upper = np.percentile(seconds_P, [25, 50, 75]).tolist()
    return {
        "pairs": len(seconds_P),
        "median": median,
        "lower": lower,
        "upper": upper,
        "absolute": float(np.abs(seconds_P).mean()),
    }


def _histogram(seconds_P: Reals) -> list[int]:
    return np.bincount(np.searchsorted(EDGES, seconds_P, side="right"), minlength=len(EDGES) + 1).tolist()
