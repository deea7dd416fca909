"""Segments on which annotators agree: groups of one segment each, all of whose pairs overlap by more than a threshold.

Letters: N segments of one clip and one class, G groups of S segments each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from mmad.matching import Flags, Integers, Reals, tiou

Group = tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """What everybody marked of one class in one clip, or in a part of it.

    Args:
        row: (N,) numbers of the segments in the whole data, ascending.
        segment: (N, 2) start and end in seconds.
        annotator: (N,) who marked each.
        seen: how many annotators saw the clip.
    """

    row: Integers
    segment: Reals
    annotator: Integers
    seen: int

    @cached_property
    def tiou_NN(self) -> Reals:
        """The tIoU of each pair; 0 for two of one annotator, who cannot agree with themselves."""
        apart = self.annotator[:, None] != self.annotator[None, :]
        return np.where(apart, tiou(self.segment[:, None], self.segment[None, :]), 0.0)

    def of(self, *annotators: int) -> "Block":
        """The segments of some annotators."""
        mine = np.isin(self.annotator, annotators)
        return Block(self.row[mine], self.segment[mine], self.annotator[mine], len(annotators))


def agreeing(block: Block, *, threshold: float) -> list[Group]:
    """Groups of segments of different annotators, each pair of which overlaps by more than the threshold.

    Largest groups come first: as many as possible that hold a segment of everybody who saw the clip, of equally many
    those of the largest sum of tIoU; then, among what is left, groups of one annotator less, down to more than half.
    No segment is in two groups.

    Args:
        block: one clip and class.
        threshold: tIoU that each pair must exceed.

    Returns:
        Positions in the block, ascending in each group.

    Source: MMAD (2024), section 3.1: three annotators, tIoU above 0.9 between all three, else majority decision.
    """
    edge_NN = block.tiou_NN > threshold
    free = np.any(edge_NN, axis=1)
    groups: list[Group] = []
    for size in range(block.seen, block.seen // 2, -1):
        if free.sum() < size:
            continue
        if block.seen == 2:
            found = _pairs(block, edge_NN)
        else:
            found = _most(_cliques(edge_NN, np.flatnonzero(free), size), block.tiou_NN)
        groups += found
        free[[position for group in found for position in group]] = False
    return groups


def unanimous(block: Block, *, threshold: float) -> int:
    """How many groups of everybody who saw the clip `agreeing` finds.

    Args:
        block: one clip and class.
        threshold: tIoU that each pair must exceed.
    """
    edge_NN = block.tiou_NN > threshold
    if len(np.unique(block.annotator)) < block.seen or not edge_NN.any():
        return 0
    if block.seen == 2:
        return len(_pairs(block, edge_NN))
    cliques = _cliques(edge_NN, np.flatnonzero(edge_NN.any(axis=1)), block.seen)
    members = np.unique(np.asarray(cliques, dtype=np.int64))
    # There cannot be more than the annotator with fewest segments allows. Taking one after the other mostly reaches
    # that number, and then nothing has to be solved.
    most = min(((block.annotator[members] == who).sum() for who in np.unique(block.annotator)), default=0)
    taken: set[int] = set()
    for clique in cliques:
        if taken.isdisjoint(clique):
            taken.update(clique)
    return int(most) if len(taken) == most * block.seen else len(_most(cliques, block.tiou_NN))


def overlapping(block: Block, positions: Sequence[int]) -> list[list[int]]:
    """Segments in clusters: two are in one if a chain of overlaps between annotators leads from one to the other.

    Args:
        block: one clip and class.
        positions: the segments in question.
    """
    near = block.tiou_NN[np.ix_(positions, positions)] > 0
    _, cluster = connected_components(csr_array(near), directed=False)
    return [[positions[int(i)] for i in np.flatnonzero(cluster == c)] for c in range(cluster.max(initial=-1) + 1)]


def _pairs(block: Block, edge_NN: Flags) -> list[Group]:
    """The pairs of two annotators."""
    first, second = (np.flatnonzero(block.annotator == who) for who in np.unique(block.annotator))
    edge = edge_NN[np.ix_(first, second)]
    # One more pair outweighs any sum of tIoU.
    value = np.where(edge, min(edge.shape) + block.tiou_NN[np.ix_(first, second)], 0.0)
    chosen = zip(*linear_sum_assignment(value, maximize=True), strict=True)
    return [tuple(sorted((int(first[i]), int(second[j])))) for i, j in chosen if edge[i, j]]


def _cliques(edge_NN: Flags, free: Integers, size: int) -> list[Group]:
    """All groups of a size, out of the free segments, in which every pair has an edge."""
    later = {int(i): {int(j) for j in free[edge_NN[i, free]] if j > i} for i in free}
    grown: list[tuple[Group, set[int]]] = [((i,), reach) for i, reach in later.items()]
    for _ in range(size - 1):
        grown = [((*group, j), reach & later[j]) for group, reach in grown for j in sorted(reach)]
    return [group for group, _ in grown]


def _most(cliques: Sequence[Group], tiou_NN: Reals) -> list[Group]:
    """As many disjoint groups as possible, of equally many those of the largest sum of tIoU."""
    if not cliques:
        return []
    members_GS = np.asarray(cliques, dtype=np.int64)
    alone_G = (np.bincount(members_GS.ravel())[members_GS] == 1).all(axis=1)
    if alone_G.all():
        return list(cliques)
    rest_GS = members_GS[~alone_G]
    groups, size = rest_GS.shape
    sum_G = tiou_NN[rest_GS[:, :, None], rest_GS[:, None, :]].sum(axis=(1, 2)) / 2
    # One more group outweighs any sum of tIoU.
    value_G = len(np.unique(rest_GS)) * size + sum_G
    holds_NG = csr_array(
        (np.ones(rest_GS.size), (rest_GS.ravel(), np.repeat(np.arange(groups), size))), shape=(len(tiou_NN), groups)
    )
    answer = milp(
        -value_G,
        integrality=np.ones(groups),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(holds_NG, ub=1),
        options={"mip_rel_gap": 0.0},
    )
    assert answer.x is not None, answer.message
    chosen_G = alone_G.copy()
    chosen_G[~alone_G] = answer.x > 0.5
    return [clique for clique, chosen in zip(cliques, chosen_G, strict=True) if chosen]
