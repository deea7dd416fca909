"""Annotators' marks in few words, for tests."""

from collections.abc import Mapping, Sequence

from mmad.dataset.annotators import Panel, seat
from mmad.formats.annotated import Annotations
from mmad.formats.marks import Mark
from mmad.taxonomy import Taxonomy

TAXONOMY = Taxonomy.from_rows((("H1", "nodding", "head"), ("H2", "bowing head", "head"), ("L1", "tiptoe", "leg")))
NOD, BOW, TIPTOE = TAXONOMY.actions

Said = tuple[str, str, float, float]
"""Clip, class, start and end in seconds."""


def marked(said: Sequence[Said], clips: Sequence[str] = ()) -> Annotations:
    marks = [Mark(clip, start, end, label) for clip, label, start, end in said]
    return Annotations(marks, list(dict.fromkeys([*clips, *(mark.clip for mark in marks)])))


def panel(each: Mapping[str, Sequence[Said]], *, clips: Sequence[str] = ("a",), seconds: float = 10.0) -> Panel:
    """Annotators who all saw the same clips of one length."""
    return seat(
        {name: marked(said, clips) for name, said in each.items()},
        taxonomy=TAXONOMY,
        seconds=dict.fromkeys(clips, seconds),
    )
