"""The anchor-free detection head on a temporal pyramid: every point names its classes and its two boundaries.

Shape letters: B clips, T feature steps, C channels, P points of all levels, K classes, L levels; G boundaries per
point: 1 where all classes share them, else K.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmad.assignment import Assignment, Points, assign, pyramid_points
from mmad.errors import MmadError
from mmad.layers.masked_conv import MaskedConv1d
from mmad.layers.processes import process
from mmad.losses import class_balanced_weights, diou_loss, focal_loss, smoothed
from mmad.segments import Segments, paired_tiou

PRIOR = 0.01
"""Score of every class before training: most points see nothing."""


@dataclass(frozen=True)
class PointPredictions:
    """What the head says at the points of B clips.

    Args:
        logits_BPK: (B, P, K) float32, one per class.
        offsets_BPG2: (B, P, G, 2) float32, distance to start and end in strides of the point's level.
        mask_BP: (B, P) bool, True = the point lies in the clip.
        points: where the points are.
    """

    logits_BPK: Tensor
    offsets_BPG2: Tensor
    mask_BP: Tensor
    points: Points

    @property
    def segments_BPG2(self) -> Tensor:
        """(B, P, G, 2) predicted start and end, feature steps."""
        sides = self.offsets_BPG2.new_tensor([-1.0, 1.0])
        position_P11, stride_P11 = self.points.position_P[:, None, None], self.points.stride_P[:, None, None]
        return position_P11 + self.offsets_BPG2 * sides * stride_P11

    @property
    def scores_BPK(self) -> Tensor:
        """(B, P, K) scores in [0, 1], 0 at points beyond the clip."""
        return self.logits_BPK.sigmoid() * self.mask_BP[..., None]


Assign = Callable[[PointPredictions, list[Segments]], Assignment]
"""Says what every point should predict, given what it predicts now and the ground truth of the B clips."""


class AnchorFreeHead(nn.Module):
    """Two towers of convolutions, shared by all levels, with their loss and their decoding.

    Args:
        classes: K.
        channels: C of the pyramid and of the towers.
        levels: L.
        convs: convolutions of each tower before the last one.
        center_radius: distance to a segment's centre within which a point is positive, in strides.
        filter_similar: a point carries the class of its shortest segment only.
        label_smoothing: share of the class target that is spread over K + 1 classes, in [0, 1); see `smoothed`.
        class_balance: beta in [0, 1) of the weights of the classes' positives in the focal loss, see
            `class_balanced_weights`; None for equal ones. Training then needs the counts of the classes, see `balance`.
        loss_normalizer: number of positives that the losses are divided by, at first.
        momentum: of its running mean, in training.
        reg_weight: weight of the boundary loss.
        reg_bias: initial distance to the boundaries, in strides.
        score_threshold: decoded segments score more than this.
        max_proposals: decoded segments of one clip at most, all levels together.
        values: R numbers that a point tells of its boundaries; 2 are the distances themselves.
        iou_power: positives weigh tIoU ** iou_power in the class loss, with a gradient; 0 for all the same.
        assigned: an assignment in place of centre sampling, which then has `center_radius` and `filter_similar`.

    Raises:
        MmadError: `label_smoothing` or `class_balance` is out of range.

    Source: Zhang et al., ActionFormer (ECCV 2022), sections 3.3-3.4; Cui et al. (CVPR 2019) for `class_balance`; Shi et
        al., TriDet (CVPR 2023), for `iou_power`.
    """

    loss_normalizer: Tensor
    class_weight_K: Tensor | None

    def __init__(
        self,
        classes: int,
        channels: int,
        *,
        levels: int,
        convs: int = 2,
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
        values: int = 2,
        iou_power: float = 0.0,
        assigned: Assign | None = None,
    ) -> None:
        super().__init__()
        if not _is_part(label_smoothing):
            raise MmadError(f"head.label_smoothing={label_smoothing}: give a share in [0, 1), such as 0.1; 0 for none.")
        if class_balance is not None and not _is_part(class_balance):
            raise MmadError(f"head.class_balance={class_balance}: give a beta in [0, 1), such as 0.999, or null.")
        self.classes, self.levels = classes, levels
        self.center_radius, self.filter_similar = center_radius, filter_similar
        self.label_smoothing, self.momentum, self.reg_weight = label_smoothing, momentum, reg_weight
        self.score_threshold, self.max_proposals, self.class_balance = score_threshold, max_proposals, class_balance
        self.iou_power, self.assigned = iou_power, assigned or self._centers

        self.cls_convs = nn.ModuleList(MaskedConv1d(channels, channels) for _ in range(convs))
        self.reg_convs = nn.ModuleList(MaskedConv1d(channels, channels) for _ in range(convs))
        self.cls_head = MaskedConv1d(channels, classes, bias=log(PRIOR / (1 - PRIOR)), norm=False, relu=False)
        self.reg_head = MaskedConv1d(channels, values, bias=reg_bias, norm=False, relu=False)
        self.scale_L = nn.Parameter(torch.ones(levels))
        self.register_buffer("loss_normalizer", torch.tensor(float(loss_normalizer)))
        # Not in checkpoints: the training data tell it anew, and detection needs none.
        self.register_buffer("class_weight_K", None, persistent=False)

    def balance(self, counts_K: Tensor) -> None:
        """Sets the weights of the classes' positives in the loss, if `class_balance` asks for them.

        Args:
            counts_K: (K,) training instances of each class.
        """
        assert len(counts_K) == self.classes
        if self.class_balance is not None:
            weight_K = class_balanced_weights(counts_K, beta=self.class_balance)
            self.class_weight_K = weight_K.to(self.loss_normalizer.device)

    def forward(self, pyramid: Sequence[Tensor], mask_BT: Tensor) -> PointPredictions:
        """Predicts at every point, the same boundaries for all classes.

        Args:
            pyramid: L tensors (B, T / 2**level, C), zero where the mask is False.
            mask_BT: (B, T) bool of the finest level.
        """
        logits_BPK, offsets_BP2, mask_BP, points = self.towers(pyramid, pyramid, mask_BT)
        return PointPredictions(logits_BPK, offsets_BP2[:, :, None], mask_BP, points)

    def towers(
        self, cls_pyramid: Sequence[Tensor], reg_pyramid: Sequence[Tensor], mask_BT: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Points]:
        """What both towers say at every point, from features that may differ.

        Args:
            cls_pyramid, reg_pyramid: each L tensors (B, T / 2**level, C), zero where the mask is False.
            mask_BT: (B, T) bool of the finest level.

        Returns:
            (B, P, K) logits, (B, P, R) values not below 0, (B, P) mask, and the points.
        """
        points = pyramid_points(mask_BT.shape[1], self.levels, device=mask_BT.device)
        cls, mask = in_one_sequence(cls_pyramid, mask_BT)
        reg, _ = in_one_sequence(reg_pyramid, mask_BT)
        for conv in self.cls_convs:
            cls = conv(cls, mask)
        for conv in self.reg_convs:
            reg = conv(reg, mask)
        kept_P = torch.arange(len(points.level_P), device=mask.device) + points.level_P
        values_BPR = self.reg_head(reg, mask)[:, kept_P].float()
        return (
            self.cls_head(cls, mask)[:, kept_P].float(),
            F.relu(values_BPR * self.scale_L[points.level_P, None]),
            mask[:, kept_P],
            points,
        )

    def loss(self, outputs: PointPredictions, targets: list[Segments]) -> dict[str, Tensor]:
        """Focal loss of the classes and DIoU loss of the boundaries, both per positive point.

        Args:
            outputs: of B clips.
            targets: ground truth of the B clips, in feature steps.

        Returns:
            `cls` and `reg`, weighted scalars whose sum is minimised.

        Raises:
            MmadError: `class_balance` is set and nobody told the counts.
        """
        if self.class_balance is not None and self.class_weight_K is None:
            raise MmadError(
                f"head.class_balance={self.class_balance}: the loss needs the number of training instances of each "
                f"class; call the head's balance(counts) first."
            )
        with torch.autocast(outputs.logits_BPK.device.type, enabled=False):
            assigned = self.assigned(outputs, targets)
            positive_BP = assigned.positive_BP & outputs.mask_BP
            normalizer = self._normalizer(positive_BP.sum())
            positive_BPK = (assigned.classes_BPK > 0) & positive_BP[..., None]
            own = outputs.offsets_BPG2.shape[2] > 1
            # Where classes share their boundaries, a point counts once, however many classes it has.
            told_BPG = positive_BPK if own else positive_BP[..., None]
            sides = outputs.offsets_BPG2.new_tensor([-1.0, 1.0])
            offsets_BPG2 = assigned.offsets_BP2[:, :, None].expand_as(outputs.offsets_BPG2)
            predicted_N2, target_N2 = outputs.offsets_BPG2[told_BPG] * sides, offsets_BPG2[told_BPG] * sides
            reg = diou_loss(predicted_N2, target_N2).sum()
            scale_BPK = None
            if self.iou_power:
                ones_BPG = torch.ones_like(told_BPG, dtype=torch.float32)
                # A root has no slope at 0.
                tiou_N = paired_tiou(predicted_N2, target_N2).clamp(min=1e-6)
                scale_BPG = ones_BPG.masked_scatter(told_BPG, tiou_N**self.iou_power)
                scale_BPK = torch.where(positive_BPK, scale_BPG, 1.0)
            classes_BPK = smoothed(assigned.classes_BPK, share=self.label_smoothing)
            cls = focal_loss(
                outputs.logits_BPK,
                classes_BPK,
                outputs.mask_BP,
                weight_K=self.class_weight_K,
                scale_BPK=scale_BPK,
            )
        return {"cls": cls / normalizer, "reg": self.reg_weight * reg / normalizer}

    @torch.no_grad()
    def decode(self, outputs: PointPredictions) -> list[Segments]:
        """One segment per point and class that scores above the threshold, best first.

        Args:
            outputs: of B clips.

        Returns:
            Scored segments of every clip in feature steps, before NMS; they may reach over the clip's ends.
        """
        found: list[Segments] = []
        for scores_PK, segments_PG2 in zip(outputs.scores_BPK, outputs.segments_BPG2, strict=True):
            point, label = (scores_PK > self.score_threshold).nonzero(as_tuple=True)
            best = scores_PK[point, label].argsort(descending=True, stable=True)[: self.max_proposals]
            point, label = point[best], label[best]
            segments_N2 = segments_PG2[point, label if segments_PG2.shape[1] > 1 else 0]
            found.append({"segments": segments_N2, "labels": label, "scores": scores_PK[point, label]})
        return found

    def _centers(self, outputs: PointPredictions, targets: list[Segments]) -> Assignment:
        return assign(
            outputs.points,
            targets,
            classes=self.classes,
            center_radius=self.center_radius,
            filter_similar=self.filter_similar,
        )

    @torch.no_grad()
    def _normalizer(self, positives: Tensor) -> Tensor:
        """What the losses are divided by: the positives' running mean in training, their number otherwise.

        With several processes it is each one's share of the positives of all, so that the mean of their losses is the
        loss of one process that has all clips.
        """
        if not self.training:
            return positives.clamp(min=1).float()
        _, ranks = process()
        if ranks > 1:
            torch.distributed.all_reduce(positives)
        # In place, since DDP holds on to the buffer; a copy leaves, since the graph holds on to the divisor.
        return self.loss_normalizer.lerp_(positives.clamp(min=1).float(), 1 - self.momentum) / ranks


def in_one_sequence(pyramid: Sequence[Tensor], mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """All levels one after the other, so that a convolution of kernel 3 passes them at once.

    A masked step after each keeps neighbours apart: what a convolution reads there is the zero it would have read as
    its padding.

    Args:
        pyramid: L tensors (B, T / 2**level, C), zero where the mask is False.
        mask_BT: (B, T) bool of the finest level.

    Returns:
        (B, P + L, C) and (B, P + L) bool; point `p` of level `l` is at place `p + l`.
    """
    masks = [F.pad(mask_BT[:, :: 2**level], (0, 1)) for level in range(len(pyramid))]
    return torch.cat([F.pad(x_BTC, (0, 0, 0, 1)) for x_BTC in pyramid], dim=1), torch.cat(masks, dim=1)


def _is_part(value: object) -> bool:
    """Whether it is a number in [0, 1); a configuration can hold anything, and its true is no number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
