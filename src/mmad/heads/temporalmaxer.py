"""TemporalMaxer: a pyramid of nothing but max pooling, and points that regress to what they already see best.

Our *head* is all that follows the features: what OpenTAD calls projection, neck and rpn_head.

Source: Tang, Kim and Sohn, "TemporalMaxer: maximize temporal context with only max pooling for temporal action
localization" (2023).

Shape letters: B clips, T feature steps, C channels, P points of all levels, M ground-truth instances, K classes.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import sigmoid_focal_loss

from mmad.assignment import Assignment, assign
from mmad.errors import MmadError
from mmad.heads.anchor_free import AnchorFreeHead, PointPredictions
from mmad.layers.drop import DropChannels
from mmad.layers.masked_conv import MaskedConv1d
from mmad.layers.pyramid import climb, embed, max_pool
from mmad.losses import diou_loss
from mmad.segments import Segments

OPENTAD_KEYS: tuple[tuple[str, str], ...] = (
    (r"^projection\.", ""),
    (r"^neck\.fpn_norms\.", "neck."),
    (r"^rpn_head\.(cls|reg)_head\.", r"dense.\1_head.conv."),
    (r"^rpn_head\.scale\.(\d+)\.scale$", r"dense.scale_L.\1"),
    (r"^rpn_head\.", "dense."),
)
"""Regular expressions that, applied in this order, turn a key of OpenTAD's checkpoints into ours.

