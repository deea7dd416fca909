"""MS-TCT: attention and convolutions on four temporal scales, mixed into class scores for every feature step.

Our *head* is all that follows the features: temporal encoder, mixer and classification module.

The method is made for labels of single steps. What turns its scores into segments is not published and is ours: see
`segments_of`. Without padding, and where the number of steps is a multiple of 8, the network is the published one; of
other numbers, stages of fewer steps are stretched to them by other factors there. With padding the authors' code lets
padding take part in attention, convolutions and losses, while here the output for a clip depends on its valid steps
only. Their loss of the heat map compares each clip of a batch with the centres of all; here it has its own. Their mixer
has a fourth linear map that nothing reads; here there is none. A step's label is that of its middle, and an instance's
centre lies in the step that holds it, where theirs are those of the step's first instant and of the following step.
Scores of steps cannot tell two instances of a class that touch or overlap from one.

Source: Dai et al., "MS-TCT: multi-scale temporal ConvTransformer for action detection" (CVPR 2022).

Shape letters: B clips, T feature steps, C channels, K classes, M ground-truth instances.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmad.errors import MmadError
from mmad.layers.conv_transformer import Stage
from mmad.layers.drop import TemporalDropout
from mmad.layers.framewise import frame_labels, highest, padded_targets, segments_of
from mmad.layers.interpolation import upsampled
from mmad.layers.processes import share
from mmad.segments import Segments

STAGES = 4

PUBLISHED_KEYS: tuple[tuple[str, str], ...] = (
    # Their stages count from 1.
    *(
        (
            rf"^(TemporalEncoder|Temporal_Mixer)\.(Temporal_Merging_Block|block|norm|linear_f){n + 1}\.",
            rf"stages.{n}.\2.",
        )
        for n in range(STAGES)
    ),
    (r"\.Temporal_Merging_Block\.proj\.", ".merge.conv."),
    (r"\.Temporal_Merging_Block\.norm\.", ".merge.norm."),
    (r"\.linear_f\.proj\.", ".project."),
    (r"\.block\.", ".blocks."),
    (r"\.norm1\.", ".global_norm."),
    (r"\.norm2\.", ".local_norm."),
    (r"\.Global_Relational_Block\.", ".attention."),
    (r"\.Local_Relational_Block\.linear1\.", ".local.widen."),
    (r"\.Local_Relational_Block\.linear2\.", ".local.narrow."),
    (r"\.Local_Relational_Block\.TC\.", ".local.conv.conv."),
    (r"^Temporal_Mixer\.linear1\.", "mix.2."),
    (r"^Temporal_Mixer\.linear2\.", "mix.1."),
    (r"^Temporal_Mixer\.linear3\.", "mix.0."),
    (r"^Classfication_Module\.linear_fuse\.", "fuse."),
    (r"^Classfication_Module\.linear_pred\.", "classify."),
    (r"^Classfication_Module\.hm\.0\.", "heat_fuse."),
    (r"^Classfication_Module\.hm\.2\.", "heat_classify."),
)
"""Regular expressions that, applied in this order, turn a key of the authors' checkpoints into ours.

