"""Marks in ActivityNet's JSON layout, which THUMOS14 and OpenTAD share: many clips, their splits and durations."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.activitynet import annotations_of, duration_of, entries_of, named_subject, segment_of
from mmad.formats.annotated import Annotations, check_name, split_name, to_write
from mmad.formats.fields import nearest, real_number
from mmad.formats.marks import Mark, checked
from mmad.formats.whole_file import write_whole
from mmad.taxonomy import Taxonomy

_SUBSETS = {"train": "training", "val": "validation", "test": "testing"}


def read_json_marks(path: Path, *, subset: str | None = None, on_fault: OnFault = refuse) -> Annotations:
    """Marks from a ground-truth file, labels as it writes them.

    The subsets `training`, `validation` and `testing` are the splits `train`, `val` and `test`; others keep their name.
    Subjects are those that the file names: an id that begins with one, as in MMA-52, is only an id here. A subject is
    that of all marks of its clip. Marks that repeat others or reach beyond the duration stay.

    Args:
        path: the JSON file.
        subset: `training`, `validation`, `testing` or however the file calls them; a beginning is enough. None takes
            all.
        on_fault: told of annotations and of whole entries that cannot be right, which are left out.

    Raises:
        MmadError: the file is missing or has another layout, or the subset is unknown.
    """
    found = Annotations([], [])
    for clip, entry in entries_of(Path(path), subset=subset).items():
        where = f"{path}, clip {clip!r}"
        try:
            rows = annotations_of(entry, where=where)
            split = _name(entry.get("subset"), what="subset", where=where)
            subject = _name(named_subject(entry, where=where), what="subject", where=where)
            duration = _finite(duration_of, entry, where=where)
            check_name(clip, what="id", where=where)
        except MmadError as fault:
            fault.clip = clip
            on_fault(fault)
            continue
        marks = []
        for number, row in enumerate(rows, start=1):
            try:
                marks.append(_mark(row, clip=clip, subject=subject, where=f"{where}, annotation {number}"))
            except MmadError as fault:
                fault.clip = clip
                on_fault(fault)
        if rows and not marks:
            continue
        found.marks.extend(marks)
        found.clips.append(clip)
        if split is not None:
            found.split_of[clip] = split_name(split)
        if subject is not None:
            found.subjects[clip] = subject
        if duration is not None:
            found.durations[clip] = duration
    return found


def write_json_marks(
    path: Path, annotations: Annotations | Iterable[Mark], *, taxonomy: Taxonomy | None = None, version: str = "mmad"
) -> None:
    """Writes a ground-truth file with the keys `database`, `taxonomy` and `version`, numbers in full precision.

    Marks come back equal, clip by clip; one without a subject gets that of its clip. The splits `train`, `val` and
    `test` are written as ActivityNet calls them. Clips without a known split or duration are written without it;
    tools for this layout ask for both. Annotators and scores are keys that such tools pass over.

    Args:
        path: the JSON file; its folder is made.
        annotations: marks, or marks and what is known of their clips.
        taxonomy: the classes, to write the body group of each as its parent; without, the list of nodes is empty.
        version: what the file calls its version.

    Raises:
        MmadError: a mark does not last or its label is none of the classes, a clip has two subjects, a duration is not
            more than 0, or a name would not come back.
    """
    known = to_write(annotations)
    database: dict[str, dict[str, Any]] = {}
    for clip in known.clips:
        entry: dict[str, Any] = {}
        if clip in known.split_of:
            entry["subset"] = _SUBSETS.get(known.split_of[clip], known.split_of[clip])
        if clip in known.durations:
            duration = float(known.durations[clip])
            if not 0 < duration < math.inf:
                raise MmadError(f"duration of clip {clip!r} is {duration:g} s, expected more than 0; correct it")
            entry["duration"] = duration
        if clip in known.subjects:
            entry["subject"] = known.subjects[clip]
        database[clip] = {**entry, "annotations": []}
    for mark in known.marks:
        if taxonomy is not None and mark.label not in taxonomy.index_of:
            raise MmadError(
                f"{mark.where or f'a mark of clip {mark.clip!r}'}: label is {mark.label!r}, expected one of the "
                f"{len(taxonomy.actions)} classes; the nearest is {nearest(mark.label, taxonomy.actions)!r}"
            )
        row: dict[str, Any] = {"segment": [float(mark.start), float(mark.end)], "label": mark.label}
        if mark.annotator is not None:
            row["annotator"] = mark.annotator
        if mark.score is not None:
            row["score"] = float(mark.score)
        database[mark.clip]["annotations"].append(row)
    nodes = [] if taxonomy is None else _nodes(taxonomy)
    document = {"database": database, "taxonomy": nodes, "version": version}
    write_whole(Path(path), json.dumps(document, allow_nan=False).encode())


def _mark(row: Mapping[str, Any], *, clip: str, subject: str | None, where: str) -> Mark:
    label = _name(row.get("label"), what="label", where=where)
    if label is None:
        raise MmadError(f"{where}: label is {row.get('label')!r}, expected the name of a class; correct it")
    start, end = _finite(segment_of, row, where=where)
    score = None if row.get("score") is None else _finite(_score, row, where=where)
    annotator = _name(row.get("annotator"), what="annotator", where=where)
    return checked(Mark(clip, start, end, label, subject, annotator, score, where))


def _score(row: Mapping[str, Any], *, where: str) -> float:
    return real_number(row["score"], what="score", where=where)


def _name(value: object, *, what: str, where: str) -> str | None:
    """A name or a number as text, None if there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise MmadError(f"{where}: {what} is {value!r}, expected a name; correct it")
    name = "" if value is None else str(value).strip()
    if name:
        check_name(name, what=what, where=where)
    return name or None


def _finite(read: Any, row: Mapping[str, Any], *, where: str) -> Any:
    """What a function reads; JSON can hold whole numbers that no float can."""
    try:
        return read(row, where=where)
    except OverflowError:
        raise MmadError(f"{where}: holds a number beyond 1e308, expected seconds; correct it") from None


def _nodes(taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """Body groups, then classes with their group as the parent."""
    groups = [
        {"nodeId": number, "nodeName": name, "parentId": None, "parentName": None}
        for number, name in enumerate(taxonomy.bodies)
    ]
    classes = [
        {"nodeId": len(groups) + number, "nodeName": name, "parentId": body, "parentName": taxonomy.bodies[body]}
        for number, (name, body) in enumerate(zip(taxonomy.actions, taxonomy.body_of, strict=True))
    ]
    return groups + classes
