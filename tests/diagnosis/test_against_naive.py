"""The error analysis against plain loops that were written from its definitions alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_diagnosis as naive
from mmad.diagnosis import Buckets, Settings, diagnose
from mmad.diagnosis.settings import BUCKETS
from mmad.matching import Rows
from mmad.taxonomy import Taxonomy
from test_naive_diagnosis import DURATIONS, PREDICTIONS, TRUTH

TAXONOMY = Taxonomy.from_rows((("A1", "a", "x"), ("A2", "b", "x"), ("B1", "c", "y"), ("B2", "d", "y")))
SECONDS = {-1: 10.0, 0: 12.0, 1: 10.0, 2: 15.0}
MODES = ("class_first", "detad")
ALL_BUCKETS = {**BUCKETS, "same_class": Buckets((-1, 1, 2, np.inf), ("1", "2", "3+"))}
FEW = settings(deadline=None, max_examples=80)


def rows(found: list[tuple]) -> Rows:
    """Rows from (clip, label, start, end[, score])."""
    table = np.array(found, dtype=np.float64)
    if not len(table):
        table = np.zeros((0, 5))
    index = table[:, :2].astype(np.int64)
    return Rows(index[:, 0], index[:, 1], table[:, 2:4], table[:, 4] if table.shape[1] == 5 else None)


@st.composite
def cases(draw) -> tuple[list[tuple], list[tuple]]:
    """Few clips and classes, whole seconds and few scores, so that overlaps, ties and equal tIoUs are frequent.

    Lengths of 1 to 10 s in clips of 10 to 15 s reach every bucket and its edges, and instances may repeat. Half of the
    predictions are instances moved at both ends, of their own or any class. One prediction may come often enough to
    fill all slices of its class and to push P_N below DETAD's cut-off.
    """
    label = st.integers(0, 3)

    @st.composite
    def anywhere(draw, clips: int) -> tuple:
        length = draw(st.integers(1, 10))
        start = draw(st.integers(0, 10 - length))
        return draw(st.integers(-1, clips)), draw(label), start, start + length

    @st.composite
    def nearby(draw) -> tuple:
        clip, own, start, end = draw(st.sampled_from(truth))
        start, end = start + draw(st.integers(-2, 2)), end + draw(st.integers(-2, 2))
        return clip, draw(st.sampled_from([own, own, draw(label)])), start, max(end, start + 1)

    truth = draw(st.lists(anywhere(1), min_size=draw(st.sampled_from([1, 4, 8])), max_size=14))
    # Clip 2 has no ground truth.
    places = draw(st.lists(nearby() | anywhere(2), min_size=draw(st.sampled_from([0, 6, 12])), max_size=24))
    found = [(*place, draw(st.integers(0, 6)) / 8) for place in places]
    crowd = draw(st.sampled_from([0, 0, 0, 30])) * [(*draw(anywhere(2)), draw(st.integers(0, 6)) / 8)]
    return crowd + found, truth


def at_level(row: tuple, level: str, taxonomy: Taxonomy) -> tuple:
    """The row with the label of the level."""
    label = row[1] if level == "action" else taxonomy.body_of[row[1]]
    return (row[0], label, *row[2:])


def assert_equal(predictions, truth, durations, *, mode, level, taxonomy=TAXONOMY, threshold=0.5, background=0.1):
    """Diagnoses twice and compares all numbers of false positives and false negatives."""
    found = diagnose(
        rows(predictions),
        rows(truth),
        taxonomy=taxonomy,
        durations=durations,
        settings=Settings(mode=mode, threshold=threshold, background=background, buckets=ALL_BUCKETS),
    )[level]
    options = {"threshold": threshold, "background": background, "mode": mode}
    predictions = [at_level(row, level, taxonomy) for row in predictions]
    truth = [at_level(row, level, taxonomy) for row in truth]
    truth = naive.without_duplicates(truth) if mode == "class_first" else naive.within_clips(truth, durations)

    group_of = taxonomy.body_of if level == "action" else None
    assert_false_positives(
        found["false_positives"], naive.false_positives(predictions, truth, **options, group_of=group_of)
    )
    expected = naive.false_negatives(predictions, truth, durations, **options)
    assert_false_negatives(found["false_negatives"], expected)
    assert_classes(
        found["classes"], predictions, truth, taxonomy.actions if level == "action" else taxonomy.bodies, options
    )


def percent(fraction: float | None):
    return None if fraction is None else pytest.approx(100 * fraction, abs=1e-9)


def assert_false_positives(found, expected):
    for name in ("kinds", "slices", "total", "same_group", "idle"):
        assert found[name] == expected[name], name
    assert found["base"] == percent(expected["base"])
    for name in ("removed", "repaired"):
        assert found[name] == {kind: percent(gain) for kind, gain in expected[name].items()}, name


def assert_false_negatives(found, expected):
    for name in ("instances", "missed", "reasons"):
        assert found[name] == expected[name], name
    assert_rate(found, expected)
    assert found["map_n"] == percent(expected["map_n"])
    assert [table["name"] for table in found["characteristics"]] == list(expected["characteristics"])
    for table, (name, buckets) in zip(found["characteristics"], expected["characteristics"].items(), strict=True):
        for bucket, wanted in zip(table["buckets"], buckets, strict=True):
            where = f"{name} {bucket['label']}"
            for key in ("instances", "missed", "classes"):
                assert bucket[key] == wanted[key], where
            if not wanted["instances"]:
                assert bucket["rate"] is bucket["map_n"] is bucket["interval"] is None, where
                continue
            assert_rate(bucket, wanted)
            assert bucket["map_n"] == percent(wanted["map_n"]), where
        assert_spread(table, [row["map_n"] for row in buckets if row["instances"]], expected["map_n"])


def assert_rate(found, expected):
    missed, instances = expected["missed"], expected["instances"]
    assert found["rate"] == percent(missed / instances)
    assert tuple(found["interval"]) == tuple(percent(bound) for bound in naive.wilson(missed, instances))


def assert_spread(table, maps, overall):
    assert table["sensitivity"] == percent(max(maps) - min(maps))
    assert table["impact"] == percent(max(maps) - overall)
    if overall == 0:
        assert table["lowest"] is table["highest"] is None
    else:
        assert table["lowest"] == pytest.approx(min(maps) / overall)
        assert table["highest"] == pytest.approx(max(maps) / overall)


def assert_classes(found, predictions, truth, names, options):
    assert [row["name"] for row in found] == [names[k] for k in sorted({row[1] for row in predictions + truth})]
    # Which of several scores with the highest F1 is taken is left open.
    scores = {names.index(row["name"]): row["best_score"] for row in found}
    for row in found:
        expected = naive.class_row(predictions, truth, names.index(row["name"]), scores, **options)
        for key, value in expected.items():
            wanted = percent(value) if key in ("ap", "ap_50", "precision", "recall", "f1") else value
            assert row[key] == wanted, f"{row['name']}: {key}"


@pytest.mark.parametrize("level", ["action", "body"])
@pytest.mark.parametrize("mode", MODES)
def test_worked_example(mode, level):
    assert_equal(PREDICTIONS, TRUTH, DURATIONS, mode=mode, level=level)


@pytest.mark.parametrize("level", ["action", "body"])
@pytest.mark.parametrize("mode", MODES)
@FEW
@given(cases(), st.sampled_from([0.5, 0.3, 0.7]), st.sampled_from([0.1, 0.2]))
def test_equals_the_plain_loops(mode, level, case, threshold, background):
    assert_equal(*case, SECONDS, mode=mode, level=level, threshold=threshold, background=background)


@pytest.mark.parametrize("misses", [18, 19, 20])
@pytest.mark.parametrize("mode", MODES)
def test_hits_of_low_precision_are_missed_in_detad_only(mode, misses):
    # P_N is 1 / (1 + misses); at 19 it is DETAD's cut-off, 0.05.
    predictions = [*[(0, 0, 30, 31, 0.9)] * misses, (0, 0, 0, 2, 0.1)]
    assert_equal(predictions, [(0, 0, 0, 2)], {0: 40.0}, mode=mode, level="action")


@pytest.mark.parametrize("mode", MODES)
def test_more_predictions_than_the_slices_hold(mode):
    # 14 of one class with one instance: the hit is the 12th and left out of the slices, yet it is no miss.
    predictions = [(0, 0, 3, 4, 0.5)] * 11 + [(0, 0, 0, 2, 0.5)] + [(0, 0, 0, 2, 0.4)] * 2
    assert_equal(predictions, [(0, 0, 0, 2), (0, 2, 5, 9)], {0: 10.0}, mode=mode, level="action")


@pytest.mark.parametrize("mode", MODES)
def test_instances_that_do_not_count(mode):
    # A repeated one counts in detad, one without extent in neither.
    truth = [(0, 0, 0, 2), (0, 0, 0.0005, 2), (0, 0, 4, 4), (0, 1, 5, 8)]
    predictions = [(0, 0, 0, 2, 0.9), (0, 0, 0, 2, 0.8), (0, 0, 4, 4, 0.7), (0, 1, 5, 6, 0.6)]
    for level in ("action", "body"):
        assert_equal(predictions, truth, {0: 10.0}, mode=mode, level=level)


def test_instance_longer_than_its_clip_is_left_out_in_detad():
    truth = [(0, 0, 0, 2), (0, 0, 0, 11)]
    assert_equal([(0, 0, 0, 10, 0.9)], truth, {0: 10.0}, mode="detad", level="action")
