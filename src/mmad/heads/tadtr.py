"""TadTR: queries that look for instances in a clip, each with its own segment, classes and actionness.

Our *head* is all that follows the features: what OpenTAD calls projection and transformer, and the authors the model.

By default the output for a clip depends on its valid steps only: the group norm runs over them, and others are read as
zeros. `published` does as OpenTAD, where windows have a fixed length, of which padding is a part like any other. Two
things stay ours: the parts of a segment that begin after the window's last step read that step, where OpenTAD has zeros
beyond it, and a reference is kept before its sigmoid, which OpenTAD inverts, clamped to 1e-5. Dropout after the
attention among queries and the initial values are the authors', where OpenTAD's differ.

Places and lengths are shares of the window, as in OpenTAD, and not of what the longest clip of a batch is padded to: a
share then is the same time in all clips, whatever their neighbours.

A clip's actionness is compared with the ground truth of that clip; the authors' code compares it with that of the whole
batch. A clip without ground truth has an actionness of 0, where both codes fail.

OpenTAD's deformable attention reads halves of all values, as half of each place lies beyond the edge of a picture of
width 1. Ours reads whole ones, as the authors' does, and weights of OpenTAD's files are halved in return.

All is computed in float32, in which both codes train: bfloat16 misses a place among 128 steps by up to a quarter step.

Source: Liu et al., "End-to-end temporal action detection with transformer" (TIP 2022).

Shape letters: B clips, T feature steps, C channels, Q queries, K classes, L decoder layers, M ground-truth instances,
N matched queries, H heads.
"""

from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmad.assignment import matched
from mmad.errors import MmadError
from mmad.layers.deformable_attention import DeformableAttention
from mmad.layers.deformable_transformer import DecoderLayer, EncoderLayer, mlp, positions
from mmad.layers.processes import share
from mmad.layers.roi_align import roi_align_1d
from mmad.layers.sgp import MaskedGroupNorm
from mmad.losses import focal_cost, focal_loss, l1_loss, tiou_loss
from mmad.segments import Segments, pairwise_tiou, start_end

GROUPS = 32  # of the group norm
PRIOR = 0.01  # score of every class before training: most queries find nothing
WIDER = 1.5  # lengths of a segment that its actionness is told from

# Weights in the cost of letting a query answer for an instance, and of the losses
CLS_COST, L1_COST, TIOU_COST = 6.0, 5.0, 2.0
CLS_WEIGHT, L1_WEIGHT, TIOU_WEIGHT, ACTIONNESS_WEIGHT = 2.0, 5.0, 2.0, 4.0

OPENTAD_KEYS: tuple[tuple[str, str], ...] = (
    (r"^(projection\.convs\.0|transformer)\.", ""),
    (r"^query_embedding\.weight$", "query"),
    (r"^level_embeds$", "level"),
    (r"^reference_points\.", "reference."),
    (r"^class_embed\.", "classify."),
    (r"^bbox_embed\.(\d+)\.layers\.0\.", r"regress.\1.0."),
    (r"^bbox_embed\.(\d+)\.layers\.1\.", r"regress.\1.2."),
    (r"^bbox_embed\.(\d+)\.layers\.2\.", r"regress.\1.4."),
    (r"^actionness_pred\.", "actionness."),
    (r"^(encoder|decoder)\.layers\.", r"\1."),
    (r"\.ffns\.0\.layers\.0\.0\.", ".mlp.0."),
    (r"\.ffns\.0\.layers\.1\.", ".mlp.3."),
    (r"^(encoder\.\d+)\.norms\.1\.", r"\1.mlp_norm."),
    (r"^(decoder\.\d+)\.norms\.0\.", r"\1.self_norm."),
    (r"^(decoder\.\d+)\.norms\.2\.", r"\1.mlp_norm."),
    (r"\.norms\.[01]\.", ".attention_norm."),
    (r"\.attentions\.0\.attn\.in_proj_", ".self_attention.in_proj."),
    (r"\.attentions\.0\.attn\.", ".self_attention."),
    (r"\.attentions\.[01]\.", ".attention."),
    (r"\.(?:sampling|attention)_(offsets|weights)\.", r".\1."),
    (r"\.(value|output)_proj\.", r".\1."),
)
"""Regular expressions that, applied in this order, turn a key of OpenTAD's checkpoints into ours.

Values are the same, but for those of `attention.output.weight`, which are half of OpenTAD's. OpenTAD's convolution has
no bias; ours then is 0.
"""


