"""The standard adapter: a bottleneck with a skip connection, applied to each token by itself."""

import torch
import torch.nn.functional as F
from torch import nn

from mmad.adapters.bottleneck import down_projection, scaled_up, up_projection
from mmad.layers.token_conv import TokenGrid


class StandardAdapter(nn.Module):
    """y = x + alpha * W_up GELU(W_down x).

    Args:
        dim: width of the tokens.
        ratio: the bottleneck is `dim // ratio` wide.

    Source: Houlsby et al., Parameter-efficient transfer learning for NLP, 2019; placed once per block and
        scaled by a learnable alpha as in AdaTAD (Liu et al., 2024).
    """

    def __init__(self, dim: int, *, ratio: int = 4) -> None:
        super().__init__()
        self.down_proj = down_projection(dim, dim // ratio)
        self.up_proj = up_projection(dim // ratio, dim)
        self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, x_BNC: torch.Tensor, grid: TokenGrid, mask_BT: torch.Tensor | None = None) -> torch.Tensor:
        """Adapt tokens; `grid` and `mask_BT` change nothing, as no token sees another.

        Args:
            x_BNC: (B, t*h*w, C) tokens of whole windows.
            grid: (t, h, w), counted in tokens.
            mask_BT: (B, t) bool, False at padding.

        Returns:
            (B, t*h*w, C) tokens.
        """
        return x_BNC + scaled_up(F.gelu(self.down_proj(x_BNC)), self.up_proj, self.alpha)
