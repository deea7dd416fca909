"""TIA, the temporal-informative adapter of AdaTAD: a bottleneck that looks at neighbouring times."""

import torch
import torch.nn.functional as F
from torch import nn

from mmad.adapters.bottleneck import down_projection, scaled_up, temporal_convs, temporal_path, up_projection
from mmad.layers.token_conv import TokenGrid


class TIA(nn.Module):
    """a = GELU(W_down x), u = a + PW(TDW(a)), y = x + alpha * W_up u.

    TDW is depth-wise over time with zeros beyond the ends of the *window*: it is the one path by which the
    16-frame chunks of a clip exchange information. PW is a pointwise convolution that the published code has
    and the paper's formula leaves out; the published parameter count includes it. The published code calls
    alpha "gamma".

    Args:
        dim: width of the tokens.
        ratio: the bottleneck is `dim // ratio` wide.

    Source: Liu et al., End-to-end temporal action detection with 1B parameters across 1000 frames, CVPR 2024,
        Eq. 2; OpenTAD.
    """

    def __init__(self, dim: int, *, ratio: int = 4) -> None:
        super().__init__()
        width = dim // ratio
        self.down_proj = down_projection(dim, width)
        self.dwconv, self.conv = temporal_convs(width, kernel=3, pointwise=True, bias=True)
        self.up_proj = up_projection(width, dim)
        self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, x_BNC: torch.Tensor, grid: TokenGrid, mask_BT: torch.Tensor | None = None) -> torch.Tensor:
        """Adapt the tokens of whole windows.

        Args:
            x_BNC: (B, t*h*w, C) tokens in (t, h, w) order.
            grid: (t, h, w), counted in tokens.
            mask_BT: (B, t) bool; False at padding, which then acts like the window's end.

        Returns:
            (B, t*h*w, C) tokens.
        """
        a_BNC = F.gelu(self.down_proj(x_BNC))
        u_BNC = temporal_path(a_BNC, grid, self.dwconv, self.conv, mask_BT)
        return x_BNC + scaled_up(u_BNC, self.up_proj, self.alpha)
