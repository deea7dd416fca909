"""Clips with their instances, predictions and the kinds of errors: what the report's viewer shows."""

from collections.abc import Sequence

import numpy as np

from mmad.annotations import Truth
from mmad.average_precision import MMAD, Protocol, levels
from mmad.diagnosis.analysis import action_level
from mmad.diagnosis.false_negatives import REASONS, reasons_of
from mmad.diagnosis.false_positives import kinds_of
from mmad.diagnosis.records import ShownClip, ShownPrediction, ShownTruth
from mmad.diagnosis.settings import Settings
from mmad.matching import Rows, table
from mmad.taxonomy import Taxonomy

SHOWN = 50
"""Predictions shown per clip, best score first; all that are kept or claim an instance come on top of that."""


def shown_clips(
    predictions: Rows,
    clips: Sequence[Truth],
    *,
    taxonomy: Taxonomy,
    settings: Settings = Settings(),  # noqa: B008
    protocol: Protocol = MMAD,
    videos: Sequence[str | None] | None = None,
) -> list[ShownClip]:
    """What the page shows of each clip, judged at action level.

    Args:
        predictions: scored rows with action labels, clips numbered as in `clips`.
        clips: ground truth of each clip.
        taxonomy: the classes.
        settings: thresholds and mode.
        protocol: how to count.
        videos: address of each clip's video as the page shall load it; None for no videos.

    Raises:
        MmadError: as in `mmad.average_precision.detection_map`.
    """
    truth = Rows.of([clip.segments() for clip in clips])
    ranking, _ = levels(predictions, truth, taxonomy=taxonomy, protocol=protocol)
    level = action_level(ranking, taxonomy=taxonomy, durations=None, settings=settings)
    own, other, _ = level.overlaps
    kept = level.only(level.kept_Q)
    # Kept predictions are judged among themselves, as in the tables; weaker ones among all.
    kind_Q = np.where(level.kept_Q, kinds_of(level, level.kept_claims_Q), kinds_of(level, level.claimed_Q))
    missed_M, reason_M = ~kept.matched(kept.claimed_Q), reasons_of(kept)
    telling_Q = level.kept_Q | (level.claimed_Q >= 0)
    by_score = level.by_score
    rows_of_clip = table(level.predictions.clip[by_score], len(clips))
    truth_of_clip = table(level.truth.clip, len(clips))
    place_M = np.zeros(len(level.truth), dtype=np.int64)
    for rows in truth_of_clip:
        place_M[rows[rows >= 0]] = np.arange((rows >= 0).sum())

    shown: list[ShownClip] = []
    for number, clip in enumerate(clips):
        every = by_score[rows_of_clip[number][rows_of_clip[number] >= 0]] if rows_of_clip.shape[1] else by_score[:0]
        some = every[(np.arange(len(every)) < SHOWN) | telling_Q[every]]
        instances = truth_of_clip[number][truth_of_clip[number] >= 0]
        claims = {int(level.claimed_Q[q]): place for place, q in enumerate(some) if level.claimed_Q[q] >= 0}
        ends = [*level.predictions.segment[some, 1], *level.truth.segment[instances, 1]]
        truths: list[ShownTruth] = [
            {
                "start": float(level.truth.segment[m, 0]),
                "end": float(level.truth.segment[m, 1]),
                "label": int(level.truth.label[m]),
                "match": claims.get(int(m)),
                "missed": REASONS[reason_M[m]] if missed_M[m] else None,
            }
            for m in instances
        ]
        found: list[ShownPrediction] = []
        for q in some:
            claimed = level.claimed_Q[q]
            nearest = claimed if claimed >= 0 else own.row[q]
            found.append(
                {
                    "start": float(level.predictions.segment[q, 0]),
                    "end": float(level.predictions.segment[q, 1]),
                    "label": int(level.predictions.label[q]),
                    "score": float(level.score[q]),
                    "kind": int(kind_Q[q]),
                    "tiou": float(own.tiou[q]) if own.row[q] >= 0 else None,
                    "other": float(other.tiou[q]) if other.row[q] >= 0 else None,
                    "truth": int(place_M[nearest]) if nearest >= 0 else None,
                    "other_truth": int(place_M[other.row[q]]) if other.row[q] >= 0 else None,
                }
            )
        shown.append(
            {
                "id": clip.id,
                "subject": clip.subject,
                "duration": clip.duration or max(ends, default=1.0),
                "video": videos[number] if videos else None,
                "truth": truths,
                "predictions": found,
                "hidden": len(every) - len(some),
            }
        )
    return shown
