"""Defined answers to unusual input: what counts, what is said, what is refused."""

import json

import numpy as np
import pytest

from arrays import THREE, found, truth
from mmad.average_precision import Protocol
from mmad.diagnosis import Buckets, Settings, compare, diagnose, measure
from mmad.errors import MmadError
from mmad.matching import Rows

ONE = truth((0, 0, 0, 2), (0, 2, 1, 3), (1, 1, 0, 4))
GOOD = found((0, 0, 0, 2, 0.9), (0, 2, 1, 3, 0.8), (1, 1, 0, 4, 0.7))
MODES = ("class_first", "detad")


def both(predictions: Rows, ground_truth: Rows = ONE, **options) -> list:
    """Numbers and diagnosis in both modes, checked to be plain JSON without NaN."""
    results = [measure(predictions, ground_truth, taxonomy=THREE, draws=20, **options)]
    results += [diagnose(predictions, ground_truth, taxonomy=THREE, settings=Settings(mode=mode)) for mode in MODES]
    for result in results:
        json.dumps(result, allow_nan=False)
    return results


def test_empty_predictions_score_nothing_and_miss_everything():
    numbers, *diagnoses = both(found())
    assert numbers["avg"] == 0
    assert numbers["action"]["per_class"] == {"a": 0, "b": 0, "c": 0}
    for diagnosis in diagnoses:
        misses = diagnosis["action"]["false_negatives"]
        assert (misses["missed"], misses["rate"], misses["reasons"]["nothing"]) == (3, 100, 3)
        assert sum(diagnosis["action"]["false_positives"]["total"]) == 0
        assert diagnosis["action"]["calibration"] == {"bins": [], "error": None, "by_group": {}}


@pytest.mark.parametrize("function", [measure, diagnose])
def test_empty_ground_truth_is_refused(function):
    with pytest.raises(MmadError, match="the ground truth holds no instance"):
        function(GOOD, truth(), taxonomy=THREE)


def test_a_class_never_seen_does_not_count_and_is_mentioned():
    ground_truth = truth((0, 0, 0, 2), (1, 1, 0, 4))
    numbers, diagnosis, _ = both(GOOD, ground_truth)
    assert numbers["action"]["per_class"] == {"a": pytest.approx(100), "b": pytest.approx(100)}
    assert "1 of 3 predictions are of a class without ground truth here (c)" in numbers["notes"][0]
    row = next(row for row in diagnosis["action"]["classes"] if row["name"] == "c")
    assert (row["ap"], row["precision"], row["predictions"], row["kept"]) == (None, None, 1, 0)
    assert sum(diagnosis["action"]["false_positives"]["total"]) == 2


@pytest.mark.parametrize("function", [measure, diagnose])
def test_nan_scores_are_refused(function):
    broken = Rows(GOOD.clip, GOOD.label, GOOD.segment, np.array([0.9, np.nan, 0.7]))
    with pytest.raises(MmadError, match="1 of 3 predicted scores are NaN"):
        function(broken, ONE, taxonomy=THREE)


def test_an_end_before_the_start_is_a_false_positive():
    backwards = found((0, 0, 2, 0, 0.95), (0, 0, 0, 2, 0.9))
    numbers, diagnosis, _ = both(backwards)
    assert numbers["action"]["per_class"]["a"] == pytest.approx(50)
    assert numbers["notes"] == ["Predictions that end before they start, which count as false positives: 1."]
    kinds = dict(zip(*(diagnosis["action"]["false_positives"][name] for name in ("kinds", "total")), strict=True))
    assert (kinds["true positive"], kinds["background"]) == (1, 1)


def test_segments_outside_the_clip_stay_as_they_are_and_are_mentioned():
    numbers = measure(found((0, 0, -3, 2, 0.9)), ONE, taxonomy=THREE, durations=[3.0, 4.0], draws=0)
    assert numbers["action"]["map"]["0.4"] == pytest.approx(100 / 3)  # tIoU is 2 / 5
    assert numbers["action"]["map"]["0.5"] == 0
    assert "Predictions that reach beyond their clip, taken as they are: 1." in numbers["notes"][0]


def test_duplicates_predicted_are_errors_and_marked_are_dropped():
    twice = found((0, 0, 0, 2, 0.9), (0, 0, 0, 2, 0.8))
    numbers, first, detad = both(twice, truth((0, 0, 0, 2), (0, 0, 0, 2), (1, 0, 0, 2)))
    assert numbers["instances"] == 2
    assert "were dropped: 1 of 3." in numbers["notes"][0]
    assert first["action"]["false_positives"]["total"][:2] == [1, 1]
    # DETAD keeps repeated ground truth, so the second prediction finds the second copy.
    assert detad["action"]["false_positives"]["total"][0] == 2


