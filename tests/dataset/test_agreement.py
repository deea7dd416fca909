"""Shares, curves and pairs of annotators, worked by hand, and the laws they must keep."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.dataset.agreeing import Block, agreeing
from mmad.dataset.agreement import CURVE, agreement, outcomes
from mmad.dataset.annotators import seat
from mmad.errors import MmadError
from mmad.taxonomy import Taxonomy
from panels import BOW, NOD, TAXONOMY, TIPTOE, Said, marked, panel

FEW = settings(deadline=None, max_examples=40)

BY_HAND = {
    # Nodding: all three alike. Bowing: anna and ben alike, carl's is half as long. Tiptoe: anna alone.
    "anna": [("a", NOD, 1.0, 3.0), ("a", BOW, 4.0, 6.0), ("a", TIPTOE, 7.0, 8.0)],
    "ben": [("a", NOD, 1.0, 3.1), ("a", BOW, 4.0, 6.0)],
    "carl": [("a", NOD, 1.1, 3.1), ("a", BOW, 4.0, 5.0)],
}


@st.composite
def said(draw) -> dict[str, list[Said]]:
    """What three annotators marked in two clips, on a grid of tenths of a second."""
    mark = st.tuples(
        st.sampled_from("ab"), st.sampled_from(TAXONOMY.actions), st.integers(0, 40), st.integers(1, 30)
    ).map(lambda t: (t[0], t[1], t[2] / 10, (t[2] + t[3]) / 10))
    each = {name: draw(st.lists(mark, max_size=4)) for name in ("anna", "ben", "carl")}
    each["anna"].append(draw(mark))
    return each


def test_three_annotators_by_hand() -> None:
    found = agreement(panel(BY_HAND))
    assert found["action"]["overall"] == {
        "segments": 7,
        "reliable": pytest.approx(100 * 3 / 7),
        "majority": pytest.approx(100 * 2 / 7),
        "dispute": pytest.approx(100 * 2 / 7),
    }
    nod, bow, tiptoe = found["action"]["classes"]
    assert (nod["code"], nod["name"], nod["group"]) == ("H1", NOD, "head")
    assert [row["reliable"] for row in (nod, bow, tiptoe)] == [100, 0, 0]
    assert [row["majority"] for row in (nod, bow, tiptoe)] == [0, pytest.approx(200 / 3), 0]
    assert tiptoe["dispute"] == 100
    # Over the three pairs, starts differ by 0, 0.1, 0.1 and ends by 0.1, 0.1, 0.
    assert found["onset"] == pytest.approx(0.2 / 3)
    assert found["offset"] == pytest.approx(0.2 / 3)
    # From the tIoU of 0.5 of carl's bowing upwards only nodding is left.
    curve = dict(zip(found["tious"], found["action"]["curve"], strict=True))
    assert curve[0.45] == pytest.approx(100 * 6 / 7)
    assert curve[0.5] == curve[0.9] == pytest.approx(100 * 3 / 7)
    assert curve[0.95] == 0


def test_pairs_by_hand() -> None:
    pairs = {(p["first"], p["second"]): p for p in agreement(panel(BY_HAND))["pairs"]}
    assert pairs["anna", "ben"]["f1"] == {"0.5": pytest.approx(100 * 4 / 5), "0.9": pytest.approx(100 * 4 / 5)}
    assert pairs["anna", "carl"]["f1"] == {"0.5": pytest.approx(40), "0.9": pytest.approx(40)}, "0.5 is not above 0.5"
    assert pairs["ben", "carl"]["segments"] == 4
    assert pairs["anna", "ben"]["offset"] == pytest.approx(0.05), "0.1 for nodding, 0 for bowing"


def test_where_is_told_from_what() -> None:
    """The same times under two names of the same body group agree at body level, and under any name."""
    found = agreement(panel({"anna": [("a", NOD, 1, 3)], "ben": [("a", BOW, 1, 3)]}))
    assert found["action"]["overall"]["reliable"] == 0
    assert found["body"]["overall"]["reliable"] == 100
    assert found["any"]["overall"]["reliable"] == 100
    other = agreement(panel({"anna": [("a", NOD, 1, 3)], "ben": [("a", TIPTOE, 1, 3)]}))
    assert other["body"]["overall"]["reliable"] == 0
    assert other["any"]["overall"]["reliable"] == 100
    assert found["any"]["alpha"] == pytest.approx(1)
    assert found["action"]["alpha"] < 0


@FEW
@given(said())
def test_identical_annotators_agree_wholly(each: dict[str, list[Said]]) -> None:
    # Marks of no class may repeat each other: two equal ones are two, and both find their likes.
    same = dict.fromkeys(each, each["anna"])
    found = agreement(panel(same, clips=("a", "b"), seconds=9.0))
    for level in ("action", "body", "any"):
        assert found[level]["overall"]["reliable"] == 100
        assert found[level]["alpha"] == pytest.approx(1)
        assert found[level]["positive"] == pytest.approx(1)
        assert found[level]["curve"] == [100] * len(CURVE)
    assert found["onset"] == found["offset"] == 0
    assert all(pair["f1"]["0.9"] == 100 for pair in found["pairs"])


@FEW
@given(said())
def test_nothing_depends_on_the_order_of_annotators(each: dict[str, list[Said]]) -> None:
    def told(names) -> list:
        found = agreement(panel({name: each[name] for name in names}, clips=("a", "b")))
        levels = [found[level] for level in ("action", "body", "any")]
        return [[level["overall"], level["classes"], level["alpha"], level["curve"]] for level in levels]

    first = told(each)
    for names in permutations(each):
        assert told(names) == first


@FEW
@given(said())
def test_shares_add_up_and_the_curve_falls(each: dict[str, list[Said]]) -> None:
    found = agreement(panel(each, clips=("a", "b")), threshold=0.5)
    for level in ("action", "body", "any"):
        for row in (found[level]["overall"], *found[level]["classes"]):
            if row["segments"]:
                assert row["reliable"] + row["majority"] + row["dispute"] == pytest.approx(100)
            else:
                assert row["reliable"] is None
        curve = found[level]["curve"]
        assert curve == sorted(curve, reverse=True)
        assert curve[CURVE.index(0.5)] == pytest.approx(found[level]["overall"]["reliable"])
    assert found["any"]["overall"]["segments"] == sum(map(len, each.values()))


@FEW
@given(said(), st.sampled_from([0.1, 0.3, 0.5]))
def test_cutting_at_pauses_changes_nothing(each: dict[str, list[Said]], threshold: float) -> None:
    """A clip's segments of one class, taken as a whole, give as many groups of each size."""
    made = panel(each, clips=("a", "b"))
    cut = Counter(len(group) for outcome in outcomes(made, threshold=threshold) for group in outcome.groups)
    whole: Counter[int] = Counter()
    for clip, label in {*zip(made.rows.clip.tolist(), made.rows.label.tolist(), strict=True)}:
        row = np.flatnonzero((made.rows.clip == clip) & (made.rows.label == label))
        block = Block(row, made.rows.segment[row], made.annotator[row], 3)
        whole.update(map(len, agreeing(block, threshold=threshold)))
    assert cut == whole


