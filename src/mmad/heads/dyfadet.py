"""DyFADet: a pyramid of convolutions, and towers whose kernels change with the step and look at neighbouring levels.

Our *head* is all that follows the features: what OpenTAD calls projection, neck and rpn_head.

By default the output for a clip depends on its valid steps only, all weights learn, and what comes from the
neighbouring levels is weighed once. `published` runs the code as OpenTAD has it:

- The global mean, the group norm and all that is wider than a step read padding, which blocks and norms fill with
  numbers, so that the same clip has another output in a longer window.
- A neighbouring level's features are multiplied by themselves before they are multiplied by their gate, on padded and
  unpadded clips alike.

With `published` too, the depth-wise convolutions of the pyramid start with `init_std` 0.1, where the THUMOS settings
have 0, from which they never move; and a step of a level is valid if the finest level's step at its place is, as in the
authors' code, where OpenTAD also counts the one after the last.

By default gates start half open and distances at one stride (`reg_bias`). In the published code the luck of the weights
decides: a gate that is closed at every step has no gradient, nor has what it closes, and gives all steps the same
features; the ReLU above their distance may then be shut for all of them, too.

Source: Yang et al., "DyFADet: dynamic feature aggregation for temporal action detection" (ECCV 2024).

Shape letters: B clips, T feature steps, C channels; S steps of all levels in one sequence.
"""

from math import tanh

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmad.errors import MmadError
from mmad.heads.anchor_free import AnchorFreeHead, PointPredictions, in_one_sequence
from mmad.layers.sgp import SGPPyramid
from mmad.segments import Segments

OPENTAD_KEYS: tuple[tuple[str, str], ...] = (
    (r"^projection\.", "pyramid."),
    (r"\.ln\.", ".norm."),
    (r"\.gn\.", ".group_norm."),
    (r"\.convw\.", ".conv_w."),
    (r"\.convkw\.", ".conv_kw."),
    (r"\.drop_path_out\.scale$", ".sgp_scale.gamma"),
    (r"\.drop_path_mlp\.scale$", ".mlp_scale.gamma"),
    (r"^neck\.fpn_norms\.", "pyramid.neck."),
    (r"^rpn_head\.(cls|reg)_convs\.", r"\1_layers."),
    (r"\.dynamic_convs\.0\.", ".from_finer."),
    (r"\.dynamic_convs\.1\.", ".from_coarser."),
    (r"\.depth_module\.", ".aggregate."),
    (r"\.kernel_conv\.gate\.gate_conv\.", ".gate_conv."),
    (r"\.kernel_conv\.gate_conv\.", ".gate_conv."),
    (r"\.kernel_conv\.(conv|norm)\.", r".kernel_\1."),
    (r"^rpn_head\.(cls|reg)_head\.", r"dense.\1_head.conv."),
    (r"^rpn_head\.scale\.(\d+)\.scale$", r"dense.scale_L.\1"),
    (r"^rpn_head\.", "dense."),
)
"""Regular expressions that, applied in this order, turn a key of OpenTAD's checkpoints into ours.

Strip the leading `module.` and leave out `shift_conv.weight`, constants that move a channel by a step. Values only
change shape: 1x1 convolutions (out, in, 1) of `mlp` and `conv` are Linear weights (out, in), layer scales (1, C, 1) are
(C,), and `dense.scale_L.<level>` are the entries of `dense.scale_L`.
"""

THRESHOLD = 1.5
"""Steepest point of the gates, tau in the paper."""


