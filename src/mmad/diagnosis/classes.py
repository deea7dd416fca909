"""One row per class: how well it is found, and what goes wrong with it."""

import numpy as np

from mmad.average_precision import Ranking
from mmad.diagnosis.boundaries import offsets
from mmad.diagnosis.false_positives import kinds_of, rows_of_kinds
from mmad.diagnosis.level import Level
from mmad.diagnosis.records import ClassRow
from mmad.matching import Reals


def class_rows(level: Level, ranking: Ranking) -> list[ClassRow]:
    """Rows of the classes that have ground truth or predictions, in index order.

    Args:
        level: the level.
        ranking: the same level, matched at the thresholds of Detection-mAP.
    """
    ap_KT = 100 * ranking.average_precision()
    at_K = 100 * _ap_at(level)
    claimed_Q, kept_Q, label_Q = level.kept_claims_Q, level.kept_Q, level.predictions.label
    predicted_K = np.bincount(label_Q, minlength=level.classes)
    kept_K = np.bincount(label_Q[kept_Q], minlength=level.classes)
    right_K = np.bincount(label_Q[claimed_Q >= 0], minlength=level.classes)
    errors = rows_of_kinds(level, kinds_of(level, claimed_Q), kept_Q)
    off_P2, pair_P = offsets(level)
    rows: list[ClassRow] = []
    for k in np.flatnonzero((level.instances_K > 0) | (predicted_K > 0)).tolist():
        instances, kept, right = int(level.instances_K[k]), int(kept_K[k]), int(right_K[k])
        off = off_P2[label_Q[pair_P] == k]
        rows.append(
            {
                "name": level.names[k],
                "code": level.codes[k],
                "group": level.groups[level.group_K[k]],
                "instances": instances,
                "predictions": int(predicted_K[k]),
                "ap": float(ap_KT[k].mean()) if instances else None,
                "ap_50": float(at_K[k]) if instances else None,
                "best_score": float(level.best_score_K[k]) if right else None,
                "kept": kept,
                "precision": 100 * right / max(kept, 1) if instances else None,
                "recall": 100 * right / instances if instances else None,
                "f1": 200 * right / (kept + instances) if instances else None,
                "errors": errors[k],
                "missed": instances - right,
                "onset": float(np.median(off[:, 0])) if len(off) else None,
                "offset": float(np.median(off[:, 1])) if len(off) else None,
            }
        )
    return rows


def _ap_at(level: Level) -> Reals:
    """(K,) plain AP at the analysis' threshold."""
    ranking = Ranking(
        level.predictions, level.order, level.truth, level.claimed_Q[:, None], level.classes, level.protocol
    )
    return ranking.average_precision()[:, 0]
