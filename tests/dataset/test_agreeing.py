"""Groups of segments that agree, against exhaustive search and by hand."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.dataset.agreeing import Block, agreeing, overlapping, unanimous

FEW = settings(deadline=None, max_examples=150)


def block(*each: list[tuple[float, float]]) -> Block:
    """A block of as many annotators as lists, rows in the order given."""
    segments = [segment for mine in each for segment in mine]
    who = [number for number, mine in enumerate(each) for _ in mine]
    return Block(
        np.arange(len(who)), np.asarray(segments, dtype=float).reshape(-1, 2), np.asarray(who, dtype=int), len(each)
    )


def overlap(first, second) -> float:
    inner = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
    return inner / (first[1] - first[0] + second[1] - second[0] - inner)


@st.composite
def blocks(draw, *, most: int = 4) -> Block:
    """Few segments on a coarse grid, so that one annotator's overlap and equal tIoUs are frequent."""
    segment = st.tuples(st.integers(0, 6), st.integers(1, 6)).map(lambda pair: (pair[0] / 2, (pair[0] + pair[1]) / 2))
    annotators = draw(st.integers(2, most))
    return block(*(draw(st.lists(segment, max_size=3)) for _ in range(annotators)))


def best_packing(cliques: list[tuple[int, ...]], value: dict, taken: frozenset = frozenset()) -> tuple[int, float]:
    """The largest number of disjoint groups, and the largest sum that so many reach, by trying all."""
    best = (0, 0.0)
    for place, clique in enumerate(cliques):
        if taken.isdisjoint(clique):
            count, total = best_packing(cliques[place + 1 :], value, taken | set(clique))
            best = max(best, (count + 1, total + value[clique]))
    return best


def all_cliques(made: Block, free: set[int], size: int, threshold: float) -> tuple[list[tuple[int, ...]], dict]:
    of_each = [[i for i in sorted(free) if made.annotator[i] == who] for who in range(made.seen)]
    cliques, value = [], {}
    for annotators in combinations(range(made.seen), size):
        for clique in product(*(of_each[who] for who in annotators)):
            tious = [overlap(made.segment[i], made.segment[j]) for i, j in combinations(clique, 2)]
            if min(tious) > threshold:
                cliques.append(clique)
                value[clique] = sum(tious)
    return cliques, value


@FEW
@given(blocks(), st.sampled_from([0.0, 0.2, 0.34, 0.5, 0.6, 0.9]))
def test_no_other_choice_of_groups_is_better(made: Block, threshold: float) -> None:
    groups = agreeing(made, threshold=threshold)
    members = [position for group in groups for position in group]
    assert len(members) == len(set(members))
    assert [len(group) for group in groups] == sorted((len(group) for group in groups), reverse=True)
    free = set(range(len(made.row)))
    for size in range(made.seen, 1, -1):
        mine = [group for group in groups if len(group) == size]
        if size <= made.seen / 2:
            assert not mine
            continue
        cliques, value = all_cliques(made, free, size, threshold)
        assert set(mine) <= set(cliques)
        count, total = best_packing(cliques, value)
        assert len(mine) == count
        assert sum(value[group] for group in mine) == pytest.approx(total)
        free -= {position for group in mine for position in group}


@FEW
@given(blocks(), st.sampled_from([0.0, 0.2, 0.5, 0.9]))
def test_the_short_way_to_count_groups_of_everybody_counts_the_same(made: Block, threshold: float) -> None:
    everybody = [group for group in agreeing(made, threshold=threshold) if len(group) == made.seen]
    assert unanimous(made, threshold=threshold) == len(everybody)


@FEW
@given(blocks(most=3), st.randoms(use_true_random=False))
def test_the_order_of_annotators_does_not_count(made: Block, random) -> None:
    names = list(range(made.seen))
    random.shuffle(names)
    other = Block(made.row, made.segment, np.asarray(names)[made.annotator], made.seen)
    for threshold in (0.2, 0.5):
        first, second = (agreeing(each, threshold=threshold) for each in (made, other))
        assert sorted(map(len, first)) == sorted(map(len, second))


def test_three_pairs_above_the_threshold_are_needed() -> None:
    """b overlaps with both others by more than 0.9, those two do not with each other: one pair, and one left over."""
    made = block([(0.0, 10.0)], [(0.4, 10.4)], [(0.9, 10.9)])
    assert overlap(*made.segment[[0, 2]]) < 0.9 < overlap(*made.segment[[1, 2]]) < overlap(*made.segment[[0, 1]])
    assert agreeing(made, threshold=0.9) == [(0, 1)]
    assert agreeing(made, threshold=0.8) == [(0, 1, 2)]


def test_exactly_the_threshold_is_not_above_it() -> None:
    made = block([(0.0, 1.0)], [(0.0, 2.0)])
    assert agreeing(made, threshold=0.5) == []
    assert agreeing(made, threshold=0.49) == [(0, 1)]


def test_more_groups_come_before_closer_ones() -> None:
    """The closest triple would leave the others without partners."""
    early, late, middle = (0.0, 2.0), (1.0, 3.0), (0.5, 2.5)
    made = block([early, middle], [middle, late], [middle, middle])
    assert unanimous(made, threshold=0.55) == 2
    assert sorted(agreeing(made, threshold=0.55))[0][:2] == (0, 2)


def test_half_of_four_is_no_majority() -> None:
    here, there = (0.0, 1.0), (5.0, 6.0)
    assert agreeing(block([here], [here], [there], [there]), threshold=0.9) == []
    assert agreeing(block([here], [here], [here], [there]), threshold=0.9) == [(0, 1, 2)]


def test_a_segment_does_not_agree_with_another_of_the_same_annotator() -> None:
    assert agreeing(block([(0.0, 1.0), (0.0, 1.0)], []), threshold=0.5) == []


def test_clusters_are_chains_of_overlaps_between_annotators() -> None:
    made = block([(0.0, 2.0), (8.0, 9.0)], [(1.0, 4.0)], [(3.0, 5.0), (8.5, 9.5)])
    assert overlapping(made, [0, 1, 2, 3, 4]) == [[0, 2, 3], [1, 4]]
    assert overlapping(made, [0, 3]) == [[0], [3]], "the link between them is settled"
    assert overlapping(made, []) == []
