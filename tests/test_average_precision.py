"""Detection-AP against a plain double loop, worked cases, and the laws it must keep."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.average_precision import (
    OPENTAD,
    POINTTAD,
    TIOU_THRESHOLDS,
    Protocol,
    average_precision,
    detection_map,
    ranking,
)
from mmad.errors import MmadError
from mmad.matching import Rows, union
from mmad.taxonomy import MMA52, Taxonomy

CLASSES = 3
FEW = settings(deadline=None, max_examples=60)
NODDING, BOWING, WAVING = (MMA52.index_of[name] for name in ("nodding", "bowing head", "waving"))


def rows(*found: tuple, scored: bool) -> Rows:
    """Rows from (clip, label, start, end[, score])."""
    table = np.array(found, dtype=np.float64).reshape(-1, 5 if scored else 4)
    index = table[:, :2].astype(np.int64)
    return Rows(index[:, 0], index[:, 1], table[:, 2:4], table[:, 4] if scored else None)


def truth(*segments: tuple[float, float]) -> Rows:
    return rows(*((0, 0, *segment) for segment in segments), scored=False)


def found(*segments: tuple[float, float, float]) -> Rows:
    return rows(*((0, 0, *segment) for segment in segments), scored=True)


def tiou(first, second, union_extra: float = 0.0) -> float:
    overlap = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
    return overlap / max((first[1] - first[0]) + (second[1] - second[0]) - overlap + union_extra, 1e-8)


def by_double_loop(
    predictions: Rows, ground_truth: Rows, *, classes: int, thresholds, union_extra: float = 0.0
) -> np.ndarray:
    """The definition, one prediction and one instance at a time."""
    result = np.full((classes, len(thresholds)), np.nan)
    for label in range(classes):
        instances = [i for i in range(len(ground_truth)) if ground_truth.label[i] == label]
        if not instances:
            continue
        order = sorted(
            (i for i in range(len(predictions)) if predictions.label[i] == label),
            key=lambda i: -predictions.score[i],
        )
        for column, threshold in enumerate(thresholds):
            free, hits = set(instances), []
            for i in order:
                best, best_tiou = None, threshold
                for j in instances:
                    overlap = tiou(predictions.segment[i], ground_truth.segment[j], union_extra)
                    same_clip = predictions.clip[i] == ground_truth.clip[j]
                    if j in free and same_clip and overlap >= best_tiou:
                        best, best_tiou = j, overlap
                free.discard(best)
                hits.append(best is not None)
            precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
            result[label, column] = sum(max(precision[k:]) for k in range(len(hits)) if hits[k]) / len(instances)
    return result


@st.composite
def cases(draw, *, distinct_scores: bool = False) -> tuple[Rows, Rows]:
    """Few clips and classes and a coarse time grid, so that overlaps, ties and equal tIoUs are frequent."""

    def segments(count: int) -> list[tuple]:
        place = st.tuples(st.integers(-1, 1), st.integers(0, CLASSES - 1), st.integers(0, 12), st.integers(1, 8))
        return [
            (clip, label, start / 4, (start + length) / 4)
            for clip, label, start, length in draw(st.lists(place, min_size=count, max_size=12))
        ]

    marked, predicted = segments(1), segments(0)
    if distinct_scores:
        scores = draw(st.permutations(range(len(predicted))))
    else:
        scores = [draw(st.integers(0, 4)) for _ in predicted]
    scored = [(*row, score / 16) for row, score in zip(predicted, scores, strict=True)]
    return rows(*scored, scored=True), rows(*marked, scored=False)


def ap(predictions: Rows, ground_truth: Rows, **options) -> np.ndarray:
    return average_precision(predictions, ground_truth, classes=CLASSES, **options)


@FEW
@given(cases())
def test_equals_the_double_loop(case):
    expected = by_double_loop(*case, classes=CLASSES, thresholds=TIOU_THRESHOLDS)
    np.testing.assert_allclose(ap(*case, protocol=Protocol(drop_duplicates=False)), expected, atol=1e-12)


@FEW
@given(cases())
def test_never_rises_with_the_threshold(case):
    assert (np.diff(np.nan_to_num(ap(*case)), axis=1) <= 1e-12).all()


@FEW
@given(cases(distinct_scores=True), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(case, random):
    predictions, ground_truth = case
    shuffled = list(range(len(predictions)))
    random.shuffle(shuffled)
    np.testing.assert_array_equal(ap(predictions.take(np.array(shuffled, dtype=int)), ground_truth), ap(*case))


@FEW
@given(cases())
def test_names_of_clips_unit_of_time_and_scale_of_scores_do_not_matter(case):
    predictions, ground_truth = case
    new_names = np.array([70_000_000_000, 5, -3])
    renamed = [replace(side, clip=new_names[side.clip + 1]) for side in case]
    np.testing.assert_array_equal(ap(*renamed), ap(*case))
    # By 2, which is exact: tIoUs on a threshold stay on it.
    doubled = [replace(side, segment=side.segment * 2) for side in case]
    np.testing.assert_array_equal(ap(*doubled), ap(*case))
    rescored = replace(predictions, score=np.exp(7 * predictions.score) - 40)
    np.testing.assert_array_equal(ap(rescored, ground_truth), ap(*case))


@FEW
@given(cases())
def test_false_positive_below_all_others_changes_nothing(case):
    predictions, ground_truth = case
    extra = [(0, label, 90, 91, -1) for label in range(CLASSES)]
    worse = [
        (c, k, *s, x)
        for c, k, s, x in zip(predictions.clip, predictions.label, predictions.segment, predictions.score, strict=True)
    ]
    np.testing.assert_array_equal(ap(rows(*worse, *extra, scored=True), ground_truth), ap(*case))


@FEW
@given(cases())
def test_perfect_predictions_give_one(case):
    _, ground_truth = case
    perfect = replace(ground_truth, score=np.linspace(1, 0, len(ground_truth)))
    result = ap(perfect, ground_truth, protocol=Protocol(drop_duplicates=False))
    np.testing.assert_allclose(result[~np.isnan(result)], 1)


@pytest.mark.parametrize(
    ("instances", "predictions", "threshold", "expected"),
    [
        pytest.param([(0, 2)], [(0, 1, 0.9)], 0.5, 1, id="tIoU exactly on the threshold"),
        pytest.param([(0, 1)], [(0, 1, 0.9)], 1.0, 1, id="perfect at threshold 1"),
        pytest.param([(0, 10)], [(0, 3, 0.9)], 0.3, 1, id="0.3 as a literal"),
        pytest.param([(0, 10)], [(0, 3, 0.9)], 0.1 * 3, 0, id="0.3 as a sum, which is a little more"),
        pytest.param([(0, 2), (0, 2)], [(0, 2, 0.9)], 0.5, 1, id="twin instances count once"),
        pytest.param([(0, 2), (0, 2.0009)], [(0, 2, 0.9)], 0.5, 1, id="nearly twins count once"),
        pytest.param([(0, 2), (0, 2.002)], [(0, 2, 0.9)], 0.5, 0.5, id="2 ms apart are two"),
        pytest.param([(0, 2)], [(0, 2, 0.5), (8, 9, 0.5)], 0.5, 1, id="tie, hit first"),
        pytest.param([(0, 2)], [(8, 9, 0.5), (0, 2, 0.5)], 0.5, 0.5, id="tie, miss first"),
        pytest.param([(0, 2)], [(0, 2, 0.9), (0, 2, 0.8)], 0.5, 1, id="second detection after full recall"),
        pytest.param([(0, 2), (5, 7)], [(0, 2, 0.9), (0, 2, 0.8)], 0.5, 0.5, id="second detection is false"),
        pytest.param([(0, 2), (1, 3)], [(0, 2, 0.9), (0.1, 2.1, 0.8)], 0.3, 1, id="falls back to the next"),
        pytest.param([(0, 2), (1, 3)], [(0, 2, 0.9), (0.1, 2.1, 0.8)], 0.5, 0.5, id="nothing to fall back to"),
        pytest.param([(0, 2), (4, 6)], [(8, 9, 0.9), (0, 2, 0.8)], 0.5, 0.25, id="precision counts the miss"),
        pytest.param([(0, 2)], [], 0.5, 0, id="nothing predicted"),
        pytest.param([(0, 2)], [(2, 1, 0.9)], 0.1, 0, id="ends before it starts"),
    ],
)
def test_worked_cases(instances, predictions, threshold, expected):
    result = average_precision(found(*predictions), truth(*instances), classes=1, protocol=Protocol((threshold,)))
    np.testing.assert_allclose(result, [[expected]])


def test_the_last_of_equal_tious_is_taken():
    # Both instances overlap the first prediction equally; the second prediction fits only the earlier one.
    instances, predictions = truth((0, 2), (2, 4)), found((1, 3, 0.9), (0, 2, 0.8))
    assert average_precision(predictions, instances, classes=1, protocol=Protocol((0.3,))).item() == 1
    reversed_rows = instances.take(np.array([1, 0]))
    assert average_precision(predictions, reversed_rows, classes=1, protocol=Protocol((0.3,))).item() == 0.5


def test_duplicates_may_be_kept():
    result = average_precision(
        found((0, 2, 0.9)), truth((0, 2), (0, 2)), classes=1, protocol=Protocol((0.5,), drop_duplicates=False)
    )
    assert result.item() == 0.5


def test_duplicates_chain_only_to_kept_rows():
    # 0.8 ms steps: the second goes, the third is 1.6 ms from the first, which alone was kept.
    instances = truth((0, 2), (0.0008, 2.0008), (0.0016, 2.0016))
    result = average_precision(found((0, 2, 0.9)), instances, classes=1, protocol=Protocol((0.5,)))
    assert result.item() == 0.5


def test_class_without_ground_truth_is_nan_and_does_not_count():
    predictions = rows((0, 0, 0, 2, 0.9), (0, 1, 0, 2, 0.9), scored=True)
    result = ap(predictions, truth((0, 2)))
    assert (result[0] == 1).all()
    assert np.isnan(result[1:]).all()


def test_instance_without_extent_does_not_count():
    assert np.isnan(average_precision(found((1, 1, 0.9)), truth((1, 1)), classes=1)).all()


def test_same_segment_in_another_clip_is_false():
    predictions = rows((1, 0, 0, 2, 0.9), (0, 0, 0, 2, 0.8), scored=True)
    np.testing.assert_allclose(ap(predictions, truth((0, 2)))[0], 0.5)


def test_report_is_nested_and_in_percent():
    ground_truth = rows((0, NODDING, 0, 2), (0, WAVING, 1, 3), scored=False)
    report = detection_map(rows((0, NODDING, 0, 1, 0.9), scored=True), ground_truth, taxonomy=MMA52)
    thresholds = ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
    assert list(report["action"]["map"]) == thresholds
    assert report["action"]["map"]["0.5"] == 50  # one of two classes, its tIoU is 0.5
    assert report["action"]["map"]["0.6"] == 0
    assert report["action"]["per_class"] == {"nodding": pytest.approx(500 / 9), "waving": 0}
    assert report["body"]["per_class"] == {"head": pytest.approx(500 / 9), "upper limb": 0}
    assert report["avg"] == pytest.approx((report["action"]["avg"] + report["body"]["avg"]) / 2)
    assert report["avg"] == pytest.approx(250 / 9)


def test_body_level_maps_labels_and_drops_only_duplicate_ground_truth():
    # Nodding and bowing are one instance of the head at the same time, but two predictions stay two.
    ground_truth = rows((0, NODDING, 0, 2), (0, BOWING, 0, 2), (0, BOWING, 5, 6), scored=False)
    predictions = rows((0, NODDING, 0, 2, 0.9), (0, BOWING, 0, 2, 0.8), (0, BOWING, 5, 6, 0.7), scored=True)
    report = detection_map(predictions, ground_truth, taxonomy=MMA52)
    assert report["action"]["avg"] == pytest.approx(100)
    assert report["body"]["avg"] == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_other_taxonomy():
    taxonomy = Taxonomy.from_rows((("X1", "left", "arm"), ("Y1", "kick", "leg"), ("X2", "right", "arm")))
    report = detection_map(rows((0, 0, 0, 2, 0.9), scored=True), rows((0, 2, 0, 2), scored=False), taxonomy=taxonomy)
    assert report["action"]["per_class"] == {"right": 0}
    assert report["body"]["per_class"] == {"arm": 100}


@pytest.mark.parametrize("empty", [truth(), truth((1, 1))])
def test_no_ground_truth_is_an_error(empty):
    with pytest.raises(MmadError, match=r"no instance with an extent.*check the split"):
        detection_map(found((0, 1, 0.9)), empty, taxonomy=MMA52)


@pytest.mark.parametrize(
    ("predictions", "instances", "message"),
    [
        (
            found((0, 1, np.nan)),
            truth((0, 1)),
            r"1 of 1 predicted scores are NaN or infinite, the first in clip 0; look for",
        ),
        (truth((0, 1)), truth((0, 1)), "the predictions have no scores"),
        (
            found((0, np.inf, 0.5)),
            truth((0, 1)),
            r"a segment in the predictions is \[0.0, inf\], expected finite",
        ),
        (found((0, 1, 0.5)), truth((np.nan, 1)), r"a segment in the ground truth is \[nan, 1.0\]"),
        (
            rows((0, 52, 0, 1, 0.5), scored=True),
            truth((0, 1)),
            "a label in the predictions is 52, expected 0 to 51",
        ),
        (
            found((0, 1, 0.5)),
            rows((0, -1, 0, 1), scored=False),
            "a label in the ground truth is -1, expected 0 to",
        ),
    ],
)
def test_errors_say_what_is_wrong(predictions, instances, message):
    with pytest.raises(MmadError, match=message):
        detection_map(predictions, instances, taxonomy=MMA52)


MICRO = [
    # ground truth, predictions, threshold, AP of PointTAD's code, of OpenTAD's; run on their sources.
    pytest.param([(0, 2)], [(0, 1, 0.9)], 0.5, 0, 1, id="exact threshold"),
    pytest.param([(0, 1)], [(0, 1, 0.9)], 1.0, 0, 1, id="perfect at threshold 1"),
    pytest.param([(0, 2), (0, 2)], [(0, 2, 0.9)], 0.5, 0.5, 1, id="twin rows"),
    pytest.param([(0, 2)], [(0, 2, 0.5), (8, 9, 0.5)], 0.5, 0.5, 0.5, id="tie, hit first"),
    pytest.param([(0, 2)], [(8, 9, 0.5), (0, 2, 0.5)], 0.5, 1, 1, id="tie, miss first"),
    pytest.param([(0, 2)], [(0, 2, 0.9), (0, 2, 0.8)], 0.5, 1, 1, id="double detection"),
    pytest.param([(0, 2), (1, 3)], [(0, 2, 0.9), (0.1, 2.1, 0.8)], 0.3, 1, 1, id="fall-back"),
    pytest.param([(0, 2), (1, 3)], [(0, 2, 0.9), (0.1, 2.1, 0.8)], 0.5, 0.5, 0.5, id="no fall-back"),
]


@pytest.mark.parametrize(("instances", "predictions", "threshold", "pointtad", "opentad"), MICRO)
def test_parity_with_published_evaluations(instances, predictions, threshold, pointtad, opentad):
    for protocol, expected in ((POINTTAD, pointtad), (OPENTAD, opentad)):
        result = average_precision(
            found(*predictions), truth(*instances), classes=1, protocol=replace(protocol, thresholds=(threshold,))
        )
        assert result.item() == expected


@FEW
@given(cases())
def test_pointtad_equals_the_double_loop_on_reversed_rows(case):
    predictions, ground_truth = case
    last_first = predictions.take(np.arange(len(predictions))[::-1])
    expected = by_double_loop(
        last_first, ground_truth, classes=CLASSES, thresholds=POINTTAD.thresholds, union_extra=1e-4
    )
    predicted = np.bincount(predictions.label, minlength=CLASSES) > 0
    expected[np.isnan(expected[:, 0]) & ~predicted] = 0
    np.testing.assert_allclose(ap(*case, protocol=POINTTAD), expected, atol=1e-12)


def test_all_classes_count_an_absent_class_as_nothing_and_refuse_a_predicted_one():
    ground_truth = rows((0, NODDING, 0, 2), scored=False)
    perfect = rows((0, NODDING, 0, 2, 0.9), scored=True)
    everything = Protocol(all_classes=True)
    report = detection_map(perfect, ground_truth, taxonomy=MMA52, protocol=everything)
    assert report["action"]["avg"] == pytest.approx(100 / 52)
    with pytest.raises(MmadError, match=r"'waving' has predictions but no ground truth"):
        detection_map(
            rows((0, NODDING, 0, 2, 0.9), (0, WAVING, 0, 2, 0.9), scored=True),
            ground_truth,
            taxonomy=MMA52,
            protocol=everything,
        )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Of the head: nodding 0-2 and bowing 0-2 fall on one instance; 5-6 is a second one. The copy of the first
        # prediction is a false positive between two hits: AP 1/2 + 1/2 * 2/3.
        pytest.param({}, 5 / 6, id="mapped"),
        pytest.param({"body_predictions": "max"}, 1, id="identical predictions joined"),
        pytest.param({"body_predictions": "nms"}, 1, id="suppressed once more"),
        # Three instances: all three predictions hit.
        pytest.param({"body_truth": "none"}, 1, id="all instances kept"),
        pytest.param({"body_truth": "union"}, 5 / 6, id="overlapping instances joined"),
    ],
)
def test_readings_of_the_body_level(options, expected):
    ground_truth = rows((0, NODDING, 0, 2), (0, BOWING, 0, 2), (0, BOWING, 5, 6), scored=False)
    predictions = rows((0, NODDING, 0, 2, 0.9), (0, BOWING, 0, 2, 0.8), (0, BOWING, 5, 6, 0.7), scored=True)
    report = detection_map(predictions, ground_truth, taxonomy=MMA52, protocol=Protocol(**options))
    assert report["body"]["avg"] == pytest.approx(100 * expected)


def test_union_joins_what_overlaps_and_not_what_touches():
    joined = union(rows((0, 1, 3, 5), (0, 1, 0, 2), (0, 1, 1, 3), (0, 0, 1, 2), (1, 1, 2, 4), scored=False))
    assert joined.clip.tolist() == [0, 0, 0, 1]
    assert joined.label.tolist() == [0, 1, 1, 1]
    assert joined.segment.tolist() == [[1, 2], [0, 3], [3, 5], [2, 4]]


@FEW
@given(cases(), st.integers(1, 6))
def test_recall_of_the_best_predictions_equals_matching_them_alone(case, most):
    predictions, ground_truth = case
    chosen = []
    for clip in set(predictions.clip.tolist()):
        of_clip = [i for i in range(len(predictions)) if predictions.clip[i] == clip]
        chosen += sorted(of_clip, key=lambda i: -predictions.score[i])[:most]
    alone = ranking(predictions.take(np.array(sorted(chosen), dtype=int)), ground_truth, classes=CLASSES)
    among_all = ranking(predictions, ground_truth, classes=CLASSES)
    for label in np.flatnonzero(among_all.instances_K):
        claims = alone.claimed_QT[alone.predictions.label == label] >= 0
        expected = claims.sum(axis=0) / among_all.instances_K[label]
        np.testing.assert_allclose(among_all.average_recall([most])[0, label], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": ()}, "thresholds"),
        ({"thresholds": (0.0, 0.5)}, "thresholds"),
        ({"body_predictions": "some"}, "choose none, max, nms, soft_nms"),
        ({"body_truth": "some"}, "choose exact, none, union"),
    ],
)
def test_protocol_refuses_what_does_not_exist(options, message):
    with pytest.raises(MmadError, match=message):
        Protocol(**options)