@dataclass(frozen=True)
class QueryPredictions:
    """What the queries say of B clips.

    Args:
        logits_LBQK: (L, B, Q, K) float32, one per class, after every layer.
        segments_LBQ2: (L, B, Q, 2) float32, start and end in shares of the window; they may reach over its ends.
        actionness_BQ: (B, Q) float32 in [0, 1], tIoU that the last segment is expected to have.
        window: feature steps of the longest window.
    """

    logits_LBQK: Tensor
    segments_LBQ2: Tensor
    actionness_BQ: Tensor
    window: int

    @property
    def segments_BPG2(self) -> Tensor:
        """(B, Q, 1, 2) start and end after the last layer, feature steps; they may reach over the clip's ends."""
        return self.segments_LBQ2[-1, :, :, None] * self.window

    @property
    def scores_BPK(self) -> Tensor:
        """(B, Q, K) score of each class after the last layer times the actionness, in [0, 1]."""
        return self.logits_LBQK[-1].sigmoid() * self.actionness_BQ[..., None]


class TadTR(nn.Module):
    """An encoder and a decoder with deformable attention; the decoder's layers move the segments of its queries.

    Args:
        in_channels: C of the features.
        classes: K.
        window: feature steps of the longest window.
        channels: C of encoder and decoder, divisible by 32 and by `heads`.
        heads: attention heads.
        points: places that a head of a query reads.
        encoder_layers, decoder_layers: of the transformer.
        mlp_channels: hidden channels of its MLPs.
        dropout: probability of zeroing a number of what a layer adds, of its MLP and of the weights among queries.
        queries: Q; no clip has more segments.
        bins: parts of a segment that its actionness is told from.
        published: padding is a part of the window like any other, as in OpenTAD.
        max_proposals: decoded segments of one clip at most.

    Raises:
        MmadError: `channels` or `bins` does not fit.

    Source: Liu et al., TadTR (TIP 2022); defaults of its THUMOS14 setting.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        window: int,
        channels: int = 256,
        heads: int = 8,
        points: int = 4,
        encoder_layers: int = 4,
        decoder_layers: int = 4,
        mlp_channels: int = 1024,
        dropout: float = 0.1,
        queries: int = 40,
        bins: int = 16,
        published: bool = False,
        max_proposals: int = 200,
    ) -> None:
        super().__init__()
        if channels % GROUPS or channels % heads:
            raise MmadError(
                f"head.channels={channels} cannot be split into {GROUPS} groups and head.heads={heads} heads: choose a "
                f"multiple of both."
            )
        if bins < 1:
            raise MmadError(f"head.bins={bins}: give 1 at least, such as 16.")
        self.window, self.bins, self.published, self.max_proposals = window, bins, published, max_proposals
        self.conv = nn.Conv1d(in_channels, channels, 1)
        self.norm = MaskedGroupNorm(GROUPS, channels)
        self.level = nn.Parameter(torch.empty(1, channels))
        self.query = nn.Parameter(torch.empty(queries, 2 * channels))
        self.reference = nn.Linear(channels, 1)
        self.encoder = nn.ModuleList(
            EncoderLayer(channels, heads=heads, points=points, mlp_channels=mlp_channels, dropout=dropout)
            for _ in range(encoder_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(channels, heads=heads, points=points, mlp_channels=mlp_channels, dropout=dropout)
            for _ in range(decoder_layers)
        )
        self.classify = nn.ModuleList(nn.Linear(channels, classes) for _ in range(decoder_layers))
        self.regress = nn.ModuleList(mlp(channels, channels, channels, 2) for _ in range(decoder_layers))
        self.actionness = mlp(bins * channels, channels, channels, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initial values; deformable attention has its own."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.xavier_uniform_(module.weight)
        for module in self.modules():
            if isinstance(module, DeformableAttention):
                module.reset_parameters()
        nn.init.normal_(self.level)
        nn.init.normal_(self.query)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.reference.bias)
        for layer, (classify, regress) in enumerate(zip(self.classify, self.regress, strict=True)):
            *_, bias = classify.parameters()
            nn.init.constant_(bias, log(PRIOR / (1 - PRIOR)))
            *_, weight, bias = regress.parameters()
            nn.init.zeros_(weight)
            nn.init.zeros_(bias)
            if layer == 0:
                # Segments are an eighth of the window long at first.
                nn.init.constant_(bias[1], -2.0)

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor) -> QueryPredictions:
        """Predictions of every query after every decoder layer.

        Args:
            feats_BCT: (B, in_channels, T).
            mask_BT: (B, T) bool, True = valid step; valid steps come first.

        Raises:
            MmadError: T is longer than the window.
        """
        with torch.autocast(feats_BCT.device.type, enabled=False):
            x_BTC, mask_BT = self._encoded(feats_BCT.float(), mask_BT)
            return self._decoded(x_BTC, mask_BT)

    def loss(self, outputs: QueryPredictions, targets: list[Segments]) -> dict[str, Tensor]:
        """Losses of the queries, each layer's own match with the ground truth, per instance.

        Args:
            outputs: of B clips.
            targets: ground truth of the B clips, in feature steps.

        Returns:
            `cls`, `l1` and `tiou` of all layers, and `actionness` of the last; weighted scalars whose sum is minimised.
        """
        logits_LBQK, segments_LBQ2 = outputs.logits_LBQK, outputs.segments_LBQ2
        with torch.autocast(logits_LBQK.device.type, enabled=False):
            truth = [target["segments"].to(segments_LBQ2) / self.window for target in targets]
            labels = [target["labels"].to(logits_LBQK.device) for target in targets]
            query_N, pair_N = matched(_costs(outputs, truth, labels))
            true_N2, label_N = torch.cat(truth)[pair_N], torch.cat(labels)[pair_N]
            classes_LBQK = torch.zeros_like(logits_LBQK)
            classes_LBQK[(*query_N, label_N)] = 1
            every_LBQ = torch.ones_like(logits_LBQK[..., 0], dtype=torch.bool)
            cls = focal_loss(logits_LBQK.flatten(0, 1), classes_LBQK.flatten(0, 1), every_LBQ.flatten(0, 1))
            segments_N2 = segments_LBQ2[query_N]
            l1, tiou = l1_loss(segments_N2, true_N2).sum(), tiou_loss(segments_N2, true_N2).sum()
            # The tIoU of each segment with the instance of its clip that it fits best; 0 where there is none.
            tious = [pairwise_tiou(*pair) for pair in zip(segments_LBQ2[-1].detach(), truth, strict=True)]
            best_BQ = torch.stack([F.pad(tiou_QM, (0, 1)).amax(dim=1) for tiou_QM in tious])
            normalizer = share(torch.tensor(sum(map(len, labels)), device=logits_LBQK.device), least=1)
        return {
            "cls": CLS_WEIGHT * cls / normalizer,
            "l1": L1_WEIGHT * l1 / normalizer,
            "tiou": TIOU_WEIGHT * tiou / normalizer,
            "actionness": ACTIONNESS_WEIGHT * (outputs.actionness_BQ - best_BQ).abs().mean(),
        }

    @torch.no_grad()
    def decode(self, outputs: QueryPredictions) -> list[Segments]:
        """One segment per query and class, with its class score times its actionness, best first.

        Args:
            outputs: of B clips.

        Returns:
            Scored segments of every clip in feature steps, before NMS; they may reach over the clip's ends.
        """
        found: list[Segments] = []
        for scores_QK, segments_Q2 in zip(outputs.scores_BPK, outputs.segments_BPG2.squeeze(2), strict=True):
            best = scores_QK.flatten().argsort(descending=True, stable=True)[: self.max_proposals]
            query, label = best // scores_QK.shape[1], best % scores_QK.shape[1]
            found.append({"segments": segments_Q2[query], "labels": label, "scores": scores_QK[query, label]})
        return found

    def _encoded(self, feats_BCT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder makes of the features (B, T, C), and which steps of it are read (B, T)."""
        if (steps := feats_BCT.shape[2]) > self.window:
            raise MmadError(
                f"A window of {steps} feature steps is longer than head.window={self.window}: set that to the longest."
            )
        if self.published:
            feats_BCT, mask_BT = (F.pad(x, (0, self.window - steps)) for x in (feats_BCT, mask_BT))
        # Padding can hold anything, which 0 times it would not always undo.
        x_BTC = self.conv(feats_BCT.masked_fill(~mask_BT[:, None], 0)).mT * mask_BT[..., None]
        read_BT = torch.ones_like(mask_BT) if self.published else mask_BT
        x_BTC = self.norm(x_BTC, read_BT) * mask_BT[..., None]
        position_TC = positions(x_BTC.shape[1], x_BTC.shape[2], window=self.window).to(x_BTC) + self.level
        for layer in self.encoder:
            x_BTC = layer(x_BTC, read_BT, position_TC)
        return x_BTC, read_BT

    def _decoded(self, x_BTC: Tensor, mask_BT: Tensor) -> QueryPredictions:
        position_QC, start_QC = self.query.chunk(2, dim=1)
        y_BQC = start_QC.expand(x_BTC.shape[0], -1, -1)
        # At first a query knows a centre; its length is what the first layer says.
        guess_BQ2 = F.pad(self.reference(position_QC), (0, 1)).expand(x_BTC.shape[0], -1, -1)
        logits, segments = list[Tensor](), list[Tensor]()
        for layer, classify, regress in zip(self.decoder, self.classify, self.regress, strict=True):
            center_BQ, length_BQ = (guess_BQ2.sigmoid() * self.window).unbind(-1)
            y_BQC = layer(
                y_BQC, position_QC, x_BTC, mask_BT, center_BQ=center_BQ - 0.5, length_BQ=length_BQ if logits else None
            )
            moved_BQ2 = guess_BQ2 + regress(y_BQC)
            logits.append(classify(y_BQC))
            segments.append(start_end(moved_BQ2.sigmoid()))
            guess_BQ2 = moved_BQ2.detach()
        wide_BQ2 = start_end(guess_BQ2.sigmoid() * guess_BQ2.new_tensor([self.window, WIDER * self.window]))
        spans_BQ2 = wide_BQ2.clamp(min=0).minimum(mask_BT.sum(dim=1)[:, None, None])
        parts_BQCb = roi_align_1d(x_BTC, mask_BT, spans_BQ2, bins=self.bins)
        actionness_BQ = self.actionness(parts_BQCb.flatten(2)).sigmoid().squeeze(-1)
        return QueryPredictions(torch.stack(logits), torch.stack(segments), actionness_BQ, self.window)


@torch.no_grad()
def _costs(outputs: QueryPredictions, truth: list[Tensor], labels: list[Tensor]) -> list[Tensor]:
    """(L, Q, M) of each clip: what it costs to let a query answer for an instance."""
    segments_BLQ12 = outputs.segments_LBQ2.transpose(0, 1)[..., None, :]
    return [
        CLS_COST * focal_cost(logits_LQK[..., label_M])
        + L1_COST * l1_loss(segments_LQ12, true_M2)
        + TIOU_COST * tiou_loss(segments_LQ12, true_M2)
        for logits_LQK, segments_LQ12, true_M2, label_M in zip(
            outputs.logits_LBQK.transpose(0, 1), segments_BLQ12, truth, labels, strict=True
        )
    ]
