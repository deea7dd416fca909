"""How well annotators agree: shares of segments that all, most or few marked alike, and agreement beyond chance.

Rates are percentages; times are seconds; alpha and positive agreement are fractions; what has no value is None.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypedDict

import numpy as np
from tqdm.auto import tqdm

from mmad.dataset.agreeing import Block, Group, agreeing, unanimous
from mmad.dataset.annotators import Panel
from mmad.dataset.chance import UNIT_SECONDS, by_class
from mmad.errors import MmadError
from mmad.matching import Integers, Reals, table

THRESHOLD = 0.9
CURVE = tuple(round(0.05 * step, 2) for step in range(2, 20))
"""tIoU thresholds of the curve of the reliable share: 0.1, 0.15, ..., 0.95."""
PAIR_THRESHOLDS = (0.5, 0.9)


class Shares(TypedDict):
    """What became of segments.

    Args:
        segments: how many there are, of all annotators together.
        reliable: percent that everybody who saw the clip marked alike.
        majority: percent that more than half, but not all, marked alike.
        dispute: percent of the rest.
    """

    segments: int
    reliable: float | None
    majority: float | None
    dispute: float | None


class ClassAgreement(Shares):
    """Agreement on one class, or on one body group.

    Args:
        code, name, group: of the class; a body group has no code.
        alpha, positive, reason: see `mmad.dataset.chance.Chance`.
    """

    code: str
    name: str
    group: str
    alpha: float | None
    positive: float | None
    reason: str


class LevelAgreement(TypedDict):
    """Agreement on actions, on body groups, or on when anything happens whatever its class.

    Args:
        overall: of all segments.
        classes: of each class.
        alpha, positive: mean over the classes in which they have a value.
        valued: how many classes have an alpha.
        curve: reliable percent at each tIoU of `CURVE`.
    """

    overall: Shares
    classes: list[ClassAgreement]
    alpha: float | None
    positive: float | None
    valued: int
    curve: list[float | None]


class PairAgreement(TypedDict):
    """Agreement of two annotators on actions, in the clips that both saw.

    Args:
        first, second: their names.
        clips: how many both saw.
        segments: of both.
        f1: at each tIoU of `PAIR_THRESHOLDS`, by its text: 2 · matched / segments, percent.
        onset, offset: mean absolute difference of starts and of ends of segments matched at tIoU 0.5.
    """

    first: str
    second: str
    clips: int
    segments: int
    f1: dict[str, float | None]
    onset: float | None
    offset: float | None


class Agreement(TypedDict):
    """All that is found.

    Args:
        threshold: tIoU that two segments must exceed to be alike.
        unit: length of the time units of alpha.
        annotators: clips seen and segments marked, by name.
        clips: how many at least two annotators saw.
        seen_by: how many clips were seen by so many annotators, by that number as text.
        action, any: agreement on actions, and on when anything happens whatever its class.
        body: agreement on body groups; None where all classes are of one.
        onset, offset: mean absolute difference of starts and of ends of the reliable actions, over pairs of annotators.
        pairs: of annotators.
        tious: thresholds of the curves.
        notes: what was left out or assumed.
    """

    threshold: float
    unit: float
    annotators: dict[str, dict[str, int]]
    clips: int
    seen_by: dict[str, int]
    action: LevelAgreement
    body: LevelAgreement | None
    any: LevelAgreement
    onset: float | None
    offset: float | None
    pairs: list[PairAgreement]
    tious: list[float]
    notes: list[str]


@dataclass(frozen=True)
class Outcome:
    """What became of segments of one class in one clip.

    Args:
        block: the segments.
        groups: those that agree, as `agreeing` finds them.
    """

    block: Block
    groups: list[Group]

    @property
    def reliable(self) -> list[Group]:
        """The groups of everybody who saw the clip."""
        return [group for group in self.groups if len(group) == self.block.seen]

    @property
    def majority(self) -> list[Group]:
        """The groups of more than half."""
        return [group for group in self.groups if len(group) < self.block.seen]


def outcomes(panel: Panel, *, threshold: float = THRESHOLD) -> list[Outcome]:
    """What became of every segment, block by block.

    Args:
        panel: the annotators.
        threshold: tIoU that two segments must exceed to be alike.
    """
    return [Outcome(block, agreeing(block, threshold=threshold)) for block in _blocks(panel, panel.rows.label)]


def agreement(panel: Panel, *, threshold: float = THRESHOLD) -> Agreement:
    """Agreement of annotators at both levels and without classes.

    Args:
        panel: the annotators.
        threshold: tIoU that two segments must exceed to be alike.

    Raises:
        MmadError: the threshold is not in [0, 1), or nothing is marked.

    Source: MMAD (2024), section 3.1, made precise by disjoint groups, with a curve beside the one threshold.
    """
    if not 0 <= threshold < 1:
        raise MmadError(f"tiou={threshold:g}: expected 0 to below 1, such as 0.9; correct it")
    if not len(panel.rows):
        raise MmadError(f"nothing is marked in the {len(panel.clips)} clips that two annotators saw; check the clips")
    taxonomy = panel.taxonomy
    body_N = np.asarray(taxonomy.body_of, dtype=np.int64)[panel.rows.label]
    groups = [taxonomy.bodies[body] for body in taxonomy.body_of]
    levels = {
        name: _level(panel, labels, classes, threshold=threshold, what=name)
        for name, labels, classes in (
            ("action", panel.rows.label, list(zip(taxonomy.codes, taxonomy.actions, groups, strict=True))),
            *([] if taxonomy.flat else [("body", body_N, [("", body, body) for body in taxonomy.bodies])]),
            ("any", np.zeros_like(panel.rows.label), [("", "any action", "")]),
        )
    }
    gaps = [gap for outcome in outcomes(panel, threshold=threshold) for gap in _gaps(outcome.block, outcome.reliable)]
    onset, offset = _mean_gap(gaps)
    seen_V = panel.seen_VA.sum(axis=1)
    return {
        "threshold": threshold,
        "unit": UNIT_SECONDS,
        "annotators": {
            name: {"clips": int(panel.seen_VA[:, who].sum()), "segments": int((panel.annotator == who).sum())}
            for who, name in enumerate(panel.annotators)
        },
        "clips": len(panel.clips),
        "seen_by": {str(count): int((seen_V == count).sum()) for count in np.unique(seen_V)},
        "action": levels["action"],
        "body": levels.get("body"),
        "any": levels["any"],
        "onset": onset,
        "offset": offset,
        "pairs": [_pair(panel, *pair) for pair in combinations(range(len(panel.annotators)), 2)],
        "tious": list(CURVE),
        "notes": list(panel.notes),
    }


def _blocks(panel: Panel, label_N: Integers) -> list[Block]:
    """The segments of each clip and class that somebody marked, cut where nothing of the class goes on.

    The cuts change no result, since segments agree only if they overlap, and keep long recordings small.
    """
    keys, group_N = np.unique(np.stack([panel.rows.clip, label_N], axis=1), axis=0, return_inverse=True)
    seen_V = panel.seen_VA.sum(axis=1)
    blocks: list[Block] = []
    for (clip, _), padded in zip(keys, table(group_N.reshape(-1), len(keys)), strict=True):
        row = padded[padded >= 0]
        latest = np.maximum.accumulate(panel.rows.segment[row, 1])
        parts = np.split(row, np.flatnonzero(panel.rows.segment[row[1:], 0] >= latest[:-1]) + 1)
        blocks += [Block(part, panel.rows.segment[part], panel.annotator[part], int(seen_V[clip])) for part in parts]
    return blocks


def _level(
    panel: Panel, label_N: Integers, classes: Sequence[tuple[str, str, str]], *, threshold: float, what: str
) -> LevelAgreement:
    """Agreement with some classes.

    Args:
        panel: the annotators.
        label_N: class of each segment.
        classes: code, name and body group of each.
        threshold: tIoU that two segments must exceed.
        what: name of the level, for the progress bar.
    """
    fate_N = np.zeros(len(label_N), dtype=np.int64)
    blocks = _blocks(panel, label_N)
    for block in blocks:
        for group in agreeing(block, threshold=threshold):
            fate_N[block.row[list(group)]] = 2 if len(group) == block.seen else 1
    chances = list(by_class(panel, label_N, len(classes)))
    alphas = [found.alpha for found in chances if found.alpha is not None]
    positives = [found.positive for found in chances if found.positive is not None]
    return {
        "overall": _shares(fate_N),
        "classes": [
            {
                "code": code,
                "name": name,
                "group": group,
                **_shares(fate_N[label_N == label]),
                "alpha": found.alpha,
                "positive": found.positive,
                "reason": found.reason,
            }
            for label, ((code, name, group), found) in enumerate(zip(classes, chances, strict=True))
        ],
        "alpha": float(np.mean(alphas)) if alphas else None,
        "positive": float(np.mean(positives)) if positives else None,
        "valued": len(alphas),
        "curve": _curve(blocks, len(label_N), what=what),
    }


def _shares(fate_N: Integers) -> Shares:
    reliable, majority, dispute = (float(100 * (fate_N == fate).mean()) if len(fate_N) else None for fate in (2, 1, 0))
    return {"segments": len(fate_N), "reliable": reliable, "majority": majority, "dispute": dispute}


def _curve(blocks: Sequence[Block], segments: int, *, what: str) -> list[float | None]:
    """Percent of the segments that are in a group of everybody, at each tIoU of `CURVE`."""
    reliable = np.zeros(len(CURVE))
    for block in tqdm(blocks, desc=f"agreement, {what}", unit="block", leave=False):
        for column, threshold in enumerate(CURVE):
            found = unanimous(block, threshold=threshold)
            if not found:
                break  # a higher threshold leaves fewer
            reliable[column] += found * block.seen
    return [float(100 * count / segments) if segments else None for count in reliable]


def _pair(panel: Panel, first: int, second: int) -> PairAgreement:
    """Agreement of two annotators."""
    both_V = panel.seen_VA[:, first] & panel.seen_VA[:, second]
    segments = int((np.isin(panel.annotator, (first, second)) & both_V[panel.rows.clip]).sum())
    blocks = [
        block.of(first, second) for block in _blocks(panel, panel.rows.label) if both_V[panel.rows.clip[block.row[0]]]
    ]
    groups_at = {t: [agreeing(block, threshold=t) for block in blocks] for t in PAIR_THRESHOLDS}
    loose = groups_at[PAIR_THRESHOLDS[0]]
    gaps = [gap for block, groups in zip(blocks, loose, strict=True) for gap in _gaps(block, groups)]
    onset, offset = _mean_gap(gaps)
    return {
        "first": panel.annotators[first],
        "second": panel.annotators[second],
        "clips": int(both_V.sum()),
        "segments": segments,
        "f1": {
            f"{t:g}": 200 * sum(map(len, groups)) / segments if segments else None for t, groups in groups_at.items()
        },
        "onset": onset,
        "offset": offset,
    }


def _gaps(block: Block, groups: Sequence[Group]) -> Iterator[Reals]:
    """Absolute differences of starts and of ends of each pair in a group."""
    for group in groups:
        for one, other in combinations(group, 2):
            yield np.abs(block.segment[one] - block.segment[other])


def _mean_gap(gaps: Sequence[Reals]) -> tuple[float | None, float | None]:
    if not len(gaps):
        return None, None
    onset, offset = np.mean(gaps, axis=0)
    return float(onset), float(offset)
