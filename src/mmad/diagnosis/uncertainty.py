"""How far numbers would move with other people or other clips: the bootstrap of Detection-mAP.

Matching is done once: a clip that is drawn twice counts twice, predictions and instances alike. Letters: D draws,
U units (subjects or clips), K classes, T thresholds, H predictions of a class that match at any threshold.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from mmad.average_precision import Ranking
from mmad.diagnosis.records import Interval
from mmad.errors import MmadError
from mmad.matching import Integers, Reals

CONFIDENCE = (2.5, 97.5)


def draw_weights(units: int, *, draws: int, seed: int = 0) -> Reals:
    """How often each unit is drawn when as many are drawn with replacement as there are.

    Args:
        units: U.
        draws: D; there are none where U is 1, since then nothing can vary.
        seed: of the draws.

    Returns:
        (D, U) counts, each row with the sum U.

    Raises:
        MmadError: a negative number of draws.
    """
    if draws < 0:
        raise MmadError(f"{draws} draws of the bootstrap, expected 0 or more.")
    if units == 1:
        return np.zeros((0, 1))
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=draws).astype(np.float64)


def weighted_average_precision(ranking: Ranking, unit_of: Sequence[int] | Integers, weights_DU: Reals) -> Reals:
    """AP of each class if every unit counted as often as its weight says.

    Args:
        ranking: one level, matched.
        unit_of: (V,) unit of each clip, by clip number.
        weights_DU: (D, U) non-negative.

    Returns:
        (D, K, T) fractions; NaN where a draw has no instance of a class.
    """
    unit_of = np.asarray(unit_of, dtype=np.int64)
    unit_Q, unit_M = unit_of[ranking.predictions.clip], unit_of[ranking.truth.clip]
    weights_UD = np.ascontiguousarray(weights_DU.T)
    bounds, claimed_QT = ranking.bounds, ranking.claimed_QT
    draws, thresholds = len(weights_DU), claimed_QT.shape[1]
    result_DKT = np.full((draws, ranking.classes, thresholds), np.nan)
    for label in np.flatnonzero(ranking.instances_K):
        first, last = bounds[label], bounds[label + 1]
        instances_D = weights_DU @ np.bincount(unit_M[ranking.truth.label == label], minlength=len(weights_UD))
        hits_QT = claimed_QT[first:last] >= 0
        found_H = np.flatnonzero(hits_QT.any(axis=1))
        # Precision is needed at hits only, where the envelope has its corners: what lies between two of them is summed.
        block = np.searchsorted(found_H, np.arange(last - first))
        inside = block < len(found_H)
        counts_HU = csr_array(
            (np.ones(inside.sum()), (block[inside], unit_Q[first:last][inside])), shape=(len(found_H), len(weights_UD))
        )
        seen_HD = np.cumsum(counts_HU @ weights_UD, axis=0)
        weight_HD = weights_UD[unit_Q[first:last][found_H]]
        for t in range(thresholds):
            hit_H = hits_QT[found_H, t]
            weight, seen = weight_HD[hit_H], seen_HD[hit_H]
            precision = np.cumsum(weight, axis=0) / np.maximum(seen, 1e-12)
            envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
            with np.errstate(invalid="ignore", divide="ignore"):
                result_DKT[:, label, t] = np.where(
                    instances_D > 0, (envelope * weight).sum(axis=0) / instances_D, np.nan
                )
    return result_DKT


def mean_of_classes(ap_DKT: Reals, *, all_classes: bool = False) -> Reals:
    """(D, T) mean over the classes that a draw holds; NaN for a draw without any.

    Args:
        ap_DKT: (D, K, T) with NaN for absent classes.
        all_classes: absent classes count as 0 instead.
    """
    there = ~np.isnan(ap_DKT)
    total, count = np.where(there, ap_DKT, 0).sum(axis=1), there.sum(axis=1)
    mean = total / (ap_DKT.shape[1] if all_classes else np.maximum(count, 1))
    return np.where(count > 0, mean, np.nan)


def interval(value: float, draws: Reals, *, lowest: float = 0.0) -> Interval | None:
    """The basic 95 % bootstrap interval: the draws' distances from the whole, turned round.

    Plain percentiles lie too high here: a draw repeats people and misses rare classes, and both raise the mean AP.
    With few people this interval is too narrow as well, if less so (`benchmarks/interval_coverage.py`).

    Args:
        value: the statistic of the whole, in percent.
        draws: (D,) its values in the draws; NaN where a draw does not have it.
        lowest: what the statistic cannot fall below; the highest is 100.

    Returns:
        Bounds; None without a draw that has the statistic.

    Source: Davison and Hinkley, "Bootstrap Methods and their Application" (1997), equation 5.6.
    """
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return None
    low, high = np.percentile(draws, CONFIDENCE)
    return max(float(2 * value - high), lowest), min(float(2 * value - low), 100.0)
