"""PointTAD: a set of queries, each with points in time that sample the features and, between them, span its segment.

Our *head* is all that follows the features: the queries, their decoder and the branch that labels single steps. The
fusion of two layers of I3D, which the authors' detector has before it, belongs to the backbone.

Points are shares of the longest window, so that the same place is the same time in all clips. The authors fill up a
window by repeating a clip's last frame. Here, points beyond the end sample the last valid step, so that the output for
a clip depends neither on padding nor on its neighbours. Three more things differ from the authors' code:

- All layers have auxiliary losses. There, layers are paired with clips, so that only as many have them as the batch has
  clips.
- A batch without any ground truth teaches the background. There it teaches nothing.
- In the branch that labels single steps, a step has the label of its middle. There it has that of all it holds.

Source: Tan et al., "PointTAD: multi-label temporal action detection with learnable query points" (NeurIPS 2022).

Shape letters: B clips, T feature steps, C channels, K classes, L layers, Q queries, P points, N matched pairs, M
ground-truth instances of all clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmad.assignment import matched
from mmad.errors import MmadError
from mmad.layers.drop import TemporalDropout
from mmad.layers.framewise import frame_labels
from mmad.layers.processes import share
from mmad.layers.query_points import BOUNDARY_POINTS, DecoderLayer, spanned
from mmad.losses import l1_loss, tiou_loss
from mmad.segments import Segments

CLASS_COST, L1_COST, TIOU_COST = 10.0, 5.0, 5.0
"""Weights in what decides which query answers for which instance."""

L1_WEIGHT, TIOU_WEIGHT, BACKGROUND_WEIGHT = 5.0, 5.0, 0.1
"""Weights of the losses of segments, and of queries without an instance in that of the classes."""

PUBLISHED_KEYS: tuple[tuple[str, str], ...] = (
    (r"^decoder\.head_series\.", "layers."),
    (r"\.point_deformation\.", ".deformation."),
    (r"\.self_attn\.in_proj_", ".attention.in_proj."),
    (r"\.self_attn\.out_proj\.", ".attention.out_proj."),
    (r"\.inst_parallel_mix\.dynamic_layer\.", ".mixing.channel_map."),
    (r"\.inst_parallel_mix\.dynamic_temp_layer\.", ".mixing.time_map."),
    (r"\.inst_parallel_mix\.norm1\.", ".mixing.inner_norm."),
    (r"\.inst_parallel_mix\.norm2\.", ".mixing.channel_norm."),
    (r"\.inst_parallel_mix\.norm3\.", ".mixing.out_norm."),
    (r"\.inst_parallel_mix\.norm4\.", ".mixing.time_norm."),
    (r"\.inst_parallel_mix\.out_layer\.", ".mixing.out."),
    (r"^(layers\.\d+)\.linear1\.", r"\1.mlp.0."),
    (r"^(layers\.\d+)\.linear2\.", r"\1.mlp.3."),
    (r"^(layers\.\d+)\.norm1\.", r"\1.attention_norm."),
    (r"^(layers\.\d+)\.norm2\.", r"\1.mixing_norm."),
    (r"^(layers\.\d+)\.norm3\.", r"\1.mlp_norm."),
    (r"\.(cls|reg)_module\.", r".\1_tower."),
    (r"\.class_logits\.", ".classify."),
    (r"\.points_delta\.", ".move."),
    (r"^init_proposal_features\.weight$", "query_QC"),
    (r"^init_proposal_points\.weight$", "points_QP"),
    (r"^linear_pred\.0\.", "dense_conv."),
    (r"^linear_pred\.2\.", "dense_classify."),
)
"""Regular expressions that, applied in this order, turn a key of the authors' checkpoints into ours.