`Temporal_Mixer.linear4`, which nothing reads, has no place. Values only change shape: convolutions of kernel 1
(out, in, 1) are Linear weights (out, in).
"""


@dataclass(frozen=True)
class FramePredictions:
    """What the head says of every step of B clips.

    Args:
        logits_BTK: (B, T, K) float32, which classes are performed.
        heat_BTK: (B, T, K) float32 logits, how near the centre of an instance is.
        mask_BT: (B, T) bool, True = the step lies in the clip.
    """

    logits_BTK: Tensor
    heat_BTK: Tensor
    mask_BT: Tensor


class MSTCT(nn.Module):
    """Four stages of attention and convolutions, each after the first of half the length, and their mixer.

    Args:
        in_channels: C of the features.
        classes: K.
        channels: C of the first stage; each further one has 3/2 of the one before.
        blocks: of each stage.
        heads: attention heads.
        mixer_channels: C in which the stages meet.
        input_drop: probability of zeroing a value of the features, in training.
        class_drop: probability of zeroing a value before the last layer of the class scores, in training.
        heat_weight: weight of the loss of the heat map.
        thresholds, smoothing, score_threshold: see `segments_of`.

    Raises:
        MmadError: `channels` does not suit the heads, `smoothing` is even, or there are no thresholds.

    Source: Dai et al., MS-TCT (CVPR 2022); defaults of its Charades setting.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        channels: int = 256,
        blocks: int = 3,
        heads: int = 8,
        mixer_channels: int = 512,
        input_drop: float = 0.5,
        class_drop: float = 0.5,
        heat_weight: float = 0.05,
        thresholds: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        smoothing: int = 5,
        score_threshold: float = 0.001,
    ) -> None:
        super().__init__()
        if any(channels * 3**n % (2**n * heads) for n in range(STAGES)):
            raise MmadError(
                f"head.channels={channels} cannot grow by half three times and be split among head.heads={heads}: "
                f"choose a multiple of {8 * heads}."
            )
        if smoothing < 1 or smoothing % 2 == 0:
            raise MmadError(f"head.smoothing={smoothing}: give an odd number of steps, such as 5; 1 for none.")
        if not thresholds:
            raise MmadError("head.thresholds is empty, so nothing would be found: give scores such as [0.3,0.5,0.7].")
        self.classes, self.heat_weight = classes, heat_weight
        self.thresholds, self.smoothing, self.score_threshold = tuple(thresholds), smoothing, score_threshold
        widths = [in_channels, *(channels * 3**n // 2**n for n in range(STAGES))]
        self.input_drop = TemporalDropout(input_drop)
        self.stages = nn.ModuleList(
            Stage(widths[n], widths[n + 1], stride=2 if n else 1, blocks=blocks, heads=heads, mixer=mixer_channels)
            for n in range(STAGES)
        )
        self.mix = nn.ModuleList(nn.Linear(mixer_channels, mixer_channels) for _ in range(STAGES - 1))
        self.fuse = nn.Linear(STAGES * mixer_channels, mixer_channels)
        self.class_drop = TemporalDropout(class_drop)
        self.classify = nn.Linear(mixer_channels, classes)
        self.heat_fuse = nn.Conv1d(STAGES * mixer_channels, mixer_channels, 3, padding=1)
        self.heat_classify = nn.Linear(mixer_channels, classes)

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor) -> FramePredictions:
        """Class scores and heat map of every step.

        Args:
            feats_BCT: (B, in_channels, T).
            mask_BT: (B, T) bool, True = valid step; valid steps come first, and each clip has one.
        """
        steps, mask = mask_BT.shape[1], mask_BT
        x_BTC = self.input_drop(feats_BCT.transpose(1, 2)) * mask[..., None]
        scales: list[Tensor] = []
        for level, stage in enumerate(self.stages):
            x_BTC, mask = stage(x_BTC, mask)
            scales.append(upsampled(stage.project(x_BTC), mask, factor=2**level, steps=steps))  # type: ignore[operator]
        coarse = scales[-1]
        mixed = [coarse, *(self.mix[n](coarse) + scales[n] for n in reversed(range(STAGES - 1)))]
        plain_BTC = torch.cat(scales[::-1], dim=2) * mask_BT[..., None]
        heat_BTC = F.relu(self.heat_fuse(plain_BTC.transpose(1, 2))).transpose(1, 2)
        return FramePredictions(
            logits_BTK=self.classify(self.class_drop(self.fuse(torch.cat(mixed, dim=2)))).float(),
            heat_BTK=self.heat_classify(heat_BTC).float(),
            mask_BT=mask_BT,
        )

    def loss(self, outputs: FramePredictions, targets: list[Segments]) -> dict[str, Tensor]:
        """Cross-entropy of the classes per valid step and focal loss of the heat map per centre.

        Args:
            outputs: of B clips.
            targets: ground truth of the B clips, in feature steps.

        Returns:
            `cls` and `heat`, weighted scalars whose sum is minimised.
        """
        with torch.autocast(outputs.logits_BTK.device.type, enabled=False):
            valid_BT1 = outputs.mask_BT[..., None]
            labels_BTK = frame_labels(targets, outputs.mask_BT, classes=self.classes)
            cls_BTK = F.binary_cross_entropy_with_logits(outputs.logits_BTK, labels_BTK, reduction="none")
            map_BTK = heat_map(targets, outputs.mask_BT, classes=self.classes)
            heat_BTK = heat_loss(outputs.heat_BTK, map_BTK)
            cls = (cls_BTK * valid_BT1).sum() / share(outputs.mask_BT.sum())
            heat = (heat_BTK * valid_BT1).sum() / share((map_BTK == 1).sum(), least=1)
        return {"cls": cls, "heat": self.heat_weight * heat}

    @torch.no_grad()
    def decode(self, outputs: FramePredictions) -> list[Segments]:
        """Scored segments of every clip in feature steps, best first, before NMS, which they need.

        Args:
            outputs: of B clips.
        """
        # On the CPU: the steps of a clip are few, and a GPU sums them up in no fixed order.
        lengths = outputs.mask_BT.sum(dim=1).tolist()
        return [
            segments_of(
                scores_TK[:length],
                thresholds=self.thresholds,
                smoothing=self.smoothing,
                score_threshold=self.score_threshold,
            )
            for scores_TK, length in zip(outputs.logits_BTK.sigmoid().cpu(), lengths, strict=True)
        ]


def heat_map(targets: list[Segments], mask_BT: Tensor, *, classes: int) -> Tensor:
    """A bell around the centre of each instance, twice as wide on either side as the instance is long.

    Args:
        targets: ground truth of B clips, in feature steps.
        mask_BT: (B, T) bool, True = valid step; valid steps come first.
        classes: K.

    Returns:
        (B, T, K) in [0, 1]; 1 at the step that holds a centre, and the highest bell where several of a class meet.

    Source: the authors' code, `generate_gaussian` with a temperature of 4.
    """
    segments_BM2, one_hot_BMK = padded_targets(targets, classes=classes, device=mask_BT.device)
    start_BM1, end_BM1 = segments_BM2[..., None].unbind(2)
    last_B11 = mask_BT.sum(dim=1)[:, None, None] - 1
    centre_BM1 = torch.minimum(((start_BM1 + end_BM1) / 2).floor().clamp(min=0), last_B11)
    radius_BM1 = 2 * (end_BM1 - start_BM1).floor()
    distance_BMT = (torch.arange(mask_BT.shape[1], device=mask_BT.device) - centre_BM1).abs()
    bell_BMT = torch.exp(-(distance_BMT / ((2 * radius_BM1 + 1) / 4)).square()) * (distance_BMT <= radius_BM1)
    return highest(bell_BMT, one_hot_BMK) * mask_BT[..., None]


def heat_loss(logits_BTK: Tensor, map_BTK: Tensor) -> Tensor:
    """Focal loss of a heat map, which asks little of what is near a centre.

    Args:
        logits_BTK: (B, T, K).
        map_BTK: (B, T, K) in [0, 1], 1 at centres.

    Returns:
        (B, T, K), to be divided by the number of centres.

    Source: Zhou et al., "Objects as points" (2019), equation 1, with alpha = 2 and beta = 4.
    """
    p_BTK = logits_BTK.sigmoid().clamp(1e-4, 1 - 1e-4)
    at_centre_BTK = -(1 - p_BTK).square() * p_BTK.log()
    elsewhere_BTK = -((1 - map_BTK) ** 4) * p_BTK.square() * (1 - p_BTK).log()
    return torch.where(map_BTK == 1, at_centre_BTK, elsewhere_BTK)
