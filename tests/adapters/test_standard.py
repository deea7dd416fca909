"""The standard adapter's formula and size."""

import pytest
import torch

from mmad.adapters.standard import StandardAdapter


def test_formula() -> None:
    torch.manual_seed(0)
    adapter = StandardAdapter(8, ratio=2).double()
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_()
    x = torch.randn(1, 6, 8, dtype=torch.float64)
    hidden = x @ adapter.down_proj.weight.T + adapter.down_proj.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    expected = x + adapter.alpha * (hidden @ adapter.up_proj.weight.T + adapter.up_proj.bias)
    torch.testing.assert_close(adapter(x, (6, 1, 1)), expected)


@pytest.mark.parametrize(
    ("dim", "depth", "count"),
    [
        (384, 12, 890_508),
        (768, 12, 3_550_476),
        (1024, 24, 12_613_656),
        (1280, 32, 26_265_632),
        (1408, 40, 39_719_720),
    ],
)
def test_published_size(dim: int, depth: int, count: int) -> None:
    with torch.device("meta"):
        assert depth * sum(p.numel() for p in StandardAdapter(dim).parameters()) == count
