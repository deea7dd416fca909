"""Attention among the queries of a set.

Shape letters: B clips, Q queries, C channels, H heads, D channels of a head.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mmad.layers.drop import Dropout


class QueryAttention(nn.Module):
    """Multi-head self-attention among the queries of a clip, with a source of values of its own.

    Args:
        channels: C, divisible by `heads`.
        heads: H.
        dropout: probability of zeroing an attention weight, in training.
    """

    def __init__(self, channels: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(channels, 3 * channels)
        self.out_proj = nn.Linear(channels, channels)
        nn.init.zeros_(self.in_proj.bias)
        nn.init.zeros_(self.out_proj.bias)
        self.drop = Dropout(dropout)

    def forward(self, source_BQC: Tensor, value_BQC: Tensor) -> Tensor:
        """(B, Q, C).

        Args:
            source_BQC: (B, Q, C), what queries and keys are mapped from, such as values with positions.
            value_BQC: (B, Q, C).
        """
        qk_weight, v_weight = self.in_proj.weight.tensor_split([2 * len(self.in_proj.weight) // 3])
        qk_bias, v_bias = self.in_proj.bias.tensor_split([2 * len(self.in_proj.bias) // 3])
        q_BHQD, k_BHQD, v_BHQD = (
            x_BQC.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x_BQC in (
                *F.linear(source_BQC, qk_weight, qk_bias).chunk(2, dim=-1),
                F.linear(value_BQC, v_weight, v_bias),
            )
        )
        weight_BHQQ = (q_BHQD @ k_BHQD.mT / q_BHQD.shape[-1] ** 0.5).softmax(dim=-1)
        return self.out_proj((self.drop(weight_BHQQ) @ v_BHQD).transpose(1, 2).flatten(2))
