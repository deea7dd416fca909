"""Marks: annotated segments as files of many tools have them, labels by name; the hub of reading and converting."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmad.annotations import Instance, Truth
from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.fields import label_index
from mmad.formats.labels import ONE_GROUP
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy


@dataclass(frozen=True)
class Mark:
    """One segment that somebody marked, or that a detector found.

    Args:
        clip: id of the clip, the name of its video without folder and ending.
        start, end: seconds from the clip's first frame.
        label: name of the action.
        subject: the person shown, where the file says it.
        annotator: who marked it, where the file says it.
        score: of a prediction; None of an annotation.
        where: file and place in it, for errors; it does not count when marks are compared.
    """

    clip: str
    start: float
    end: float
    label: str
    subject: str | None = None
    annotator: str | None = None
    score: float | None = None
    where: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mark) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple:
        return (self.clip, self.start, self.end, self.label, self.subject, self.annotator, self.score)


def checked(mark: Mark) -> Mark:
    """The same mark.

    Raises:
        MmadError: its times or score are not finite, or it does not last.
    """
    if not 0 <= mark.start < mark.end < math.inf:
        raise MmadError(
            f"{mark.where or f'a mark of clip {mark.clip!r}'}: segment [{mark.start:g}, {mark.end:g}] s of "
            f"{mark.label!r}, expected 0 <= start < end; correct it",
            kind="segment",
            clip=mark.clip,
        )
    if mark.score is not None and not math.isfinite(mark.score):
        raise MmadError(
            f"{mark.where or f'a mark of clip {mark.clip!r}'}: score is {mark.score}, expected a finite number; "
            f"correct it",
            clip=mark.clip,
        )
    return mark


def taxonomy_of(marks: Iterable[Mark]) -> Taxonomy:
    """The labels that occur, sorted by name, in one body group and numbered from 1."""
    names = sorted({mark.label for mark in marks})
    if not names:
        raise MmadError("the annotations hold no label, so there are no classes; give a table of classes (labels=FILE)")
    return Taxonomy.from_rows(tuple((str(number), name, ONE_GROUP) for number, name in enumerate(names, start=1)))


def truths_of(
    marks: Iterable[Mark],
    *,
    taxonomy: Taxonomy,
    clips: Sequence[str] = (),
    durations: Mapping[str, float] | None = None,
    on_fault: OnFault = refuse,
) -> list[Truth]:
    """Marks by clip, with class indices.

    Args:
        marks: in any order.
        taxonomy: the classes; a label may be a name or an index of it.
        clips: ids that shall be there even without a mark, first and in this order.
        durations: seconds of clips, where known.
        on_fault: told of marks whose label is unknown, or that do not last.

    Returns:
        One record per clip; its subject is that of its marks.
    """
    of_clip: dict[str, list[Mark]] = {clip: [] for clip in clips}
    for mark in marks:
        of_clip.setdefault(mark.clip, []).append(mark)
    truths = []
    for clip, mine in of_clip.items():
        instances = []
        for mark in mine:
            try:
                instances.append(_instance(mark, taxonomy))
            except MmadError as fault:
                fault.clip = clip
                on_fault(fault)
        subjects = {mark.subject for mark in mine if mark.subject is not None}
        if len(subjects) > 1:
            on_fault(
                MmadError(
                    f"{mine[0].where}: clip {clip!r} has the subjects {', '.join(sorted(subjects))}, expected one; "
                    f"correct them",
                    kind="disagreement",
                    clip=clip,
                )
            )
        duration = (durations or {}).get(clip)
        truths.append(Truth(clip, tuple(instances), duration, min(subjects, default=None)))
    return truths


def marks_of(truths: Iterable[Truth], *, taxonomy: Taxonomy) -> list[Mark]:
    """Ground truth as marks, clip by clip."""
    return [
        Mark(t.id, i.start, i.end, taxonomy.actions[i.label], subject=t.subject, annotator=i.annotator)
        for t in truths
        for i in t.instances
    ]


def clip_of(marks: Iterable[Mark], *, path: Path) -> str | None:
    """The one clip that all marks are of; None if there is no mark.

    Args:
        marks: in any order.
        path: the file to write, for the error.

    Raises:
        MmadError: they are of several clips.
    """
    clips = list(dict.fromkeys(mark.clip for mark in marks))
    if len(clips) > 1:
        raise MmadError(f"{path} holds one clip, the marks are of {clips[0]!r} and {clips[1]!r}; write a file for each")
    return clips[0] if clips else None


def predicted_marks(predictions: Mapping[str, Segments], *, taxonomy: Taxonomy, least: float = 0.0) -> list[Mark]:
    """Predictions from a score upwards as marks, clip by clip."""
    return [
        Mark(clip, start, end, taxonomy.actions[label], score=score)
        for clip, found in predictions.items()
        for (start, end), label, score in zip(
            found["segments"].tolist(), found["labels"].tolist(), found["scores"].tolist(), strict=True
        )
        if score >= least
    ]


def _instance(mark: Mark, taxonomy: Taxonomy) -> Instance:
    label = label_index(checked(mark).label, taxonomy=taxonomy, where=mark.where)
    return Instance(mark.start, mark.end, label, mark.annotator)
