"""The bootstrap against evaluating every draw anew, and the laws of its intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arrays import THREE, cases, found, truth
from mmad.average_precision import detection_map, ranking
from mmad.diagnosis import compare, measure
from mmad.diagnosis.uncertainty import draw_weights, interval, mean_of_classes, weighted_average_precision
from mmad.errors import MmadError
from mmad.matching import Rows

FEW = settings(deadline=None, max_examples=60)


def repeated(rows: Rows, copies_of_clip: list[int]) -> Rows:
    """Clip v once for every copy, each copy under a number of its own; copies of a row stay side by side."""
    parts = [rows.take(np.array([i], dtype=int)) for i in range(len(rows)) for _ in range(copies_of_clip[rows.clip[i]])]
    numbers = [rows.clip[i] * 100 + copy for i in range(len(rows)) for copy in range(copies_of_clip[rows.clip[i]])]
    if not parts:
        return rows.take(np.zeros(0, dtype=int))
    return Rows(
        np.array(numbers),
        np.concatenate([p.label for p in parts]),
        np.concatenate([p.segment for p in parts]),
        None if rows.score is None else np.concatenate([p.score for p in parts]),
    )


@FEW
@given(cases(), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_weights_equal_clips_repeated_as_often(case, copies):
    predictions, ground_truth = case
    # Distinct scores: among equal ones, copies of two rows would alternate in the repeated evaluation.
    predictions = Rows(
        predictions.clip, predictions.label, predictions.segment, predictions.score + np.arange(len(predictions)) / 1000
    )
    weighted = weighted_average_precision(
        ranking(predictions, ground_truth, classes=3), [0, 1, 2], np.array([copies], dtype=float)
    )
    anew = ranking(repeated(predictions, copies), repeated(ground_truth, copies), classes=3).average_precision()
    np.testing.assert_allclose(weighted[0], anew, atol=1e-12)


@FEW
@given(cases())
def test_weight_one_is_the_plain_evaluation(case):
    whole = ranking(*case, classes=3)
    same = weighted_average_precision(whole, [0, 0, 1], np.ones((1, 2)))[0]
    np.testing.assert_allclose(same, whole.average_precision(), atol=1e-12)


def test_draws_have_as_many_units_as_there_are():
    weights = draw_weights(7, draws=50)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(weights, draw_weights(7, draws=50))
    assert (weights != draw_weights(7, draws=50, seed=1)).any()


def test_basic_interval_turns_the_draws_round():
    draws = np.linspace(50, 60, 1001)
    assert interval(52, draws) == pytest.approx((104 - 59.75, 104 - 50.25))
    assert interval(99, draws)[1] == 100
    assert interval(1, draws) == (0, 0) or interval(1, draws)[0] == 0
    assert interval(1, np.array([np.nan, np.nan])) is None


def test_mean_of_classes_leaves_absent_ones_out_unless_all_count():
    ap = np.array([[[1.0], [np.nan], [0.5]]])
    assert mean_of_classes(ap)[0, 0] == pytest.approx(0.75)
    assert mean_of_classes(ap, all_classes=True)[0, 0] == pytest.approx(0.5)


def test_draws_without_an_instance_tell_nothing():
    # One of four clips holds both instances, of which one is found: the whole gives 50, and so does every draw of it.
    ground_truth = truth((0, 0, 0, 2), (0, 0, 4, 6))
    numbers = measure(found((0, 0, 0, 2, 0.9)), ground_truth, taxonomy=THREE, durations=[9.0] * 4, draws=200)
    assert numbers["interval"] == pytest.approx((50, 50))


def noisy(seed: int, quality: float) -> tuple[Rows, Rows]:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 8, 240)
    ground_truth = Rows(np.arange(240) // 3, rng.integers(0, 3, 240), np.stack([start, start + 2], axis=1))
    off = np.random.default_rng(seed + 100).normal(0, 1 - quality, (240, 2))
    return Rows(
        ground_truth.clip, ground_truth.label, np.sort(ground_truth.segment + off, axis=1), rng.random(240)
    ), ground_truth


def test_measure_draws_subjects_where_they_are_known():
    predictions, ground_truth = noisy(0, 0.7)
    subjects = [f"s{clip // 8}" for clip in range(80)]
    by_subject = measure(predictions, ground_truth, taxonomy=THREE, subjects=subjects, draws=200)
    assert (by_subject["unit"], by_subject["units"], by_subject["draws"]) == ("subject", 10, 200)
    low, high = by_subject["interval"]
    assert low < by_subject["avg"] < high
    by_clip = measure(predictions, ground_truth, taxonomy=THREE, subjects=subjects, draws=200, unit="clip")
    assert (by_clip["unit"], by_clip["units"]) == ("clip", 80)
    assert measure(predictions, ground_truth, taxonomy=THREE)["unit"] == "clip"
    with pytest.raises(MmadError, match="subject of every clip"):
        measure(predictions, ground_truth, taxonomy=THREE, unit="subject")


def test_measure_agrees_with_detection_map_and_with_subjects_alone():
    predictions, ground_truth = noisy(1, 0.6)
    subjects = [f"s{clip // 40}" for clip in range(80)]
    numbers = measure(predictions, ground_truth, taxonomy=THREE, subjects=subjects, draws=10)
    report = detection_map(predictions, ground_truth, taxonomy=THREE)
    for level in ("action", "body"):
        assert numbers[level]["map"] == report[level]["map"]
        assert set(numbers[level]["intervals"]) == {*report[level]["map"], "avg"}
    assert numbers["avg"] == report["avg"]
    for row in numbers["per_subject"]:
        mine = np.array([subject == row["subject"] for subject in subjects])
        alone = detection_map(
            predictions.take(mine[predictions.clip]), ground_truth.take(mine[ground_truth.clip]), taxonomy=THREE
        )
        assert row["action"] == pytest.approx(alone["action"]["avg"])
        assert row["body"] == pytest.approx(alone["body"]["avg"])
        assert (row["clips"], row["instances"]) == (40, 120)


def test_paired_comparison_is_narrower_than_two_intervals_and_signed():
    worse, ground_truth = noisy(2, 0.5)
    better = Rows(worse.clip, worse.label, (worse.segment + 2 * ground_truth.segment) / 3, worse.score)
    result = compare(worse, better, ground_truth, taxonomy=THREE, names=("worse", "better"), draws=300)
    assert (result["first"], result["second"], result["unit"]) == ("worse", "better", "clip")
    assert result["avg"]["difference"] == pytest.approx(result["avg"]["second"] - result["avg"]["first"])
    low, high = result["avg"]["interval"]
    assert 0 < low < result["avg"]["difference"] < high
    single = measure(worse, ground_truth, taxonomy=THREE, draws=300)["interval"]
    assert high - low < single[1] - single[0]
    assert set(result["per_class"]) == {"a", "b", "c"}
    assert set(result["per_body"]) == {"x", "y"}
    same = compare(worse, worse, ground_truth, taxonomy=THREE, draws=50)
    assert same["avg"]["interval"] == (0, 0)
    swapped = compare(better, worse, ground_truth, taxonomy=THREE, draws=300)
    assert swapped["avg"]["interval"] == pytest.approx((-high, -low))


def test_one_unit_has_no_interval():
    numbers = measure(found((0, 0, 0, 1, 0.5)), truth((0, 0, 0, 1)), taxonomy=THREE)
    assert numbers["interval"] is None
    assert numbers["unit"] is None
    assert numbers["action"]["intervals"] == {}
    assert numbers["action"]["per_class_intervals"] == {"a": None}
