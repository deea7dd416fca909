"""Convolution over time that keeps padding at zero."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskedConv1d(nn.Module):
    """Conv1d of kernel 3 over time, then optional LayerNorm over channels and ReLU, then the mask.

    The mask comes last: a LayerNorm bias would otherwise turn padding into signal for the next convolution.
    Channels lie last, where LayerNorm and Linear want them.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        stride: steps from one output to the next.
        groups: `in_channels` makes the convolution depth-wise.
        bias: initial bias of the convolution; None for a convolution without one.
        norm: LayerNorm over the output channels.
        relu: ReLU after the norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: float | None = None,
        norm: bool = True,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, 3, stride=stride, padding=1, groups=groups, bias=False)
        if bias is not None:
            self.conv.bias = nn.Parameter(torch.full((out_channels,), float(bias)))
        self.norm = nn.LayerNorm(out_channels) if norm else None
        self.stride, self.relu = stride, relu

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """Convolves along T.

        Args:
            x_BTC: (B, T, in_channels), zero where the mask is False.
            mask_BT: (B, T) bool, True = valid step.

        Returns:
            (B, ceil(T / stride), out_channels), zero where `mask_BT[:, ::stride]` is False.
        """
        y_BTC = self.conv(x_BTC.transpose(1, 2)).transpose(1, 2)
        if self.norm is not None:
            y_BTC = self.norm(y_BTC)
        if self.relu:
            y_BTC = F.relu(y_BTC)
        return y_BTC * mask_BT[:, :: self.stride, None]
