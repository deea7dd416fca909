"""What files of many clips hold: marks, which clips there are, and what is said of each clip."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mmad.errors import MmadError
from mmad.formats.marks import Mark, checked

Fact = TypeVar("Fact")

_SPLITS = {"training": "train", "validation": "val", "testing": "test"}


@dataclass(frozen=True)
class Annotations:
    """The marks of a file, and its clips: those in which nothing happens have no mark.

    Args:
        marks: in file order.
        clips: ids of all clips, in file order. A clip all of whose rows were faulty is none of them: it would read as
            a clip in which nothing happens.
        split_of: name of the split of each clip, where the file says it.
        subjects: the person shown in each clip, where the file says it.
        durations: length of each clip in seconds, where the file says it.
        frames: number of raw frames of each clip, where the file says it.
        fps: raw frames per second of each clip, where the file says it.
    """

    marks: list[Mark]
    clips: list[str]
    split_of: dict[str, str] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    fps: dict[str, float] = field(default_factory=dict)

    def without(self, clips: Collection[str]) -> "Annotations":
        """The same but for some clips."""
        if not clips:
            return self

        def kept(facts: dict[str, Fact]) -> dict[str, Fact]:
            return {clip: fact for clip, fact in facts.items() if clip not in clips}

        return Annotations(
            [mark for mark in self.marks if mark.clip not in clips],
            [clip for clip in self.clips if clip not in clips],
            kept(self.split_of),
            kept(self.subjects),
            kept(self.durations),
            kept(self.frames),
            kept(self.fps),
        )


def split_name(name: str) -> str:
    """The name of a split as we write it; names other than those of the usual three splits stay.

    >>> split_name("Validation"), split_name("fold 1")
    ('val', 'fold 1')
    """
    low = name.lower()
    return _SPLITS.get(low, low if low in _SPLITS.values() else name)


def check_agrees(known: Mapping[str, str], clip: str, value: str, *, what: str, where: str) -> None:
    """Raises MmadError if something else is known of the clip.

    Args:
        known: what earlier rows say, by clip.
        clip: id of the clip.
        value: what this row says.
        what: name of the field, for the error.
        where: file and line or clip, for the error.
    """
    before = known.get(clip, value)
    if before != value:
        raise MmadError(
            f"{where}: {what} of clip {clip!r} is {value!r}, elsewhere it is {before!r}; expected one for all of a "
            f"clip, make them agree",
            kind="disagreement",
            clip=clip,
        )


def to_write(annotations: Annotations | Iterable[Mark]) -> Annotations:
    """Annotations that a file can hold and give back; marks alone name their clips and subjects.

    Raises:
        MmadError: a mark does not last, a clip has two subjects, or a name is empty, begins or ends with a space, or
            has a line break.
    """
    given = annotations if isinstance(annotations, Annotations) else Annotations(list(annotations), [])
    subjects = dict(given.subjects)
    for mark in map(checked, given.marks):
        where = mark.where or f"a mark of clip {mark.clip!r}"
        for what in ("label", "subject", "annotator"):
            name = getattr(mark, what)
            if name is not None or what == "label":
                check_name(name, what=what, where=where)
        if mark.subject is not None:
            check_agrees(subjects, mark.clip, mark.subject, what="subject", where=where)
            subjects[mark.clip] = mark.subject
    clips = list(dict.fromkeys([*given.clips, *(mark.clip for mark in given.marks)]))
    for clip in clips:
        check_name(clip, what="id", where=f"clip {clip!r}")
    for what, names in (("split", given.split_of), ("subject", subjects)):
        for clip, name in names.items():
            check_name(name, what=what, where=f"clip {clip!r}")
    return Annotations(given.marks, clips, given.split_of, subjects, given.durations)


def check_name(name: str, *, what: str, where: str) -> None:
    """Raises MmadError if a name would not come back from a file as it was."""
    if not name or name != name.strip() or "\n" in name or "\r" in name or not _is_text(name):
        raise MmadError(
            f"{where}: {what} is {name!r}, expected a name without line breaks and without spaces around it; rename it"
        )


def _is_text(name: str) -> bool:
    """Whether it can be encoded; a lone surrogate, as JSON can hold one, cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
