import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmad.errors import MmadError
from mmad.layers.deformable_attention import DeformableAttention, interpolate

C, H, P = 8, 4, 3


def prefix_mask(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def randomised() -> DeformableAttention:
    """Float64, and no parameter at a value that hides a mistake."""
    torch.manual_seed(0)
    layer = DeformableAttention(C, H, P).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return layer


def read(values: Tensor, place: Tensor) -> Tensor:
    """Linear interpolation of (T, D), each neighbour by itself zero outside."""
    first = math.floor(place.item())
    total = torch.zeros_like(values[0])
    for step in (first, first + 1):
        if 0 <= step < len(values):
            share = 1 - (place - step) if step == first else place - first
            total = total + share * values[step]
    return total


def naive(layer: DeformableAttention, query: Tensor, x: Tensor, center: Tensor, length: Tensor | None) -> Tensor:
    """One clip of valid steps alone, one query, head and place after the other."""
    p = dict(layer.named_parameters())
    values = x @ p["value.weight"].T + p["value.bias"]
    out = []
    for q in range(len(query)):
        offsets = p["offsets.weight"] @ query[q] + p["offsets.bias"]
        scores = p["weights.weight"] @ query[q] + p["weights.bias"]
        heads = []
        for h in range(H):
            own = values[:, h * C // H : (h + 1) * C // H]
            weights = scores[h * P : (h + 1) * P].exp()
            total = torch.zeros(C // H, dtype=x.dtype)
            for k in range(P):
                offset = offsets[h * P + k]
                if length is not None:
                    offset = offset / P * length[q] * 0.5
                total = total + weights[k] / weights.sum() * read(own, center[q] + offset)
            heads.append(total)
        out.append(p["output.weight"] @ torch.cat(heads) + p["output.bias"])
    return torch.stack(out)


@pytest.mark.parametrize("has_length", [False, True])
def test_values_and_gradients_equal_plain_loops(has_length: bool) -> None:
    layer = randomised()
    lengths = (7, 4)
    query, x = torch.randn(2, 5, C, dtype=torch.float64), torch.randn(2, 7, C, dtype=torch.float64)
    # Between -2 and 9, so that some places lie beyond the ends.
    center, length = 11 * torch.rand(2, 5, dtype=torch.float64) - 2, 6 * torch.rand(2, 5, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (query, x, center, length)]
    options = {"length_BQ": length} if has_length else {}
    found = layer(query, x, prefix_mask(*lengths, steps=7), center_BQ=center, **options)
    expected = torch.stack(
        [
            naive(layer, query[b], x[b, :valid], center[b], length[b] if has_length else None)
            for b, valid in enumerate(lengths)
        ]
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weigh = torch.randn_like(found)
    wanted = [*inputs[: 4 if has_length else 3], *layer.parameters()]
    ours = torch.autograd.grad((found * weigh).sum(), wanted)
    theirs = torch.autograd.grad((expected * weigh).sum(), wanted)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@settings(deadline=None, max_examples=30)
@given(places=st.lists(st.floats(-3, 9) | st.integers(-2, 7).map(float), min_size=1, max_size=6))
def test_interpolation_equals_torchs_grid_sample(places: list[float]) -> None:
    """On a picture of height 1, of which step i is the pixel from i to i + 1."""
    x = torch.randn(1, 2, 5, 3, dtype=torch.float64)
    place = torch.tensor(places, dtype=torch.float64).expand(1, 2, 1, -1)
    grid = F.pad(((place[0] + 0.5) * 2 / 5 - 1)[..., None], (0, 1))
    expected = F.grid_sample(x[0].mT[:, :, None], grid, padding_mode="zeros", align_corners=False)
    torch.testing.assert_close(interpolate(x, place)[0, :, 0].mT, expected[:, :, 0], rtol=0, atol=1e-12)


def test_gradients_of_interpolation() -> None:
    x = torch.randn(1, 2, 4, 2, dtype=torch.float64, requires_grad=True)
    place = (8 * torch.rand(1, 2, 3, 2, dtype=torch.float64) - 2).requires_grad_()
    assert torch.autograd.gradcheck(interpolate, (x, place))


def test_places_on_a_step_have_a_slope() -> None:
    """All places are whole numbers at first, in the encoder for each step: without a slope none would ever move."""
    x = torch.tensor([1.0, 3.0, 7.0]).view(1, 1, 3, 1)
    place = torch.tensor([-1.0, 0.0, 1.0, 2.0]).view(1, 1, 1, 4).requires_grad_()
    found = interpolate(x, place)
    assert found.flatten().tolist() == [0, 1, 3, 7]
    (slope,) = torch.autograd.grad(found.sum(), place)
    assert slope.flatten().tolist() == [1, 2, 4, -7]


def test_what_padding_holds_does_not_matter() -> None:
    layer = randomised()
    query, x, mask = torch.randn(2, 5, C).double(), torch.randn(2, 7, C).double(), prefix_mask(7, 4, steps=7)
    center = 9 * torch.rand(2, 5, dtype=torch.float64) - 1
    clean = layer(query, x, mask, center_BQ=center)
    torch.testing.assert_close(
        layer(query, torch.where(mask[..., None], x, 1e4), mask, center_BQ=center), clean, rtol=0, atol=0
    )
    longer = layer(query, F.pad(x, (0, 0, 0, 9)), F.pad(mask, (0, 9)), center_BQ=center)
    torch.testing.assert_close(longer, clean, rtol=0, atol=1e-12)


def test_heads_look_ahead_stay_and_look_back_at_first() -> None:
    layer = DeformableAttention(16, 8, 4)
    offset_HP = layer.offsets.bias.view(8, 4)
    for head, direction in enumerate([1, 0, -1, 0] * 2):
        torch.testing.assert_close(offset_HP[head], direction * torch.tensor([1.0, 2, 3, 4]), rtol=0, atol=1e-5)
    assert not any(p.any() for p in (layer.offsets.weight, layer.weights.weight, layer.weights.bias))


def test_places_that_are_no_numbers_are_told_by_the_result() -> None:
    found = interpolate(torch.ones(1, 1, 3, 1), torch.tensor([math.nan, math.inf, 1.0]).view(1, 1, 1, 3))
    assert found.flatten().isnan().tolist() == [True, True, False]


def test_channels_that_do_not_divide_name_the_fix() -> None:
    with pytest.raises(MmadError, match=r"channels=10 cannot be split among heads=4: choose a multiple of 4"):
        DeformableAttention(10, 4, 4)
