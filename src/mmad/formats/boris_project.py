"""Reads BORIS's project files: JSON with an ethogram and, for each observation, rows of single events."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mmad.errors import MmadError, OnFault
from mmad.formats.activitynet import parse_json
from mmad.formats.boris_observation import NO_SUBJECT, Observation, annotator_of, clip_of, seconds
from mmad.formats.marks import Mark


@dataclass(frozen=True)
class _Event:
    """One row of an observation that starts or stops a state."""

    number: int
    time: Decimal
    comment: str


def parse_project(text: str, *, source: str, on_fault: OnFault) -> tuple[list[Mark], Counter[str], list[str]]:
    """The state events of a project, how often each point behaviour was left out, and the clips that were observed.

    Args:
        text: the file's content.
        source: name of the file, for errors.
        on_fault: told of observations, events and pairs that cannot be right.

    Raises:
        MmadError: it is no BORIS project.
    """
    project = parse_json(text, source=source)
    observations, ethogram = project.get("observations"), project.get("behaviors_conf")
    if not isinstance(observations, dict) or not isinstance(ethogram, dict):
        raise MmadError(
            f"{source} has the keys {', '.join(list(project)[:5])!r}, expected those of a BORIS project, "
            "'observations' and 'behaviors_conf'; check the path"
        )
    states: dict[str, bool] = {}
    for entry in ethogram.values():
        if isinstance(entry, dict) and isinstance(entry.get("code"), str):
            states.setdefault(entry["code"], "STATE" in str(entry.get("type")).upper())
    marks: list[Mark] = []
    points: Counter[str] = Counter()
    clips: list[str] = []
    for name, entry in observations.items():
        where = f"{source}, observation {name!r}"
        try:
            observation = _observation(name, entry, where=where)
        except MmadError as fault:
            on_fault(fault)
            continue
        faults: list[MmadError] = []
        found = _marks(observation, entry["events"], states=states, points=points, where=where, on_fault=faults.append)
        for told in faults:
            on_fault(told)
        marks += found
        # One all of whose events are faulty would read as a clip in which nothing happens.
        if found or not faults:
            clips += [clip_of(file) for file in observation.files] or [observation.id]
    return marks, points, clips


def _observation(name: str, entry: object, *, where: str) -> Observation:
    if not isinstance(entry, dict) or not isinstance(entry.get("events"), list):
        raise MmadError(f"{where}: it has no list of events; save the project again in BORIS")
    kind = str(entry.get("type")).upper()
    files = () if kind in ("LIVE", "IMAGES") else _files(entry.get("file"))
    media = _object(entry.get("media_info"))
    lengths = _object(media.get("length"))
    # Times of pictures are the only ones that BORIS does not shift.
    offset = Decimal(0) if kind == "IMAGES" else seconds(entry.get("time offset") or 0, what="time offset", where=where)
    if entry.get("media_creation_date_as_offset") is True and files:
        made = _object(media.get("media_creation_time"))
        if len(files) > 1:
            raise MmadError(
                f"{where}: the times of {len(files)} videos count from the videos' creation, which cannot be undone; "
                "export the observation without this option"
            )
        offset += seconds(made.get(files[0]), what=f"the creation time of {files[0]!r}", where=where)
    return Observation(
        id=name,
        files=files,
        lengths=tuple(
            None if lengths.get(file) is None else seconds(lengths[file], what=f"the length of {file!r}", where=where)
            for file in files[:-1]
        ),
        offset=offset,
        annotator=annotator_of(list(_object(entry.get("independent_variables")).items())),
    )


def _files(players: object) -> tuple[str, ...]:
    """The videos of the first player that has any; the oldest projects list one per player."""
    playlists = [players[key] for key in sorted(players)] if isinstance(players, dict) else []
    if isinstance(players, list):
        playlists = [players[:1]]
    for playlist in playlists:
        files = tuple(file for file in playlist if isinstance(file, str)) if isinstance(playlist, list) else ()
        if files:
            return files
    return ()


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _marks(
    observation: Observation,
    rows: list[object],
    *,
    states: Mapping[str, bool],
    points: Counter[str],
    where: str,
    on_fault: OnFault,
) -> list[Mark]:
    """The marks of one observation, in order of the rows that start them."""
    found: list[tuple[int, Mark]] = []
    for (subject, code, modifier), events in _states(rows, states, points, where, on_fault):
        # BORIS pairs by time, and by order where times are equal.
        events.sort(key=lambda event: event.time)
        if len(events) % 2:
            on_fault(
                MmadError(
                    f"{where}: {code!r}{f' with modifier {modifier!r}' if modifier else ''} of "
                    f"{repr(subject) if subject else NO_SUBJECT} has {len(events)} events, expected a stop for each "
                    f"start; the last one, at {events[-1].time} s, is without; add or remove one in BORIS"
                )
            )
        for start, stop in zip(events[0::2], events[1::2], strict=False):
            at = f"{where}, events {start.number} and {stop.number}"
            try:
                mark = observation.mark(
                    start.time, stop.time, label=code, subject=subject, comment=start.comment, where=at
                )
            except MmadError as fault:
                on_fault(fault)
            else:
                found.append((start.number, mark))
    return [mark for _, mark in sorted(found, key=lambda item: item[0])]


def _states(
    rows: list[object], states: Mapping[str, bool], points: Counter[str], where: str, on_fault: OnFault
) -> Iterable[tuple[tuple[str, str, str], list[_Event]]]:
    """The rows by what BORIS pairs them by; counts the point events."""
    groups: dict[tuple[str, str, str], list[_Event]] = {}
    spoiled: set[tuple[str, str, str]] = set()
    unknown: set[str] = set()
    for number, row in enumerate(rows, start=1):
        at = f"{where}, event {number}"
        values = row if isinstance(row, list) else []
        fields = ["" if field is None else field for field in values[1:5]]
        if len(fields) < 2 or not all(isinstance(field, str) for field in fields):
            # Whichever state the row belongs to, pairs after it would be of stops and starts.
            on_fault(
                MmadError(
                    f"{at}: it is no row of time, subject, code, modifier and comment, so the events of this "
                    "observation cannot be paired; correct or remove the row"
                )
            )
            return []
        subject, code, modifier, comment = [*fields, "", ""][:4]
        if code not in states:
            if code not in unknown:
                on_fault(MmadError(f"{at}: behavior {code!r} is not in the ethogram; add it or correct the code"))
            unknown.add(code)
        elif not states[code]:
            points[code] += 1
        else:
            key = (subject, code, modifier)
            try:
                time = seconds(
                    values[0], what="the time", where=at, fix=f"correct it, since {code!r} cannot be paired without it"
                )
            except MmadError as fault:
                if key not in spoiled:
                    on_fault(fault)
                spoiled.add(key)
            else:
                groups.setdefault(key, []).append(_Event(number, time, comment))
    return [(key, events) for key, events in groups.items() if key not in spoiled]
