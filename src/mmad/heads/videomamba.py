"""VideoMamba: ActionFormer with selective state space models in place of attention.

Our *head* is all that follows the features: what OpenTAD calls projection, neck and rpn_head. The blocks are those of
the Video Mamba Suite, whose detector is also called ActionMamba. The video backbone named VideoMamba is another work.

Source: Chen et al., "Video Mamba Suite: state space model as a versatile alternative for video understanding" (2024).

Shape letters: B clips, T feature steps, C channels.
"""

from torch import Tensor, nn

from mmad.heads.anchor_free import AnchorFreeHead, PointPredictions
from mmad.layers.drop import DropChannels
from mmad.layers.mamba import MambaBlock
from mmad.layers.masked_conv import MaskedConv1d
from mmad.layers.pyramid import climb, embed
from mmad.segments import Segments

OPENTAD_KEYS: tuple[tuple[str, str], ...] = (
    (r"^projection\.", ""),
    (r"\.drop_path\.scale$", ".scale.gamma"),
    (r"^neck\.fpn_norms\.", "neck."),
    (r"^rpn_head\.(cls|reg)_head\.", r"dense.\1_head.conv."),
    (r"^rpn_head\.scale\.(\d+)\.scale$", r"dense.scale_L.\1"),
    (r"^rpn_head\.", "dense."),
)
"""Regular expressions that, applied in this order, turn a key of OpenTAD's checkpoints into ours.

Strip the leading `module.` first. Values only change shape: layer scales (1, C, 1) are (C,), and
`dense.scale_L.<level>` are the entries of `dense.scale_L`. Below `.mamba.`, keys and shapes are the same.
"""


class VideoMamba(nn.Module):
    """Convolutions that embed the features, Mamba blocks that halve the length, one head for all levels.

    By default the output for a clip depends on its valid steps only. A pooled level is valid where its points lie in
    the clip, while OpenTAD keeps one point more where the pooling's window reaches back into the clip.

    Args:
        in_channels: C of the features.
        classes: K.
        channels: C of the pyramid.
        convs: embedding convolutions.
        stem: Mamba blocks before the first level, at full length.
        levels: pyramid levels, one more than the blocks that halve the length.
        head_convs: convolutions of each tower before the last one.
        layer_scale: initial weight of the branch of a block.
        path_drop: probability of leaving a block's branch out for a clip, in training.
        input_drop: probability of zeroing a channel of the features for a clip, in training.
        published: blocks see padding as in the published code, so that its length matters; see `MambaBlock`.
        center_radius, filter_similar, label_smoothing, class_balance, loss_normalizer, momentum, reg_weight, reg_bias,
            score_threshold, max_proposals: see `AnchorFreeHead`.

    Source: Chen et al., Video Mamba Suite (2024), DBM; defaults of its multi-label setting in OpenTAD.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        channels: int = 512,
        convs: int = 3,
        stem: int = 0,
        levels: int = 6,
        head_convs: int = 2,
        layer_scale: float = 1e-4,
        path_drop: float = 0.3,
        input_drop: float = 0.1,
        published: bool = False,
        center_radius: float = 1.5,
        filter_similar: bool = True,
        label_smoothing: float = 0.0,
        class_balance: float | None = None,
        loss_normalizer: float = 100.0,
        momentum: float = 0.9,
        reg_weight: float = 1.0,
        reg_bias: float = 0.0,
        score_threshold: float = 0.001,
        max_proposals: int = 8000,
    ) -> None:
        super().__init__()
        self.levels = levels

        def block(stride: int) -> MambaBlock:
            return MambaBlock(
                channels, stride=stride, layer_scale=layer_scale, path_drop=path_drop, published=published
            )

        self.input_drop = DropChannels(input_drop)
        self.embed = nn.ModuleList(MaskedConv1d(channels if index else in_channels, channels) for index in range(convs))
        self.stem = nn.ModuleList(block(1) for _ in range(stem))
        self.branch = nn.ModuleList(block(2) for _ in range(levels - 1))
        self.neck = nn.ModuleList(nn.LayerNorm(channels) for _ in range(levels))
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
        x_BTC = embed(self.input_drop(feats_BCT), mask_BT, self.embed, levels=self.levels)
        return self.dense(climb(x_BTC, mask_BT, stem=self.stem, branch=self.branch, norms=self.neck), mask_BT)

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
