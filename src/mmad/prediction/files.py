"""The files that a video's detections become: for programs, for annotation tools, for players, and to look at."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmad.errors import MmadError
from mmad.formats.annotated import Annotations
from mmad.formats.boris import write_boris_table
from mmad.formats.csv_marks import write_csv_marks
from mmad.formats.elan import write_elan
from mmad.formats.marks import Mark, predicted_marks
from mmad.formats.predictions import write_predictions
from mmad.formats.webvtt import write_webvtt
from mmad.formats.whole_file import numbered
from mmad.plots.style import save
from mmad.prediction.detections import Detections

ENDINGS = (".json", ".csv", ".eaf", ".boris.csv", ".vtt", ".png")
"""Of the files of one video."""


def write_detections(folder: Path, name: str, detections: Detections, *, told: Mapping[str, Any]) -> list[Path]:
    """Writes the files of one video; the JSON holds everything, the others what is shown.

    The JSON is there first, unfinished, so that what a stopped process left is known as ours; finished results, which
    somebody may have corrected, get a number.

    Args:
        folder: where to.
        name: of the video in the folder, and its id in the JSON; may hold slashes.
        detections: of the video.
        told: plain data on how they were made, for `external_data` of the JSON.

    Returns:
        The files, in the order of `ENDINGS`.

    Raises:
        MmadError: one cannot be written.
    """
    paths = [folder / f"{name}{ending}" for ending in ENDINGS]
    results, table, elan, boris, captions, picture = paths
    clip, taxonomy = detections.video.stem, detections.taxonomy
    if results.exists() and not told_of(results)["unfinished"]:
        for path in filter(Path.exists, paths):
            path.rename(numbered(path))
    write_predictions(results, {}, taxonomy=taxonomy, told={**told, "unfinished": True})
    marks: list[Mark] = predicted_marks({clip: detections.shown}, taxonomy=taxonomy)
    write_csv_marks(table, Annotations(marks, [clip]))
    write_elan(elan, marks, video=detections.video, taxonomy=taxonomy)
    write_boris_table(boris, marks, taxonomy=taxonomy)
    write_webvtt(captions, marks)
    try:
        save(detections.plot(), picture.with_suffix(""), formats=["png"])
    except OSError as error:
        raise MmadError(f"{picture} cannot be written ({error.strerror}); make room, or move what is there") from error
    write_predictions(results, {name: detections.found}, taxonomy=taxonomy, told={**told, "unfinished": False})
    return paths


def told_of(path: Path) -> dict[str, Any]:
    """What a JSON of `write_detections` says of how it was made.

    Raises:
        MmadError: the file is another one.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["external_data"]
        return {name: told[name] for name in ("checkpoint", "threshold", "video", "unfinished")}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise MmadError(
            f"{path} lies where the detections of a video go, and was not written by mmad-predict; choose another "
            f"output=..."
        ) from error


def is_combined(path: Path) -> bool:
    """Whether a file is the one that `mmad-predict` writes for all videos."""
    try:
        return {"thresholds", "videos"} <= json.loads(path.read_text(encoding="utf-8"))["external_data"].keys()
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return False
