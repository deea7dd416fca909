"""Losses against plain arithmetic."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.losses import class_balanced_weights, diou_loss, focal_cost, focal_loss, l1_loss, smoothed, tiou_loss

VALID = torch.ones(1, 1, dtype=torch.bool)


def plain_focal(logit, target, alpha=0.25, gamma=2.0):
    p = 1 / (1 + math.exp(-logit))
    right = p * target + (1 - p) * (1 - target)
    weight = alpha * target + (1 - alpha) * (1 - target)
    return -weight * (1 - right) ** gamma * (target * math.log(p) + (1 - target) * math.log(1 - p))


def plain_diou(a, b, c, d):
    overlap = max(0.0, min(b, d) - max(a, c))
    union = (b - a) + (d - c) - overlap
    enclosing = max(b, d) - min(a, c)
    return 1 - overlap / union + (((a + b) / 2 - (c + d) / 2) / enclosing) ** 2


@pytest.mark.parametrize(("target", "expected"), [(1.0, 1.1284), (0.0, 7.54e-7)])
def test_focal_loss_before_training(target, expected):
    logit = torch.full((1, 1, 1), -math.log(0.99 / 0.01))
    assert focal_loss(logit, torch.full((1, 1, 1), target), VALID).item() == pytest.approx(expected, rel=1e-3)


@settings(deadline=None, max_examples=50)
@given(logit=st.floats(-8, 8), target=st.floats(0, 1))
def test_focal_loss_mixes_soft_targets_linearly(logit, target):
    found = focal_loss(torch.tensor([[[logit]]]), torch.tensor([[[target]]]), VALID).item()
    assert found == pytest.approx(plain_focal(logit, target), rel=1e-3, abs=1e-7)


def test_focal_loss_sums_what_the_mask_lets_through():
    logits, targets = torch.tensor([[[0.5, -1.0], [3.0, 3.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    found = focal_loss(logits, targets, torch.tensor([[True, False]])).item()
    assert found == pytest.approx(plain_focal(0.5, 1) + plain_focal(-1, 0))


def test_class_weights_scale_the_positives_of_a_class_alone():
    """Value and gradient, against plain loops in float64."""
    generator = torch.Generator().manual_seed(0)
    logits = (4 * torch.rand(2, 5, 3, generator=generator) - 2).requires_grad_()
    targets = torch.rand(2, 5, 3, generator=generator).round()
    mask = torch.rand(2, 5, generator=generator) < 0.7
    weights = [0.5, 2.0, 0.0]
    focal_loss(logits, targets, mask, weight_K=torch.tensor(weights)).backward()
    expected, h = torch.zeros(2, 5, 3), 1e-5
    total = 0.0
    for b, p in mask.nonzero().tolist():
        for k in range(3):
            x, y = logits[b, p, k].item(), targets[b, p, k].item()
            weight = weights[k] if y == 1 else 1.0
            total += weight * plain_focal(x, y)
            expected[b, p, k] = weight * (plain_focal(x + h, y) - plain_focal(x - h, y)) / (2 * h)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-3, atol=1e-5)
    assert focal_loss(logits, targets, mask, weight_K=torch.tensor(weights)).item() == pytest.approx(total, rel=1e-5)


def best_scores(targets_P, weight_K=None):
    """The scores of the classes that minimise the loss if all points get the same."""
    logits_K = torch.zeros(targets_P.shape[1], dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits_K], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        mask = torch.ones(1, len(targets_P), dtype=torch.bool)
        loss = focal_loss(logits_K.expand(1, *targets_P.shape), targets_P[None], mask, weight_K=weight_K)
        loss.backward()
        return loss

    optimizer.step(closure)
    return logits_K.detach().sigmoid().tolist()


def test_balance_raises_the_best_score_of_a_rare_class_and_lowers_that_of_a_frequent_one():
    """400 points, of which 80 are of the one class and 4 of the other."""
    targets = torch.zeros(400, 2)
    targets[:80, 0] = 1
    targets[80:84, 1] = 1
    frequent, rare = best_scores(targets)
    weights = class_balanced_weights(torch.tensor([80, 4]), beta=0.999)
    less, more = best_scores(targets, weights)
    assert more > 1.5 * rare
    assert less < frequent
    # At the optimum, weighted gradients of positives and negatives are equal: check one, in plain float64.
    h, (weight, share) = 1e-5, (weights[1].item(), 4 / 400)
    x = math.log(more / (1 - more))
    up, down = ((plain_focal(x + h, y) - plain_focal(x - h, y)) / (2 * h) for y in (1, 0))
    assert -weight * share * up == pytest.approx((1 - share) * down, rel=1e-2)


def test_weights_of_one_are_no_weights():
    logits, targets = torch.randn(2, 5, 3), torch.rand(2, 5, 3)
    mask = torch.ones(2, 5, dtype=torch.bool)
    assert torch.equal(focal_loss(logits, targets, mask), focal_loss(logits, targets, mask, weight_K=torch.ones(3)))


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(0, 3000), min_size=1, max_size=8), beta=st.sampled_from([0.0, 0.5, 0.99, 0.9999]))
def test_class_balanced_weights_equal_plain_arithmetic(counts, beta):
    plain = [(1 - beta) / (1 - beta**n) if n else 0.0 for n in counts]
    total = sum(n * w for n, w in zip(counts, plain, strict=True))
    expected = [w * sum(counts) / total if n else 1.0 for n, w in zip(counts, plain, strict=True)]
    assert class_balanced_weights(torch.tensor(counts), beta=beta).tolist() == pytest.approx(expected, rel=1e-5)


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(0, 3000), min_size=1, max_size=60), beta=st.sampled_from([0.5, 0.99, 0.9999]))
def test_the_average_instance_weighs_one_however_many_classes_do_not_occur(counts, beta):
    found = class_balanced_weights(torch.tensor(counts), beta=beta).tolist()
    of_instances = [w for n, w in zip(counts, found, strict=True) for _ in range(n)]
    assert not of_instances or math.fsum(of_instances) / len(of_instances) == pytest.approx(1, rel=1e-5)
    assert all(w == 1 for n, w in zip(counts, found, strict=True) if n == 0)
    known = sorted((n, w) for n, w in zip(counts, found, strict=True) if n)
    assert all(more >= less for (_, more), (_, less) in itertools.pairwise(known))


def test_class_balanced_weights_near_one_go_by_the_inverse_count():
    """Where 1 - beta^n of floats has lost its digits."""
    found = class_balanced_weights(torch.tensor([1, 10, 1000]), beta=1 - 1e-13)
    assert (found / found[0]).tolist() == pytest.approx([1, 0.1, 0.001], rel=1e-6)


def test_smoothing_equals_plain_arithmetic_and_a_share_of_zero_changes_no_bit():
    targets = torch.rand(2, 4, 5)
    assert torch.equal(smoothed(targets, share=0.0), targets)
    found = smoothed(targets, share=0.3)
    for found_value, value in zip(found.flatten().tolist(), targets.flatten().tolist(), strict=True):
        assert found_value == pytest.approx(value * 0.7 + 0.3 / 6, rel=1e-6)


# Eighths are exact in float32.
moment = st.integers(-400, 400).map(lambda eighths: eighths / 8)
length = st.integers(1, 480).map(lambda eighths: eighths / 8)


@settings(deadline=None, max_examples=80)
@given(a=moment, la=length, c=moment, lc=length)
def test_diou_equals_plain_arithmetic(a, la, c, lc):
    found = diou_loss(torch.tensor([[a, a + la]]), torch.tensor([[c, c + lc]])).item()
    assert found == pytest.approx(plain_diou(a, a + la, c, c + lc), abs=1e-5)


def test_diou_of_offsets_is_that_of_segments():
    generator = torch.Generator().manual_seed(0)
    predicted, target = 8 * torch.rand(2, 200, 2, generator=generator)
    point, stride, sides = 30.0, 4.0, torch.tensor([-1.0, 1.0])
    near = diou_loss(predicted * sides, target * sides)
    far = diou_loss(point + predicted * sides * stride, point + target * sides * stride)
    torch.testing.assert_close(near, far, rtol=0, atol=1e-5)


def test_diou_of_equal_segments_is_zero_and_of_far_ones_grows_to_two():
    one = torch.tensor([[1.0, 3.0]])
    assert diou_loss(one, one).item() == 0
    assert 1.9 < diou_loss(one, one + 1000).item() < 2


def test_diou_without_length_has_a_finite_gradient():
    segment = torch.tensor([[2.0, 2.0]], requires_grad=True)
    diou_loss(segment, torch.tensor([[2.0, 2.0]])).sum().backward()
    assert segment.grad is not None
    assert segment.grad.isfinite().all()


def test_no_positive_gives_zero_with_a_graph():
    segments = torch.zeros(0, 2, requires_grad=True)
    loss = diou_loss(segments, torch.zeros(0, 2)).sum()
    loss.backward()
    assert loss.item() == 0


def test_losses_of_half_precision_are_float32():
    half = torch.zeros(1, 1, 1, dtype=torch.bfloat16)
    assert focal_loss(half, half, VALID).dtype == torch.float32
    assert diou_loss(torch.zeros(1, 2).half(), torch.ones(1, 2).half()).dtype == torch.float32


@pytest.mark.parametrize("logit", [-10.0, -4.595, -0.3, 0.0, 2.0, 10.0])
def test_focal_cost_is_that_of_the_published_matching(logit):
    """Which adds 1e-8 to what it takes logarithms of: no difference but for scores very near to 0 or 1."""
    found = focal_cost(torch.tensor(logit)).item()
    p = 1 / (1 + math.exp(-logit))
    published = 0.25 * (1 - p) ** 2 * -math.log(p + 1e-8) - 0.75 * p**2 * -math.log(1 - p + 1e-8)
    assert found == pytest.approx(published, rel=1e-3)


def plain_l1(a, b, c, d):
    return abs((a + b) / 2 - (c + d) / 2) + abs((b - a) - (d - c))


segment = st.tuples(st.integers(-40, 40), st.integers(1, 40)).map(lambda pair: (pair[0] / 8, (pair[0] + pair[1]) / 8))


@settings(deadline=None, max_examples=50)
@given(first=segment, second=segment)
def test_l1_and_tiou_losses_of_two_segments(first, second):
    one, other = torch.tensor([first]), torch.tensor([second])
    assert l1_loss(one, other).item() == pytest.approx(plain_l1(*first, *second))
    overlap = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
    union = (first[1] - first[0]) + (second[1] - second[0]) - overlap
    assert tiou_loss(one, other).item() == pytest.approx(1 - overlap / union, abs=1e-6)


def test_l1_and_tiou_losses_broadcast_and_are_float32():
    first, second = torch.tensor([[0.0, 2.0], [1.0, 2.0]]).bfloat16(), torch.tensor([[1.0, 3.0], [0.0, 1.0]])
    for loss in (l1_loss, tiou_loss):
        every = loss(first[:, None], second)
        assert every.shape == (2, 2)
        assert every.dtype == torch.float32
        for i, j in itertools.product(range(2), repeat=2):
            assert every[i, j] == loss(first[i], second[j])


def test_segments_that_do_not_meet_are_pulled_together_by_l1_alone():
    predicted = torch.tensor([[0.0, 2.0]], requires_grad=True)
    target = torch.tensor([[5.0, 6.0]])
    (slope,) = torch.autograd.grad(tiou_loss(predicted, target).sum(), predicted)
    assert not slope.any()
    (slope,) = torch.autograd.grad(l1_loss(predicted, target).sum(), predicted)
    # The centre has to move on by 4.5, and the length to shrink by 1.
    assert slope.tolist() == [[-1.5, 0.5]]