Strip the leading `module.` first. All shapes agree; `dense.scale_L.<level>` are the entries of `dense.scale_L`.
"""

BOUNDARY_COST = 2.0
"""Weight of the boundary loss beside the class loss in the choice of the instance to regress."""


class TemporalMaxer(nn.Module):
    """Convolutions that embed the features, max pooling that halves the length, one head for all levels.

    A pooled level is valid where its points lie in the clip, as in the authors' code. OpenTAD keeps one point more
    where the pooling's window reaches back into the clip.

    Args:
        in_channels: C of the features.
        classes: K.
        channels: C of the pyramid.
        convs: embedding convolutions.
        levels: pyramid levels.
        head_convs: convolutions of each tower before the last one.
        input_drop: probability of zeroing a channel of the features for a clip, in training.
        regression: which instances' boundaries a point may regress, see `assign_cheapest`.
        center_radius, filter_similar, label_smoothing, class_balance, loss_normalizer, momentum, reg_weight, reg_bias,
            score_threshold, max_proposals: see `AnchorFreeHead`.

    Raises:
        MmadError: no such `regression`.

    Source: Tang et al., TemporalMaxer (2023); defaults of its multi-label setting in OpenTAD, but for `regression`.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        channels: int = 512,
        convs: int = 3,
        levels: int = 6,
        head_convs: int = 2,
        input_drop: float = 0.0,
        regression: str = "matched",
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
        if regression not in ("matched", "any"):
            raise MmadError(f"head.regression={regression}: choose matched, or any for the published behaviour.")
        self.input_drop = DropChannels(input_drop)
        self.embed = nn.ModuleList(MaskedConv1d(channels if index else in_channels, channels) for index in range(convs))
        self.branch = nn.ModuleList(_MaxPool() for _ in range(levels - 1))
        self.neck = nn.ModuleList(nn.LayerNorm(channels) for _ in range(levels))
        self.levels = levels
        self.dense = AnchorFreeHead(
            classes,
            channels,
            levels=levels,
            convs=head_convs,
            label_smoothing=label_smoothing,
            class_balance=class_balance,
            loss_normalizer=loss_normalizer,
            momentum=momentum,
            reg_weight=reg_weight,
            reg_bias=reg_bias,
            score_threshold=score_threshold,
            max_proposals=max_proposals,
            assigned=partial(
                assign_cheapest,
                center_radius=center_radius,
                filter_similar=filter_similar,
                matched_only=regression == "matched",
            ),
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
        return self.dense(climb(x_BTC, mask_BT, stem=(), branch=self.branch, norms=self.neck), mask_BT)

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


class _MaxPool(nn.Module):
    def forward(self, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        return max_pool(x_BTC, mask_BT)


@torch.no_grad()
def assign_cheapest(
    outputs: PointPredictions,
    targets: list[Segments],
    *,
    center_radius: float = 1.5,
    filter_similar: bool = True,
    matched_only: bool = True,
) -> Assignment:
    """Centre sampling, but a point regresses to the instance that its present answer is nearest to.

    That is the one with the least sum of focal loss and twice DIoU loss. The dynamic k of SimOTA, which keeps the
    cheapest points of an instance only, has no part in it: the published settings keep all of them.

    Args:
        outputs: of B clips.
        targets: ground truth of the B clips, in feature steps.
        center_radius: in strides of the level.
        filter_similar: a point is matched to its shortest segment (and to equally long ones) only, else to all those
            it serves.
        matched_only: the boundaries are those of a matched instance. If not, they may be those of any instance that
            contains the point, as in the published code, so that a point can have the class of one instance and the
            boundaries of another.

    Source: OpenTAD's assigner for TemporalMaxer; Ge et al., "YOLOX" (2021), for SimOTA.
    """
    points, logits_BPK = outputs.points, outputs.logits_BPK
    # Padding lies before the clip, where it contains no point. There is always some: a choice needs an instance.
    segments_BM2 = pad_sequence([target["segments"] for target in targets], batch_first=True, padding_value=-1.0)
    labels_BM = pad_sequence([target["labels"] for target in targets], batch_first=True)
    segments_BM2 = F.pad(segments_BM2.to(logits_BPK), (0, 0, 0, 1), value=-1.0)
    labels_BM = F.pad(labels_BM.to(logits_BPK.device), (0, 1))

    # With a class for every instance, classes are matches.
    numbered: list[Segments] = [
        {"segments": target["segments"], "labels": torch.arange(len(target["labels"]))} for target in targets
    ]
    matched_BPM = assign(
        points,
        numbered,
        classes=labels_BM.shape[1],
        center_radius=center_radius,
        filter_similar=filter_similar,
    ).classes_BPK

    sides = segments_BM2.new_tensor([-1.0, 1.0])
    position_P11, stride_P11 = points.position_P[:, None, None], points.stride_P[:, None, None]
    offsets_BPM2 = (segments_BM2[:, None] - position_P11) * sides / stride_P11
    candidate_BPM = matched_BPM > 0 if matched_only else (offsets_BPM2 >= 0).all(dim=-1)

    # Of two instances' focal losses at a point, all terms are the same but those of their own classes.
    ones_BPK, zeros_BPK = torch.ones_like(logits_BPK), torch.zeros_like(logits_BPK)
    own_BPK = sigmoid_focal_loss(logits_BPK, ones_BPK) - sigmoid_focal_loss(logits_BPK, zeros_BPK)
    cost_BPM = own_BPK.take_along_dim(labels_BM[:, None], dim=2)
    predicted_BPM2 = (outputs.offsets_BPG2 * sides).expand_as(offsets_BPM2)
    boundary_N = diou_loss(predicted_BPM2.flatten(0, 2), (offsets_BPM2 * sides).flatten(0, 2))
    cost_BPM = cost_BPM + BOUNDARY_COST * boundary_N.view_as(cost_BPM)
    cheapest_BP = cost_BPM.masked_fill(~candidate_BPM, torch.inf).argmin(dim=2)

    return Assignment(
        classes_BPK=(matched_BPM @ F.one_hot(labels_BM, logits_BPK.shape[2]).float()).clamp(max=1),
        offsets_BP2=offsets_BPM2.take_along_dim(cheapest_BP[..., None, None], dim=2).squeeze(2),
        positive_BP=matched_BPM.any(dim=2),
    )
