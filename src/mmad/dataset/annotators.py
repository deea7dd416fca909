"""Several annotators' marks of the same clips, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mmad.annotations import as_segments
from mmad.data.sources.mma52 import USUAL_FPS
from mmad.errors import MmadError
from mmad.formats.annotated import Annotations, check_agrees
from mmad.formats.marks import marks_of, truths_of
from mmad.matching import Flags, Integers, Reals, Rows
from mmad.taxonomy import Taxonomy

HOW = "give each mark its annotator, or a folder for each annotator (+annotators.NAME=FOLDER)"

BEYOND = 0.5 / USUAL_FPS
"""Seconds by which a mark may pass its clip's end unremarked: half a frame, as in the data check."""


@dataclass(frozen=True)
class Panel:
    """What annotators marked in the clips that at least two of them saw.

    Args:
        taxonomy: the classes.
        annotators: A names.
        clips: V ids.
        seen_VA: who saw which clip.
        seconds_V: length of each clip.
        rows: N segments, clips numbered as in `clips`, sorted by clip and time.
        annotator: (N,) who marked each, numbered as in `annotators`.
        subjects: the person shown in each clip, where that is known.
        split_of: the split of each clip, where that is known.
        alone: the clips that one of them only saw, and what is marked there.
        notes: sentences on what was left out or assumed.
    """

    taxonomy: Taxonomy
    annotators: tuple[str, ...]
    clips: tuple[str, ...]
    seen_VA: Flags
    seconds_V: Reals
    rows: Rows
    annotator: Integers
    subjects: Mapping[str, str]
    split_of: Mapping[str, str]
    alone: Annotations
    notes: tuple[str, ...]


def by_annotator(annotations: Annotations, *, source: str) -> dict[str, Annotations]:
    """The marks of one data set by the annotator that each names; who has no mark in a clip has not seen it.

    Args:
        annotations: marks of several annotators.
        source: name of the data set, for the error.

    Returns:
        By annotator, in order of name, the marks, and the clips in which there are any.

    Raises:
        MmadError: a mark names no annotator, or all name the same one.
    """
    names = sorted({mark.annotator for mark in annotations.marks if mark.annotator is not None})
    if len(names) < 2:
        there = f"one annotator, {names[0]!r}" if names else "no annotator"
        raise MmadError(f"{source}: the marks name {there}, expected at least two; {HOW}")
    nameless = [mark for mark in annotations.marks if mark.annotator is None]
    if nameless:
        raise MmadError(
            f"{nameless[0].where or source}: this mark, the first of {len(nameless)}, names no annotator, others do; "
            f"complete or remove it"
        )
    each = {}
    for name in names:
        mine = [mark for mark in annotations.marks if mark.annotator == name]
        each[name] = replace(annotations, marks=mine, clips=list(dict.fromkeys(mark.clip for mark in mine)))
    return each


def one_taxonomy(told: Mapping[str, Taxonomy]) -> Taxonomy | None:
    """The class list that all annotators share; None if nobody has one.

    Args:
        told: class list of each annotator who has one, by the name or folder to show in the error.

    Raises:
        MmadError: two of them differ.
    """
    if not told:
        return None
    first, *others = told
    for other in others:
        if told[other] != told[first]:
            ours, theirs = (set(told[name].actions) for name in (first, other))
            apart = sorted(ours ^ theirs)
            what = f"only one of them has {apart[0]!r}" if apart else "codes, body groups or the order differ"
            raise MmadError(
                f"the class lists of {first} and {other} are not the same: {what}; give both one labels.csv"
            )
    return told[first]


