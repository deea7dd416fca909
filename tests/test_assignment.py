import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.assignment import assign, hungarian, lost, matched, pyramid_points
from mmad.segments import Segments, empty_segments


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]).reshape(-1, 2),
        "labels": torch.tensor([label for *_, label in instances], dtype=torch.long),
    }


def plain_points(steps, levels):
    for level in range(levels):
        stride = 2**level
        low = 0 if level == 0 else 2 * stride
        high = math.inf if level == levels - 1 else 4 * stride
        for position in range(0, steps, stride):
            yield position, stride, low, high


def plain_assignment(steps, levels, instances, classes, radius, filter_similar):
    """The rule in loops: (classes, offsets) of every point, offsets None at negatives."""
    for t, stride, low, high in plain_points(steps, levels):
        served = []
        for start, end, label in instances:
            center = (start + end) / 2
            left, right = max(center - radius * stride, start), min(center + radius * stride, end)
            if left < t < right and low <= max(t - start, end - t) <= high:
                served.append((end - start, start, end, label))
        target, offsets = [0.0] * classes, None
        if served:
            shortest = min(length for length, *_ in served)
            for length, *_, label in served:
                if not filter_similar or length <= shortest + 1e-3:
                    target[label] = 1.0
            _, start, end, _ = next(one for one in served if one[0] == shortest)
            offsets = ((t - start) / stride, (end - t) / stride)
        yield target, offsets


@pytest.mark.parametrize(("steps", "levels"), [(1, 1), (16, 3), (64, 6)])
def test_points_lie_on_the_grid_of_their_level(steps, levels):
    points = pyramid_points(steps, levels)
    rows = torch.cat([points.position_P[:, None], points.stride_P[:, None], points.range_P2], dim=1)
    assert rows.tolist() == [list(point) for point in plain_points(steps, levels)]


def test_ranges_double_from_four_and_the_last_is_open():
    ranges = pyramid_points(32, 6).range_P2.unique(dim=0)
    assert ranges.tolist() == [[0, 4], [4, 8], [8, 16], [16, 32], [32, 64], [64, math.inf]]


# Quarter steps are exact in float32 and often hit the borders of the rule.
quarter = st.integers(0, 128).map(lambda quarters: quarters / 4)
instance = st.tuples(quarter, quarter, st.integers(0, 3)).map(lambda i: (min(i[:2]), max(i[:2]), i[2]))


@settings(deadline=None, max_examples=60)
@given(
    clips=st.lists(st.lists(instance, max_size=5), min_size=1, max_size=3),
    levels=st.integers(1, 4),
    radius=st.sampled_from([0.5, 1.0, 1.5, 2.25]),
    filter_similar=st.booleans(),
)
def test_equals_plain_loops(clips, levels, radius, filter_similar):
    assigned = assign(
        pyramid_points(32, levels),
        [truth(*instances) for instances in clips],
        classes=4,
        center_radius=radius,
        filter_similar=filter_similar,
    )
    for clip, instances in enumerate(clips):
        expected = list(plain_assignment(32, levels, instances, 4, radius, filter_similar))
        assert assigned.classes_BPK[clip].tolist() == [target for target, _ in expected]
        assert assigned.positive_BP[clip].tolist() == [offsets is not None for _, offsets in expected]
        assert torch.equal(assigned.classes_BPK[clip].any(dim=1), assigned.positive_BP[clip])
        found = assigned.offsets_BP2[clip][assigned.positive_BP[clip]].tolist()
        assert found == [list(offsets) for _, offsets in expected if offsets is not None]


@settings(deadline=None, max_examples=60)
@given(
    clips=st.lists(st.lists(instance, max_size=6), min_size=1, max_size=3),
    levels=st.integers(1, 4),
    radius=st.sampled_from([0.5, 1.5]),
    filter_similar=st.booleans(),
)
def test_a_lost_segment_is_the_target_of_no_point(clips, levels, radius, filter_similar):
    # With a class of its own, a segment shows in the targets wherever it has a point.
    clips = [[(start, end, number) for number, (start, end, _) in enumerate(clip)] for clip in clips]
    found = lost(
        pyramid_points(32, levels),
        [truth(*instances) for instances in clips],
        center_radius=radius,
        filter_similar=filter_similar,
    )
    for gone, instances in zip(found, clips, strict=True):
        targets = [target for target, _ in plain_assignment(32, levels, instances, 6, radius, filter_similar)]
        assert gone.tolist() == [not any(target[number] for target in targets) for number in range(len(instances))]


