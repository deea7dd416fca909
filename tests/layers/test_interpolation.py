import pytest
import torch
import torch.nn.functional as F

from mmad.layers.interpolation import enlarged, hats, upsampled


def test_hats_interpolate_linearly() -> None:
    x = torch.randn(7, 3, dtype=torch.float64)
    for place in (0.0, 0.25, 2.0, 3.7, 6.0):
        below = int(place)
        part = place - below
        expected = (1 - part) * x[below] + (part * x[below + 1] if part else 0)
        torch.testing.assert_close(hats(torch.tensor(place, dtype=torch.float64), 7) @ x, expected)


@pytest.mark.parametrize(("factor", "steps"), [(1, 8), (2, 8), (4, 8), (4, 10), (8, 3)])
def test_upsampling_is_that_of_torch(factor: int, steps: int) -> None:
    short = -(-steps // factor)
    x = torch.randn(2, short, 5)
    expected = F.interpolate(x.transpose(1, 2), scale_factor=float(factor), mode="linear")[..., :steps].transpose(1, 2)
    mask = torch.ones(2, short, dtype=torch.bool)
    torch.testing.assert_close(upsampled(x, mask, factor=factor, steps=steps), expected)


def test_upsampling_sees_valid_steps_only() -> None:
    x = torch.randn(1, 3, 5)
    padded = torch.cat([x, torch.full((1, 2, 5), 100.0)], dim=1)
    mask = torch.ones(1, 3, dtype=torch.bool)
    alone = upsampled(x, mask, factor=4, steps=12)
    torch.testing.assert_close(upsampled(padded, F.pad(mask, (0, 2)), factor=4, steps=20)[:, :12], alone)


@pytest.mark.parametrize(("steps", "factor"), [(1, 4), (5, 1), (5, 2), (5, 3), (4, 16)])
def test_enlarging_is_that_of_torch(steps: int, factor: int) -> None:
    x = torch.randn(2, 3, steps, dtype=torch.float64, requires_grad=True)
    theirs = F.interpolate(x, scale_factor=float(factor), mode="linear")
    ours = enlarged(x, factor=factor)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(theirs)
    slopes = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (ours, theirs)]
    torch.testing.assert_close(*slopes)
