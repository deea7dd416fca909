"""Writes BORIS's project files: JSON with an ethogram and, for each observation, rows of single events."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmad.errors import MmadError
from mmad.formats.boris_observation import (
    NOT_KNOWN,
    category_of,
    clip_of,
    milliseconds,
    observation_ids,
    score_comment,
)
from mmad.formats.marks import Mark
from mmad.formats.whole_file import write_whole
from mmad.taxonomy import Taxonomy

_FORMAT = "7.0"
# A project must say when it was made: with the present day, equal marks would give different files.
_DATE = "2000-01-01T00:00:00"
_ANNOTATOR = {
    "label": "annotator",
    "description": "who marked the observation",
    "type": "text",
    "default value": "",
    "possible values": "",
}


def write_boris_project(
    path: Path,
    marks: Sequence[Mark],
    *,
    taxonomy: Taxonomy | None = None,
    videos: Mapping[str, Path] | None = None,
    clips: Sequence[str] = (),
) -> None:
    """Writes a project of format 7.0 that BORIS opens, one observation per clip and annotator; times in milliseconds.

    BORIS pairs the events of a state by their order, subject, code and modifier. Marks of one class that overlap
    therefore get the modifiers `2`, `3`, ...; a score becomes the comment `score=0.87` of the first event. BORIS
    measures the length of a video when its observation is first opened, and needs it to export tables.

    Args:
        path: the file, whose name should end in `.boris`; its folder is made.
        marks: of any clips; order within an observation is that of time.
        taxonomy: classes for the ethogram, with body groups as behavioural categories; without it, the labels that
            occur, sorted.
        videos: file of each clip; a clip that is absent is expected as `<id>.mp4` beside the project.
        clips: ids that shall be there even without a mark, as observations without events.

    Raises:
        MmadError: BORIS cannot hold a mark, or a video is not named after its clip.
    """
    path = Path(path)
    ids = observation_ids(marks)
    of_observation: dict[tuple[str, str | None], list[Mark]] = {pair: [] for pair in ids}
    for mark in marks:
        of_observation[mark.clip, mark.annotator].append(mark)
    by_annotator = any(annotator is not None for _, annotator in ids)
    overlaps: Counter[str] = Counter()
    observations = {}
    for (clip, annotator), mine in of_observation.items():
        media = _media(clip, (videos or {}).get(clip), path=path)
        variables = {"annotator": annotator or ""} if by_annotator else {}
        observations[ids[clip, annotator]] = _observation_entry(_rows(mine, overlaps), media, variables)
    marked = {clip for clip, _ in ids}
    for clip in clips:
        if clip not in marked:
            media = _media(clip, (videos or {}).get(clip), path=path)
            observations[clip] = _observation_entry([], media, {"annotator": ""} if by_annotator else {})
    labels = list(dict.fromkeys([*(taxonomy.actions if taxonomy else ()), *sorted({mark.label for mark in marks})]))
    subjects = sorted({mark.subject for mark in marks if mark.subject is not None})
    project = {
        "time_format": "hh:mm:ss",
        "project_date": _DATE,
        "project_name": path.stem,
        "project_description": "",
        "project_format_version": _FORMAT,
        "subjects_conf": {
            str(number): {"key": "", "name": name, "description": ""} for number, name in enumerate(subjects)
        },
        "behaviors_conf": {
            str(number): _behavior_entry(label, taxonomy, lanes=overlaps[label]) for number, label in enumerate(labels)
        },
        "observations": observations,
        "behavioral_categories": list(dict.fromkeys(filter(None, (category_of(label, taxonomy) for label in labels)))),
        "independent_variables": {"0": _ANNOTATOR} if by_annotator else {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    # Escaped, since BORIS reads projects in the encoding of the system, which need not be UTF-8.
    write_whole(path, json.dumps(project, indent=1, ensure_ascii=True).encode("ascii"))


def _rows(marks: Iterable[Mark], overlaps: Counter[str]) -> list[list[object]]:
    """The events of an observation's marks by time; notes how many modifiers each label needs."""
    rows = []
    ends: dict[tuple[str | None, str], list[int]] = {}
    for start, end, mark in sorted(((*milliseconds(mark), mark) for mark in marks), key=lambda item: item[:2]):
        lanes = ends.setdefault((mark.subject, mark.label), [])
        lane = next((lane for lane, last in enumerate(lanes) if last <= start), len(lanes))
        lanes[lane : lane + 1] = [end]
        overlaps[mark.label] = max(overlaps[mark.label], lane)
        modifier = str(lane + 1) if lane else ""
        for time, is_start in ((start, True), (end, False)):
            comment = score_comment(mark) if is_start else ""
            row = [time / 1000, mark.subject or "", mark.label, modifier, comment, NOT_KNOWN]
            rows.append((time, is_start, row))
    # A stop comes before the start of the next at the same moment.
    return [row for *_, row in sorted(rows, key=lambda item: item[:2])]


def _observation_entry(rows: list[list[object]], media: str, variables: dict[str, str]) -> dict[str, Any]:
    return {
        "file": {str(player): [media] if player == 1 else [] for player in range(1, 9)},
        "type": "MEDIA",
        "date": _DATE,
        "description": "",
        "time offset": 0.0,
        "events": rows,
        "observation time interval": [0, 0],
        "independent_variables": variables,
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": {"length": {}, "fps": {}, "hasVideo": {}, "hasAudio": {}, "offset": {"1": 0.0}},
    }


def _behavior_entry(label: str, taxonomy: Taxonomy | None, *, lanes: int) -> dict[str, Any]:
    known = taxonomy is not None and label in taxonomy.index_of
    values = [str(lane + 1) for lane in range(1, lanes + 1)]
    return {
        "type": "State event",
        "key": "",
        "code": label,
        "description": taxonomy.codes[taxonomy.index_of[label]] if taxonomy and known else "",
        "color": "",
        "category": category_of(label, taxonomy),
        "modifiers": {"0": {"name": "overlap", "description": "", "type": 0, "values": values}} if values else {},
        "excluded": "",
        "coding map": "",
    }


def _media(clip: str, video: Path | None, *, path: Path) -> str:
    """How the project names a video: relative to its own folder where it can, as BORIS understands it."""
    if video is None:
        return f"{clip}.mp4"
    if clip_of(Path(video).name) != clip:
        raise MmadError(
            f"the video of clip {clip!r} is {video}, expected its name to be the clip's, since BORIS knows a clip by "
            "its file; rename one of them"
        )
    # Not resolved: a link may have the clip's name and its target another.
    file, folder = Path(os.path.abspath(video)), Path(os.path.abspath(path.parent))
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()
