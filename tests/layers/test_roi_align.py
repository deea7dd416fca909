import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import roi_align

from mmad.layers.roi_align import roi_align_1d


def prefix_mask(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def naive(x: Tensor, start: float, end: float, bins: int) -> Tensor:
    """(C, bins) of one clip of valid steps (t, C)."""
    length = max(end - start, 1.0)
    samples = math.ceil(length / bins)
    out = []
    for part in range(bins):
        total = torch.zeros_like(x[0])
        for k in range(samples):
            place = start + (part + (k + 0.5) / samples) * length / bins
            first = min(math.floor(place), len(x) - 1)
            second = min(first + 1, len(x) - 1)
            total = total + (1 - (place - first)) * x[first] + (place - first) * x[second]
        out.append(total / samples)
    return torch.stack(out, dim=1)


@st.composite
def clips_and_spans(draw):
    steps = draw(st.integers(1, 12))
    valid = draw(st.integers(1, steps))
    # Eighths are exact, and often hit steps, ends and each other.
    places = st.integers(0, 8 * valid).map(lambda eighths: eighths / 8)
    spans = draw(st.lists(st.tuples(places, places).map(sorted), min_size=1, max_size=4))
    return steps, valid, spans, draw(st.sampled_from([1, 3, 4]))


@settings(deadline=None, max_examples=60)
@given(clips_and_spans())
def test_equals_plain_loops(drawn: tuple[int, int, list[list[float]], int]) -> None:
    steps, valid, spans, bins = drawn
    torch.manual_seed(0)
    x = torch.randn(1, steps, 2, dtype=torch.float64)
    found = roi_align_1d(x, prefix_mask(valid, steps=steps), torch.tensor([spans], dtype=torch.float64), bins=bins)
    assert found.shape == (1, len(spans), 2, bins)
    for segment, (start, end) in zip(found[0], spans, strict=True):
        torch.testing.assert_close(segment, naive(x[0, :valid], start, end, bins), rtol=0, atol=1e-12)


def test_equals_torchvision_on_a_picture_of_height_1() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 16, 3, dtype=torch.float64)
    spans = (20 * torch.rand(2, 8, 2, dtype=torch.float64) - 2).clamp(0, 15).sort(dim=-1).values
    boxes = [[b, start, 0, end, 1] for b in range(2) for start, end in spans[b].tolist()]
    expected = roi_align(x.mT[:, :, None], torch.tensor(boxes, dtype=torch.float64), (1, 5), aligned=False)
    found = roi_align_1d(x, prefix_mask(16, 16, steps=16), spans, bins=5)
    torch.testing.assert_close(found.flatten(0, 1), expected[:, :, 0], rtol=0, atol=1e-12)


def test_gradients_equal_plain_loops() -> None:
    x = torch.randn(2, 9, 3, dtype=torch.float64, requires_grad=True)
    spans = torch.tensor([[[0.0, 9.0], [2.3, 4.1]], [[1.7, 4.0], [4.0, 4.0]]], dtype=torch.float64, requires_grad=True)
    weigh = torch.randn(2, 2, 3, 5, dtype=torch.float64)
    found = roi_align_1d(x, prefix_mask(9, 4, steps=9), spans, bins=5)
    expected = torch.stack(
        [
            torch.stack([naive(x[b, :valid], start, end, 5) for start, end in spans[b].tolist()])
            for b, valid in enumerate((9, 4))
        ]
    )
    (ours, none) = torch.autograd.grad((found * weigh).sum(), (x, spans), allow_unused=True)
    (theirs,) = torch.autograd.grad((expected * weigh).sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert none is None


@pytest.mark.parametrize("valid", [1, 4, 6])
def test_padding_is_never_read(valid: int) -> None:
    """Not even by segments at the clip's end, which are shorter than a step."""
    x, mask = torch.randn(1, 6, 2), prefix_mask(valid, steps=6)
    spans = torch.tensor([[[valid, valid], [valid - 0.3, valid], [0.0, valid], [0.2, 0.4]]])
    clean = roi_align_1d(x, mask, spans, bins=4)
    dirty = roi_align_1d(torch.where(mask[..., None], x, 1e4), mask, spans, bins=4)
    torch.testing.assert_close(dirty, clean, rtol=0, atol=0)
    longer = roi_align_1d(F.pad(x, (0, 0, 0, 9), value=1e4), F.pad(mask, (0, 9)), spans, bins=4)
    torch.testing.assert_close(longer, clean)
    torch.testing.assert_close(clean[0, 0], x[0, valid - 1, :, None].expand(-1, 4))


def test_spans_that_are_no_numbers_do_no_harm() -> None:
    spans = torch.full((1, 1, 2), math.nan)
    assert roi_align_1d(torch.ones(1, 3, 2), prefix_mask(3, steps=3), spans, bins=2).tolist() == [[[[1, 1], [1, 1]]]]
