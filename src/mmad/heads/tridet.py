"""TriDet: a pyramid of convolutions, and boundaries that a point finds among its neighbours' answers.

Our *head* is all that follows the features: what OpenTAD calls projection, neck and rpn_head.

By default the output for a clip depends on its valid steps only, and all weights learn. `published` runs the pyramid as
the authors' code and OpenTAD do: the global mean, the group norm and all that is wider than a step read padding, which
blocks and norms fill with numbers, so that the same clip has another output in a longer window. Starts and ends are
told in padding, too, as in OpenTAD; in the authors' code they are 0 there, as they are here by default. Without padding
the two agree.

Two initial values differ from the published ones either way. The depth-wise convolutions have a spread of 0.1, where
the THUMOS settings have 0, from which they never move. The convolutions that tell starts and ends have a bias of 0,
where OpenTAD draws one and the authors take -4.6, beside which the 0 beyond the ends looks like a boundary.

Source: Shi et al., "TriDet: temporal action detection with relative boundary modeling" (CVPR 2023).

Shape letters: B clips, T feature steps, C channels, P points of all levels, K classes, N bins.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmad.heads.anchor_free import AnchorFreeHead, PointPredictions, in_one_sequence
from mmad.layers.masked_conv import MaskedConv1d
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
    (r"^rpn_head\.cls_(start|end)_head\.", r"\1_head.conv."),
    (r"^rpn_head\.cls_(start|end)_convs\.", r"\1_convs."),
    (r"^rpn_head\.(cls|reg)_head\.", r"dense.\1_head.conv."),
    (r"^rpn_head\.scale\.(\d+)\.scale$", r"dense.scale_L.\1"),
    (r"^rpn_head\.", "dense."),
)
"""Regular expressions that, applied in this order, turn a key of OpenTAD's checkpoints into ours.

