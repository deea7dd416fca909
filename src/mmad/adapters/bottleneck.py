"""What every adapter starts and ends with: the way down to a narrow width and the scaled way back up."""

import torch
import torch.nn.functional as F
from torch import nn

from mmad.layers.token_conv import TokenGrid, pointwise, temporal_depthwise


def down_projection(dim: int, width: int) -> nn.Linear:
    """A linear map to the bottleneck, drawn from N(0, 0.02) with zero bias."""
    linear = nn.Linear(dim, width)
    nn.init.trunc_normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return linear


def up_projection(width: int, dim: int) -> nn.Linear:
    """A linear map from the bottleneck that starts at zero, so that a new adapter is the identity."""
    linear = nn.Linear(width, dim)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def temporal_convs(width: int, *, kernel: int, pointwise: bool, bias: bool) -> tuple[nn.Conv1d, nn.Conv1d | None]:
    """TIA's depth-wise convolution over time and the pointwise one after it, He-initialised with zero "
    "bias."""
    depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width, bias=bias)
    mix = nn.Conv1d(width, width, 1, bias=bias) if pointwise else None
    for conv, fan in ((depthwise, kernel), (mix, width)):
        if conv is not None:
            nn.init.normal_(conv.weight, std=(2 / fan) ** 0.5)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
    return depthwise, mix


def temporal_path(
    a_BNC: torch.Tensor, grid: TokenGrid, depthwise: nn.Conv1d, mix: nn.Conv1d | None, mask_BT: torch.Tensor | None
) -> torch.Tensor:
    """Bottleneck features plus their convolution over time: u = a + PW(TDW(a)), both (B, N, C)."""
    y_BNC = temporal_depthwise(a_BNC, grid, depthwise, mask_BT)
    return a_BNC + (y_BNC if mix is None else pointwise(y_BNC, mix))


def scaled_up(u_BNC: torch.Tensor, up: nn.Linear, alpha: torch.Tensor | float) -> torch.Tensor:
    """alpha * up(u), with alpha put on the weights: its gradient then needs no tokens at full width."""
    return F.linear(u_BNC, alpha * up.weight, alpha * up.bias)