class DyFADet(nn.Module):
    """Dynamic blocks that halve the length, and dynamic layers for classes and for boundaries.

    Args:
        in_channels: C of the features.
        classes: K.
        channels: C of the pyramid, divisible by 16.
        convs: embedding convolutions.
        stem: dynamic blocks before the first level, at full length.
        levels: pyramid levels, one more than the blocks of stride 2; 2 at least.
        head_convs: dynamic layers of each tower before the last convolution.
        published: see above.
        window, window_factor, mlp_channels, init_std, layer_scale, path_drop, input_noise: see `SGPBlock` and
            `SGPPyramid`.
        center_radius, filter_similar, label_smoothing, class_balance, loss_normalizer, momentum, reg_weight, reg_bias,
            score_threshold, max_proposals: see `AnchorFreeHead`.

    Raises:
        MmadError: `channels`, `window` or `levels` does not fit.

    Source: Yang et al., DyFADet (ECCV 2024); defaults of its THUMOS14 setting for VideoMAE V2 in OpenTAD, but for
        `init_std` and `reg_bias`, and but for `max_proposals`, which there is 2000.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        channels: int = 512,
        convs: int = 2,
        stem: int = 2,
        levels: int = 6,
        window: int = 1,
        window_factor: float = 5.0,
        mlp_channels: int = 768,
        init_std: float = 0.1,
        head_convs: int = 2,
        layer_scale: float = 1e-4,
        path_drop: float = 0.005,
        input_noise: float = 1e-5,
        published: bool = False,
        center_radius: float = 1.5,
        filter_similar: bool = True,
        label_smoothing: float = 0.0,
        class_balance: float | None = None,
        loss_normalizer: float = 100.0,
        momentum: float = 0.9,
        reg_weight: float = 1.0,
        reg_bias: float = 1.0,
        score_threshold: float = 0.001,
        max_proposals: int = 8000,
    ) -> None:
        super().__init__()
        if levels < 2:
            raise MmadError(f"head.levels={levels}: a level looks at its neighbours; give 2 levels at least.")
        self.published = published
        self.pyramid = SGPPyramid(
            in_channels,
            channels,
            convs=convs,
            stem=stem,
            levels=levels,
            window=window,
            window_factor=window_factor,
            mlp_channels=mlp_channels,
            init_std=init_std,
            layer_scale=layer_scale,
            path_drop=path_drop,
            input_noise=input_noise,
            window_relu=True,
            published=published,
        )
        self.cls_layers = nn.ModuleList(DynamicScale(channels, published=published) for _ in range(head_convs))
        self.reg_layers = nn.ModuleList(DynamicScale(channels, published=published) for _ in range(head_convs))
        self.dense = AnchorFreeHead(
            classes,
            channels,
            levels=levels,
            convs=0,
            center_radius=center_radius,
            filter_similar=filter_similar,
            label_smoothing=label_smoothing,
            class_balance=class_balance,
            loss_normalizer=loss_normalizer,
            momentum=momentum,
            reg_weight=reg_weight,
            reg_bias=reg_bias,
            score_threshold=score_threshold,
            max_proposals=max_proposals,
        )

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor) -> PointPredictions:
        """Predictions at every point of the pyramid.

        Args:
            feats_BCT: (B, in_channels, T).
            mask_BT: (B, T) bool, True = valid step; valid steps come first.

        Raises:
            MmadError: a T that the pyramid cannot halve.
        """
        pyramid = self.pyramid(feats_BCT, mask_BT)
        sizes = [x_BTC.shape[1] + 1 for x_BTC in pyramid]
        cls_BSC, mask_BS = in_one_sequence(pyramid, mask_BT)
        _, seen_BS = in_one_sequence(pyramid, torch.ones_like(mask_BT) if self.published else mask_BT)
        reg_BSC = cls_BSC
        for layer in self.cls_layers:
            cls_BSC = layer(cls_BSC, mask_BS, seen_BS, sizes)
        for layer in self.reg_layers:
            reg_BSC = layer(reg_BSC, mask_BS, seen_BS, sizes)
        cls, reg = ([x_BTC[:, :-1] for x_BTC in x_BSC.split(sizes, dim=1)] for x_BSC in (cls_BSC, reg_BSC))
        logits_BPK, offsets_BP2, mask_BP, points = self.dense.towers(cls, reg, mask_BT)
        return PointPredictions(logits_BPK, offsets_BP2[:, :, None], mask_BP, points)

    def balance(self, counts_K: Tensor) -> None:
        """Sets the weights of the classes' positives in the loss, if `class_balance` asks for them.

        Args:
            counts_K: (K,) training instances of each class.
        """
        self.dense.balance(counts_K)

    def loss(self, outputs: PointPredictions, targets: list[Segments]) -> dict[str, Tensor]:
        """Weighted losses `cls` and `reg`; targets are in feature steps."""
        return self.dense.loss(outputs, targets)

    def decode(self, outputs: PointPredictions) -> list[Segments]:
        """Scored segments of every clip in feature steps, best first, before NMS."""
        return self.dense.decode(outputs)


class DynamicScale(nn.Module):
    """Adds to every level what gates let through from the next finer and the next coarser one, then aggregates.

    Args:
        channels: C.
        published: see `GatedAggregation`.

    Source: Yang et al., DyFADet (ECCV 2024): a layer of the multi-scale dynamic head.
    """

    def __init__(self, channels: int, *, published: bool = False) -> None:
        super().__init__()
        self.from_finer = GatedAggregation(channels, published=published)
        self.from_coarser = GatedAggregation(channels, published=published)
        self.aggregate = DynamicAggregation(channels, published=published)
        self.scale_weight = nn.Parameter(torch.zeros(1))
        self.output_weight = nn.Parameter(torch.ones(1))

    def forward(self, x_BSC: Tensor, mask_BS: Tensor, seen_BS: Tensor, sizes: list[int]) -> Tensor:
        """One layer.

        Args:
            x_BSC: (B, S, C), two levels or more as `in_one_sequence` puts them, zero where `seen_BS` is False.
            mask_BS: (B, S) bool, True = valid step.
            seen_BS: (B, S) bool, True = what the convolutions read; valid steps at least, and no step between levels.
            sizes: steps of each level and the one after it.

        Returns:
            (B, S, C), zero where the mask is False.
        """
        # The step after a level is masked: it comes out as zero, and of two levels the ones fall on each other.
        first, last = sizes[0], sizes[-1]
        finer_BSC = self.from_finer(x_BSC[:, :-last], mask_BS[:, :-last])
        coarser_BSC = self.from_coarser(x_BSC[:, first:], mask_BS[:, first:])
        down = [x_BTC[:, ::2] for x_BTC in finer_BSC.split(sizes[:-1], dim=1)]
        up = [x_BTC.repeat_interleave(2, dim=1)[:, :-1] for x_BTC in coarser_BSC.split(sizes[1:], dim=1)]
        neighbours_BSC = F.pad(torch.cat(down, dim=1), (0, 0, first, 0)) + F.pad(torch.cat(up, dim=1), (0, 0, 0, last))
        x_BSC = neighbours_BSC * self.scale_weight + x_BSC * self.output_weight
        return F.relu(self.aggregate(x_BSC * seen_BS[..., None], mask_BS, seen_BS))


class GatedAggregation(nn.Module):
    """A convolution of kernel 3 over gated features: each channel of each step opens or closes its window.

    Args:
        channels: C.
        published: the features are multiplied by themselves before they are multiplied by the gate, and gates start
            wherever the weights happen to put them.

    Source: Yang et al., DyFADet (ECCV 2024): the dynamic feature aggregation module.
    """

    def __init__(self, channels: int, *, published: bool = False) -> None:
        super().__init__()
        self.published = published
        self.gate_conv = nn.Conv1d(channels, channels, 3, padding=1, groups=channels)
        half_open(self.gate_conv, published=published)
        self.conv = nn.Linear(3 * channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, T, C) of (B, T, C), zero where the mask (B, T) is False."""
        taps_BTC3 = taps(x_BTC)
        weight_BTC3 = gate(self.gate_conv(x_BTC.transpose(1, 2)).transpose(1, 2))[..., None]
        if self.published:
            weight_BTC3 = weight_BTC3 * taps_BTC3
        return self.norm(self.conv((taps_BTC3 * weight_BTC3).flatten(2))) * mask_BT[..., None]


