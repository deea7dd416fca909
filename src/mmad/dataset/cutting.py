"""Where to cut a long recording, and what becomes of its instances.

A recording of N frames has N + 1 edges: the times at which its frames begin, and the end of the last frame. Cuts lie on
edges; a piece lasts from one cut to the next.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmad.data.sources.marked import ROUNDING

KEEP = 0.25
"""Seconds that a part of a cut instance must last: less is hardly a movement, and a detector would learn noise."""

_MICRO = 1_000_000
_SLACK = 1_000
"""Microseconds by which a piece may miss the range unpunished: many containers round each frame to a millisecond."""
_UNREACHED = np.iinfo(np.int64).max // 2
_CELLS = 2**20
"""Pairs of cuts that are compared at once; they bound the memory."""


class Part(NamedTuple):
    """What a piece shows of an instance: index of the piece, and seconds from the piece's first frame."""

    piece: int
    start: float
    end: float


def snapped(edges: NDArray[np.float64], times: ArrayLike) -> NDArray[np.float64]:
    """Times with those that lie within half a millisecond of an edge moved onto it.

    Tools that keep milliseconds round what was marked by frames; a sliver that is left of an instance by this would
    count as a part of it.

    Args:
        edges: (N + 1,) seconds, rising.
        times: (M,) seconds.
    """
    times = np.asarray(times, dtype=np.float64)
    right = np.clip(np.searchsorted(edges, times), 1, len(edges) - 1)
    near = np.where(times - edges[right - 1] <= edges[right] - times, edges[right - 1], edges[right])
    return np.where(np.abs(near - times) <= ROUNDING, near, times)


def cut_points(
    edges: NDArray[np.float64], starts: ArrayLike, ends: ArrayLike, *, shortest: float, longest: float
) -> list[int]:
    """The best cuts of a recording: an exact optimum over all edges.

    Aims in this order: pieces miss the range by as few seconds as possible, all together (none, unless the recording
    cannot be divided like that); as few instances as possible are cut; the squared distances of the pieces' lengths
    from the middle of the range are smallest.

    Args:
        edges: (N + 1,) seconds, rising.
        starts, ends: (M,) seconds of the instances.
        shortest, longest: seconds that a piece shall last.

    Returns:
        Rising indices of edges, the first 0, the last N.
    """
    ticks = np.rint((edges - edges[0]) * _MICRO).astype(np.int64)
    begin, end = (
        np.clip(np.rint((np.asarray(times, dtype=np.float64) - edges[0]) * _MICRO), 0, ticks[-1]).astype(np.int64)
        for times in (starts, ends)
    )
    low, high = round(shortest * _MICRO) - _SLACK, round(longest * _MICRO) + _SLACK
    beyond = 0
    while True:
        missed, cuts = _divide(ticks, begin, end, low=low, high=high, beyond=beyond)
        # No piece of a better division misses the range by more than this one does in all.
        if missed <= beyond:
            return cuts
        beyond = max(2 * beyond, low // 8, _SLACK)


def seconds_missed(edges: NDArray[np.float64], cuts: list[int], *, shortest: float, longest: float) -> float:
    """Seconds by which the pieces miss the range, all together.

    >>> seconds_missed(np.arange(17.0), [0, 16], shortest=10, longest=15)
    1.0
    """
    lengths = np.diff(edges[cuts])
    missed = np.maximum(0, np.maximum(shortest - lengths, lengths - longest))
    return float(missed[np.rint(missed * _MICRO) > _SLACK].sum())


def parts(start: float, end: float, bounds: NDArray[np.float64]) -> list[Part]:
    """What the pieces show of an instance.

    A part of a cut instance stays if it lasts `KEEP` seconds, or if no other part is longer: so no instance is lost.

    Args:
        start, end: seconds.
        bounds: (pieces + 1,) seconds of the cuts.

    Returns:
        In the order of time; none if the instance lies outside the recording.
    """
    first = max(int(np.searchsorted(bounds, start, side="right")) - 1, 0)
    last = min(int(np.searchsorted(bounds, end, side="left")), len(bounds) - 1)
    every = [
        Part(piece, max(start - bounds[piece], 0.0), float(min(end, bounds[piece + 1]) - bounds[piece]))
        for piece in range(first, last)
    ]
    longest = max((part.end - part.start for part in every), default=0.0)
    return [part for part in every if 0 < part.end - part.start >= min(KEEP, longest)]


def _divide(
    ticks: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    *,
    low: int,
    high: int,
    beyond: int,
) -> tuple[int, list[int]]:
    """The best division into pieces that miss the range by no more than `beyond` each; all in microseconds.

    Returns:
        How much the pieces miss the range by, `_UNREACHED` if there is no such division; and the cuts.
    """
    least, most, middle = max(low - beyond, 1), high + beyond, (low + high) / 2
    # One microsecond outside the range weighs more than all instances cut.
    weight = len(begin) + 1
    cost = np.full(len(ticks), _UNREACHED)
    uneven = np.full(len(ticks), np.inf)
    before = np.full(len(ticks), -1)
    cost[0], uneven[0] = 0, 0.0
    edge = int(np.searchsorted(ticks, least))
    while edge < len(ticks):
        left = int(np.searchsorted(ticks, ticks[edge] - most))
        # All edges up to `stop` have their predecessors before `edge`, so they are decided together.
        stop = int(np.searchsorted(ticks, ticks[edge] + least))
        stop = max(min(stop, edge + _CELLS // max(edge - left, 1)), edge + 1)
        right = int(np.searchsorted(ticks, ticks[stop - 1] - least, side="right"))
        if left >= right:
            edge = stop
            continue
        here, there = ticks[edge:stop, None], ticks[None, left:right]
        length = here - there
        near = (begin < ticks[stop - 1]) & (end > ticks[edge])
        # An instance that an earlier cut has cut counts no more: it began before the piece does.
        crossing = (begin[near] < here) & (end[near] > here)
        fresh = begin[near, None] >= there
        total = cost[None, left:right] + weight * np.maximum(0, np.maximum(low - length, length - high))
        total += np.rint(crossing.astype(np.float32) @ fresh.astype(np.float32)).astype(np.int64)
        total[(length < least) | (length > most)] = _UNREACHED
        best = total.min(axis=1)
        squares = uneven[None, left:right] + ((length - middle) / _MICRO) ** 2
        squares[total > best[:, None]] = np.inf
        chosen = squares.argmin(axis=1)
        reached = best < _UNREACHED
        rows = np.flatnonzero(reached)
        cost[edge:stop][rows] = best[rows]
        uneven[edge:stop][rows] = squares[rows, chosen[rows]]
        before[edge:stop][rows] = left + chosen[rows]
        edge = stop
    if cost[-1] >= _UNREACHED:
        return _UNREACHED, []
    cuts = [len(ticks) - 1]
    while cuts[-1]:
        cuts.append(int(before[cuts[-1]]))
    return int(cost[-1]) // weight, cuts[::-1]
