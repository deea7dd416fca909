"""DSTA, the dual-path spatial-temporal adapter: space and time each have a path through the bottleneck."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from mmad.adapters.bottleneck import down_projection, temporal_convs, temporal_path, up_projection
from mmad.errors import MmadError
from mmad.layers.token_conv import TokenGrid, spatial_depthwise


class DSTA(nn.Module):
    """y = x + alpha * W_up [beta * (a_s + SDW(a_s)); gamma * (a_t + PW(TDW(a_t)))], with a = GELU(W_down x).

    SDW is depth-wise over height and width, TDW depth-wise over the time of the whole window, PW pointwise.
    The paper prints one W_down for both paths, which gives 1.38 M (in units of 2**20) parameters on ViT-S;
    the published 1.80 M comes out with one for each path, TIA's pointwise convolution and convolutions
    without bias: the defaults here.

    Args:
        dim: width of the tokens.
        ratio: each path is `dim // ratio` wide.
        down: "separate" down-projections for the two paths, or one "shared".
        spatial_kernel: kernel of SDW in tokens; 1 as the paper's text says (then a factor per channel), 3 to
            see neighbouring places.
        temporal_kernel: kernel of TDW in tubelets.
        temporal_pointwise: whether PW follows TDW.
        conv_bias: whether the convolutions have a bias.
        beta: weight of the spatial path: "learnable", fixed to "one", or the path is "removed" with its
            parameters.
        gamma: the same for the temporal path.
        alpha: weight of the whole adapter: "learnable" or fixed to "one".

    Raises:
        MmadError: on an unknown value, an even kernel, or when both paths are removed.

    Source: Li et al., MMAD: Multi-label micro-action detection in videos, Eq. 3, Tables 4 and 5.
    """

    def __init__(
        self,
        dim: int,
        *,
        ratio: int = 4,
        down: Literal["separate", "shared"] = "separate",
        spatial_kernel: int = 1,
        temporal_kernel: int = 3,
        temporal_pointwise: bool = True,
        conv_bias: bool = False,
        beta: Literal["learnable", "one", "removed"] = "learnable",
        gamma: Literal["learnable", "one", "removed"] = "learnable",
        alpha: Literal["learnable", "one"] = "learnable",
    ) -> None:
        super().__init__()
        _check("down", down, ("separate", "shared"))
        _check("beta", beta, ("learnable", "one", "removed"))
        _check("gamma", gamma, ("learnable", "one", "removed"))
        _check("alpha", alpha, ("learnable", "one"))
        _check("spatial_kernel", spatial_kernel, (1, 3))
        if temporal_kernel < 1 or temporal_kernel % 2 == 0:
            raise MmadError(
                f"DSTA has temporal_kernel={temporal_kernel}, but only an odd kernel keeps the number of "
                "time steps; take 3."
            )
        if beta == gamma == "removed":
            raise MmadError(
                "DSTA has beta=removed and gamma=removed, which leaves no path; remove one of them, or train "
                "without an adapter (adapter=frozen)."
            )
        width = dim // ratio
        self.width = width
        paths = (beta != "removed") + (gamma != "removed")
        self.down_proj = down_projection(dim, width if down == "shared" else width * paths)
        self.spatial: nn.Conv2d | None = None
        if beta != "removed":
            self.spatial = _spatial_conv(width, kernel=spatial_kernel, bias=conv_bias)
            self.beta = _scale(beta)
        self.dwconv: nn.Conv1d | None = None
        if gamma != "removed":
            self.dwconv, self.conv = temporal_convs(
                width, kernel=temporal_kernel, pointwise=temporal_pointwise, bias=conv_bias
            )
            self.gamma = _scale(gamma)
        self.up_proj = up_projection(width * paths, dim)
        self.alpha = _scale(alpha)

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
        paths, weights = [], []
        if self.spatial is not None:
            s_BNC = a_BNC[..., : self.width]
            paths.append(s_BNC + spatial_depthwise(s_BNC, grid, self.spatial))
            weights.append(self.beta * self.up_proj.weight[:, : self.width])
        if self.dwconv is not None:
            t_BNC = a_BNC[..., -self.width :]
            paths.append(temporal_path(t_BNC, grid, self.dwconv, self.conv, mask_BT))
            weights.append(self.gamma * self.up_proj.weight[:, -self.width :])
        # As with alpha, the scalars go onto the small weights instead of the tokens.
        weight = self.alpha * torch.cat(weights, -1)
        return x_BNC + F.linear(torch.cat(paths, -1), weight, self.alpha * self.up_proj.bias)


def _check(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise MmadError(f"DSTA has {name}={value}; choose one of {', '.join(map(str, known))}.")


def _scale(mode: str) -> nn.Parameter | float:
    return nn.Parameter(torch.ones(1)) if mode == "learnable" else 1.0


def _spatial_conv(width: int, *, kernel: int, bias: bool) -> nn.Conv2d:
    """A depth-wise convolution over height and width; a kernel of 1 starts at zero, so u_s = a_s."""
    conv = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=bias)
    nn.init.normal_(conv.weight, std=2**0.5 / kernel if kernel > 1 else 0.0)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