Strip the leading `module.` first. Values only change shape: the MLP's 1x1 convolutions (out, in, 1) are Linear weights
(out, in), layer scales (1, C, 1) are (C,), and `dense.scale_L.<level>` are the entries of `dense.scale_L`.
"""


class TriDet(nn.Module):
    """SGP blocks that halve the length, class and boundary towers, and towers that tell where classes start and end.

    Args:
        in_channels: C of the features.
        classes: K.
        channels: C of the pyramid, divisible by 16.
        convs: embedding convolutions.
        stem: SGP blocks before the first level, at full length.
        levels: pyramid levels, one more than the blocks of stride 2.
        bins: farthest distance to a boundary, in strides.
        head_convs: convolutions of each tower before the last one.
        iou_power: positives weigh tIoU ** iou_power in the class loss, with a gradient.
        window, window_factor, mlp_channels, init_std, layer_scale, path_drop, input_noise, published: see `SGPBlock`
            and `SGPPyramid`. With `published`, starts and ends are told in padding, too.
        center_radius, filter_similar, label_smoothing, class_balance, loss_normalizer, momentum, reg_weight,
            score_threshold, max_proposals: see `AnchorFreeHead`.

    Raises:
        MmadError: `channels` or `window` does not fit.

    Source: Shi et al., TriDet (CVPR 2023); defaults of its THUMOS14 setting in OpenTAD, but for `init_std`, and but for
        `max_proposals`, which there is 2000.
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
        bins: int = 16,
        head_convs: int = 2,
        layer_scale: float = 1e-4,
        path_drop: float = 0.1,
        input_noise: float = 5e-4,
        iou_power: float = 0.2,
        published: bool = False,
        center_radius: float = 1.5,
        filter_similar: bool = True,
        label_smoothing: float = 0.0,
        class_balance: float | None = None,
        loss_normalizer: float = 100.0,
        momentum: float = 0.9,
        reg_weight: float = 1.0,
        score_threshold: float = 0.001,
        max_proposals: int = 8000,
    ) -> None:
        super().__init__()
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
            window_relu=False,
            published=published,
        )
        self.dense = AnchorFreeHead(
            classes,
            channels,
            levels=levels,
            convs=head_convs,
            center_radius=center_radius,
            filter_similar=filter_similar,
            label_smoothing=label_smoothing,
            class_balance=class_balance,
            loss_normalizer=loss_normalizer,
            momentum=momentum,
            reg_weight=reg_weight,
            score_threshold=score_threshold,
            max_proposals=max_proposals,
            values=2 * (bins + 1),
            iou_power=iou_power,
        )
        self.start_convs = nn.ModuleList(MaskedConv1d(channels, channels) for _ in range(head_convs))
        self.end_convs = nn.ModuleList(MaskedConv1d(channels, channels) for _ in range(head_convs))
        self.start_head = MaskedConv1d(channels, classes, bias=0.0, norm=False, relu=False)
        self.end_head = MaskedConv1d(channels, classes, bias=0.0, norm=False, relu=False)

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor) -> PointPredictions:
        """Predictions at every point of the pyramid, with boundaries of their own for every class.

        Args:
            feats_BCT: (B, in_channels, T).
            mask_BT: (B, T) bool, True = valid step; valid steps come first.

        Raises:
            MmadError: a T that the pyramid cannot halve.
        """
        pyramid = self.pyramid(feats_BCT, mask_BT)
        logits_BPK, bins_BPR, mask_BP, points = self.dense.towers(pyramid, pyramid, mask_BT)
        # These towers read the pyramid as it is, and do not shape it.
        start, mask = in_one_sequence([x_BTC.detach() for x_BTC in pyramid], mask_BT)
        end = start
        for start_conv, end_conv in zip(self.start_convs, self.end_convs, strict=True):
            start, end = start_conv(start, mask), end_conv(end, mask)
        if self.published:
            _, mask = in_one_sequence(pyramid, torch.ones_like(mask_BT))
        kept_P = torch.arange(len(points.level_P), device=mask.device) + points.level_P
        start_BPK, end_BPK = (head(x, mask)[:, kept_P] for head, x in ((self.start_head, start), (self.end_head, end)))
        sizes = [x_BTC.shape[1] for x_BTC in pyramid]
        levels = zip(*(x.split(sizes, dim=1) for x in (start_BPK, end_BPK, bins_BPR)), strict=True)
        offsets_BPK2 = torch.cat([trident_offsets(*level) for level in levels], dim=1)
        return PointPredictions(logits_BPK, offsets_BPK2, mask_BP, points)

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


def trident_offsets(start_BTK: Tensor, end_BTK: Tensor, bins_BTR: Tensor) -> Tensor:
    """Expected distances to start and end among the N steps before and after a point, on one level.

    Each of them counts by what it says itself, for each class, and by what the point says of it, for all. Beyond the
    ends of the level lie zeros.

    Args:
        start_BTK, end_BTK: (B, T, K) how much each step looks like a start, and like an end.
        bins_BTR: (B, T, 2N) what the point says of the steps from N - 1 before it to itself, then of itself to N - 1
            after it.

    Returns:
        (B, T, K, 2) distances to start and end in [0, N - 1] strides.

    Source: Shi et al., TriDet (CVPR 2023), section 3.3.
    """
    left_BTN, right_BTN = bins_BTR.chunk(2, dim=2)
    bins = left_BTN.shape[2]
    start_BTKN = F.pad(start_BTK, (0, 0, bins - 1, 0)).unfold(1, bins, 1)
    end_BTKN = F.pad(end_BTK, (0, 0, 0, bins - 1)).unfold(1, bins, 1)
    distance_N = torch.arange(bins, device=bins_BTR.device)
    to_start_BTK = ((start_BTKN + left_BTN[:, :, None]).softmax(dim=3) * distance_N.flip(0)).sum(dim=3)
    to_end_BTK = ((end_BTKN + right_BTN[:, :, None]).softmax(dim=3) * distance_N).sum(dim=3)
    return torch.stack([to_start_BTK, to_end_BTK], dim=3)
