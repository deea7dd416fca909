"""Agreement beyond chance, against the definition and worked by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.dataset.annotators import seat
from mmad.dataset.chance import by_class, chance
from panels import BOW, NOD, TAXONOMY, marked, panel


def alpha_by_definition(units: list[list[int]]) -> float:
    """One minus observed over expected disagreement, pair by pair."""
    units = [values for values in units if len(values) > 1]
    every = [value for values in units for value in values]
    observed = sum(sum(a != b for a, b in permutations(values, 2)) / (len(values) - 1) for values in units)
    expected = sum(a != b for a, b in permutations(every, 2)) / (len(every) - 1)
    return 1 - observed / expected


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 1), min_size=2, max_size=4), min_size=2, max_size=8))
def test_alpha_is_that_of_the_definition(units: list[list[int]]) -> None:
    values = {value for values in units for value in values}
    found = chance(
        np.asarray([sum(unit) for unit in units]), np.asarray([len(unit) for unit in units]), present=1 in values
    )
    if values == {0, 1}:
        assert found.alpha == pytest.approx(alpha_by_definition(units))
        assert found.reason == ""
        both = sum(a * b for unit in units for a, b in permutations(unit, 2))
        either = sum(a * (len(unit) - 1) for unit in units for a in unit)
        assert found.positive == pytest.approx(both / either)
    else:
        assert found.alpha is None
        assert found.reason in ("nobody marks it", "everybody marks it all the time")


def test_two_annotators_by_hand() -> None:
    """Of 10 units one marks 5, the other the first 4 of these: 20 values, 9 of them ones, one unit differs.

    Observed disagreement 2 / 20, expected 2 · 9 · 11 / (20 · 19).
    """
    both = panel({"anna": [("a", NOD, 0.0, 0.5)], "ben": [("a", NOD, 0.0, 0.4)]}, seconds=1.0)
    nod, bow, _ = by_class(both, both.rows.label, 3)
    assert nod.alpha == pytest.approx(1 - 0.1 / (198 / 380))
    assert nod.positive == pytest.approx(2 * 4 / 9)
    assert bow == (None, None, "nobody marks it")


def test_who_has_not_seen_a_clip_has_no_value_in_it() -> None:
    """Carl's silence on clip b is no vote; counted as one, alpha would not be 1."""
    said = [("a", NOD, 0.0, 1.0), ("b", NOD, 2.0, 3.0)]
    three = seat(
        {"anna": marked(said), "ben": marked(said), "carl": marked(said[:1])},
        taxonomy=TAXONOMY,
        seconds={"a": 5.0, "b": 5.0},
    )
    assert next(by_class(three, three.rows.label, 3)).alpha == pytest.approx(1)
    blind = panel({"anna": said, "ben": said, "carl": said[:1]}, clips=("a", "b"), seconds=5.0)
    assert next(by_class(blind, blind.rows.label, 3)).alpha < 0.9


def test_overlapping_segments_of_one_annotator_count_once() -> None:
    twice = panel({"anna": [("a", NOD, 0.0, 2.0), ("a", NOD, 1.0, 3.0)], "ben": [("a", NOD, 0.0, 3.0)]})
    assert next(by_class(twice, twice.rows.label, 3)).alpha == pytest.approx(1)


def test_independent_marks_agree_as_chance_has_it() -> None:
    """Three annotators who mark a third of the time, wherever they like."""
    rng = np.random.default_rng(4)

    def random_marks() -> list:
        starts = (1 + rng.exponential(2, 2000)).cumsum()
        return [("a", NOD, float(start), float(start) + 1) for start in starts]

    three = panel({name: random_marks() for name in ("anna", "ben", "carl")}, seconds=6000.0)
    found = next(by_class(three, three.rows.label, 3))
    assert abs(found.alpha) < 0.03
    assert found.positive == pytest.approx(1 / 3, abs=0.03)


def test_what_has_no_alpha_says_why() -> None:
    always = [("a", NOD, 0.0, 10.0), ("a", BOW, 1.01, 1.04)]
    both = panel({"anna": always, "ben": always})
    nod, bow, _ = by_class(both, both.rows.label, 3)
    assert (nod.alpha, nod.positive, nod.reason) == (None, 1.0, "everybody marks it all the time")
    assert (bow.alpha, bow.reason) == (None, "its segments are shorter than a time unit")
