"""All analyses of predictions at both levels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mmad.average_precision import MMAD, Protocol, Ranking, levels
from mmad.diagnosis.boundaries import boundaries
from mmad.diagnosis.calibration import calibration
from mmad.diagnosis.classes import class_rows
from mmad.diagnosis.confusion import co_occurrence, confusion
from mmad.diagnosis.false_negatives import false_negatives
from mmad.diagnosis.false_positives import false_positives
from mmad.diagnosis.level import Level, level_of, looked_up
from mmad.diagnosis.records import Diagnosis, LevelDiagnosis
from mmad.diagnosis.settings import Settings
from mmad.matching import Rows
from mmad.taxonomy import Taxonomy

Durations = Mapping[int, float | None] | Sequence[float | None]


def diagnose(
    predictions: Rows,
    ground_truth: Rows,
    *,
    taxonomy: Taxonomy,
    durations: Durations | None = None,
    settings: Settings = Settings(),  # noqa: B008
    protocol: Protocol = MMAD,
) -> Diagnosis:
    """What goes wrong: kinds of false positives, missed instances, confusions, boundaries and scores, at both levels.

    Args:
        predictions: Q scored rows with action labels, in seconds.
        ground_truth: M rows with action labels, in seconds.
        taxonomy: names of the classes and the body group of each.
        durations: seconds of each clip, by clip number; without, what needs them is left out.
        settings: mode, thresholds and buckets.
        protocol: how Detection-mAP is counted. The mode "detad" keeps repeated ground truth.

    Returns:
        The record of diagnosis.json.

    Raises:
        MmadError: as in `mmad.average_precision.detection_map`.

    >>> import numpy as np
    >>> from mmad.taxonomy import MMA52
    >>> truth = Rows(np.array([0, 0]), np.array([8, 9]), np.array([[0.0, 2.0], [1.0, 4.0]]))
    >>> found = Rows(np.array([0, 0]), np.array([8, 9]), np.array([[0.1, 2.0], [3.0, 4.0]]), np.array([0.9, 0.4]))
    >>> errors = diagnose(found, truth, taxonomy=MMA52)["action"]["false_positives"]
    >>> dict(zip(errors["kinds"], errors["total"]))["localisation"]
    1
    """
    if settings.mode == "detad":
        ground_truth = _detad_truth(ground_truth, durations)
        protocol = replace(protocol, drop_duplicates=False)
    action, body = levels(predictions, ground_truth, taxonomy=taxonomy, protocol=protocol)
    return {
        "mode": settings.mode,
        "threshold": settings.threshold,
        "background": settings.background,
        "action": _analyses(action_level(action, taxonomy=taxonomy, durations=durations, settings=settings), action),
        "body": _analyses(_body_level(body, taxonomy=taxonomy, durations=durations, settings=settings), body),
    }


def action_level(ranking: Ranking, *, taxonomy: Taxonomy, durations: Durations | None, settings: Settings) -> Level:
    """The action level, prepared for analyses."""
    return level_of(
        ranking,
        names=taxonomy.actions,
        codes=taxonomy.codes,
        group_K=taxonomy.body_of,
        groups=taxonomy.bodies,
        durations=durations,
        settings=settings,
    )


def _body_level(ranking: Ranking, *, taxonomy: Taxonomy, durations: Durations | None, settings: Settings) -> Level:
    return level_of(
        ranking,
        names=taxonomy.bodies,
        codes=("",) * len(taxonomy.bodies),
        group_K=range(len(taxonomy.bodies)),
        groups=taxonomy.bodies,
        durations=durations,
        settings=settings,
    )


def _detad_truth(truth: Rows, durations: Durations | None) -> Rows:
    """Ground truth without what DETAD drops: rows without extent, and longer than their clip."""
    length = truth.segment[:, 1] - truth.segment[:, 0]
    kept = length > 0
    if durations is not None:
        seconds = [math.inf if known is None else known for known in looked_up(truth.clip, durations)]
        kept &= length <= seconds
    return truth.take(kept)


def _analyses(level: Level, ranking: Ranking) -> LevelDiagnosis:
    return {
        "false_positives": false_positives(level),
        "false_negatives": false_negatives(level),
        "kept_misses": false_negatives(level.only(level.kept_Q)),
        "classes": class_rows(level, ranking),
        "confusion": confusion(level),
        "co_occurrence": co_occurrence(level),
        "boundaries": boundaries(level),
        "calibration": calibration(level),
    }
