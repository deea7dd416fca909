"""Self-attention over time whose queries, keys and values pass a depth-wise convolution first."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmad.errors import MmadError
from mmad.layers.masked_conv import MaskedConv1d


class MaskedConvAttention(nn.Module):
    """Multi-head attention among valid steps; a stride of the convolutions shortens the sequence.

    Args:
        channels: C, divisible by `heads`.
        heads: attention heads.
        stride: steps from one output to the next.
        window: odd number of steps that a step attends to, itself in the middle; -1 or 1 for all.

    Raises:
        MmadError: channels that do not divide among the heads, or an even window.

    Source: Zhang et al., ActionFormer (ECCV 2022), section 3.3.
    """

    def __init__(self, channels: int, heads: int, *, stride: int = 1, window: int = -1) -> None:
        super().__init__()
        if channels % heads:
            raise MmadError(f"channels={channels} cannot be split among heads={heads}: choose a multiple of {heads}.")
        if window > 1 and window % 2 == 0:
            raise MmadError(
                f"attention_window={window} must be odd, so that a step sits in its middle: "
                f"choose {window + 1}, or -1 for all steps."
            )
        self.heads, self.stride, self.window = heads, stride, window

        def conv() -> MaskedConv1d:
            return MaskedConv1d(channels, channels, stride=stride, groups=channels, relu=False)

        self.query_conv, self.key_conv, self.value_conv = conv(), conv(), conv()
        self.query, self.key, self.value, self.proj = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """Attends along T.

        Args:
            x_BTC: (B, T, C), zero where the mask is False.
            mask_BT: (B, T) bool, True = valid step.

        Returns:
            (B, ceil(T / stride), C), zero where `mask_BT[:, ::stride]` is False.
        """
        query, key, value = (
            linear(conv(x_BTC, mask_BT)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for conv, linear in (
                (self.query_conv, self.query),
                (self.key_conv, self.key),
                (self.value_conv, self.value),
            )
        )
        mask_BT = mask_BT[:, :: self.stride]
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=self._visible(mask_BT)[:, None])
        return self.proj(y.transpose(1, 2).flatten(2)) * mask_BT[..., None]

    def _visible(self, mask_BT: Tensor) -> Tensor:
        """(B, T, T) bool: which keys (last axis) a query may see."""
        step = torch.arange(mask_BT.shape[1], device=mask_BT.device)
        distance = (step[:, None] - step[None, :]).abs()
        visible = mask_BT[:, None, :]
        if self.window > 1:
            visible = visible & (distance <= self.window // 2)
        # Padding sees itself: not every kernel turns a softmax over no key at all into a number.
        return visible | (distance == 0)
