"""SlowFast: a wide ResNet on few frames beside a narrow one on all of them, both ordinary or rewired by Re2TAL.

Modules are named as in mmaction2, whose weights load as they are.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmad.backbones.checkpoints import LoadReport, fill
from mmad.backbones.layouts import RE2TAL_SLOWFAST, SLOWFAST
from mmad.backbones.reversible import Branch, rewired
from mmad.backbones.whole_clips import IMAGENET, Pixels, at_own_length, check_settings, keep_norms, resized, settle
from mmad.errors import MmadError
from mmad.timebase import CHUNK

BETA = 8  # channels of the slow pathway for one of the fast
EXPANSION = 4  # channels that a bottleneck gives for one of its middle


class Unit(nn.Module):
    """A convolution that keeps odd kernels centred, and its norm."""

    def __init__(self, channels: int, out: int, kernel: tuple[int, int, int], stride: int = 1) -> None:
        super().__init__()
        time, height, width = kernel
        self.conv = nn.Conv3d(
            channels,
            out,
            kernel,
            stride=(1, stride, stride),
            padding=(time // 2, height // 2, width // 2),
            bias=False,
        )
        self.bn = nn.BatchNorm3d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Without activation."""
        return self.bn(self.conv(x))


class Bottleneck(nn.Module):
    """A residual block.

    Args:
        channels, middle: of its input and of its middle.
        time: frames that its first convolution sees, 1 or 3.
        stride: in space.
    """

    def __init__(self, channels: int, middle: int, *, time: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Unit(channels, middle, (time, 1, 1))
        self.conv2 = Unit(middle, middle, (1, 3, 3), stride)
        self.conv3 = Unit(middle, EXPANSION * middle, (1, 1, 1))
        changes = stride > 1 or channels != EXPANSION * middle
        self.downsample = Unit(channels, EXPANSION * middle, (1, 1, 1), stride) if changes else None

    def branch(self, x: Tensor) -> Tensor:
        """What is added to the skip connection."""
        return self.conv3(self.conv2(self.conv1(x).relu()).relu())

    def skip(self, x: Tensor) -> Tensor:
        """The skip connection."""
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x: Tensor) -> Tensor:
        """The ordinary block."""
        return (self.branch(x) + self.skip(x)).relu()


