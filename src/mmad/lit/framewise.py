"""Pre-training a backbone by frame-wise multi-label recognition on annotated clips."""

import warnings
from collections.abc import Callable

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics.classification import MultilabelAveragePrecision

from mmad.data.clips import Batch
from mmad.lit.optimizers import per_step
from mmad.lit.seeding import seed_step
from mmad.segments import Segments


def step_labels(targets: list[Segments], *, steps: int, classes: int) -> Tensor:
    """Which classes are performed at each feature step.

    Args:
        targets: ground truth of B windows, in feature steps.
        steps: T, the padded length.
        classes: K.

    Returns:
        (B, T, K) bool; step i counts as inside an instance if its middle, i + 0.5, does.
    """
    middle = torch.arange(steps) + 0.5
    labels = torch.zeros(len(targets), steps, classes, dtype=torch.bool)
    for row, truth in zip(labels, targets, strict=True):
        start, end = truth["segments"].cpu().unbind(-1)
        inside_MT = (middle >= start[:, None]) & (middle < end[:, None])
        for inside, label in zip(inside_MT, truth["labels"].tolist(), strict=True):
            row[:, label] |= inside
    return labels


class FramewiseModule(L.LightningModule):
    """Teaches a backbone which actions are performed at each feature step.

    Args:
        backbone: `forward(video_BCFHW, mask_BT) -> feats_BCT`.
        classes: number of action classes.
        optimizer: called with the backbone and the classifier.
        scheduler: called with the optimiser and `steps`, the optimiser steps of the run.
        seed: with the step, seeds dropout.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        classes: int,
        optimizer: Callable[[nn.Module, nn.Module], Optimizer],
        scheduler: Callable[..., LRScheduler],
        seed: int,
    ) -> None:
        super().__init__()
        self.backbone, self.classes, self.seed = backbone, classes, seed
        self.classifier = nn.Linear(backbone.embed_dim, classes)  # type: ignore[arg-type]
        # Few classes are performed at once: starting from that prior keeps the first steps calm.
        nn.init.constant_(self.classifier.bias, -4.0)
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.average_precision = MultilabelAveragePrecision(classes, average=None)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser; its schedule advances at every step."""
        optimizer = self.make_optimizer(self.backbone, self.classifier)
        return per_step(optimizer, self.make_scheduler, self.trainer)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Makes dropout depend on seed and step alone."""
        seed_step(self.seed, self.global_step)

    def _logits_and_labels(self, batch: Batch) -> tuple[Tensor, Tensor]:
        mask_BT = batch["mask_BT"]
        feats_BTC = self.backbone(batch["inputs"], mask_BT).transpose(1, 2)
        labels_BTK = step_labels(batch["targets"], steps=mask_BT.shape[1], classes=self.classes)
        return self.classifier(feats_BTC)[mask_BT], labels_BTK.to(mask_BT.device)[mask_BT]

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Binary cross-entropy of all classes at all valid steps."""
        logits, labels = self._logits_and_labels(batch)
        loss = F.binary_cross_entropy_with_logits(logits, labels.float())
        self.log(
            "train/loss", loss.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["windows"])
        )
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collects scores of all valid steps."""
        logits, labels = self._logits_and_labels(batch)
        self.average_precision.update(logits, labels.long())

    def on_validation_epoch_end(self) -> None:
        """Logs the mean average precision over classes that occur, in percent."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes that do not occur
            per_class = self.average_precision.compute()
        self.average_precision.reset()
        occurring = per_class[per_class > 0]
        self.log("val/frame_map", 100 * (occurring.mean() if len(occurring) else torch.zeros(())))
