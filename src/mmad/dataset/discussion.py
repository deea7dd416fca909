"""What annotators have to talk about, and the annotation that follows from what they agree on."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmad.dataset.agreeing import overlapping
from mmad.dataset.agreement import Outcome
from mmad.dataset.annotators import Panel
from mmad.formats.annotated import Annotations
from mmad.formats.marks import Mark
from mmad.formats.whole_file import write_whole
from mmad.matching import Flags, tiou

SAME_TIME = 0.5
"""tIoU above which a segment of another class counts as another name for the same movement."""

OTHER_CLASS, MISSING, PARTS, BOUNDARIES = "another class", "not marked by all", "number of parts", "boundaries"
KINDS = (OTHER_CLASS, MISSING, PARTS, BOUNDARIES)
"""Kinds of differences; of several, a case is counted as the first."""


@dataclass(frozen=True)
class Case:
    """Segments of one class that overlap and on which not all agree.

    Args:
        clip: number of the clip in the panel.
        label: class index.
        rows: numbers of the segments in the panel; with a number of parts, those beside them that all agree on too.
        disputed: how many of them are in no group of more than half.
        kind: one of `KINDS`.
        what: the difference in words.
        names: pairs of class names for the same time, one from each of two annotators, the first in the alphabet first.
    """

    clip: int
    label: int
    rows: tuple[int, ...]
    disputed: int
    kind: str
    what: str
    names: tuple[tuple[str, str], ...]


def cases(panel: Panel, found: Sequence[Outcome]) -> list[Case]:
    """All differences, the clips with most disputed segments first, in a clip by time.

    Args:
        panel: the annotators.
        found: what became of every segment.
    """
    open_N = np.ones(len(panel.rows), dtype=bool)
    for outcome in found:
        open_N[outcome.block.row[[position for group in outcome.groups for position in group]]] = False
    result = []
    for outcome in found:
        settled = {position for group in outcome.reliable for position in group}
        rest = [position for position in range(len(outcome.block.row)) if position not in settled]
        result += [_case(panel, outcome, cluster, open_N) for cluster in overlapping(outcome.block, rest)]
    disputed_V = np.zeros(len(panel.clips), dtype=np.int64)
    for case in result:
        disputed_V[case.clip] += case.disputed
    return sorted(
        result,
        key=lambda case: (-disputed_V[case.clip], case.clip, panel.rows.segment[case.rows[0], 0], case.label),
    )


def _case(panel: Panel, outcome: Outcome, cluster: Sequence[int], open_N: Flags) -> Case:
    block = outcome.block
    positions, rows = list(cluster), block.row[list(cluster)]
    clip, label = int(panel.rows.clip[rows[0]]), int(panel.rows.label[rows[0]])
    present = {int(who): int((block.annotator[cluster] == who).sum()) for who in block.annotator[cluster]}
    absent = [int(who) for who in np.flatnonzero(panel.seen_VA[clip]) if who not in present]
    words, kinds, names = [], [], []
    agreed = [group for group in outcome.majority if group[0] in cluster]
    at_odds = [position for position in cluster if not any(position in group for group in agreed)]
    # Everybody has one segment of each such group, so beside one nobody marked nothing: some marked fewer parts.
    beside = [group for group in outcome.reliable if (block.tiou_NN[np.ix_(group, cluster)] > 0).any()]
    words += [f"{_listed(panel, block.annotator[list(group)].tolist())} agree" for group in agreed]
    others = {who: _other_class(panel, rows, who, open_N) for who in absent}
    unmarked = [who for who, other in others.items() if other is None]
    if len(set(present.values())) > 1 or (unmarked and beside):
        kinds.append(PARTS)
        words.append("different numbers of parts")
        positions = sorted({*cluster, *(position for group in beside for position in group)})
    elif len(present) > 1 and (at_odds or not absent):
        kinds.append(BOUNDARIES)
        apart = sorted({int(who) for who in block.annotator[at_odds]})
        if apart:
            words.append(f"other boundaries by {_listed(panel, apart)}" if agreed else "boundaries differ")
    for who, other in others.items():
        if other is not None:
            kinds.append(OTHER_CLASS)
            words.append(f"{panel.annotators[who]} marked {other!r} there")
            names.append((min(other, panel.taxonomy.actions[label]), max(other, panel.taxonomy.actions[label])))
    if unmarked and not beside:
        kinds.append(MISSING)
        words.append(f"not marked by {_listed(panel, unmarked)}")
    return Case(
        clip,
        label,
        tuple(map(int, block.row[positions])),
        int(open_N[rows].sum()),
        min(kinds, key=KINDS.index),
        "; ".join(words),
        tuple(dict.fromkeys(names)),
    )


def _listed(panel: Panel, annotators: Sequence[int]) -> str:
    names = [panel.annotators[who] for who in sorted(annotators)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _other_class(panel: Panel, rows: np.ndarray, who: int, open_N: Flags) -> str | None:
    """The class that an annotator gave, all alone, to the time of some segments."""
    theirs = np.flatnonzero((panel.rows.clip == panel.rows.clip[rows[0]]) & (panel.annotator == who) & open_N)
    if not len(theirs):
        return None
    near = tiou(panel.rows.segment[theirs][:, None], panel.rows.segment[rows][None, :]).max(axis=1)
    best = int(near.argmax())
    return panel.taxonomy.actions[panel.rows.label[theirs[best]]] if near[best] > SAME_TIME else None


def write_discussion(path: Path, panel: Panel, found: Sequence[Case]) -> None:
    """Writes a table of cases: clip, class, what, disputed segments, start and end in seconds, and each one's segments.

    Args:
        path: the CSV file; its folder is made.
        panel: the annotators.
        found: the cases, in the order to write.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip", "class", "kind", "what", "disputed", "start", "end", *panel.annotators))
    for case in found:
        segment = panel.rows.segment[list(case.rows)]
        of_each = []
        for who in range(len(panel.annotators)):
            mine = [panel.rows.segment[row] for row in case.rows if panel.annotator[row] == who]
            shown = "; ".join(f"{start:.2f} to {end:.2f}" for start, end in mine)
            of_each.append(shown if panel.seen_VA[case.clip, who] else "clip not seen")
        start, end = f"{segment[:, 0].min():.2f}", f"{segment[:, 1].max():.2f}"
        name = panel.taxonomy.actions[case.label]
        writer.writerow((panel.clips[case.clip], name, case.kind, case.what, case.disputed, start, end, *of_each))
    write_whole(path, text.getvalue().encode())


def consensus(panel: Panel, found: Sequence[Outcome]) -> Annotations:
    """The segments on which more than half agree: the median of their starts and the median of their ends.

    Segments in dispute are left out. Clips that one annotator only saw are taken over as they are.

    Args:
        panel: the annotators.
        found: what became of every segment.
    """
    marks = []
    for outcome in found:
        row = outcome.block.row[0]
        clip, label = panel.clips[panel.rows.clip[row]], panel.taxonomy.actions[panel.rows.label[row]]
        for group in outcome.groups:
            start, end = np.median(outcome.block.segment[list(group)], axis=0)
            marks.append(Mark(clip, float(start), float(end), label, subject=panel.subjects.get(clip)))
    alone = panel.alone
    marks += alone.marks
    marks.sort(key=lambda mark: (mark.clip, mark.start, mark.end, mark.label))
    return Annotations(
        marks,
        sorted([*panel.clips, *alone.clips]),
        {**panel.split_of, **alone.split_of},
        {**panel.subjects, **alone.subjects},
    )
