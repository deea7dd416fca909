"""The transformer block that builds a temporal feature pyramid, and the table of positions added below it."""

import torch
import torch.nn.functional as F
from timm.layers import LayerScale
from torch import Tensor, nn

from mmad.layers.attention import MaskedConvAttention
from mmad.layers.drop import DropPath


class PyramidBlock(nn.Module):
    """Pre-norm attention and MLP with layer scale and drop path; stride 2 makes the next pyramid level.

    Args:
        channels: C.
        heads: attention heads.
        stride: 1, or 2 to halve the length.
        window: steps a step attends to; -1 for all.
        layer_scale: initial weight of both branches.
        path_drop: probability of leaving a branch out for a clip, in training.

    Source: Zhang et al., ActionFormer (ECCV 2022), section 3.3.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        stride: int = 1,
        window: int = -1,
        layer_scale: float = 1e-4,
        path_drop: float = 0.1,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = MaskedConvAttention(channels, heads, stride=stride, window=window)
        self.attention_scale = LayerScale(channels, init_values=layer_scale)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.mlp_scale = LayerScale(channels, init_values=layer_scale)
        self.drop_path = DropPath(path_drop)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """One block.

        Args:
            x_BTC: (B, T, C), zero where the mask is False.
            mask_BT: (B, T) bool, True = valid step.

        Returns:
            (B, ceil(T / stride), C), zero where `mask_BT[:, ::stride]` is False.
        """
        valid_BT1, kept_BT1 = mask_BT[..., None], mask_BT[:, :: self.stride, None]
        # The norm's bias must not reach the convolutions inside the attention from padding.
        y_BTC = self.attention(self.attention_norm(x_BTC) * valid_BT1, mask_BT)
        if self.stride > 1:
            pooled_BCT = F.max_pool1d(x_BTC.transpose(1, 2), 3, stride=self.stride, padding=1)
            x_BTC = pooled_BCT.transpose(1, 2) * kept_BT1
        x_BTC = x_BTC + self.drop_path(self.attention_scale(y_BTC))
        return x_BTC + self.drop_path(self.mlp_scale(self.mlp(self.mlp_norm(x_BTC)) * kept_BT1))


def sinusoid(steps: int, channels: int, *, device: torch.device | None = None) -> Tensor:
    """Table of absolute positions: sine in even channels, cosine in odd ones.

    Args:
        steps: T.
        channels: C.

    Returns:
        (T, C) float in [-1, 1].

    Source: Vaswani et al., "Attention is all you need" (2017), section 3.5.

    >>> sinusoid(1, 4)
    tensor([[0., 1., 0., 1.]])
    """
    channel = torch.arange(channels, device=device)
    rate_C = 10000.0 ** (-(channel - channel % 2) / channels)
    angle_TC = torch.arange(steps, device=device)[:, None] * rate_C
    return torch.where(channel % 2 == 0, angle_TC.sin(), angle_TC.cos())
