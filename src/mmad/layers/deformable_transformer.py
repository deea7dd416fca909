"""Layers of a transformer with deformable attention: steps that read each other, and queries that read the clip.

Shape letters: B clips, T feature steps, C channels, Q queries, H heads, P places of a query and head.
"""

from itertools import pairwise
from math import pi

import torch
from torch import Tensor, nn

from mmad.layers.deformable_attention import DeformableAttention
from mmad.layers.drop import Dropout, TemporalDropout
from mmad.layers.query_attention import QueryAttention


class EncoderLayer(nn.Module):
    """Deformable attention of every step to others, and an MLP, each followed by a norm.

    Args:
        channels: C.
        heads: H of the attention.
        points: P that a head of a step reads.
        mlp_channels: hidden channels of the MLP.
        dropout: probability of zeroing a value of what the layer adds, in training.
    """

    def __init__(self, channels: int, *, heads: int, points: int, mlp_channels: int, dropout: float) -> None:
        super().__init__()
        self.attention = DeformableAttention(channels, heads, points)
        self.attention_norm = nn.LayerNorm(channels)
        self.drop = TemporalDropout(dropout)
        self.mlp = _dropped_mlp(channels, mlp_channels, self.drop)
        self.mlp_norm = nn.LayerNorm(channels)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor, position_TC: Tensor) -> Tensor:
        """(B, T, C); what it says where the mask (B, T) is False is void."""
        step_BT = torch.arange(mask_BT.shape[1], device=mask_BT.device, dtype=x_BTC.dtype).expand_as(mask_BT)
        read_BTC = self.attention(x_BTC + position_TC, x_BTC, mask_BT, center_BQ=step_BT)
        x_BTC = self.attention_norm(x_BTC + self.drop(read_BTC))
        return self.mlp_norm(x_BTC + self.mlp(x_BTC))


class DecoderLayer(nn.Module):
    """Attention among queries, deformable attention to the clip, and an MLP, each followed by a norm.

    Args:
        channels: C.
        heads, points, mlp_channels, dropout: see `EncoderLayer`.
    """

    def __init__(self, channels: int, *, heads: int, points: int, mlp_channels: int, dropout: float) -> None:
        super().__init__()
        self.drop = Dropout(dropout)
        self.self_attention = QueryAttention(channels, heads, dropout=dropout)
        self.self_norm = nn.LayerNorm(channels)
        self.attention = DeformableAttention(channels, heads, points)
        self.attention_norm = nn.LayerNorm(channels)
        self.mlp = _dropped_mlp(channels, mlp_channels, self.drop)
        self.mlp_norm = nn.LayerNorm(channels)

    def forward(
        self,
        y_BQC: Tensor,
        position_QC: Tensor,
        x_BTC: Tensor,
        mask_BT: Tensor,
        *,
        center_BQ: Tensor,
        length_BQ: Tensor | None,
    ) -> Tensor:
        """(B, Q, C) queries that have read the clip around their references, see `DeformableAttention`."""
        y_BQC = self.self_norm(y_BQC + self.drop(self.self_attention(y_BQC + position_QC, y_BQC)))
        read_BQC = self.attention(y_BQC + position_QC, x_BTC, mask_BT, center_BQ=center_BQ, length_BQ=length_BQ)
        y_BQC = self.attention_norm(y_BQC + self.drop(read_BQC))
        return self.mlp_norm(y_BQC + self.mlp(y_BQC))


def positions(steps: int, channels: int, *, window: int) -> Tensor:
    """Table of positions in a window, which is one turn of the fastest sine.

    Args:
        steps: T.
        channels: C.
        window: steps of a whole window.

    Returns:
        (T, C) float: sine in even channels, cosine in odd ones.

    Source: Carion et al., DETR (ECCV 2020), the authors' code, with the middle of a step for its place as in OpenTAD.
    """
    channel = torch.arange(channels)
    rate_C = 10000.0 ** (-(channel - channel % 2) / channels)
    angle_TC = (torch.arange(steps)[:, None] + 0.5) / window * 2 * pi * rate_C
    return torch.where(channel % 2 == 0, angle_TC.sin(), angle_TC.cos())


def _dropped_mlp(channels: int, hidden: int, drop: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), drop, nn.Linear(hidden, channels), drop)


def mlp(*widths: int) -> nn.Sequential:
    """Linear maps from each width to the next, with rectifiers between them."""
    layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])
