"""Worked cases of what is kept, confused, found together, and how far boundaries and scores are off."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sample
from arrays import THREE, cases, found, truth
from mmad.annotations import Instance, Truth
from mmad.diagnosis import Settings, diagnose, measure
from mmad.diagnosis.boundaries import EDGES
from mmad.diagnosis.confusion import shared_seconds
from mmad.diagnosis.shown import SHOWN, shown_clips

FEW = settings(deadline=None, max_examples=60)

# a: two instances, both found, then an error of lower score. b: one instance, taken for c. c: none of its own here.
TRUTH = truth((0, 0, 0, 2), (1, 0, 0, 2), (1, 1, 4, 6), (0, 2, 0.5, 2.5), (2, 2, 0, 1))
FOUND = found(
    (0, 0, 0, 2.2, 0.9),
    (1, 0, 0.1, 2.1, 0.8),
    (2, 0, 5, 6, 0.3),
    (1, 2, 4, 6, 0.7),
    (2, 2, 0, 1, 0.6),
    (0, 1, 8, 9, 0.2),
)


@pytest.fixture(scope="module")
def action() -> dict:
    return diagnose(FOUND, TRUTH, taxonomy=THREE, durations=[10, 10, 10])["action"]


def row(level: dict, name: str) -> dict:
    return next(row for row in level["classes"] if row["name"] == name)


def test_predictions_are_kept_down_to_the_score_of_best_f1(action):
    a, b, c = (row(action, name) for name in "abc")
    assert (a["best_score"], a["kept"], a["precision"], a["recall"], a["f1"]) == (0.8, 2, 100, 100, 100)
    # c: at 0.7 nothing is right, at 0.6 one of two predictions and of two instances.
    assert (c["best_score"], c["kept"], c["precision"], c["recall"], c["f1"]) == (0.6, 2, 50, 50, 50)
    assert (b["best_score"], b["kept"], b["recall"], b["missed"]) == (None, 0, 0, 1)
    assert c["errors"]["substitution"] == 1
    assert a["group"] == "x"
    assert a["code"] == "A1"


@FEW
@given(cases())
def test_best_f1_equals_trying_every_score(case):
    predictions, ground_truth = case
    for line in diagnose(predictions, ground_truth, taxonomy=THREE)["action"]["classes"]:
        if line["f1"] is None:
            continue
        label = "abc".index(line["name"])
        of_class = predictions.take(predictions.label == label)
        best = 0.0
        for score in set(of_class.score.tolist()):
            kept = of_class.take(of_class.score >= score)
            only = diagnose(kept, ground_truth.take(ground_truth.label == label), taxonomy=THREE)
            right = only["action"]["false_negatives"]
            hits = right["instances"] - right["missed"]
            best = max(best, 200 * hits / (len(kept) + right["instances"]))
        assert line["f1"] == pytest.approx(best)


def test_confusion_counts_kept_predictions_by_true_and_predicted_class(action):
    confusion = action["confusion"]
    assert confusion["names"] == ["a", "b", "c"]
    # Rows a, b, c, background; columns a, b, c, missed. c lies on b, and one c is missed.
    assert confusion["matrix"] == [[2, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]


@FEW
@given(cases(), st.sampled_from(["class_first", "detad"]))
def test_confusion_adds_up(case, mode):
    level = diagnose(*case, taxonomy=THREE, settings=Settings(mode=mode))["action"]
    matrix = np.array(level["confusion"]["matrix"])
    by_name = {line["name"]: line for line in level["classes"]}
    own = {"duplicate", "localisation", "double detection", "localization"}
    for k, name in enumerate(level["confusion"]["names"]):
        line = by_name[name]
        # Errors on the own class are no confusion; all others are somewhere in the class's column.
        assert matrix[:, k].sum() == line["kept"] - sum(line["errors"].get(kind, 0) for kind in own)
        assert matrix[k, k] + matrix[k, -1] == line["instances"]


def test_pairs_in_time_are_found_together_or_not(action):
    together = action["co_occurrence"]
    # Only a and c of clip 0 overlap; the kept predictions find a and not c. Predicted a and c share no time.
    (pair,) = [p for p in together["pairs"] if p["pairs"]]
    assert {**pair, "true_seconds": pytest.approx(1.5)} == {
        "first": "a",
        "second": "c",
        "pairs": 1,
        "both": 0,
        "one": 1,
        "none": 0,
        "true_seconds": 1.5,
        "predicted_seconds": 0,
    }
    assert (together["alone"], together["overlapping"]) == (3, 2)
    assert together["recall_alone"] == pytest.approx(200 / 3)
    assert together["recall_overlapping"] == 50
    assert (together["both"], together["expected_both"]) == (0, 50)


@FEW
@given(cases())
def test_shared_seconds_equal_counting_quarter_seconds(case):
    rows = case[1]
    counted = np.zeros((3, 3))
    for clip in range(3):
        for quarter in range(100):
            active = {
                int(rows.label[i])
                for i in range(len(rows))
                if rows.clip[i] == clip and rows.segment[i, 0] <= quarter / 4 < rows.segment[i, 1]
            }
            for first in active:
                for second in active:
                    counted[first, second] += 0.25 * (first < second)
    np.testing.assert_allclose(shared_seconds(rows, classes=3), counted)


def test_boundaries_are_predicted_minus_true(action):
    times = action["boundaries"]
    # Pairs: a 0-2 by 0-2.2, a 0-2 by 0.1-2.1, c 0-1 by 0-1.
    assert times["onset"]["pairs"] == 3
    assert times["onset"]["median"] == 0
    assert times["offset"]["median"] == pytest.approx(0.1)
    assert times["offset"]["absolute"] == pytest.approx(0.1)
    assert times["within"]["0.1"] == (pytest.approx(100), pytest.approx(200 / 3))
    assert times["within"]["0.25"] == (100, 100)
    assert times["length_ratio"] == 1
    assert sum(times["offset_histogram"]) == 3
    assert times["by_length"][0][:1] == ("XS",)
    assert times["by_length"][0][1]["pairs"] == 3
    assert row(action, "a")["offset"] == pytest.approx(0.15)


def test_histogram_bins_are_bounded_by_their_edges():
    off = diagnose(found((0, 0, 0.2, 9, 0.9)), truth((0, 0, 0, 5)), taxonomy=THREE)["action"]["boundaries"]
    place = EDGES.index(0.2) + 1
    assert off["onset_histogram"][place] == 1  # 0.2 opens the bin 0.2 to 0.4
    assert off["offset_histogram"][-1] == 1  # 4 s late
    assert len(off["onset_histogram"]) == len(off["edges"]) + 1


def test_calibration_compares_scores_with_shares_of_right_predictions():
    predictions = found((0, 0, 0, 2, 0.95), (1, 0, 0, 2, 0.95), (2, 0, 0, 1, 0.95), (2, 1, 0, 1, 0.05))
    result = diagnose(predictions, TRUTH, taxonomy=THREE)["action"]["calibration"]
    low, high = result["bins"]
    assert (low["above"], low["up_to"], low["count"], low["precision"]) == (0, 0.1, 1, 0)
    assert (high["count"], high["score"], high["precision"]) == (3, pytest.approx(0.95), pytest.approx(2 / 3))
    assert result["error"] == pytest.approx((3 * (0.95 - 2 / 3) + 0.05) / 4)
    assert result["by_group"] == {"x": pytest.approx(result["error"])}


def test_shown_clips_tell_kind_match_and_reason():
    clips = [
        Truth("first", (Instance(0, 2, 0), Instance(0.5, 2.5, 2)), 10.0, "p"),
        Truth("second", (Instance(4, 6, 1),), None),
        Truth("third", ()),
    ]
    predictions = found((0, 0, 0, 2, 0.4), (0, 0, 0, 2, 0.9), (1, 2, 4, 6, 0.7), *((2, 1, 0, 1, 0.5),) * (SHOWN + 3))
    first, second, third = shown_clips(predictions, clips, taxonomy=THREE)
    assert [p["score"] for p in first["predictions"]] == [0.9, 0.4]
    assert [p["kind"] for p in first["predictions"]] == [0, 1]
    assert (first["truth"][0]["match"], first["truth"][0]["missed"]) == (0, None)
    assert (first["truth"][1]["match"], first["truth"][1]["missed"]) == (None, "other class")
    assert first["predictions"][0]["other"] == pytest.approx(1.5 / 2.5)
    assert first["predictions"][0]["other_truth"] == 1
    assert (first["duration"], second["duration"]) == (10, 6)
    assert second["predictions"][0]["kind"] == 3  # a substitution
    assert second["predictions"][0]["tiou"] is None
    assert (len(third["predictions"]), third["hidden"]) == (SHOWN, 3)
    assert third["duration"] == 1


def test_kept_predictions_and_matches_are_shown_however_many_there_are():
    many = 2 * SHOWN
    instances = tuple(Instance(3 * i, 3 * i + 2, 0) for i in range(many))
    right = [(0, 0, 3 * i, 3 * i + 2, 0.9 - i / 1000) for i in range(many)]
    weak = [(0, 1, 3 * i, 3 * i + 1, 0.1) for i in range(many)]
    (clip,) = shown_clips(found(*right, *weak), [Truth("long", instances)], taxonomy=THREE)
    assert [row["match"] for row in clip["truth"]] == list(range(many))
    assert (len(clip["predictions"]), clip["hidden"]) == (many, many)


def test_the_viewer_counts_what_the_tables_count():
    diagnosis = sample.diagnosis()["action"]
    best = {line["name"]: line["best_score"] for line in diagnosis["classes"]}
    kinds, shown = diagnosis["false_positives"]["kinds"], sample.shown()
    counted = dict.fromkeys(kinds[1:], 0)
    for prediction in (prediction for clip in shown for prediction in clip["predictions"]):
        least = best.get(sample.TAXONOMY.actions[prediction["label"]])
        if prediction["kind"] and least is not None and prediction["score"] >= least:
            counted[kinds[prediction["kind"]]] += 1
    assert counted == {kind: sum(line["errors"][kind] for line in diagnosis["classes"]) for kind in kinds[1:]}
    assert counted["substitution"] > 0
    assert (
        sum(row["missed"] is not None for clip in shown for row in clip["truth"]) == diagnosis["kept_misses"]["missed"]
    )


@FEW
@given(cases())
def test_per_frame_map_equals_a_loop_over_frames(case):
    predictions, ground_truth = case
    rate, seconds = 4.0, [5.0, 5.0, 5.0]
    expected = []
    for label in range(3):
        frames = []
        for clip in range(3):
            for i in range(20):
                moment = (i + 0.5) / rate
                inside = [
                    [
                        j
                        for j in range(len(rows))
                        if rows.clip[j] == clip
                        and rows.label[j] == label
                        and rows.segment[j, 0] <= moment < rows.segment[j, 1]
                    ]
                    for rows in (predictions, ground_truth)
                ]
                frames.append((max((float(predictions.score[j]) for j in inside[0]), default=-1.0), bool(inside[1])))
        if not any(positive for _, positive in frames):
            continue
        # Equal scores are one operating point: precision there, weighted by the recall it adds.
        area, total = 0.0, sum(positive for _, positive in frames)
        for score in {score for score, _ in frames}:
            above = [positive for s, positive in frames if s >= score]
            area += sum(above) / len(above) * sum(positive for s, positive in frames if s == score) / total
        expected.append(area)
    got = measure(predictions, ground_truth, taxonomy=THREE, durations=seconds, frame_rate=rate, draws=0)["frame_map"]
    assert got["action"] == pytest.approx(100 * np.mean(expected), abs=1e-4)