def test_the_shortest_segment_takes_a_shared_point():
    points = pyramid_points(16, 1)
    long, short = (2.0, 14.0, 0), (6.5, 9.5, 1)
    only = assign(points, [truth(long, short)], classes=2)
    both = assign(points, [truth(long, short)], classes=2, filter_similar=False)
    assert only.classes_BPK[0, 8].tolist() == [0, 1]
    assert both.classes_BPK[0, 8].tolist() == [1, 1]
    assert only.offsets_BP2[0, 8].tolist() == both.offsets_BP2[0, 8].tolist() == [1.5, 1.5]


def test_equally_long_segments_share_a_point():
    assigned = assign(pyramid_points(16, 1), [truth((6.0, 10.0, 0), (6.0, 10.0, 1), (6.0, 10.5, 2))], classes=3)
    assert assigned.classes_BPK[0, 8].tolist() == [1, 1, 0]


def test_no_ground_truth_and_no_length_mean_no_positive():
    assigned = assign(pyramid_points(8, 2), [empty_segments(), truth((0.0, 0.0, 0), (4.0, 4.0, 1))], classes=2)
    assert not assigned.positive_BP.any()
    assert not assigned.classes_BPK.any()


def test_only_empty_clips():
    assert not assign(pyramid_points(8, 2), [empty_segments()] * 2, classes=2).positive_BP.any()


def cheapest(cost: list[list[float]]) -> float:
    """The least sum over all ways to pair rows with columns, each used once, as many as the shorter side has."""
    if len(cost) < len(cost[0]):
        cost = [list(column) for column in zip(*cost, strict=True)]
    rows = itertools.permutations(range(len(cost)), len(cost[0]))
    return min(sum(cost[row][column] for column, row in enumerate(way)) for way in rows)


@settings(deadline=None, max_examples=50)
@given(st.data(), st.integers(1, 5), st.integers(1, 5))
def test_hungarian_is_the_cheapest_of_all_pairings(data, queries, instances):
    cost = data.draw(
        st.lists(
            st.lists(st.integers(-20, 20), min_size=instances, max_size=instances), min_size=queries, max_size=queries
        )
    )
    query, instance = hungarian(torch.tensor(cost, dtype=torch.float32))
    assert query.dtype == instance.dtype == torch.long
    assert len(set(query.tolist())) == len(set(instance.tolist())) == min(queries, instances)
    assert query.tolist() == sorted(query.tolist())
    assert sum(cost[q][m] for q, m in zip(query.tolist(), instance.tolist(), strict=True)) == cheapest(cost)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_hungarian_takes_what_is_no_cost_last(bad):
    """However much a pairing with it would save elsewhere."""
    query, instance = hungarian(torch.tensor([[0.0, bad], [10.0, 10.0]]))
    assert (query.tolist(), instance.tolist()) == ([0, 1], [0, 1])
    query, instance = hungarian(torch.tensor([[bad, -50.0], [50.0, 50.0]]))
    assert (query.tolist(), instance.tolist()) == ([0, 1], [1, 0])
    query, instance = hungarian(torch.tensor([[-50.0, 50.0], [50.0, bad]]))
    assert (query.tolist(), instance.tolist()) == ([0, 1], [1, 0])
    query, _ = hungarian(torch.full((3, 2), bad))
    assert len(query) == 2


@pytest.mark.parametrize("shape", [(4, 0), (0, 4), (0, 0)])
def test_hungarian_of_nobody(shape):
    query, instance = hungarian(torch.zeros(shape))
    assert query.shape == instance.shape == (0,)
    assert query.dtype == instance.dtype == torch.long


def test_hungarian_reads_bfloat16_and_stops_gradients():
    cost = torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
    query, instance = hungarian(cost)
    assert (query.item(), instance.item(), query.requires_grad) == (0, 0, False)


def test_matches_are_those_of_every_layer_and_clip_by_itself():
    torch.manual_seed(0)
    costs = [torch.randn(3, 4, instances, requires_grad=True) for instances in (2, 0, 5)]
    (layers, clips, queries), pairs = matched(costs)
    found = set(zip(layers.tolist(), clips.tolist(), queries.tolist(), pairs.tolist(), strict=True))
    expected = set()
    for layer, (clip, first) in itertools.product(range(3), ((0, 0), (1, 2), (2, 2))):
        query, instance = hungarian(costs[clip][layer])
        expected |= {(layer, clip, q, first + i) for q, i in zip(query.tolist(), instance.tolist(), strict=True)}
    assert found == expected
    assert len(layers) == len(found) == 3 * (2 + 0 + 4)


def test_no_instances_are_matched_by_nobody():
    (layers, clips, queries), pairs = matched([torch.zeros(2, 4, 0)] * 3)
    for index in (layers, clips, queries, pairs):
        assert index.shape == (0,)
        assert index.dtype == torch.long
