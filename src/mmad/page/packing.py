"""Clips as flat lists of small numbers, so that the report of a whole validation split stays a few megabytes."""

from collections.abc import Sequence
from typing import Any

from mmad.diagnosis.records import Diagnosis, ShownClip, ShownPrediction
from mmad.taxonomy import Taxonomy

TRUTH_FIELDS = ("start", "end", "label", "match", "missed")
PREDICTION_FIELDS = ("start", "end", "label", "score", "kind", "kept", "tiou", "other", "truth", "other_truth")


def pack_clips(clips: Sequence[ShownClip], *, diagnosis: Diagnosis, taxonomy: Taxonomy) -> dict[str, Any]:
    """Clips in the form that the page's script reads.

    Times become whole milliseconds and tIoUs whole thousandths; None becomes -1. Whether a prediction is "kept" is
    decided here, because a rounded score could fall on the wrong side of its class's best score.

    Args:
        clips: what the page shows.
        diagnosis: gives each class's best score.
        taxonomy: names the classes.

    Returns:
        "reasons": names of the reasons for misses; "clips": a list per clip of id, subject, duration in seconds, video,
        hidden, the flat `TRUTH_FIELDS` and the flat `PREDICTION_FIELDS`.
    """
    action = diagnosis["action"]
    best = {row["name"]: row["best_score"] for row in action["classes"]}
    best_of = [best.get(name) for name in taxonomy.actions]
    named = [row["missed"] for clip in clips for row in clip["truth"] if row["missed"] is not None]
    reasons = list(dict.fromkeys([*action["false_negatives"]["reasons"], *named]))
    packed: list[list[Any]] = []
    for clip in clips:
        truth: list[int] = []
        for row in clip["truth"]:
            missed = -1 if row["missed"] is None else reasons.index(row["missed"])
            truth += [_thousandths(row["start"]), _thousandths(row["end"]), row["label"], _index(row["match"]), missed]
        predictions: list[int | float] = []
        for found in clip["predictions"]:
            predictions += _packed(found, least=best_of[found["label"]])
        packed.append(
            [clip["id"], clip["subject"], round(clip["duration"], 3), clip["video"], clip["hidden"], truth, predictions]
        )
    return {"reasons": reasons, "clips": packed}


def _packed(row: ShownPrediction, *, least: float | None) -> list[int | float]:
    return [
        _thousandths(row["start"]),
        _thousandths(row["end"]),
        row["label"],
        float(f"{row['score']:.4g}"),
        row["kind"],
        int(least is not None and row["score"] >= least),
        _thousandths(row["tiou"]),
        _thousandths(row["other"]),
        _index(row["truth"]),
        _index(row["other_truth"]),
    ]


def _thousandths(value: float | None) -> int:
    return -1 if value is None else round(1000 * value)


def _index(value: int | None) -> int:
    return -1 if value is None else value