def test_exact_ties_rank_in_input_order():
    hit_first = found((0, 0, 0, 2, 0.5), (0, 0, 8, 9, 0.5))
    miss_first = found((0, 0, 8, 9, 0.5), (0, 0, 0, 2, 0.5))
    first, second = (
        measure(p, ONE, taxonomy=THREE, draws=0)["action"]["per_class"]["a"] for p in (hit_first, miss_first)
    )
    assert (first, second) == (pytest.approx(100), pytest.approx(50))


def test_clip_numbers_may_be_any_integers():
    renamed = {0: 70_000_000_000, 1: -5}
    moved = [
        Rows(np.array([renamed[int(c)] for c in rows.clip]), rows.label, rows.segment, rows.score)
        for rows in (GOOD, ONE)
    ]
    subjects, durations = {70_000_000_000: "p", -5: "q"}, {70_000_000_000: 5.0, -5: 5.0}
    numbers = measure(*moved, taxonomy=THREE, subjects=subjects, durations=durations, draws=20)
    assert numbers["avg"] == pytest.approx(100)
    assert numbers["unit"] == "subject"
    coverage = diagnose(*moved, taxonomy=THREE, durations=durations)["action"]["false_negatives"]["characteristics"][0]
    assert coverage["name"] == "coverage"
    with pytest.raises(MmadError, match="is not given"):
        measure(*moved, taxonomy=THREE, subjects={-5: "q"})


def test_without_durations_what_needs_them_is_left_out():
    names = [c["name"] for c in diagnose(GOOD, ONE, taxonomy=THREE)["body"]["false_negatives"]["characteristics"]]
    assert names == ["length", "instances", "overlapping"]
    with pytest.raises(MmadError, match="duration of every clip"):
        measure(GOOD, ONE, taxonomy=THREE, frame_rate=10)


def test_scores_beyond_one_have_no_calibration_but_everything_else():
    logits = Rows(GOOD.clip, GOOD.label, GOOD.segment, np.array([9.0, -3.0, 2.0]))
    numbers, diagnosis, _ = both(logits)
    assert numbers["avg"] == pytest.approx(100)
    assert diagnosis["action"]["calibration"] == {"bins": None, "error": None, "by_group": {}}


def test_a_comparison_takes_predictions_without_rows():
    result = compare(found(), GOOD, ONE, taxonomy=THREE, draws=20)
    assert result["avg"]["first"] == 0
    assert result["avg"]["difference"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "classic"}, "choose class_first or detad"),
        ({"threshold": 0.1}, "0 < background < threshold"),
        ({"background": 0.0}, "0 < background < threshold"),
        ({"buckets": {"speed": Buckets((0, 1), ("all",))}}, "choose from coverage, length"),
    ],
)
def test_settings_refuse_what_does_not_exist(options, message):
    with pytest.raises(MmadError, match=message):
        Settings(**options)


@pytest.mark.parametrize("edges", [(0, 1), (0, 2, 1), (0, 1, 1)])
def test_buckets_need_ascending_edges(edges):
    with pytest.raises(MmadError, match="ascending edges"):
        Buckets(edges, ("a", "b"))


def test_what_is_known_of_clips_may_be_an_array_or_partly_unknown():
    numbers = measure(GOOD, ONE, taxonomy=THREE, subjects=np.array(["p", "q"]), draws=5)
    assert [row["subject"] for row in numbers["per_subject"]] == ["p", "q"]
    assert measure(GOOD, ONE, taxonomy=THREE, subjects=["p", None], draws=5)["unit"] == "clip"
    for mode in MODES:
        level = diagnose(GOOD, ONE, taxonomy=THREE, durations=[5, None], settings=Settings(mode=mode))["action"]
        assert "coverage" not in [c["name"] for c in level["false_negatives"]["characteristics"]]


@pytest.mark.parametrize("durations", [{0: 5.0}, [5.0]])
def test_a_clip_without_duration_is_named(durations):
    with pytest.raises(MmadError, match="clip number 1 has rows"):
        diagnose(GOOD, ONE, taxonomy=THREE, durations=durations)


def test_an_instance_longer_than_its_clip_covers_all_of_it():
    diagnosis = diagnose(GOOD, truth((0, 0, 0, 11)), taxonomy=THREE, durations=[10.0, 10.0])
    buckets = diagnosis["action"]["false_negatives"]["characteristics"][0]["buckets"]
    assert [bucket["instances"] for bucket in buckets] == [0, 0, 0, 0, 1]


def test_kinds_follow_the_protocols_union():
    exact = found((0, 0, 0, 1, 0.9))  # tIoU 0.5 with the instance, a little less with PointTAD's union
    kinds = diagnose(exact, truth((0, 0, 0, 2)), taxonomy=THREE, protocol=Protocol(union_extra=1e-4))["action"]
    assert dict(zip(*(kinds["false_positives"][name] for name in ("kinds", "total")), strict=True))["localisation"] == 1
    assert kinds["false_negatives"]["reasons"]["loose"] == 1
