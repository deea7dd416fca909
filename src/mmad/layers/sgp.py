"""The pyramid of TriDet and DyFADet: depth-wise convolutions that weigh each other, in place of attention.

Shape letters: B clips, T feature steps, C channels.
"""

import torch
import torch.nn.functional as F
from timm.layers import LayerScale
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmad.errors import MmadError
from mmad.layers.drop import DropPath
from mmad.layers.masked_conv import MaskedConv1d
from mmad.layers.processes import process
from mmad.layers.pyramid import climb, embed, max_pool

GROUPS = 16
"""Of the group norm; it divides the channels."""


class MaskedGroupNorm(nn.Module):
    """GroupNorm whose mean and variance are those of the valid steps.

    Args:
        groups: adjacent channels of a group share mean and variance.
        channels: C, divisible by `groups`.
        eps: added to the variance.

    Source: Wu and He, "Group normalization" (ECCV 2018).
    """

    def __init__(self, groups: int, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, T, C), normalised; what it says where the mask (B, T) is False is void."""
        x_BTGc = x_BTC.unflatten(2, (self.groups, -1))
        valid_BT11 = mask_BT[..., None, None]
        count_B111 = valid_BT11.sum(dim=1, keepdim=True).clamp(min=1) * x_BTGc.shape[3]
        mean_B1G1 = (x_BTGc * valid_BT11).sum(dim=(1, 3), keepdim=True) / count_B111
        centred_BTGc = x_BTGc - mean_B1G1
        variance_B1G1 = (centred_BTGc.square() * valid_BT11).sum(dim=(1, 3), keepdim=True) / count_B111
        return (centred_BTGc * (variance_B1G1 + self.eps).rsqrt()).flatten(2) * self.weight + self.bias


class InputNoise(nn.Module):
    """Adds normal noise to the features, in training.

    Every clip has a generator of its own, so that neither the spread of clips over processes nor the padding matters.

    Args:
        std: standard deviation.
        published: padding gets noise, too.

    Source: Shi et al., TriDet (CVPR 2023), the authors' code.
    """

    def __init__(self, std: float, *, published: bool = False) -> None:
        super().__init__()
        self.std, self.published = std, published

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, T, C) features with noise where the mask (B, T) is True."""
        if not self.training or self.std == 0:
            return x_BTC
        rank, ranks = process()
        seeds = torch.randint(2**62, (len(x_BTC) * ranks,))[rank::ranks].tolist()
        clips, length, channels = x_BTC.shape
        steps = [length] * clips if self.published else mask_BT.sum(dim=1).tolist()
        drawn_BtC = pad_sequence(
            [
                torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))
                for count, seed in zip(steps, seeds, strict=True)
            ],
            batch_first=True,
        )
        return x_BTC + self.std * F.pad(drawn_BtC, (0, 0, 0, length - drawn_BtC.shape[1])).to(x_BTC)


