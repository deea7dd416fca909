"""A selective state space model over time in both directions, and the pyramid block around it."""

from math import ceil, log

import torch
import torch.nn.functional as F
from timm.layers import LayerScale
from torch import Tensor, nn

from mmad.layers.drop import DropPath
from mmad.layers.pyramid import max_pool
from mmad.layers.selective_scan import selective_scan

STATES = 16
"""N: states of every channel."""

TAPS = 4
"""Steps that the convolution before the scan sees: its own and those before."""

SHORTEST_STEP, LONGEST_STEP = 0.001, 0.1
"""Range of the scan's step sizes before training."""


class DecomposedBidirectionalMamba(nn.Module):
    """Mamba along time and against it: each direction has its own input, both share the weights of the scan.

    Args:
        channels: C, of the input, of the scan and of the output.

    Source: Chen et al., "Video Mamba Suite: state space model as a versatile alternative for video understanding"
        (2024), the DBM block; Gu and Dao, "Mamba" (2023), for the scan and its initial values.

    Shape letters: D sequences, first the B clips, then the same clips backwards; R rank of the step sizes; N states.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rank = ceil(channels / 16)
        self.in_proj = nn.Linear(channels, 4 * channels, bias=False)
        self.conv1d = nn.Conv1d(channels, channels, TAPS, padding=TAPS - 1, groups=channels)
        self.x_proj = nn.Linear(channels, self.rank + 2 * STATES, bias=False)
        self.dt_proj = nn.Linear(self.rank, channels)
        self.A_log = nn.Parameter(torch.arange(1.0, STATES + 1).log().repeat(channels, 1))
        self.D = nn.Parameter(torch.ones(channels))
        self.out_proj = nn.Linear(2 * channels, channels, bias=False)

        self.conv1d.bias = nn.Parameter(torch.zeros(channels))
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        step_C = torch.empty(channels).uniform_(log(SHORTEST_STEP), log(LONGEST_STEP)).exp()
        # The inverse of the softplus that makes step sizes.
        self.dt_proj.bias = nn.Parameter(step_C + (-torch.expm1(-step_C)).log())

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """Scans along T and back.

        Args:
            x_BTC: (B, T, C), zero where the mask is False.
            mask_BT: (B, T) bool, True = valid step.

        Returns:
            (B, T, C), zero where the mask is False.
        """
        along_BTC, gate_along_BTC, against_BTC, gate_against_BTC = self.in_proj(x_BTC).chunk(4, dim=-1)
        x_DTC, gate_DTC = _both(along_BTC, against_BTC), _both(gate_along_BTC, gate_against_BTC)
        x_DTC = self.conv1d(x_DTC.transpose(1, 2))[..., : x_DTC.shape[1]].transpose(1, 2)
        # The way back comes through the padding first, and its state must still be 0 at the clip's last step.
        u_DTC = F.silu(x_DTC) * _both(mask_BT, mask_BT)[..., None]
        step_DTR, B_DTN, C_DTN = self.x_proj(u_DTC).split([self.rank, STATES, STATES], dim=-1)
        # The bias lies apart, so that under autocast it is added in float32.
        delta_DTC = F.softplus(F.linear(step_DTR, self.dt_proj.weight) + self.dt_proj.bias)
        y_DTC = selective_scan(u_DTC, delta_DTC, -self.A_log.exp(), B_DTN, C_DTN) + self.D * u_DTC
        along_BTC, against_BTC = (y_DTC * F.silu(gate_DTC)).unflatten(0, (2, -1))
        return self.out_proj(torch.cat([along_BTC, against_BTC.flip(1)], dim=-1))


class MambaBlock(nn.Module):
    """Pre-norm Mamba with layer scale and drop path; stride 2 pools its sum to the next pyramid level.

    Args:
        channels: C.
        stride: 1, or 2 to halve the length.
        layer_scale: initial weight of the branch.
        path_drop: probability of leaving the branch out for a clip, in training.
        published: the branch sees what the norm makes of padding, as in the authors' code, so that the length of the
            padding matters.

    Source: Chen et al., Video Mamba Suite (2024), and its code for temporal action localization.
    """

    def __init__(
        self,
        channels: int,
        *,
        stride: int = 1,
        layer_scale: float = 1e-4,
        path_drop: float = 0.3,
        published: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.published = stride, published
        self.norm = nn.LayerNorm(channels)
        self.mamba = DecomposedBidirectionalMamba(channels)
        self.scale = LayerScale(channels, init_values=layer_scale)
        self.drop_path = DropPath(path_drop)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """One block.

        Args:
            x_BTC: (B, T, C), zero where the mask is False.
            mask_BT: (B, T) bool, True = valid step.

        Returns:
            (B, ceil(T / stride), C), zero where `mask_BT[:, ::stride]` is False.
        """
        seen_BT = torch.ones_like(mask_BT) if self.published else mask_BT
        y_BTC = self.mamba(self.norm(x_BTC) * seen_BT[..., None], seen_BT) * mask_BT[..., None]
        x_BTC = x_BTC + self.drop_path(self.scale(y_BTC))
        return max_pool(x_BTC, mask_BT) if self.stride > 1 else x_BTC


def _both(along: Tensor, against: Tensor) -> Tensor:
    """The sequences, then the others with their time turned round: (2B, T, ...)."""
    return torch.cat([along, against.flip(1)])
