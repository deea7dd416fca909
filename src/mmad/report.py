"""What a run leaves behind: its table, metrics.json, predictions.json and a picture of what was found."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmad.annotations import Clip
from mmad.average_precision import DetectionReport
from mmad.data.video import read_frames
from mmad.formats.predictions import write_predictions
from mmad.plots.timeline import Strip, plot_timelines
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy

SHOWN_CLIPS = 4
SHOWN_FRAMES = 12
FRAME_PIXELS = 120


def table(report: DetectionReport) -> str:
    """Detection-mAP in percent as aligned text: the columns of the MMAD paper's Table 3."""
    columns = ("0.2", "0.5", "0.7")
    lines = [f"{'Detection-mAP (%)':<18}" + "".join(f"{'@' + c:>8}" for c in columns) + f"{'Avg':>8}"]
    for level in ("action", "body"):
        values = [report[level]["map"][c] for c in columns] + [report[level]["avg"]]
        lines.append(f"{level:<18}" + "".join(f"{value:>8.2f}" for value in values))
    lines.append(f"{'AVG':<18}" + " " * 8 * len(columns) + f"{report['avg']:>8.2f}")
    return "\n".join(lines)


def write_metrics(folder: Path, report: DetectionReport) -> Path:
    """Writes metrics.json: percentages by level, threshold and class."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path


def write_outcome(
    folder: Path,
    *,
    report: DetectionReport | None,
    clips: Sequence[Clip],
    detections: Mapping[int, Segments],
    taxonomy: Taxonomy,
) -> list[Path]:
    """Writes metrics.json, predictions.json and timeline.png, in this order.

    Args:
        folder: the run's folder.
        report: Detection-mAP; None where no clip has ground truth.
        clips: the evaluated clips.
        detections: of each clip, by its index, in seconds.
        taxonomy: the classes.

    Returns:
        The files written.
    """
    written = [] if report is None else [write_metrics(folder, report)]
    predictions = folder / "predictions.json"
    write_predictions(
        predictions,
        {clips[index].id: found for index, found in sorted(detections.items())},
        taxonomy=taxonomy,
    )
    strips = [_strip(clips[index], detections[index]) for index in _samples(clips, sorted(detections))]
    timeline = plot_timelines(folder / "timeline.png", strips, taxonomy=taxonomy)
    return [*written, predictions, timeline]


def _samples(clips: Sequence[Clip], indices: Sequence[int]) -> list[int]:
    """Clips evenly spread over the split, so that the choice flatters nobody."""
    if len(indices) <= SHOWN_CLIPS:
        return list(indices)
    return [indices[i] for i in np.linspace(0, len(indices) - 1, SHOWN_CLIPS).round().astype(int)]


def _strip(clip: Clip, detections: Segments) -> Strip:
    times = (np.arange(SHOWN_FRAMES) + 0.5) / SHOWN_FRAMES * clip.duration
    frames = read_frames(clip.path, times, fps=clip.fps, short_side=FRAME_PIXELS)
    return Strip(clip, detections, frames.permute(0, 2, 3, 1).numpy())