class SGPBlock(nn.Module):
    """Scalable-granularity perception, then a group norm and an MLP; stride 2 makes the next pyramid level.

    With o the normalised features, SGP(o) = phi(o) fc(o) + psi(o) (conv_w(o) + conv_kw(o)) + o: the first product
    weighs each step by the clip's mean, phi(o) = ReLU(global_fc(mean of o)), the second each step's two windows.

    Args:
        channels: C, divisible by 16.
        stride: 1, or 2 to halve the length.
        window: w, odd number of steps of `psi` and `conv_w`.
        window_factor: k; `conv_kw` spans k (w + 1) steps, rounded, and one more where that is even.
        mlp_channels: hidden channels of the MLP.
        init_std: standard deviation of the initial weights of the five depth-wise convolutions; biases start at 0.
            The THUMOS settings have 0, which leaves these convolutions at 0 for ever: each product above then has two
            factors of 0, so that every gradient is 0, too.
        layer_scale: initial weight of both branches; None for branches without weights.
        path_drop: probability of leaving a branch out for a clip, in training.
        window_relu: cuts off conv_w(o) + conv_kw(o) below 0; DyFADet does.
        published: mean, norms and convolutions run over padding too, which the block then fills with numbers.

    Source: Shi et al., TriDet (CVPR 2023), section 3.2; Yang et al., DyFADet (ECCV 2024), for `window_relu`.
    """

    def __init__(
        self,
        channels: int,
        *,
        stride: int = 1,
        window: int = 1,
        window_factor: float = 5.0,
        mlp_channels: int = 768,
        init_std: float = 0.1,
        layer_scale: float | None = None,
        path_drop: float = 0.0,
        window_relu: bool = False,
        published: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.window_relu, self.published = stride, window_relu, published
        wide = round((window + 1) * window_factor) // 2 * 2 + 1

        def depthwise(steps: int) -> nn.Conv1d:
            conv = nn.Conv1d(channels, channels, steps, padding=steps // 2, groups=channels)
            nn.init.normal_(conv.weight, std=init_std)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            return conv

        def scale() -> nn.Module:
            return nn.Identity() if layer_scale is None else LayerScale(channels, init_values=layer_scale)

        self.norm = nn.LayerNorm(channels)
        self.fc, self.global_fc = depthwise(1), depthwise(1)
        self.psi, self.conv_w, self.conv_kw = depthwise(window), depthwise(window), depthwise(wide)
        self.sgp_scale = scale()
        self.group_norm = MaskedGroupNorm(GROUPS, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, mlp_channels), nn.GELU(), nn.Linear(mlp_channels, channels))
        self.mlp_scale = scale()
        self.drop_path = DropPath(path_drop)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """One block.

        Args:
            x_BTC: (B, T, C), zero where the mask is False unless `published`.
            mask_BT: (B, T) bool, True = valid step.

        Returns:
            (B, T / stride, C), zero where `mask_BT[:, ::stride]` is False unless `published`.
        """
        seen_BT = torch.ones_like(mask_BT) if self.published else mask_BT
        if self.stride > 1:
            x_BTC = max_pool(x_BTC, seen_BT)
            mask_BT, seen_BT = mask_BT[:, ::2], seen_BT[:, ::2]
        seen_BT1 = seen_BT[..., None]
        o_BTC = self.norm(x_BTC) * seen_BT1
        y_BTC = self._sgp(o_BTC.transpose(1, 2), seen_BT.sum(dim=1)).transpose(1, 2)
        x_BTC = x_BTC * mask_BT[..., None] + self.drop_path(self.sgp_scale(y_BTC * seen_BT1))
        return x_BTC + self.drop_path(self.mlp_scale(self.mlp(self.group_norm(x_BTC, seen_BT)) * seen_BT1))

    def _sgp(self, o_BCT: Tensor, count_B: Tensor) -> Tensor:
        mean_BC1 = o_BCT.sum(dim=2, keepdim=True) / count_B[:, None, None].clamp(min=1)
        phi_BC1 = F.relu(self.global_fc(mean_BC1))
        windows_BCT = self.conv_w(o_BCT) + self.conv_kw(o_BCT)
        if self.window_relu:
            windows_BCT = F.relu(windows_BCT)
        return phi_BC1 * self.fc(o_BCT) + self.psi(o_BCT) * windows_BCT + o_BCT


class SGPPyramid(nn.Module):
    """Convolutions that embed the features, SGP blocks that halve the length, a norm for every level.

    Args:
        in_channels: C of the features.
        channels: C of the pyramid, divisible by 16.
        convs: embedding convolutions.
        stem: blocks before the first level, at full length; they have windows of one step and no layer scale.
        levels: pyramid levels, one more than the blocks of stride 2.
        input_noise: standard deviation of what is added to the features, in training.
        window, window_factor, mlp_channels, init_std, layer_scale, path_drop, window_relu, published: see `SGPBlock`.
            With `published`, input noise and the norms of the levels fill padding, too.

    Raises:
        MmadError: `channels` or `window` does not fit.

    Source: Shi et al., TriDet (CVPR 2023), section 3.2.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        convs: int,
        stem: int,
        levels: int,
        window: int,
        window_factor: float,
        mlp_channels: int,
        init_std: float,
        layer_scale: float,
        path_drop: float,
        input_noise: float,
        window_relu: bool,
        published: bool,
    ) -> None:
        super().__init__()
        if channels % GROUPS:
            raise MmadError(f"head.channels={channels}: the head has group norms; give a multiple of {GROUPS}.")
        if window % 2 == 0:
            raise MmadError(f"head.window={window}: a window has a middle; give an odd number of steps.")
        self.levels, self.published = levels, published

        def block(*, stride: int, window: int, layer_scale: float | None, path_drop: float) -> SGPBlock:
            return SGPBlock(
                channels,
                stride=stride,
                window=window,
                window_factor=window_factor,
                mlp_channels=mlp_channels,
                init_std=init_std,
                layer_scale=layer_scale,
                path_drop=path_drop,
                window_relu=window_relu,
                published=published,
            )

        self.input_noise = InputNoise(input_noise, published=published)
        self.embed = nn.ModuleList(MaskedConv1d(channels if index else in_channels, channels) for index in range(convs))
        self.stem = nn.ModuleList(block(stride=1, window=1, layer_scale=None, path_drop=0.0) for _ in range(stem))
        self.branch = nn.ModuleList(
            block(stride=2, window=window, layer_scale=layer_scale, path_drop=path_drop) for _ in range(levels - 1)
        )
        self.neck = nn.ModuleList(nn.LayerNorm(channels) for _ in range(levels))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor) -> list[Tensor]:
        """The levels, finest first.

        Args:
            feats_BCT: (B, in_channels, T).
            mask_BT: (B, T) bool, True = valid step; valid steps come first.

        Returns:
            L tensors (B, T / 2**level, C), zero where `mask_BT[:, :: 2**level]` is False unless `published`.

        Raises:
            MmadError: a T that the pyramid cannot halve.
        """
        x_BTC = embed(feats_BCT, mask_BT, [self.input_noise, *self.embed], levels=self.levels)
        if not self.published:
            return climb(x_BTC, mask_BT, stem=self.stem, branch=self.branch, norms=self.neck)
        for block in self.stem:
            x_BTC = block(x_BTC, mask_BT)
        pyramid = [x_BTC]
        for level, block in enumerate(self.branch):
            pyramid.append(block(pyramid[-1], mask_BT[:, :: 2**level]))
        return [norm(x_BTC) for norm, x_BTC in zip(self.neck, pyramid, strict=True)]
