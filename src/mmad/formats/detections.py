"""Collects scored segments, as they come from a file, by clip."""

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import torch

from mmad.segments import Segments


class Detection(NamedTuple):
    """One scored segment: clip id, start and end in seconds, class index, score."""

    clip: str
    start: float
    end: float
    label: int
    score: float


def by_clip(detections: Iterable[Detection], *, source: str, clips: Iterable[str] = ()) -> dict[str, Segments]:
    """Predictions of each clip, in file order, float64 in seconds.

    Segments that end before they start are dropped; one warning counts them. Ties and repeats stay.

    Args:
        detections: scored segments in any order of clips.
        source: name of the file, for the warning.
        clips: ids that shall be there even without a detection.
    """
    rows: dict[str, list[Detection]] = {clip: [] for clip in clips}
    total = dropped = 0
    for detection in detections:
        total += 1
        kept = rows.setdefault(detection.clip, [])
        if detection.end < detection.start:
            dropped += 1
        else:
            kept.append(detection)
    if dropped:
        warnings.warn(f"{source}: dropped {dropped} of {total} predictions that end before they start", stacklevel=3)
    return {clip: _segments(kept) for clip, kept in rows.items()}


def _segments(detections: list[Detection]) -> Segments:
    return {
        "segments": torch.tensor([(d.start, d.end) for d in detections], dtype=torch.float64).reshape(-1, 2),
        "labels": torch.tensor([d.label for d in detections], dtype=torch.long),
        "scores": torch.tensor([d.score for d in detections], dtype=torch.float64),
    }
