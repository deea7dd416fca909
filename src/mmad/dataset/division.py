"""A recording divided into pieces: their names, and the marks of each."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmad.dataset.cutting import cut_points, parts, seconds_missed, snapped
from mmad.errors import MmadError
from mmad.formats.marks import Mark


@dataclass(frozen=True)
class Division:
    """How a recording is divided.

    Args:
        recording: its id.
        edges: (N + 1,) seconds at which its N frames begin, and the end of the last.
        cuts: (pieces + 1) rising frame numbers, from 0 to N.
        clips: (pieces) id of each piece.
        marks: (pieces) the marks of each, in seconds from its first frame.
        missed: seconds by which pieces miss the range that was asked for, all together.
        whole: number of instances that lie in one piece.
        cut: number of instances that lie in several.
        left_out: number of parts of cut instances that are too short to stay.
    """

    recording: str
    edges: NDArray[np.float64]
    cuts: list[int]
    clips: list[str]
    marks: list[list[Mark]]
    missed: float
    whole: int
    cut: int
    left_out: int

    @property
    def bounds(self) -> NDArray[np.float64]:
        """(pieces + 1,) seconds of the cuts."""
        return self.edges[self.cuts]

    @property
    def lengths(self) -> NDArray[np.float64]:
        """(pieces,) seconds of each piece."""
        return np.diff(self.bounds)


def on_clock(marks: Sequence[Mark], edges: NDArray[np.float64], *, fps: float) -> list[Mark]:
    """Marks that were made by frame numbers, at the times at which the recording shows these frames.

    Args:
        marks: in seconds, each its frame divided by `fps`.
        edges: (N + 1,) seconds at which the recording's N frames begin, and the end of the last.
        fps: frames per second that the annotation counts with, whatever the recording's are.
    """
    frames = len(edges) - 1

    def shown(time: float) -> float:
        frame = time * fps
        return float(np.interp(frame, np.arange(frames + 1), edges)) + max(frame - frames, 0) * edges[-1] / frames

    return [replace(mark, start=shown(mark.start), end=shown(mark.end)) for mark in marks]


def divide(
    recording: str, stem: str, edges: NDArray[np.float64], marks: Sequence[Mark], *, shortest: float, longest: float
) -> Division:
    """Divides a recording where it costs the fewest instances; see `mmad.dataset.cutting`.

    Args:
        recording: its id.
        stem: what the ids of its pieces begin with.
        edges: (N + 1,) seconds at which its N frames begin, and the end of the last.
        marks: of the recording, in seconds from its first frame.
        shortest, longest: seconds that a piece shall last.

    Raises:
        MmadError: of kind "beyond": a mark begins at the recording's end, or ends more than half a frame after it.
    """
    _check_inside(recording, edges, marks)
    given = np.array([(mark.start, min(mark.end, edges[-1])) for mark in marks], dtype=np.float64).reshape(-1, 2)
    moved = snapped(edges, given)
    # What lasts less than a millisecond may not vanish by being moved.
    times = np.where(moved[:, :1] < moved[:, 1:], moved, given)
    cuts = cut_points(edges, times[:, 0], times[:, 1], shortest=shortest, longest=longest)
    bounds = edges[cuts]
    digits = max(3, len(str(len(cuts) - 1)))
    clips = [f"{stem}_{number:0{digits}}" for number in range(1, len(cuts))]
    of_piece: list[list[Mark]] = [[] for _ in clips]
    whole = cut = left_out = 0
    for mark, (start, end) in zip(marks, times.tolist(), strict=True):
        shown = parts(start, end, bounds)
        crossed = int(((bounds > start) & (bounds < end)).sum())
        whole += not crossed
        cut += crossed > 0
        left_out += crossed + 1 - len(shown)
        for part in shown:
            of_piece[part.piece].append(replace(mark, clip=clips[part.piece], start=part.start, end=part.end))
    missed = seconds_missed(edges, cuts, shortest=shortest, longest=longest)
    return Division(recording, edges, cuts, clips, of_piece, missed, whole, cut, left_out)


def _check_inside(recording: str, edges: NDArray[np.float64], marks: Sequence[Mark]) -> None:
    """Refuses marks of another video, or of a longer state of this one: cut off, they would look right."""
    frames, end = len(edges) - 1, float(edges[-1])
    late = [mark for mark in marks if mark.start >= end or mark.end > end + 0.5 * end / frames]
    if late:
        mark = late[0]
        more = f" ({len(late)} of its {len(marks)} marks reach beyond)" if len(late) > 1 else ""
        raise MmadError(
            f"{mark.where or 'a mark'}: {mark.label!r} lasts from {mark.start:.3f} to {mark.end:.3f} s, recording "
            f"{recording!r} ends after {end:.3f} s, {frames} frames{more}; correct the row or fetch the video again, "
            f"mmad-data task=check lists all such rows",
            kind="beyond",
            clip=recording,
        )


def stems(recordings: Iterable[str]) -> dict[str, str]:
    """What the names of each recording's pieces begin with: safe in every file system, and no two alike.

    >>> stems(["talk 1", "Talk_1", "day/2"])
    {'talk 1': 'talk_1', 'Talk_1': 'Talk_1-2', 'day/2': 'day_2'}
    """
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for recording in recordings:
        plain = re.sub(r"[^\w.()-]+", "_", recording).lstrip(".-") or "recording"
        stem, number = plain, 1
        # Some file systems take names that differ by case alone for one.
        while stem.casefold() in taken:
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.casefold())
        chosen[recording] = stem
    return chosen
