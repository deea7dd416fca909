import inspect
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mmad.errors import MmadError
from mmad.nms import hard_nms, soft_nms
from mmad.segments import Segments, empty_segments


def detections(*rows: tuple[float, float, int, float]) -> Segments:
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)
    return {"segments": table[:, :2], "labels": table[:, 2].long(), "scores": table[:, 3]}


def drawn(seed: int, count: int, classes: int) -> Segments:
    generator = torch.Generator().manual_seed(seed)
    start, length, score = torch.rand(3, count, generator=generator, dtype=torch.float64)
    return {
        "segments": torch.stack([10 * start, 10 * start + 6 * length + 0.1], dim=1),
        "labels": torch.randint(0, classes, (count,), generator=generator),
        "scores": score,
    }


def rows(found: Segments) -> list[tuple[float, ...]]:
    table = torch.cat([found["segments"], found["labels"][:, None], found["scores"][:, None]], dim=1)
    return [tuple(row) for row in table.tolist()]


def plain_tiou(a, b):
    overlap = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return overlap / ((a[1] - a[0] + 1e-6) + (b[1] - b[0] + 1e-6) - overlap)


def swap_soft_nms(candidates, sigma, min_score, max_per_class, max_per_clip):
    """The published algorithm: the best is swapped to the front, what fell too low to the shrinking end."""
    kept = []
    for label in {row[2] for row in candidates}:
        boxes = [list(row) for row in candidates if row[2] == label]
        count, i = len(boxes), 0
        while i < count:
            best = max(range(i, count), key=lambda j: boxes[j][3])
            boxes[i], boxes[best] = boxes[best], boxes[i]
            j = i + 1
            while j < count:
                boxes[j][3] *= math.exp(-(plain_tiou(boxes[i], boxes[j]) ** 2) / sigma)
                if boxes[j][3] < min_score:
                    count -= 1
                    boxes[j], boxes[count] = boxes[count], boxes[j]
                else:
                    j += 1
            i += 1
        kept += boxes[: min(count, max_per_class)]
    return sorted(kept, key=lambda row: -row[3])[:max_per_clip]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    classes=st.integers(1, 6),
    sigma=st.sampled_from([0.1, 0.5, 0.9]),
    min_score=st.sampled_from([0.0, 0.001, 0.2]),
    max_per_class=st.sampled_from([1, 5, 200]),
    max_per_clip=st.sampled_from([3, 20, 200]),
)
def test_soft_nms_equals_the_swap_algorithm(seed, count, classes, sigma, min_score, max_per_class, max_per_clip):
    given_ = drawn(seed, count, classes)
    found = soft_nms(given_, sigma=sigma, min_score=min_score, max_per_class=max_per_class, max_per_clip=max_per_clip)
    expected = swap_soft_nms(rows(given_), sigma, min_score, max_per_class, max_per_clip)
    assert len(found["scores"]) == len(expected)
    for one, other in zip(rows(found), expected, strict=True):
        assert one == pytest.approx(tuple(other), abs=1e-9)


def test_soft_nms_lowers_by_the_overlap_within_a_class_only():
    found = soft_nms(detections((0, 2, 0, 0.9), (1, 3, 0, 0.8), (1, 3, 1, 0.7)))
    assert found["labels"].tolist() == [0, 1, 0]
    assert found["scores"].tolist() == pytest.approx([0.9, 0.7, 0.8 * math.exp(-((1 / 3) ** 2) / 0.5)], rel=1e-5)


def test_the_best_of_a_class_stays_however_low_it_scores():
    found = soft_nms(detections((0, 1, 0, 1e-6), (0, 1, 1, 0.9), (5, 6, 1, 1e-6)), min_score=0.001)
    assert found["scores"].tolist() == [0.9, 1e-6]


def test_equal_scores_keep_the_order_of_the_input():
    apart = detections((4, 5, 1, 0.5), (0, 1, 0, 0.5), (8, 9, 1, 0.5), (2, 3, 0, 0.5))
    for nms in (soft_nms, hard_nms):
        assert nms(apart)["segments"][:, 0].tolist() == [4, 0, 8, 2]


def test_repeated_detection_without_length():
    point = detections((3, 3, 0, 0.9), (3, 3, 0, 0.8))
    assert soft_nms(point, voting_threshold=0.5)["scores"].tolist() == [0.9, 0.8]
    assert soft_nms(point, voting_threshold=0.5)["segments"].tolist() == [[3, 3], [3, 3]]