class Pathway(nn.Module):
    """A ResNet over space that keeps the number of frames.

    Args:
        width: channels of its first convolution.
        depths: blocks of each stage.
        stem, times: frames that the first convolution, and the first one of each block of a stage, sees.
        lateral: ratio of frames and kernel of the convolutions that bring the other pathway's features; None for none.
    """

    def __init__(
        self, width: int, depths: Sequence[int], *, stem: int, times: Sequence[int], lateral: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.conv1 = Unit(3, width, (stem, 7, 7), 2)
        self.maxpool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        self.stages = [f"layer{n}" for n in range(1, len(depths) + 1)]
        channels = width
        for stage, (name, depth, time) in enumerate(zip(self.stages, depths, times, strict=True)):
            middle = width * 2**stage
            if lateral is not None:
                ratio, kernel = lateral
                narrow = channels // BETA
                conv = nn.Conv3d(
                    narrow, 2 * narrow, (kernel, 1, 1), stride=(ratio, 1, 1), padding=(kernel // 2, 0, 0), bias=False
                )
                before = "conv1" if stage == 0 else self.stages[stage - 1]
                self.add_module(f"{before}_lateral", nn.Sequential(OrderedDict(conv=conv)))
                channels += 2 * narrow
            blocks = nn.Sequential()
            for i in range(depth):
                blocks.append(Bottleneck(channels, middle, time=time, stride=2 if i == 0 < stage else 1))
                channels = EXPANSION * middle
            self.add_module(name, blocks)

    def begin(self, pixels: Tensor) -> Tensor:
        """What the first stage sees."""
        return self.maxpool(self.conv1(pixels).relu())

    def blocks(self, stage: str) -> list[Bottleneck]:
        """The blocks of a stage."""
        return [block for block in self.get_submodule(stage).children() if isinstance(block, Bottleneck)]


class SlowFast(nn.Module):
    """SlowFast on a ResNet, pooled over space; the channels of both pathways, slow first.

    Norms keep their statistics and weights, as in published training of detectors.

    Args:
        embed_dim: channels of both pathways together; 2304 as published.
        depths: blocks of each stage; (3, 4, 6, 3) is ResNet-50, (3, 4, 23, 3) ResNet-101.
        tau: the slow pathway sees every `tau`-th frame, the fast one all.
        lateral_kernel: steps that the convolutions from the fast pathway into the slow one see.
        frames_per_step: video frames per feature step; both pathways are resized to that, see `resized`.
        rewired: skip connections reach one block further, as in Re2TAL; the same weights, another function. The first
            block of a stage is ordinary but for its last activation, which comes before the skip connection.
        checkpointing: compute blocks again in the backward pass instead of keeping their activations; rewired, from the
            stage's output backwards, so that nothing else is kept.
        adapter: None.
        trains: "nothing" or "everything", which is all but the norms.
        weights: file with weights (see `mmad.backbones.layouts`), or None to start at random.

    Raises:
        MmadError: on values that do not fit together, or weights that do not fit the model.

    Source: Feichtenhofer et al., "SlowFast networks for video recognition" (ICCV 2019); Zhao et al., Re2TAL (CVPR
        2023).
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        depths: Sequence[int],
        tau: int,
        lateral_kernel: int,
        frames_per_step: int,
        rewired: bool = False,
        checkpointing: bool = False,
        adapter: Callable[[int], nn.Module] | None = None,
        trains: str = "everything",
        weights: str | None = None,
    ) -> None:
        super().__init__()
        check_settings(adapter, trains, frames_per_step)
        least = EXPANSION * 2 ** (len(depths) - 1) * (BETA + 1)
        if embed_dim < 1 or embed_dim % least:
            raise MmadError(
                f"backbone.embed_dim={embed_dim} does not divide into two pathways; take a multiple of {least}."
            )
        if CHUNK % tau:
            raise MmadError(f"backbone.tau={tau} does not divide {CHUNK} frames; choose one of 1, 2, 4, 8, 16.")
        width = BETA * embed_dim // least
        self.embed_dim, self.frames_per_step = embed_dim, frames_per_step
        self.tau, self.rewired, self.checkpointing = tau, rewired, checkpointing
        self.pixels = Pixels(*IMAGENET)
        stages = len(depths)
        late = [3 if stage >= stages - 2 else 1 for stage in range(stages)]
        self.slow_path = Pathway(width, depths, stem=1, times=late, lateral=(tau, lateral_kernel))
        self.fast_path = Pathway(width // BETA, depths, stem=5, times=[3] * stages, lateral=None)
        self._initialise(sum(depths))
        settle(self, trains)
        layouts = (*RE2TAL_SLOWFAST, *SLOWFAST) if rewired else SLOWFAST
        self.load_report: LoadReport | None = None if weights is None else fill(self, weights, layouts, name="SlowFast")

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

    def train(self, mode: bool = True) -> "SlowFast":
        """Norms stay in evaluation."""
        super().train(mode)
        keep_norms(self)
        return self

    def _features(self, video_BCFHW: Tensor, rows: Tensor) -> Tensor:
        pixels = self.pixels(video_BCFHW)
        slow = self.slow_path.begin(pixels[:, :, :: self.tau])
        fast = self.fast_path.begin(pixels)
        for before, name in pairwise(["conv1", *self.slow_path.stages]):
            lateral = self.slow_path.get_submodule(f"{before}_lateral")
            slow = torch.cat([slow, lateral(fast).to(slow.dtype)], dim=1)
            slow = self._stage(self.slow_path.blocks(name), slow)
            fast = self._stage(self.fast_path.blocks(name), fast)
        steps = video_BCFHW.shape[2] // self.frames_per_step
        return torch.cat([resized(x.mean((3, 4)), steps) for x in (slow, fast)], dim=1)

    def _stage(self, blocks: Sequence[Bottleneck], x: Tensor) -> Tensor:
        if self.rewired:
            x = self._lean(partial(_first_rewired, blocks[0]), x)
            branches = [Branch.of(partial(_last_relu, block), block) for block in blocks[1:]]
            return rewired(x, branches, reversible=self.checkpointing)
        for block in blocks:
            x = self._lean(block, x)
        return x

    def _lean(self, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if not (self.checkpointing and torch.is_grad_enabled()):
            return run(x)
        return checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)

    def _initialise(self, blocks: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Bottleneck):
                # Published: 0. Norms do not train here, so that a branch would never open.
                nn.init.constant_(module.conv3.bn.weight, blocks**-0.5)


def _last_relu(block: Bottleneck, x: Tensor) -> Tensor:
    return block.branch(x).relu()


def _first_rewired(block: Bottleneck, x: Tensor) -> Tensor:
    return block.branch(x).relu() + block.skip(x)
