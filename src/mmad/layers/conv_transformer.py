"""A stage of attention among all steps and convolutions over neighbours, which may halve the length.

Shape letters: B clips, T feature steps, C channels.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mmad.layers.masked_conv import MaskedConv1d

EXPANSION = 8
"""Hidden channels of a block's convolutions per channel."""


class Stage(nn.Module):
    """A convolution that may halve the length, blocks of attention and convolution, and a norm.

    Args:
        in_channels: C of the input.
        channels: C of the output.
        stride: 1, or 2 to halve the length.
        blocks: how many.
        heads: attention heads.
        mixer: C in which the stages meet.
    """

    def __init__(self, in_channels: int, channels: int, *, stride: int, blocks: int, heads: int, mixer: int) -> None:
        super().__init__()
        self.stride = stride
        self.merge = MaskedConv1d(in_channels, channels, stride=stride, bias=0.0, relu=False)
        self.blocks = nn.ModuleList(GlobalLocalBlock(channels, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.apply(_initialise)
        # The mixer's own part keeps torch's initial values, as published.
        self.project = nn.Linear(channels, mixer)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """One stage.

        Args:
            x_BTC: (B, T, in_channels), zero where the mask is False.
            mask_BT: (B, T) bool, True = valid step.

        Returns:
            (B, ceil(T / stride), C), zero beyond each clip's end, and its mask.
        """
        x_BTC, mask_BT = self.merge(x_BTC, mask_BT), mask_BT[:, :: self.stride]
        for block in self.blocks:
            x_BTC = block(x_BTC, mask_BT)
        return self.norm(x_BTC) * mask_BT[..., None], mask_BT


class GlobalLocalBlock(nn.Module):
    """Pre-norm attention among all valid steps, then a convolution over neighbours in many hidden channels.

    Args:
        channels: C.
        heads: attention heads.

    Source: Dai et al., MS-TCT (CVPR 2022).
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.global_norm, self.local_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = Attention(channels, heads)
        self.local = LocalConvolution(channels)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, T, C); what it holds where the mask is False follows from nothing else there."""
        x_BTC = x_BTC + self.attention(self.global_norm(x_BTC), mask_BT)
        return x_BTC + self.local(self.local_norm(x_BTC), mask_BT)


class Attention(nn.Module):
    """Multi-head self-attention whose keys are valid steps.

    Args:
        channels: C, divisible by `heads`.
        heads: attention heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv = nn.Linear(channels, channels), nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, T, C) of (B, T, C)."""
        parts = (self.q(x_BTC), *self.kv(x_BTC).chunk(2, dim=2))
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask_BT[:, None, None])
        return self.proj(y.transpose(1, 2).flatten(2))


class LocalConvolution(nn.Module):
    """An MLP with a depth-wise convolution before its activation.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = EXPANSION * channels
        self.widen, self.narrow = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.conv = MaskedConv1d(hidden, hidden, groups=hidden, bias=0.0, norm=False, relu=False)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, T, C) of (B, T, C)."""
        return self.narrow(F.gelu(self.conv(self.widen(x_BTC) * mask_BT[..., None], mask_BT)))


def _initialise(module: nn.Module) -> None:
    """The published initial values of the encoder; norms have them already."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv1d):
        fan_out = module.kernel_size[0] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
