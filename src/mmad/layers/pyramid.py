"""The temporal feature pyramid: its way up, ActionFormer's block, and the table of positions added below it."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from timm.layers import LayerScale
from torch import Tensor, nn

from mmad.errors import MmadError
from mmad.layers.attention import MaskedConvAttention
from mmad.layers.drop import DropPath


def embed(feats_BCT: Tensor, mask_BT: Tensor, convs: Iterable[nn.Module], *, levels: int) -> Tensor:
    """Features as the first level of a pyramid, channels last.

    Args:
        feats_BCT: (B, in_channels, T).
        mask_BT: (B, T) bool, True = valid step; valid steps come first.
        convs: each called with (B, T, C) and the mask.
        levels: of the pyramid.

    Returns:
        (B, T, C), zero where the mask is False if the last convolution's output is.

    Raises:
        MmadError: a T that the pyramid cannot halve.
    """
    steps, multiple = feats_BCT.shape[2], 2 ** (levels - 1)
    if steps % multiple:
        raise MmadError(
            f"A window of {steps} feature steps cannot be halved {levels - 1} times: "
            f"pad it to a multiple of {multiple} steps or use fewer levels."
        )
    x_BTC = feats_BCT.transpose(1, 2) * mask_BT[..., None]
    for conv in convs:
        x_BTC = conv(x_BTC, mask_BT)
    return x_BTC


def climb(
    x_BTC: Tensor,
    mask_BT: Tensor,
    *,
    stem: Iterable[nn.Module],
    branch: Iterable[nn.Module],
    norms: Iterable[nn.Module],
) -> list[Tensor]:
    """The levels of a pyramid, finest first, each normalised.

    Args:
        x_BTC: (B, T, C), zero where the mask is False.
        mask_BT: (B, T) bool, True = valid step.
        stem: blocks at full length, each called with features and mask.
        branch: blocks that halve the length, one for each further level.
        norms: one for each level.

    Returns:
        L tensors (B, T / 2**level, C), zero where `mask_BT[:, :: 2**level]` is False.
    """
    for block in stem:
        x_BTC = block(x_BTC, mask_BT)
    pyramid, masks = [x_BTC], [mask_BT]
    for block in branch:
        pyramid.append(block(pyramid[-1], masks[-1]))
        masks.append(masks[-1][:, ::2])
    return [norm(x_BTC) * mask[..., None] for norm, x_BTC, mask in zip(norms, pyramid, masks, strict=True)]


def max_pool(x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
    """The maximum of every second step and its neighbours.

    Args:
        x_BTC: (B, T, C), zero where the mask is False; padding competes with that zero.
        mask_BT: (B, T) bool, True = valid step.

    Returns:
        (B, T / 2, C), zero where `mask_BT[:, ::2]` is False.
    """
    return F.max_pool1d(x_BTC.transpose(1, 2), 3, stride=2, padding=1).transpose(1, 2) * mask_BT[:, ::2, None]


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
            x_BTC = max_pool(x_BTC, mask_BT)
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