def seat(each: Mapping[str, Annotations], *, taxonomy: Taxonomy, seconds: Mapping[str, float]) -> Panel:
    """Puts annotators side by side, and clips that only one of them saw apart.

    Args:
        each: by annotator, the marks, and as `clips` all that this annotator saw, those without a mark included.
        taxonomy: the classes.
        seconds: lengths of clips; the latest end marked stands in for an unknown one.

    Raises:
        MmadError: there are fewer than two annotators, no clip was seen by two, a label is unknown, or a clip has two
            subjects or splits.
    """
    if len(each) < 2:
        raise MmadError(f"{len(each)} annotators, expected at least two; {HOW}")
    names = tuple(each)
    seen_by = {name: {*annotations.clips, *(m.clip for m in annotations.marks)} for name, annotations in each.items()}
    every = list(dict.fromkeys(clip for annotations in each.values() for clip in annotations.clips))
    clips = tuple(sorted(clip for clip in every if sum(clip in seen for seen in seen_by.values()) > 1))
    if not clips:
        has = ", ".join(
            f"{name} has {len(seen)} such as {min(seen, default='none')!r}" for name, seen in seen_by.items()
        )
        raise MmadError(f"no clip was seen by two annotators ({has}); give clips the same names")
    number = {clip: place for place, clip in enumerate(clips)}
    parts, annotator, lonely = [], [], []
    subjects: dict[str, str] = {}
    split_of: dict[str, str] = {}
    for place, annotations in enumerate(each.values()):
        everything = truths_of(annotations.marks, taxonomy=taxonomy)
        truths = [truth for truth in everything if truth.id in number]
        lonely += marks_of([truth for truth in everything if truth.id not in number], taxonomy=taxonomy)
        rows = Rows.of([as_segments(truth.instances) for truth in truths])
        ids = np.asarray([number[truth.id] for truth in truths], dtype=np.int64)
        parts.append(Rows(ids[rows.clip], rows.label, rows.segment))
        annotator.append(np.full(len(rows), place))
        people = annotations.subjects | {truth.id: truth.subject for truth in everything if truth.subject is not None}
        for what, known, mine in (("subject", subjects, people), ("split", split_of, annotations.split_of)):
            for clip, value in mine.items():
                check_agrees(known, clip, value, what=what, where=f"annotations of {names[place]}")
                known[clip] = value
    clip_N, label, segment = (
        np.concatenate([getattr(part, key) for part in parts]) for key in ("clip", "label", "segment")
    )
    who = np.concatenate(annotator)
    # Times before annotators, so that what follows does not depend on whom is named first.
    order = np.lexsort((who, label, segment[:, 1], segment[:, 0], clip_N))
    rows = Rows(clip_N[order], label[order], segment[order])
    latest_V = np.zeros(len(clips))
    np.maximum.at(latest_V, rows.clip, rows.segment[:, 1])
    known_V = np.asarray([seconds.get(name, 0.0) for name in clips])
    beyond = (known_V > 0)[rows.clip] & (rows.segment[:, 1] > known_V[rows.clip] + BEYOND)
    single = sorted({*every, *(mark.clip for mark in lonely)} - {*clips})
    return Panel(
        taxonomy,
        names,
        clips,
        np.asarray([[clip in seen for seen in seen_by.values()] for clip in clips]),
        np.maximum(known_V, latest_V),
        rows,
        who[order],
        {clip: subjects[clip] for clip in clips if clip in subjects},
        {clip: split_of[clip] for clip in clips if clip in split_of},
        Annotations(
            # Whose they are tells of one annotator of many, which no consensus has.
            [replace(mark, subject=subjects.get(mark.clip), annotator=None) for mark in lonely],
            single,
            {clip: split_of[clip] for clip in single if clip in split_of},
            {clip: subjects[clip] for clip in single if clip in subjects},
        ),
        tuple(_notes(len(single), len(clips), unknown=int((known_V == 0).sum()), beyond=int(beyond.sum())))
        + tuple(_alike(taxonomy)),
    )


def _notes(single: int, counted: int, *, unknown: int, beyond: int) -> list[str]:
    notes = []
    if single:
        notes.append(
            f"{single} of {counted + single} clips were seen by one annotator only: they are not compared, and the "
            f"consensus takes them over as they are."
        )
    if unknown:
        notes.append(
            f"The length of {unknown} of {counted} clips is not known; their time is taken to end with the last mark, "
            f"which makes alpha lower than it would be with the rest of the clip."
        )
    if beyond:
        notes.append(
            f"Segments that end after their clip: {beyond}; its time is taken to go on until then, and mmad-data "
            f"task=check lists them."
        )
    return notes


def _alike(taxonomy: Taxonomy) -> list[str]:
    """A note on names that differ by case or spaces only, if there are any."""
    spelt: dict[str, list[str]] = {}
    for name in taxonomy.actions:
        spelt.setdefault("".join(name.casefold().split()), []).append(name)
    several = [" and ".join(map(repr, names)) for names in spelt.values() if len(names) > 1]
    if not several:
        return []
    return [
        f"Some classes differ by case or spaces only and still count as different: {', '.join(several)}; if one is "
        f"meant, write it alike."
    ]