def greedy_hard_nms(candidates, threshold):
    kept: list = []
    for row in sorted(candidates, key=lambda row: -row[3]):
        if all(row[2] != other[2] or plain_tiou(row, other) <= threshold for other in kept):
            kept.append(row)
    return kept


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), threshold=st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_hard_nms_equals_the_greedy_loop(seed, count, threshold):
    given_ = drawn(seed, count, 4)
    given_["segments"] -= 5
    found = hard_nms(given_, tiou_threshold=threshold, min_score=0.0)
    assert rows(found) == greedy_hard_nms(rows(given_), threshold)


def test_hard_nms_cuts():
    given_ = detections((0, 1, 0, 0.9), (2, 3, 0, 0.8), (4, 5, 1, 0.7), (6, 7, 1, 0.6), (8, 9, 2, 0.1))
    assert hard_nms(given_, max_per_class=1)["scores"].tolist() == [0.9, 0.7, 0.1]
    assert hard_nms(given_, max_per_clip=2)["scores"].tolist() == [0.9, 0.8]
    assert hard_nms(given_, min_score=1.0)["scores"].tolist() == []
    assert hard_nms(given_, min_score=0.7)["scores"].tolist() == [0.9, 0.8, 0.7]


@pytest.mark.parametrize("nms", [soft_nms, hard_nms])
def test_voting_averages_the_boundaries_of_the_class(nms):
    given_ = drawn(3, 40, 2)
    plain, voted = nms(given_), nms(given_, voting_threshold=0.6)
    assert torch.equal(plain["scores"], voted["scores"])
    moved = 0
    for before, after in zip(rows(plain), rows(voted), strict=True):
        voters = [
            row
            for row, segment in zip(rows(given_), given_["segments"].tolist(), strict=True)
            if row[2] == before[2] and plain_tiou(segment, before) >= 0.6
        ]
        total = sum(row[3] for row in voters)
        mean = [sum(row[3] * row[side] for row in voters) / total for side in (0, 1)]
        assert list(after[:2]) == pytest.approx(mean, abs=1e-5)
        moved += before[:2] != after[:2]
    assert moved > 0


@pytest.mark.parametrize("nms", [soft_nms, hard_nms])
def test_nothing_in_nothing_out(nms):
    assert len(nms(empty_segments(scored=True))["scores"]) == 0


@pytest.mark.parametrize(
    ("nms", "option"),
    [
        *((nms, option) for nms in (soft_nms, hard_nms) for option in ("max_per_class", "max_per_clip")),
        *((nms, "voting_threshold") for nms in (soft_nms, hard_nms)),
        (soft_nms, "sigma"),
    ],
)
def test_a_zero_that_would_spoil_the_result_is_refused_before_there_are_detections(nms, option):
    with pytest.raises(MmadError, match=rf"nms\.{option}=0: give"):
        nms(empty_segments(scored=True), **{option: 0})


def test_a_threshold_that_is_no_tiou_is_refused():
    with pytest.raises(MmadError, match=r"nms\.tiou_threshold=1\.5: give a tIoU"):
        hard_nms(empty_segments(scored=True), tiou_threshold=1.5)


@pytest.mark.parametrize("nms", [soft_nms, hard_nms])
def test_input_is_left_alone(nms):
    given_ = drawn(1, 30, 3)
    before = rows(given_)
    nms(given_, voting_threshold=0.5)
    assert rows(given_) == before


def test_many_candidates_of_few_classes_and_few_of_many():
    given_ = drawn(5, 3000, 1)
    given_["labels"][:60] = torch.arange(60)
    expected = swap_soft_nms(rows(given_)[:60], 0.5, 0.001, 200, 200)
    few = {row[2]: row for row in expected if row[2] != 0}
    found = soft_nms(given_, max_per_clip=3000)
    assert {row[2]: row[:3] for row in rows(found) if row[2] != 0} == {k: tuple(r[:3]) for k, r in few.items()}
    assert (found["labels"] == 0).sum() <= 200


@pytest.mark.parametrize(("name", "nms"), [("soft", soft_nms), ("hard", hard_nms)])
def test_config_lists_every_argument_with_its_default(name, nms):
    config = OmegaConf.load(Path(__file__).parents[1] / "conf/nms" / f"{name}.yaml")
    defaults = {
        key: parameter.default for key, parameter in inspect.signature(nms).parameters.items() if key != "detections"
    }
    assert {k: v for k, v in config.items() if not str(k).startswith("_")} == defaults
