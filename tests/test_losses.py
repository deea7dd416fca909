import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.losses import diou_loss, focal_loss

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