class DynamicAggregation(nn.Module):
    """A convolution of kernel 3 whose weights follow from the features, with one gate for all channels of a step.

    Args:
        channels: C.
        published: gates start wherever the weights happen to put them.

    Source: Yang et al., DyFADet (ECCV 2024): the dynamic feature aggregation module.
    """

    def __init__(self, channels: int, *, published: bool = False) -> None:
        super().__init__()
        self.kernel_conv = nn.Conv1d(3 * channels, channels, 3, padding=1)
        self.kernel_norm = nn.LayerNorm(channels)
        self.gate_conv = nn.Conv1d(3 * channels, 1, 3, padding=1)
        half_open(self.gate_conv, published=published)
        self.conv = nn.Linear(3 * channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BTC: Tensor, mask_BT: Tensor, seen_BT: Tensor) -> Tensor:
        """One convolution.

        Args:
            x_BTC: (B, T, C), zero where `seen_BT` is False.
            mask_BT: (B, T) bool, True = valid step.
            seen_BT: (B, T) bool, True = steps whose windows are read.

        Returns:
            (B, T, C), zero where the mask is False.
        """
        taps_BTC3 = taps(x_BTC) * seen_BT[..., None, None]
        taps_BDT = taps_BTC3.flatten(2).transpose(1, 2)
        kernel_BTC = self.kernel_norm(self.kernel_conv(taps_BDT).transpose(1, 2))
        weight_BTC = kernel_BTC * gate(self.gate_conv(taps_BDT).transpose(1, 2))
        return self.norm(self.conv((taps_BTC3 * weight_BTC[..., None]).flatten(2))) * mask_BT[..., None]


def half_open(conv: nn.Conv1d, *, published: bool) -> None:
    """Lets the gates that a convolution gives start at their steepest point, unless they shall start as published."""
    if not published:
        nn.init.constant_(conv.bias, THRESHOLD)  # type: ignore[arg-type]


def taps(x_BTC: Tensor) -> Tensor:
    """Each step with the one before and the one after it, which beyond the ends are zero.

    Args:
        x_BTC: (B, T, C).

    Returns:
        (B, T, C, 3).

    >>> taps(torch.tensor([[[1], [2]]])).tolist()
    [[[[0, 1, 2]], [[1, 2, 0]]]]
    """
    return F.pad(x_BTC, (0, 0, 1, 1)).unfold(1, 3, 1)


def gate(x: Tensor) -> Tensor:
    """0 up to 0, then a hyperbolic tangent that rises to 1; steepest at the threshold.

    Source: Song et al., "Fine-grained dynamic head for object detection" (NeurIPS 2020).

    >>> gate(torch.tensor([-1.0, 0.0, 1.5, 9.0]))
    tensor([0.0000, 0.0000, 0.4751, 1.0000])
    """
    low = tanh(THRESHOLD)
    return F.relu((torch.tanh(x - THRESHOLD) + low) / (1 + low))
