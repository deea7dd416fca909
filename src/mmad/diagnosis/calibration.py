"""Whether scores tell how often predictions are right."""

import numpy as np

from mmad.diagnosis.level import Level
from mmad.diagnosis.records import Bin, Calibration
from mmad.matching import Flags, Reals

BINS = 10


def calibration(level: Level) -> Calibration:
    """The reliability diagram of all predictions in ten bins of equal width, and the expected calibration error.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3; right means matched.
    """
    score, right = level.score, level.claimed_Q >= 0
    if not len(score):
        return {"bins": [], "error": None, "by_group": {}}
    if score.min() < 0 or score.max() > 1:
        return {"bins": None, "error": None, "by_group": {}}
    group_Q = level.group_K[level.predictions.label]
    bins = _bins(score, right)
    return {
        "bins": bins,
        "error": _error(bins),
        "by_group": {
            name: _error(_bins(score[group_Q == number], right[group_Q == number]))
            for number, name in enumerate(level.groups)
            if (group_Q == number).any()
        },
    }


def _bins(score: Reals, right: Flags) -> list[Bin]:
    index = np.clip(np.ceil(score * BINS).astype(np.int64) - 1, 0, BINS - 1)
    count = np.bincount(index, minlength=BINS)
    scores = np.bincount(index, weights=score, minlength=BINS)
    rights = np.bincount(index, weights=right, minlength=BINS)
    return [
        {
            "above": i / BINS,
            "up_to": (i + 1) / BINS,
            "count": int(count[i]),
            "score": float(scores[i] / count[i]),
            "precision": float(rights[i] / count[i]),
        }
        for i in np.flatnonzero(count).tolist()
    ]


def _error(bins: list[Bin]) -> float:
    total = sum(b["count"] for b in bins)
    return sum(b["count"] * abs(b["score"] - b["precision"]) for b in bins) / total