`query_embed`, which nothing reads, has no place; `backbone` and `input_proj` are of the backbone.
"""


@dataclass(frozen=True)
class QueryPredictions:
    """What the queries say of B clips, layer by layer.

    Args:
        logits_LBQK: (L, B, Q, K + 1) float32, the background last.
        segments_LBQ2: (L, B, Q, 2) float32 start and end, shares of the longest window.
        dense_BTK: (B, T, K) float32 logits of the branch that labels single steps.
        mask_BT: (B, T) bool, True = the step lies in the clip.
        window: feature steps of the longest window.
        classes_per_query: best classes of a query that become segments.
    """

    logits_LBQK: Tensor
    segments_LBQ2: Tensor
    dense_BTK: Tensor
    mask_BT: Tensor
    window: int
    classes_per_query: int

    @property
    def segments_BPG2(self) -> Tensor:
        """(B, Q, 1, 2) start and end after the last layer within the clip, feature steps."""
        length_B111 = self.mask_BT.sum(dim=1)[:, None, None, None]
        return torch.minimum((self.segments_LBQ2[-1, :, :, None] * self.window).clamp(min=0), length_B111)

    @property
    def scores_BPK(self) -> Tensor:
        """(B, Q, K) scores after the last layer in [0, 1], 0 for all but the best classes of each query."""
        scores_BQK = self.logits_LBQK[-1].softmax(dim=2)[..., :-1]
        return scores_BQK * (scores_BQK >= scores_BQK.topk(self.classes_per_query, dim=2).values[..., -1:])


class PointTAD(nn.Module):
    """Queries whose points a decoder moves, layer by layer, with a class and a segment for each query.

    Args:
        in_channels: C of the features.
        classes: K.
        window: feature steps of the longest window.
        channels: C of the queries; features of other widths are projected to it.
        queries: Q.
        points: P of each query, 5 at least; the segment is what the first two thirds span.
        layers: L of the decoder.
        heads: attention heads.
        mixing_channels: hidden channels of the mixing of what the points sample.
        mlp_channels: hidden width of a layer's MLP.
        dropout: probability of zeroing a value, in training.
        dense_weight: weight of the loss of the branch that labels single steps.
        classes_per_query: best classes of a query that become segments.

    Raises:
        MmadError: `channels`, `points` or `classes_per_query` does not fit.

    Source: Tan et al., PointTAD (NeurIPS 2022); defaults of its MultiTHUMOS setting.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        window: int,
        channels: int = 512,
        queries: int = 48,
        points: int = 21,
        layers: int = 4,
        heads: int = 8,
        mixing_channels: int = 64,
        mlp_channels: int = 2048,
        dropout: float = 0.1,
        dense_weight: float = 10.0,
        classes_per_query: int = 1,
    ) -> None:
        super().__init__()
        if channels % heads:
            raise MmadError(
                f"head.channels={channels} cannot be split among head.heads={heads}: choose a multiple of {heads}."
            )
        if points <= BOUNDARY_POINTS:
            raise MmadError(f"head.points={points}: give more than {BOUNDARY_POINTS}, such as 21.")
        if classes_per_query < 1:
            raise MmadError(f"head.classes_per_query={classes_per_query}: give 1 at least.")
        self.classes, self.window = classes, window
        self.dense_weight, self.classes_per_query = dense_weight, min(classes_per_query, classes)
        self.project = nn.Linear(in_channels, channels) if in_channels != channels else nn.Identity()
        self.query_QC = nn.Parameter(torch.randn(queries, channels))
        # As published, in the middle of the window: segments have no length, and layers move none, until these learn.
        self.points_QP = nn.Parameter(torch.full((queries, points), 0.5))
        self.layers = nn.ModuleList(
            DecoderLayer(
                channels,
                classes,
                window=window,
                points=points,
                heads=heads,
                mixing_channels=mixing_channels,
                mlp_channels=mlp_channels,
                dropout=dropout,
            )
            for _ in range(layers)
        )
        self.dense_conv = nn.Conv1d(channels, channels // 2, 3, padding=1)
        self.dense_drop = TemporalDropout(0.5)
        self.dense_classify = nn.Linear(channels // 2, classes)

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor) -> QueryPredictions:
        """Classes and segments of all queries after every layer.

        Args:
            feats_BCT: (B, in_channels, T).
            mask_BT: (B, T) bool, True = valid step; valid steps come first, and each clip has one.

        Raises:
            MmadError: T is longer than the window.
        """
        if (steps := feats_BCT.shape[2]) > self.window:
            raise MmadError(
                f"A window of {steps} feature steps is longer than head.window={self.window}: set that to the longest."
            )
        valid_BT1, clips = mask_BT[..., None], mask_BT.shape[0]
        feats_BTC = self.project(feats_BCT.transpose(1, 2) * valid_BT1) * valid_BT1
        dense_BTC = self.dense_conv(feats_BTC.transpose(1, 2)).transpose(1, 2)
        query_BQC, points_BQP = self.query_QC.expand(clips, -1, -1), self.points_QP.expand(clips, -1, -1)
        logits, segments = [], []
        for layer in self.layers:
            logits_BQK, points_BQP, query_BQC = layer(feats_BTC, mask_BT, points_BQP, query_BQC)
            logits.append(logits_BQK.float())
            segments.append(spanned(points_BQP))
        return QueryPredictions(
            logits_LBQK=torch.stack(logits),
            segments_LBQ2=torch.stack(segments),
            dense_BTK=self.dense_classify(self.dense_drop(dense_BTC)).float(),
            mask_BT=mask_BT,
            window=self.window,
            classes_per_query=self.classes_per_query,
        )

    def loss(self, outputs: QueryPredictions, targets: list[Segments]) -> dict[str, Tensor]:
        """Losses of the matched queries of all layers, and of the labels of single steps.

        Args:
            outputs: of B clips.
            targets: ground truth of the B clips, in feature steps.

        Returns:
            `cls`, `l1`, `tiou` and `dense`, weighted scalars whose sum is minimised.
        """
        with torch.autocast(outputs.logits_LBQK.device.type, enabled=False):
            device, layers = outputs.logits_LBQK.device, len(outputs.logits_LBQK)
            true_M2 = torch.cat([target["segments"] for target in targets]).to(device).float() / self.window
            labels_M = torch.cat([target["labels"] for target in targets]).to(device)
            counts = [len(target["labels"]) for target in targets]
            place, pair_N = matched(_costs(outputs, true_M2.split(counts), labels_M.split(counts)))

            wanted_LBQ = torch.full(outputs.logits_LBQK.shape[:3], self.classes, device=device)
            wanted_LBQ[place] = labels_M[pair_N]
            weight_K = torch.ones(self.classes + 1, device=device)
            weight_K[self.classes] = BACKGROUND_WEIGHT
            cls = F.cross_entropy(
                outputs.logits_LBQK.flatten(0, 2), wanted_LBQ.flatten(), weight=weight_K, reduction="sum"
            )
            told_N2, true_N2 = outputs.segments_LBQ2[place], true_M2[pair_N]
            l1, tiou = l1_loss(told_N2, true_N2).sum(), tiou_loss(told_N2, true_N2).sum()
            instances = share(torch.tensor(len(labels_M), device=device), least=1)

            frames_BTK = frame_labels(targets, outputs.mask_BT, classes=self.classes)
            dense_BTK = F.binary_cross_entropy_with_logits(outputs.dense_BTK, frames_BTK, reduction="none")
            dense = (dense_BTK * outputs.mask_BT[..., None]).sum() / share(self.classes * outputs.mask_BT.sum())
        return {
            # In each layer as many queries are matched.
            "cls": cls / share(weight_K[wanted_LBQ].sum() / layers),
            "l1": L1_WEIGHT * l1 / instances,
            "tiou": TIOU_WEIGHT * tiou / instances,
            "dense": self.dense_weight * dense,
        }

    @torch.no_grad()
    def decode(self, outputs: QueryPredictions) -> list[Segments]:
        """Each query's segment with its best classes, within the clip.

        Args:
            outputs: of B clips.

        Returns:
            Scored segments of every clip in feature steps, best first; NMS may leave them as they are.
        """
        found: list[Segments] = []
        for scores_QK, segments_Q2 in zip(outputs.scores_BPK, outputs.segments_BPG2.squeeze(2), strict=True):
            best_QK, label_QK = scores_QK.topk(self.classes_per_query, dim=1)
            scores, order = best_QK.flatten().sort(descending=True, stable=True)
            segments = segments_Q2.repeat_interleave(self.classes_per_query, dim=0)[order]
            found.append({"segments": segments, "labels": label_QK.flatten()[order], "scores": scores})
        return found


@torch.no_grad()
def _costs(outputs: QueryPredictions, truth: Sequence[Tensor], labels: Sequence[Tensor]) -> list[Tensor]:
    """(L, Q, M) of each clip: what it costs to let a query answer for an instance."""
    segments_BLQ12 = outputs.segments_LBQ2.transpose(0, 1)[..., None, :]
    return [
        L1_COST * l1_loss(segments_LQ12, true_M2)
        + TIOU_COST * tiou_loss(segments_LQ12, true_M2)
        - CLASS_COST * logits_LQK.softmax(dim=2)[..., label_M]
        for logits_LQK, segments_LQ12, true_M2, label_M in zip(
            outputs.logits_LBQK.transpose(0, 1), segments_BLQ12, truth, labels, strict=True
        )
    ]
