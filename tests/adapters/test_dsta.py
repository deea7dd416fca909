"""DSTA's formula, its switches, its size, and TIA inside it."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmad.adapters.dsta import DSTA
from mmad.adapters.tia import TIA
from mmad.errors import MmadError


def randomised(**switches: Any) -> DSTA:
    torch.manual_seed(0)
    adapter = DSTA(8, ratio=2, **switches).double()
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_()
    return adapter


def tokens() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 5 * 6, 8, dtype=torch.float64)


@pytest.mark.parametrize("conv_bias", [False, True])
@pytest.mark.parametrize("spatial_kernel", [1, 3])
@pytest.mark.parametrize("down", ["separate", "shared"])
def test_formula(down: Any, spatial_kernel: int, conv_bias: bool) -> None:
    """Against 3-D convolutions of (C, t, h, w) and an explicit concatenation."""
    adapter = randomised(down=down, spatial_kernel=spatial_kernel, conv_bias=conv_bias)
    assert adapter.spatial is not None
    assert adapter.dwconv is not None
    a = F.gelu(adapter.down_proj(tokens())).reshape(2, 5, 2, 3, -1).permute(0, 4, 1, 2, 3)
    a_s, a_t = (a, a) if down == "shared" else (a[:, :4], a[:, 4:])
    pad = spatial_kernel // 2
    spatial = F.conv3d(a_s, adapter.spatial.weight[:, :, None], adapter.spatial.bias, padding=(0, pad, pad), groups=4)
    temporal = F.conv3d(a_t, adapter.dwconv.weight[..., None, None], adapter.dwconv.bias, padding=(1, 0, 0), groups=4)
    temporal = F.conv3d(temporal, adapter.conv.weight[..., None, None], adapter.conv.bias)
    u = torch.cat([adapter.beta * (a_s + spatial), adapter.gamma * (a_t + temporal)], 1)
    u = u.permute(0, 2, 3, 4, 1).flatten(1, 3)
    expected = tokens() + adapter.alpha * adapter.up_proj(u)
    torch.testing.assert_close(adapter(tokens(), (5, 2, 3)), expected)


def test_without_its_spatial_path_it_is_tia() -> None:
    dsta = randomised(beta="removed", gamma="one", conv_bias=True)
    tia = TIA(8, ratio=2).double()
    tia.load_state_dict(dsta.state_dict())
    torch.testing.assert_close(dsta(tokens(), (5, 2, 3)), tia(tokens(), (5, 2, 3)), rtol=0, atol=0)


def test_beta_and_gamma_can_be_absorbed_into_the_up_projection() -> None:
    learnable, fixed = randomised(), randomised(beta="one", gamma="one")
    state = learnable.state_dict()
    beta, gamma = state.pop("beta"), state.pop("gamma")
    state["up_proj.weight"] = state["up_proj.weight"] * torch.cat([beta.expand(4), gamma.expand(4)])
    fixed.load_state_dict(state)
    torch.testing.assert_close(learnable(tokens(), (5, 2, 3)), fixed(tokens(), (5, 2, 3)))


@pytest.mark.parametrize("path", ["beta", "gamma"])
def test_a_removed_path_leaves_no_parameters(path: str) -> None:
    adapter = DSTA(8, ratio=2, **{path: "removed"})
    names = {name.split(".")[0] for name, _ in adapter.named_parameters()}
    kept = {"gamma", "dwconv", "conv"} if path == "beta" else {"beta", "spatial"}
    assert names == {"down_proj", "up_proj", "alpha"} | kept
    assert adapter.down_proj.out_features == adapter.up_proj.in_features == 4


@pytest.mark.parametrize(
    ("switches", "count"),
    [
        ({}, 1_891_620),  # 1.80 M in units of 2**20, as published
        ({"conv_bias": True}, 1_895_076),
        ({"spatial_kernel": 3, "conv_bias": True}, 1_904_292),
        ({"temporal_pointwise": False, "conv_bias": True}, 1_783_332),
        ({"down": "shared", "conv_bias": True}, 1_451_556),
        ({"down": "shared", "conv_bias": True, "temporal_pointwise": False}, 1_339_812),
        ({"beta": "removed", "gamma": "one", "conv_bias": True}, 1_006_860),  # TIA
        ({"alpha": "one", "beta": "one", "gamma": "one"}, 1_891_620 - 36),
    ],
)
def test_size_on_vit_s(switches: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        assert 12 * sum(p.numel() for p in DSTA(384, **switches).parameters()) == count


def test_initial_values() -> None:
    torch.manual_seed(0)
    wide = DSTA(384, spatial_kernel=3).spatial
    assert isinstance(wide, nn.Conv2d)
    assert wide.weight.std().item() == pytest.approx(2**0.5 / 3, rel=0.1)
    narrow = DSTA(384).spatial
    assert isinstance(narrow, nn.Conv2d)
    assert (narrow.weight == 0).all()


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"down": "both"}, r"down=both; choose one of separate, shared"),
        ({"beta": "zero"}, r"beta=zero; choose one of learnable, one, removed"),
        ({"gamma": "zero"}, r"gamma=zero"),
        ({"alpha": "removed"}, r"alpha=removed; choose one of learnable, one"),
        ({"spatial_kernel": 2}, r"spatial_kernel=2; choose one of 1, 3"),
        ({"temporal_kernel": 4}, r"temporal_kernel=4, but only an odd kernel"),
        ({"beta": "removed", "gamma": "removed"}, r"leaves no path"),
    ],
)
def test_errors(switches: dict[str, Any], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        DSTA(16, **switches)
