"""Marks in a table, one row each: what a spreadsheet or a script of one's own writes for a folder of clips."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.annotated import Annotations, check_agrees, split_name, to_write
from mmad.formats.fields import real_number, whole_number
from mmad.formats.marks import Mark, checked
from mmad.formats.named_table import NamedTable, clip_id, folder_of, read_named_table
from mmad.formats.whole_file import write_whole
from mmad.timebase import frame_to_seconds

CLIP_NAMES = ("video", "clip", "video_id", "clip_id", "file", "filename", "file_name", "id")
_NAMES = {
    "clip": CLIP_NAMES,
    "label": ("label", "class", "action", "behavior", "behaviour"),
    "start": ("start", "t_start", "start_s", "start_sec", "start_seconds", "start_time", "start_time_s"),
    "end": ("end", "t_end", "end_s", "end_sec", "end_seconds", "end_time", "end_time_s"),
    "start_frame": ("start_frame", "frame_start"),
    "end_frame": ("end_frame", "frame_end"),
    "fps": ("fps",),
    "subject": ("subject",),
    "annotator": ("annotator",),
    "score": ("score",),
    "split": ("split", "subset"),
}
_SECONDS, _FRAMES = ("start", "end"), ("start_frame", "end_frame")


def read_csv_marks(
    path: Path, *, fps: float | Mapping[str, float] | None = None, on_fault: OnFault = refuse
) -> Annotations:
    """Marks from a table with a header, separated by commas, semicolons or tabs.

    Columns, in any case and order: the clip (`video`, `clip`, `video_id`, `file`, `filename` or `id`; a folder and a
    video's ending are left out of the id), `label` (or `class`, `action`, `behavior`), and `start` and `end` in seconds
    (or `t_start`, `Start (s)`, ...), or else `start_frame` and `end_frame`: times are then frame / fps, so the end
    frame is the first one that is no longer part of the action. Optional: `fps`, `subject`, `annotator`, `score` and
    `split`. Other columns are not read. A row with nothing but its clip names a clip in which nothing happens.

    Args:
        path: the file.
        fps: frames per second of all clips or of each, for frames in a file or row without `fps`.
        on_fault: told of rows that cannot be right, which are left out; among them are rows that give a clip a second
            split, subject or folder.

    Raises:
        MmadError: the file is missing or no such table, a column is missing, or frames cannot become seconds.
    """
    table = read_named_table(path, names=_NAMES)
    table.require("clip", what="the clip")
    table.require("label", what="the label")
    times = _times(table, fps)
    marks: list[Mark] = []
    folders: dict[str, str] = {}
    split_of: dict[str, str] = {}
    subjects: dict[str, str] = {}
    clips: dict[str, None] = {}
    rates: dict[str, float] = {}
    for where, row in table.fields(on_fault=on_fault):
        try:
            clip = clip_id(row["clip"])
            if not clip:
                raise MmadError(f"{where}: the clip is {row['clip']!r}, expected its id; complete or remove the row")
            facts = (
                (folders, "folder", folder_of(row["clip"])),
                (split_of, "split", split_name(row.get("split", ""))),
                (subjects, "subject", row.get("subject", "")),
            )
            for known, what, value in facts:
                if value:
                    check_agrees(known, clip, value, what=what, where=where)
            mark = _mark(table, row, clip=clip, times=times, fps=fps, where=where)
        except MmadError as fault:
            fault.clip = clip_id(row["clip"]) or None
            on_fault(fault)
            continue
        clips[clip] = None
        for known, _, value in facts:
            if value:
                known[clip] = value
        if mark is not None:
            marks.append(mark)
            if times == _FRAMES:
                rates[clip] = _rate(table, row.get("fps", ""), clip=clip, fps=fps, where=where)
    return Annotations(marks, list(clips), split_of, subjects, fps=rates)


def write_csv_marks(path: Path, annotations: Annotations | Iterable[Mark]) -> None:
    """Writes a table with `clip`, `start`, `end`, `label`, and of subject, annotator, score and split what occurs.

    Seconds and scores are in full precision, so marks come back equal and in order. Clips without a mark follow in rows
    of their own, as do subjects that no mark names. Durations are not written.

    Args:
        path: the file; its folder is made.
        annotations: marks, or marks and what is known of their clips.

    Raises:
        MmadError: a mark does not last, a clip has two subjects, an id is a path, or a name would not come back.
    """
    known = to_write(annotations)
    for clip in known.clips:
        if clip_id(clip) != clip:
            raise MmadError(f"clip id {clip!r} is a file name or a path, expected {clip_id(clip)!r}; use the bare id")
    rows: list[dict[str, str]] = []
    for mark in known.marks:
        row = {"clip": mark.clip, "start": repr(float(mark.start)), "end": repr(float(mark.end)), "label": mark.label}
        if mark.score is not None:
            row["score"] = repr(float(mark.score))
        rows.append(row | {what: getattr(mark, what) for what in ("subject", "annotator") if getattr(mark, what)})
    marked = {mark.clip for mark in known.marks}
    named = {mark.clip for mark in known.marks if mark.subject}
    for clip in known.clips:
        if clip in known.subjects and clip not in named:
            rows.append({"clip": clip, "subject": known.subjects[clip]})
        elif clip not in marked:
            rows.append({"clip": clip})
    for row in rows:
        if row["clip"] in known.split_of:
            row["split"] = known.split_of[row["clip"]]
    optional = [name for name in ("subject", "annotator", "score", "split") if any(name in row for row in rows)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["clip", "start", "end", "label", *optional], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(Path(path), text.getvalue().encode())


def _times(table: NamedTable, fps: float | Mapping[str, float] | None) -> tuple[str, str]:
    """The columns that hold the times: seconds where there are both kinds."""
    has = table.columns
    in_seconds, in_frames = (all(name in has for name in kind) for kind in (_SECONDS, _FRAMES))
    if in_frames and not in_seconds:
        if fps is None and "fps" not in has:
            raise MmadError(
                f"{table.source} gives times in frames and has no column 'fps', so they cannot become seconds; give "
                "fps, or add that column"
            )
        return _FRAMES
    wanted = _FRAMES if any(name in has for name in _FRAMES) and not any(name in has for name in _SECONDS) else _SECONDS
    for name in wanted:
        table.require(name, what=name.replace("_", " ") if wanted == _FRAMES else f"the {name} in seconds")
    return _SECONDS


def _mark(
    table: NamedTable,
    row: Mapping[str, str],
    *,
    clip: str,
    times: tuple[str, str],
    fps: float | Mapping[str, float] | None,
    where: str,
) -> Mark | None:
    """The mark of a row, None if it names a clip only."""
    label, score = row["label"], row.get("score", "")
    if not (label or row[times[0]] or row[times[1]]):
        return None
    if not label:
        raise MmadError(f"{where}: label is empty, expected the name of a class; complete or remove the row")
    if times == _SECONDS:
        start, end = (table.number(row[name], what=name, where=where) for name in times)
    else:
        rate = _rate(table, row.get("fps", ""), clip=clip, fps=fps, where=where)
        start, end = (frame_to_seconds(whole_number(row[name], what=name, where=where), rate) for name in times)
    return checked(
        Mark(
            clip,
            start,
            end,
            label,
            subject=row.get("subject") or None,
            annotator=row.get("annotator") or None,
            score=table.number(score, what="score", where=where) if score else None,
            where=where,
        )
    )


def _rate(table: NamedTable, text: str, *, clip: str, fps: float | Mapping[str, float] | None, where: str) -> float:
    """Frames per second of a row: its own, or else those of the argument."""
    given = fps.get(clip) if isinstance(fps, Mapping) else fps
    if not text and given is None:
        raise MmadError(f"{where}: fps of clip {clip!r} is not known; give it, or complete the column 'fps'")
    rate = table.number(text, what="fps", where=where) if text else real_number(given, what="fps", where=where)
    if rate <= 0:
        raise MmadError(f"{where}: fps is {rate:g}, expected more than 0; correct it")
    return rate
