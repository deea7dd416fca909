"""ActionFormer: a transformer pyramid over time with an anchor-free head on every level.

Our *head* is all that follows the features: what the paper calls backbone, neck and heads, and OpenTAD calls
projection, neck and rpn_head.

Source: Zhang, Wu and Li, "ActionFormer: localizing moments of actions with transformers" (ECCV 2022).

Shape letters: B clips, T feature steps, C channels.
"""

from torch import Tensor, nn

from mmad.heads.anchor_free import AnchorFreeHead, PointPredictions
from mmad.layers.drop import DropChannels
from mmad.layers.masked_conv import MaskedConv1d
from mmad.layers.pyramid import PyramidBlock, climb, embed, sinusoid
from mmad.segments import Segments

OPENTAD_KEYS: tuple[tuple[str, str], ...] = (
    (r"^projection\.", ""),
    (r"\.attn\.(query|key|value)_norm\.", r".attention.\1_conv.norm."),
    (r"\.attn\.", ".attention."),
    (r"\.ln1\.", ".attention_norm."),
    (r"\.ln2\.", ".mlp_norm."),
    (r"\.mlp\.3\.", ".mlp.2."),
    (r"\.drop_path_attn\.scale$", ".attention_scale.gamma"),
    (r"\.drop_path_mlp\.scale$", ".mlp_scale.gamma"),
    (r"^neck\.fpn_norms\.", "neck."),
    (r"^rpn_head\.(cls|reg)_head\.", r"dense.\1_head.conv."),
    (r"^rpn_head\.scale\.(\d+)\.scale$", r"dense.scale_L.\1"),
    (r"^rpn_head\.", "dense."),
)
"""Regular expressions that, applied in this order, turn a key of OpenTAD's checkpoints into ours.

Strip the leading `module.` first. Values only change shape: 1x1 convolutions (out, in, 1) are Linear weights
(out, in), layer scales (1, C, 1) are (C,), and `dense.scale_L.<level>` are the entries of `dense.scale_L`.
"""


class ActionFormer(nn.Module):
    """Convolutions that embed the features, attention blocks that halve the length, one head for all levels.

    Padding is zero wherever a convolution or a pooling reads it, so the length of the padding does not
    matter. OpenTAD leaves the norms before attention and heads unmasked; without padding the two agree.

    Args:
        in_channels: C of the features.
        classes: K.
        channels: C of the pyramid.
        heads: attention heads.
        convs: embedding convolutions.
        stem: attention blocks before the first level, at full length.
        levels: pyramid levels, one more than the blocks of stride 2.
        attention_window: odd number of steps that a step attends to; -1 for all.
        absolute_position: adds a table of sines to the embedding.
        head_convs: convolutions of each tower before the last one.
        layer_scale: initial weight of the branches of a block.
        path_drop: probability of leaving a branch out for a clip, in training.
        input_drop: probability of zeroing a channel of the features for a clip, in training.
        center_radius, filter_similar, label_smoothing, class_balance, loss_normalizer, momentum, reg_weight, reg_bias,
            score_threshold, max_proposals: see `AnchorFreeHead`.

    Source: Zhang et al., ActionFormer (ECCV 2022); defaults of AdaTAD's multi-label setting in OpenTAD.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        channels: int = 512,
        heads: int = 4,
        convs: int = 3,
        stem: int = 0,
        levels: int = 6,
        attention_window: int = -1,
        absolute_position: bool = False,
        head_convs: int = 2,
        layer_scale: float = 1e-4,
        path_drop: float = 0.1,
        input_drop: float = 0.0,
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
        self.absolute_position = absolute_position

        def block(stride: int) -> PyramidBlock:
            return PyramidBlock(
                channels,
                heads,
                stride=stride,
                window=attention_window,
                layer_scale=layer_scale,
                path_drop=path_drop,
            )

        self.input_drop = DropChannels(input_drop)
        self.embed = nn.ModuleList(MaskedConv1d(channels if index else in_channels, channels) for index in range(convs))
        self.stem = nn.ModuleList(block(1) for _ in range(stem))
        self.branch = nn.ModuleList(block(2) for _ in range(levels - 1))
        self.neck = nn.ModuleList(nn.LayerNorm(channels) for _ in range(levels))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
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
        if self.absolute_position:
            steps, channels = x_BTC.shape[1:]
            table_TC = sinusoid(steps, channels, device=x_BTC.device) / channels**0.5
            x_BTC = x_BTC + table_TC * mask_BT[..., None]
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
