"""Token convolutions against 3-D convolutions of the (C, t, h, w) video they stand for."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmad.layers.token_conv import pointwise, spatial_depthwise, temporal_depthwise

GRID = (6, 3, 4)


def tokens(width: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 6 * 3 * 4, width, dtype=torch.float64, generator=generator)


def as_video(x_BNC: torch.Tensor) -> torch.Tensor:
    return x_BNC.reshape(-1, *GRID, x_BNC.shape[-1]).permute(0, 4, 1, 2, 3)


def as_tokens(video_BCTHW: torch.Tensor) -> torch.Tensor:
    return video_BCTHW.permute(0, 2, 3, 4, 1).flatten(1, 3)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_temporal_is_a_convolution_over_time_of_each_place(kernel: int) -> None:
    conv = nn.Conv1d(5, 5, kernel, groups=5).double()
    expected = F.conv3d(
        as_video(tokens()), conv.weight[..., None, None], conv.bias, padding=(kernel // 2, 0, 0), groups=5
    )
    torch.testing.assert_close(temporal_depthwise(tokens(), GRID, conv), as_tokens(expected))


def test_temporal_reads_zeros_where_the_mask_is_false() -> None:
    conv = nn.Conv1d(5, 5, 3, groups=5).double()
    mask_BT = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    x_BNC = tokens()
    zeroed = x_BNC.clone()
    zeroed[1, 4 * 12 :] = 0
    torch.testing.assert_close(temporal_depthwise(x_BNC, GRID, conv, mask_BT), temporal_depthwise(zeroed, GRID, conv))


@pytest.mark.parametrize("kernel", [1, 3])
def test_spatial_is_a_convolution_of_each_time_step(kernel: int) -> None:
    conv = nn.Conv2d(5, 5, kernel, padding=kernel // 2, groups=5).double()
    expected = F.conv3d(
        as_video(tokens()),
        conv.weight[:, :, None],
        conv.bias,
        padding=(0, kernel // 2, kernel // 2),
        groups=5,
    )
    torch.testing.assert_close(spatial_depthwise(tokens(), GRID, conv), as_tokens(expected))


def test_pointwise_is_a_convolution_of_kernel_one() -> None:
    conv = nn.Conv1d(5, 7, 1).double()
    expected = conv(tokens().transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(pointwise(tokens(), conv), expected)