def test_two_annotators_have_no_majority_but_agree_or_not() -> None:
    found = agreement(panel({"anna": [("a", NOD, 1, 3), ("a", BOW, 5, 6)], "ben": [("a", NOD, 1, 3)]}))
    assert found["action"]["overall"]["majority"] == 0
    assert found["action"]["overall"]["reliable"] == pytest.approx(200 / 3)


def test_everybody_is_everybody_who_saw_the_clip() -> None:
    three = {
        "anna": marked([("a", NOD, 1, 3), ("b", NOD, 1, 3)]),
        "ben": marked([("a", NOD, 1, 3), ("b", NOD, 1, 3)]),
        "carl": marked([("a", NOD, 1, 3)]),
    }
    found = agreement(seat(three, taxonomy=TAXONOMY, seconds={"a": 9, "b": 9}))
    assert found["action"]["overall"]["reliable"] == 100
    assert found["seen_by"] == {"2": 1, "3": 1}
    assert found["annotators"]["carl"] == {"clips": 1, "segments": 1}
    assert [pair["clips"] for pair in found["pairs"]] == [2, 1, 1]
    three["carl"].clips.append("b")
    found = agreement(seat(three, taxonomy=TAXONOMY, seconds={"a": 9, "b": 9}))
    assert found["action"]["overall"]["reliable"] == pytest.approx(60), "in clip b carl saw nothing"
    assert found["action"]["overall"]["majority"] == pytest.approx(40)


def test_overlaps_of_one_annotator_find_their_own_partners() -> None:
    """Each of two overlapping nods has its like; the closest likes are taken."""
    nods = [("a", NOD, 1.0, 3.0), ("a", NOD, 1.1, 3.1)]
    found = agreement(panel({"anna": nods, "ben": nods[::-1], "carl": nods}), threshold=0.5)
    assert found["action"]["overall"]["reliable"] == 100
    assert found["onset"] == found["offset"] == 0


def test_clips_without_marks_count_for_alpha_only() -> None:
    each = {"anna": [("a", NOD, 1, 4)], "ben": [("a", NOD, 2, 4)]}
    alone, beside = (agreement(panel(each, clips=clips, seconds=5)) for clips in (("a",), ("a", "b", "c")))
    assert alone["action"]["overall"] == beside["action"]["overall"]
    assert alone["action"]["positive"] == beside["action"]["positive"]
    assert alone["action"]["alpha"] < beside["action"]["alpha"]


def test_classes_of_one_group_have_no_body_level() -> None:
    flat = Taxonomy.from_rows((("1", NOD, "all"),))
    both = {"anna": marked([("a", NOD, 1, 3)]), "ben": marked([("a", NOD, 1, 3)])}
    assert agreement(seat(both, taxonomy=flat, seconds={}))["body"] is None


def test_wrong_thresholds_and_nothing_marked_are_refused() -> None:
    with pytest.raises(MmadError, match=r"tiou=1: expected 0 to below 1"):
        agreement(panel(BY_HAND), threshold=1.0)
    with pytest.raises(MmadError, match="nothing is marked in the 1 clips"):
        agreement(panel({"anna": [], "ben": []}))


def test_noise_of_the_size_the_protocol_forgives_shows_in_the_curve() -> None:
    """Ends off by a tenth of a second of two: tIoU is about 0.9, so the one threshold says little, the curve much."""
    rng = np.random.default_rng(0)
    truth = [(float(start), float(start) + 2) for start in range(0, 400, 4)]
    each = {
        name: [("a", NOD, *(max(0.0, t + rng.normal(0, 0.05)) for t in pair)) for pair in truth]
        for name in ("anna", "ben", "carl")
    }
    found = agreement(panel(each, seconds=400))
    assert 30 < found["action"]["overall"]["reliable"] < 90
    assert found["action"]["curve"][CURVE.index(0.7)] == 100
    assert found["action"]["alpha"] > 0.9
