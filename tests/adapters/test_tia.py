"""TIA's formula, names and size."""

import pytest
import torch
import torch.nn.functional as F

from mmad.adapters.tia import TIA


def test_formula() -> None:
    """Against convolutions of each place's own time series, as published."""
    torch.manual_seed(0)
    adapter = TIA(8, ratio=2).double()
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_()
    x = torch.randn(2, 5 * 6, 8, dtype=torch.float64)
    a = F.gelu(adapter.down_proj(x))
    series = a.reshape(2, 5, 2, 3, 4).permute(0, 2, 3, 4, 1).reshape(12, 4, 5)
    series = adapter.conv(adapter.dwconv(series))
    u = a + series.reshape(2, 2, 3, 4, 5).permute(0, 4, 1, 2, 3).reshape(2, 30, 4)
    torch.testing.assert_close(adapter(x, (5, 2, 3)), x + adapter.alpha * adapter.up_proj(u))


def test_tensors_are_those_of_published_checkpoints() -> None:
    shapes = {name: tuple(p.shape) for name, p in TIA(384).named_parameters()}
    assert shapes == {
        "down_proj.weight": (96, 384),
        "down_proj.bias": (96,),
        "dwconv.weight": (96, 1, 3),
        "dwconv.bias": (96,),
        "conv.weight": (96, 96, 1),
        "conv.bias": (96,),
        "up_proj.weight": (384, 96),
        "up_proj.bias": (384,),
        "alpha": (1,),
    }


@pytest.mark.parametrize(
    ("dim", "depth", "count"),
    [
        (384, 12, 1_006_860),
        (768, 12, 4_004_364),
        (1024, 24, 14_217_240),
        (1280, 32, 29_593_632),
        (1408, 40, 44_746_280),
    ],
)
def test_published_size(dim: int, depth: int, count: int) -> None:
    with torch.device("meta"):
        assert depth * sum(p.numel() for p in TIA(dim).parameters()) == count


def test_initial_values() -> None:
    torch.manual_seed(0)
    adapter = TIA(384)
    assert adapter.down_proj.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert adapter.dwconv.weight.std().item() == pytest.approx((2 / 3) ** 0.5, rel=0.15)
    assert adapter.conv.weight.std().item() == pytest.approx((2 / 96) ** 0.5, rel=0.05)
    assert adapter.alpha.item() == 1
    assert all((p == 0).all() for name, p in adapter.named_parameters() if "bias" in name or "up_proj" in name)
