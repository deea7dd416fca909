"""Agreement beyond chance on time units: Krippendorff's alpha, and positive agreement, of one class at a time.

Letters: U time units of all clips, A annotators.
"""

from collections.abc import Iterator
from typing import NamedTuple

import krippendorff
import numpy as np

from mmad.dataset.annotators import Panel
from mmad.matching import Integers

UNIT_SECONDS = 0.1
"""Length of a time unit. Somebody marks it if its middle lies in one of their segments."""


class Chance(NamedTuple):
    """Agreement on whether something happens at a time.

    Args:
        alpha: Krippendorff's alpha, nominal; 1 is perfect, 0 what chance gives. None where it has no value.
        positive: of the pairs of annotators one of whom marks a unit, the share both of whom do (weighted so that for
            two annotators it is 2 · both / (one + other)). None where nobody marks anything.
        reason: why alpha has no value; empty where it has one.
    """

    alpha: float | None
    positive: float | None
    reason: str


def by_class(panel: Panel, label_N: Integers, classes: int) -> Iterator[Chance]:
    """Agreement on each class over the time of all clips.

    Clips are laid end to end, each in whole units, the last one begun counts. Who has not seen a clip has no value
    in it.

    Args:
        panel: the annotators.
        label_N: class of each segment.
        classes: how many classes there are.

    Source: Krippendorff (2019), Content Analysis, chapter 12; positive agreement: Cicchetti and Feinstein (1990), for
        more than two annotators over all their pairs.
    """
    units_V = np.maximum(np.ceil(panel.seconds_V / UNIT_SECONDS - 1e-6), 1).astype(np.int64)
    begin_V = units_V.cumsum() - units_V
    seen_U = np.repeat(panel.seen_VA.sum(axis=1), units_V)
    # The first unit whose middle is not before a time.
    unit_N2 = np.ceil(panel.rows.segment / UNIT_SECONDS - 0.5 - 1e-6).astype(np.int64)
    unit_N2 = np.minimum(unit_N2, units_V[panel.rows.clip][:, None]) + begin_V[panel.rows.clip][:, None]
    for label in range(classes):
        marked_U = np.zeros(len(seen_U), dtype=np.int64)
        for who in range(len(panel.annotators)):
            covered_U = np.zeros(len(seen_U), dtype=bool)
            for row in np.flatnonzero((label_N == label) & (panel.annotator == who)):
                covered_U[unit_N2[row, 0] : unit_N2[row, 1]] = True
            marked_U += covered_U
        yield chance(marked_U, seen_U, present=bool((label_N == label).any()))


def chance(marked_U: Integers, seen_U: Integers, *, present: bool) -> Chance:
    """Agreement from how many annotators mark each unit.

    Args:
        marked_U: annotators who mark it.
        seen_U: annotators who saw it, two or more.
        present: whether there is any segment, be it too short for a unit.

    >>> chance(np.array([2, 1, 0, 0]), np.array([2, 2, 2, 2]), present=True).positive
    0.6666666666666666
    """
    if not marked_U.any():
        return Chance(None, None, "its segments are shorter than a time unit" if present else "nobody marks it")
    positive = float((marked_U * (marked_U - 1)).sum() / (marked_U * (seen_U - 1)).sum())
    if (marked_U == seen_U).all():
        return Chance(None, positive, "everybody marks it all the time")
    counts = np.column_stack([seen_U - marked_U, marked_U])
    return Chance(float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")), positive, "")
