"""Cuts against all possible cuts, and instances against what each piece shows of them."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mmad.dataset.cutting import KEEP, cut_points, parts, seconds_missed, snapped
from mmad.dataset.division import divide, on_clock, stems
from mmad.errors import MmadError
from mmad.formats.marks import Mark

Spans = list[tuple[int, int]]


@st.composite
def recordings(draw: DrawFn) -> tuple[list[int], Spans, int, int]:
    """Edges of frames of uneven length, instances, and the range of lengths, all in milliseconds."""
    edges = np.cumsum([0, *draw(st.lists(st.integers(1, 900), min_size=1, max_size=10))]).tolist()
    ends = st.one_of(st.sampled_from(edges), st.integers(0, edges[-1]))
    spans = [(min(a, b), max(a, b)) for a, b in draw(st.lists(st.tuples(ends, ends), max_size=6)) if a != b]
    shortest = draw(st.integers(50, 1500))
    return edges, spans, shortest, shortest + draw(st.integers(0, 1500))


def worth(edges: list[int], cuts: tuple[int, ...], spans: Spans, shortest: int, longest: int) -> tuple[int, int, float]:
    """What a division costs, counted anew: milliseconds missed, instances cut, squared distance from the middle."""
    lengths = [edges[b] - edges[a] for a, b in pairwise(cuts)]
    missed = sum(max(0, shortest - 1 - length, length - longest - 1) for length in lengths)
    torn = sum(any(start < edges[cut] < end for cut in cuts) for start, end in spans)
    return missed, torn, sum((length - (shortest + longest) / 2) ** 2 for length in lengths) / 1e6


@settings(deadline=None, max_examples=300)
@given(recordings())
def test_no_other_division_is_better(recording: tuple[list[int], Spans, int, int]) -> None:
    edges, spans, shortest, longest = recording
    inner = range(1, len(edges) - 1)
    every = ((0, *chosen, len(edges) - 1) for count in range(len(inner) + 1) for chosen in combinations(inner, count))
    best = min(worth(edges, cuts, spans, shortest, longest) for cuts in every)
    found = cut_points(
        np.array(edges) / 1000,
        [start / 1000 for start, _ in spans],
        [end / 1000 for _, end in spans],
        shortest=shortest / 1000,
        longest=longest / 1000,
    )
    missed, torn, uneven = worth(edges, tuple(found), spans, shortest, longest)
    assert (missed, torn) == best[:2]
    assert uneven == pytest.approx(best[2], abs=1e-9)
    told = seconds_missed(np.array(edges) / 1000, found, shortest=shortest / 1000, longest=longest / 1000)
    assert (told > 0.0005) == (missed > 0)


@settings(deadline=None, max_examples=25)
@given(st.floats(23.976, 60), st.floats(5, 400), st.integers(0, 2**32 - 1))
def test_pieces_last_5_to_15_seconds(fps: float, seconds: float, seed: int) -> None:
    edges = np.arange(int(seconds * fps) + 2) / fps
    random = np.random.default_rng(seed)
    starts = random.uniform(0, edges[-1], 30)
    cuts = cut_points(edges, starts, starts + random.exponential(3, 30), shortest=5, longest=15)
    assert cuts[0] == 0
    assert cuts[-1] == len(edges) - 1
    lengths = np.diff(edges[cuts])
    assert lengths.min() >= 5 - 0.0011
    assert lengths.max() <= 15 + 0.0011


@pytest.mark.parametrize(
    ("seconds", "allowed", "lengths"),
    [
        (3, (5, 15), [3]),  # too short, so it stays whole
        (16, (10, 15), [16]),  # one second too long is nearer than 8 + 8 or 10 + 6
        (19, (10, 15), [9, 10]),  # one second too short is nearer than 19
        (40, (10, 10), [10, 10, 10, 10]),
        (45, (5, 15), [9, 9, 9, 9, 9]),  # nearer to 10 s each than four of 11.25 s
        (20, (5, 15), [10, 10]),
    ],
)
def test_lengths_without_instances(seconds: int, allowed: tuple[float, float], lengths: list[int]) -> None:
    edges = np.arange(seconds + 1.0)
    cuts = cut_points(edges, [], [], shortest=allowed[0], longest=allowed[1])
    assert sorted(np.diff(edges[cuts])) == lengths


def test_a_gap_between_instances_is_found() -> None:
    """Instances fill the recording but for a tenth of a second at 6.3 s and 17.4 s."""
    edges = np.arange(251) / 10
    cuts = cut_points(edges, [0.0, 6.4, 17.5], [6.3, 17.4, 25.0], shortest=5, longest=15)
    assert edges[cuts].tolist() in ([0, a, b, 25] for a in (6.3, 6.4) for b in (17.4, 17.5))


def test_an_instance_cut_twice_counts_once() -> None:
    """One instance of 20 s must be cut, at least once; cutting it once more to spare another is worth it."""
    edges = np.arange(31.0)
    cuts = cut_points(edges, [2.0, 10.0], [22.0, 16.0], shortest=5, longest=10)
    assert not any(10 < edges[cut] < 16 for cut in cuts)


def test_a_long_recording_takes_seconds() -> None:
    random = np.random.default_rng(0)
    edges = np.arange(30 * 3600 + 1) / 30
    starts = random.uniform(0, 3590, 1000)
    ends = starts + random.gamma(2, 1.5, 1000)
    cuts = cut_points(edges, starts, ends, shortest=5, longest=15)
    crossed = sum(len(parts(start, end, edges[cuts])) > 1 for start, end in zip(starts, ends, strict=True))
    every_ten = sum(start // 10 != end // 10 for start, end in zip(starts, ends, strict=True))
    assert crossed < every_ten / 5


def test_times_next_to_a_frame_are_moved_onto_it() -> None:
    edges = np.arange(100) / 29.97
    rounded = np.round(edges, 3)
    assert (snapped(edges, rounded) == edges).all()
    assert snapped(edges, [edges[7] + 0.01]).tolist() == [edges[7] + 0.01]
    assert snapped(edges, [5000.0]).tolist() == [5000.0]


bounds = st.lists(st.floats(0.5, 20), min_size=1, max_size=6).map(lambda lengths: np.cumsum([0.0, *lengths]))


@given(bounds, st.floats(0, 100), st.floats(0.01, 60))
def test_parts_are_what_pieces_show(bounds: np.ndarray, start: float, length: float) -> None:
    end = start + length
    overlaps = [min(end, b) - max(start, a) for a, b in pairwise(bounds)]
    most = max(overlaps)
    found = parts(start, end, bounds)
    assert [part.piece for part in found] == [
        piece for piece, overlap in enumerate(overlaps) if overlap > 0 and (overlap >= KEEP or overlap == most)
    ]
    for part in found:
        assert 0 <= part.start < part.end <= bounds[part.piece + 1] - bounds[part.piece]
        assert part.start + bounds[part.piece] == pytest.approx(max(start, bounds[part.piece]))
        assert part.end + bounds[part.piece] == pytest.approx(min(end, bounds[part.piece + 1]))


def test_short_parts_go_but_no_instance_is_lost() -> None:
    bounds = np.array([0.0, 10.0, 20.0])
    assert parts(5.0, 10.2, bounds) == [(0, 5.0, 10.0)]
    assert parts(9.9, 10.2, bounds) == [(1, 0.0, pytest.approx(0.2))]
    assert parts(3.0, 3.1, bounds) == [(0, 3.0, 3.1)]
    assert parts(10.0, 12.0, bounds) == [(1, 0.0, 2.0)]
    assert parts(20.0, 21.0, bounds) == []


def test_a_division_counts_its_instances() -> None:
    edges = np.arange(301) / 10
    marks = [
        Mark("talk", 1, 2, "waving", annotator="A"),
        Mark("talk", 0, 30, "sitting", subject="P1"),
        Mark("talk", 2.0004, 2.5, "nodding"),
    ]
    found = divide("talk", "talk", edges, marks, shortest=10, longest=10)
    assert found.clips == ["talk_001", "talk_002", "talk_003"]
    assert (found.whole, found.cut, found.left_out) == (2, 1, 0)
    assert found.marks[0] == [
        Mark("talk_001", 1, 2, "waving", annotator="A"),
        Mark("talk_001", 0, 10, "sitting", subject="P1"),
        Mark("talk_001", 2, 2.5, "nodding"),
    ]
    assert found.marks[1] == [Mark("talk_002", 0, 10, "sitting", subject="P1")]


@pytest.mark.parametrize(("start", "end"), [(12.0, 60.0), (14.999, 16.0), (20.0, 22.0), (14.0, 15.021), (15.0, 15.01)])
def test_marks_of_a_longer_recording_are_refused(start: float, end: float) -> None:
    """Cut off at the end of a wrong or shortened video they would look right."""
    marks = [Mark("talk", 1, 2, "nodding"), Mark("talk", start, end, "waving", where="a.csv, line 3")]
    with pytest.raises(
        MmadError, match=r"a\.csv, line 3: 'waving' lasts from .* recording 'talk' ends after 15\.000 s"
    ) as told:
        divide("talk", "talk", np.arange(376) / 25, marks, shortest=5, longest=15)
    assert (told.value.kind, told.value.clip) == ("beyond", "talk")


@pytest.mark.parametrize("end", [15.0, 15.0003, 15.019])
def test_an_end_within_half_a_frame_is_that_of_the_recording(end: float) -> None:
    found = divide("talk", "talk", np.arange(376) / 25, [Mark("talk", 14, end, "waving")], shortest=5, longest=15)
    assert [(mark.start, mark.end) for mark in found.marks[-1]] == [
        (pytest.approx(14 - found.bounds[-2]), found.lengths[-1])
    ]


def test_marks_made_by_frames_lie_where_the_recording_shows_these_frames() -> None:
    """A video of 25 frames per second with a gap after frame 2, annotated as if it had 50."""
    edges = np.array([0.0, 0.04, 0.08, 0.52, 0.56])
    marks = [Mark("a", 1 / 50, 3 / 50, "nod"), Mark("a", 0, 4 / 50, "nod"), Mark("a", 2 / 50, 6 / 50, "nod")]
    moved = [(mark.start, mark.end) for mark in on_clock(marks, edges, fps=50)]
    assert moved == [pytest.approx(times) for times in ((0.04, 0.52), (0, 0.56), (0.08, 0.56 + 2 * 0.14))]


@given(st.lists(st.text("aA1_- .é/", max_size=6), unique=True, max_size=8))
def test_names_of_pieces_are_safe_and_differ(recordings: list[str]) -> None:
    found = stems(recordings)
    assert list(found) == recordings
    assert len({stem.casefold() for stem in found.values()}) == len(recordings)
    assert all(stem and not set(stem) & set("/ ") and stem[0] not in ".-" for stem in found.values())
