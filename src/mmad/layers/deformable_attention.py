"""Deformable attention over time: every query reads a few places that it chooses itself.

Shape letters: B clips, T feature steps, C channels, Q queries, H heads, P places of a query and head.
"""

from math import cos, pi

import torch
from torch import Tensor, nn

from mmad.errors import MmadError


class DeformableAttention(nn.Module):
    """Multi-head attention to places near a query's reference, with linear interpolation between steps.

    Beyond the ends of a clip lie zeros. At first, half of the heads read the reference itself, a quarter reads what
    follows it and a quarter what comes before it, as far as `points` steps.

    Args:
        channels: C, divisible by `heads`.
        heads: H.
        points: P.

    Raises:
        MmadError: channels that do not divide among the heads.

    Source: Liu et al., "End-to-end temporal action detection with transformer" (TIP 2022), section III-B; Zhu et al.,
        "Deformable DETR" (ICLR 2021), equation 2 and appendix A.4.
    """

    def __init__(self, channels: int, heads: int, points: int) -> None:
        super().__init__()
        if channels % heads:
            raise MmadError(f"channels={channels} cannot be split among heads={heads}: choose a multiple of {heads}.")
        self.heads, self.points = heads, points
        self.offsets = nn.Linear(channels, heads * points)
        self.weights = nn.Linear(channels, heads * points)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initial values: offsets and weights are the same for all queries."""
        for linear in (self.offsets, self.weights):
            nn.init.zeros_(linear.weight)
        for linear in (self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
        for linear in (self.weights, self.value, self.output):
            nn.init.zeros_(linear.bias)
        reach_HP = [[cos(head * pi / 2) * (point + 1) for point in range(self.points)] for head in range(self.heads)]
        with torch.no_grad():
            self.offsets.bias.copy_(torch.tensor(reach_HP).flatten())

    def forward(
        self,
        query_BQC: Tensor,
        x_BTC: Tensor,
        mask_BT: Tensor,
        *,
        center_BQ: Tensor,
        length_BQ: Tensor | None = None,
    ) -> Tensor:
        """Attends to places of the clip.

        Args:
            query_BQC: (B, Q, C).
            x_BTC: (B, T, C).
            mask_BT: (B, T) bool, True = valid step; others are read as zeros.
            center_BQ: (B, Q) the queries' references in feature steps, where step i lies at i.
            length_BQ: (B, Q) of the references in feature steps: an offset of P then is half of it. None for offsets in
                feature steps.

        Returns:
            (B, Q, C).
        """
        offset_BHQP, weight_BHQP = (
            linear(query_BQC).unflatten(-1, (self.heads, self.points)).transpose(1, 2)
            for linear in (self.offsets, self.weights)
        )
        if length_BQ is not None:
            offset_BHQP = offset_BHQP * length_BQ[:, None, :, None] / (2 * self.points)
        value_BTC = self.value(x_BTC) * mask_BT[..., None]
        value_BHTD = value_BTC.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        read_BHQPD = interpolate(value_BHTD, center_BQ[:, None, :, None] + offset_BHQP)
        y_BHQD = (weight_BHQP.softmax(dim=-1)[..., None] * read_BHQPD).sum(dim=-2)
        return self.output(y_BHQD.transpose(1, 2).flatten(2))


def interpolate(x_BHTD: Tensor, place_BHQP: Tensor) -> Tensor:
    """What lies between two steps, by linear interpolation; beyond the first and the last step there are zeros.

    At a step itself, the slope is that towards the next one.

    Args:
        x_BHTD: (B, H, T, D).
        place_BHQP: (B, H, Q, P) in feature steps, where step i lies at i.

    Returns:
        (B, H, Q, P, D).

    >>> x_BHTD, place_BHQP = torch.tensor([2.0, 4.0]).view(1, 1, 2, 1), torch.tensor([-0.5, 0.25, 2.0]).view(1, 1, 1, 3)
    >>> interpolate(x_BHTD, place_BHQP).flatten()
    tensor([1.0000, 2.5000, 0.0000])
    """
    steps, width = x_BHTD.shape[2:]
    before_BHQP = place_BHQP.detach().floor()
    share_BHQP = place_BHQP - before_BHQP

    def at(step_BHQP: Tensor, share_BHQP: Tensor) -> Tensor:
        inside_BHQP = (step_BHQP >= 0) & (step_BHQP < steps)
        # A place that is no number is none in the result, not an error here. Gathering, unlike indexing, sums its
        # gradients in a fixed order.
        index_BHN1 = step_BHQP.nan_to_num().clamp(0, steps - 1).long().flatten(2)[..., None]
        read_BHQPD = x_BHTD.gather(2, index_BHN1.expand(-1, -1, -1, width)).unflatten(2, step_BHQP.shape[2:])
        return (share_BHQP * inside_BHQP)[..., None] * read_BHQPD

    return at(before_BHQP, 1 - share_BHQP) + at(before_BHQP + 1, share_BHQP)
