"""A decoder layer whose queries sample the features at points in time and move them.

Shape letters: B clips, T feature steps, C channels, K classes, Q queries, P points, S places around a point.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmad.layers.drop import Dropout
from mmad.layers.interpolation import hats
from mmad.layers.query_attention import QueryAttention

SUBPOINTS = 4
"""Places around a point at which it samples."""

BOUNDARY_POINTS = 4
"""Points, the first ones, that share one set of distances to those places; all others share another."""


class DecoderLayer(nn.Module):
    """Points sample the features, queries attend to each other, mix in what theirs sampled, and move them.

    Args:
        channels: C, divisible by `heads`.
        classes: K.
        window: feature steps of the longest window.
        points: P of each query.
        heads: attention heads.
        mixing_channels: hidden channels of the mixing of what the points sample.
        mlp_channels: hidden width of the MLP.
        dropout: probability of zeroing a value, in training.

    Source: Tan et al., PointTAD (NeurIPS 2022); Sun et al., Sparse R-CNN (CVPR 2021).
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        window: int,
        points: int,
        heads: int,
        mixing_channels: int,
        mlp_channels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.deformation = PointDeformation(channels, window=window)
        self.attention = QueryAttention(channels, heads, dropout=dropout)
        self.mixing = ParallelMixing(channels, points, inner_channels=mixing_channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_channels), nn.ReLU(), Dropout(dropout), nn.Linear(mlp_channels, channels)
        )
        self.attention_norm, self.mixing_norm, self.mlp_norm = (nn.LayerNorm(channels) for _ in range(3))
        self.drop = Dropout(dropout)
        self.cls_tower, self.reg_tower = _tower(channels, depth=1), _tower(channels, depth=3)
        self.classify, self.move = nn.Linear(channels, classes + 1), nn.Linear(channels, points)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, feats_BTC: Tensor, mask_BT: Tensor, points_BQP: Tensor, query_BQC: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer.

        Args:
            feats_BTC: (B, T, C), zero where the mask is False.
            mask_BT: (B, T) bool, True = valid step.
            points_BQP: (B, Q, P) shares of the longest window.
            query_BQC: (B, Q, C).

        Returns:
            (B, Q, K + 1) logits, the moved points and the changed queries.
        """
        sampled_BQPC = self.deformation(feats_BTC, mask_BT, points_BQP, query_BQC)
        query_BQC = self.attention_norm(query_BQC + self.drop(self.attention(query_BQC, query_BQC)))
        query_BQC = self.mixing_norm(query_BQC + self.drop(self.mixing(sampled_BQPC, query_BQC)))
        query_BQC = self.mlp_norm(query_BQC + self.drop(self.mlp(query_BQC)))
        start_BQ1, end_BQ1 = spanned(points_BQP)[..., None].unbind(2)
        shift_BQP = self.move(self.reg_tower(query_BQC)).float() * (end_BQ1 - start_BQ1) / 2
        return self.classify(self.cls_tower(query_BQC)), points_BQP + shift_BQP, query_BQC


class PointDeformation(nn.Module):
    """Each point samples four places around it, whose distances and weights its query tells.

    Args:
        channels: C.
        window: feature steps of the longest window.

    Source: Tan et al., PointTAD (NeurIPS 2022).
    """

    def __init__(self, channels: int, *, window: int) -> None:
        super().__init__()
        self.window = window
        self.boundary_offsets, self.center_offsets = (nn.Linear(channels, SUBPOINTS) for _ in range(2))
        self.boundary_weights, self.center_weights = (nn.Linear(channels, SUBPOINTS) for _ in range(2))
        with torch.no_grad():
            for linear in (self.boundary_offsets, self.center_offsets):
                linear.bias.copy_(torch.arange(1.0, SUBPOINTS + 1))
            for linear in (self.boundary_weights, self.center_weights):
                linear.bias.zero_()

    def forward(self, feats_BTC: Tensor, mask_BT: Tensor, points_BQP: Tensor, query_BQC: Tensor) -> Tensor:
        """(B, Q, P, C) of what the points see.

        Args:
            feats_BTC: (B, T, C), zero where the mask is False.
            mask_BT: (B, T) bool, True = valid step.
            points_BQP: (B, Q, P) shares of the longest window, of which 0 is the first step and 1 the last.
            query_BQC: (B, Q, C).
        """
        offsets_BQ2S = torch.stack([self.boundary_offsets(query_BQC), self.center_offsets(query_BQC)], dim=2).float()
        weights_BQ2S = torch.stack([self.boundary_weights(query_BQC), self.center_weights(query_BQC)], dim=2).float()
        group_P = (torch.arange(points_BQP.shape[2], device=points_BQP.device) >= BOUNDARY_POINTS).long()
        # Half precision would move points at the end of a window by a good part of a step.
        with torch.autocast(feats_BTC.device.type, enabled=False):
            share_BQPS = points_BQP[..., None].float() + offsets_BQ2S[:, :, group_P] / self.window
            last_B111 = mask_BT.sum(dim=1)[:, None, None, None].float() - 1
            position_BQPS = torch.minimum((share_BQPS * (self.window - 1)).clamp(min=0), last_B111)
            weights_BQPS = weights_BQ2S.softmax(dim=3)[:, :, group_P]
            sampler_BQPT = (weights_BQPS[..., None] * hats(position_BQPS, feats_BTC.shape[1])).sum(dim=3)
            return (sampler_BQPT.flatten(1, 2) @ feats_BTC.to(sampler_BQPT.dtype)).unflatten(1, points_BQP.shape[1:])


class ParallelMixing(nn.Module):
    """Mixes what the points of a query sampled, across channels and across points, by matrices that the query tells.

    Args:
        channels: C.
        points: P.
        inner_channels: C between the two matrices across channels.

    Source: Tan et al., PointTAD (NeurIPS 2022).
    """

    def __init__(self, channels: int, points: int, *, inner_channels: int) -> None:
        super().__init__()
        self.points, self.inner_channels = points, inner_channels
        self.channel_map = nn.Linear(channels, 2 * channels * inner_channels)
        self.time_map = nn.Linear(channels, points * points)
        self.inner_norm, self.channel_norm = nn.LayerNorm(inner_channels), nn.LayerNorm(channels)
        self.time_norm = nn.LayerNorm(points)
        self.out, self.out_norm = nn.Linear(2 * points * channels, channels), nn.LayerNorm(channels)

    def forward(self, x_BQPC: Tensor, query_BQC: Tensor) -> Tensor:
        """(B, Q, C) of what the points of each query sampled, and of the query."""
        down, up = self.channel_map(query_BQC).chunk(2, dim=2)
        channels_BQPC = F.relu(self.inner_norm(x_BQPC @ down.unflatten(2, (-1, self.inner_channels))))
        channels_BQPC = F.relu(self.channel_norm(channels_BQPC @ up.unflatten(2, (self.inner_channels, -1))))
        time_BQPP = self.time_map(query_BQC).unflatten(2, (self.points, self.points))
        times_BQCP = F.relu(self.time_norm(x_BQPC.transpose(2, 3) @ time_BQPP))
        both_BQPC = torch.cat([channels_BQPC, times_BQCP.transpose(2, 3)], dim=3)
        return F.relu(self.out_norm(self.out(both_BQPC.flatten(2))))


def spanned(points_BQP: Tensor) -> Tensor:
    """(B, Q, 2) start and end: the outermost of the first two thirds of each query's points."""
    spanning = points_BQP[..., : 2 * points_BQP.shape[-1] // 3]
    return torch.stack([spanning.amin(dim=-1), spanning.amax(dim=-1)], dim=-1)


def _tower(channels: int, *, depth: int) -> nn.Sequential:
    layers = ((nn.Linear(channels, channels, bias=False), nn.LayerNorm(channels), nn.ReLU()) for _ in range(depth))
    return nn.Sequential(*(part for layer in layers for part in layer))
