"""Training and evaluation of a detector under Lightning."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mmad.average_precision import MMAD, DetectionReport, Protocol
from mmad.data.clips import Batch
from mmad.data.grid import Window
from mmad.detector import Detector
from mmad.diagnosis.thresholds import best_scores
from mmad.errors import MmadError
from mmad.lit.optimizers import per_step
from mmad.lit.seeding import seed_step
from mmad.matching import Rows
from mmad.metrics import DetectionMAP
from mmad.segments import Segments, empty_segments
from mmad.taxonomy import Taxonomy


class DetectionModule(L.LightningModule):
    """Trains a detector and measures its Detection-mAP.

    Args:
        detector: what is trained.
        taxonomy: meaning of the label indices; decides the body groups of the metric.
        seed: with the step, seeds dropout and drop path.
        optimizer: called with the backbone and the head; evaluation needs none.
        scheduler: called with the optimiser and `steps`, the optimiser steps of the run; evaluation needs none.
        protocol: how Detection-mAP is counted; a monitored value must exist, so classes without ground truth never
            count here.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        taxonomy: Taxonomy,
        seed: int,
        optimizer: Callable[[nn.Module, nn.Module], Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        protocol: Protocol = MMAD,
    ) -> None:
        super().__init__()
        self.detector, self.taxonomy, self.seed = detector, taxonomy, seed
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.metric = DetectionMAP(taxonomy, protocol=replace(protocol, all_classes=False))
        self.detections: dict[int, Segments] = {}
        self.report: DetectionReport | None = None
        self.thresholds: list[float] | None = None
        self._pending: dict[int, list[tuple[Window, Segments]]] = {}
        # A checkpoint leaves frozen weights out; what else is missing, `load_trained` finds before Lightning loads.
        self.strict_loading = False

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser; its schedule advances at every step."""
        assert self.make_optimizer is not None
        assert self.make_scheduler is not None
        optimizer = self.make_optimizer(self.detector.backbone, self.detector.head)
        return per_step(optimizer, self.make_scheduler, self.trainer)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Makes dropout depend on seed and step alone."""
        seed_step(self.seed, self.global_step)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The sum of the head's losses on one batch."""
        losses = self.detector.loss(self.detector(batch["inputs"], batch["mask_BT"]), batch["targets"])
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            parts = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
            raise MmadError(
                f"The loss is not finite at epoch {self.current_epoch}, step {self.global_step} ({parts}); lower the "
                f"learning rate, or use trainer.precision=32-true or bf16-mixed instead of 16-mixed."
            )
        size = len(batch["windows"])
        self.log(
            "train/loss", total.detach(), prog_bar=True, on_step=False, on_epoch=True, sync_dist=True, batch_size=size
        )
        for name, value in losses.items():
            self.log(f"train/{name}", value.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=size)
        return total

    def on_validation_epoch_start(self) -> None:
        """Forgets what the last evaluation found."""
        self.metric.reset()
        self.detections, self._pending = {}, {}

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Detects; once all windows of a clip are through, joins them and counts the clip."""
        outputs = self.detector(batch["inputs"], batch["mask_BT"])
        found = self.detector.proposals(outputs, [window.timebase for window in batch["windows"]])
        clips = self.trainer.datamodule.evaluated  # type: ignore[attr-defined]
        for window, proposals in zip(batch["windows"], found, strict=True):
            seen = self._pending.setdefault(window.clip, [])
            seen.append((window, proposals))
            if len(seen) == window.of:
                windows, every = zip(*self._pending.pop(window.clip), strict=True)
                self.detections[window.clip] = self.detector.detections(
                    every, extents=[each.extent for each in windows], duration=window.duration
                )
                truth = clips[window.clip].segments()
                self.metric.update([self.detections[window.clip]], [truth], [window.clip])

    def on_validation_epoch_end(self) -> None:
        """Computes the report of all ranks and logs its averages; without any ground truth there is none.

        Every rank gets the detections of all. Those of validation tell from which score on a class's detections are
        worth showing.
        """
        if self.trainer.world_size > 1:
            shares: list[dict[int, Segments]] = [{} for _ in range(self.trainer.world_size)]
            torch.distributed.all_gather_object(shares, self.detections)
            self.detections = {clip: found for share in shares for clip, found in share.items()}
        clips = self.trainer.datamodule.evaluated  # type: ignore[attr-defined]
        if self.trainer.sanity_checking or not any(clip.instances for clip in clips):
            self.report = None
            return
        self.report = report = self.metric.compute()
        values = {
            "action": report["action"]["avg"],
            "body": report["body"]["avg"],
            "avg": report["avg"],
        }
        if 0.5 in self.metric.protocol.thresholds:
            values["action@0.5"], values["body@0.5"] = report["action"]["map"]["0.5"], report["body"]["map"]["0.5"]
        stage = "test" if self.trainer.testing else "val"
        for name, value in values.items():
            self.log(f"{stage}/{name}", value, prog_bar=name == "avg", rank_zero_only=False, sync_dist=False)
        if stage == "val":
            self.thresholds = best_scores(
                Rows.of([self.detections.get(index, empty_segments(scored=True)) for index in range(len(clips))]),
                Rows.of([clip.segments() for clip in clips]),
                taxonomy=self.taxonomy,
            )

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what a checkpoint has to know of its data to predict on other videos."""
        rates = [clip.fps for clip in self.trainer.datamodule.clips("train")]  # type: ignore[attr-defined]
        told = {"thresholds": self.thresholds, "fps": [min(rates), max(rates)]}
        checkpoint["mmad"] = {**checkpoint.get("mmad", {}), **told}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the thresholds until the next validation."""
        self.thresholds = checkpoint.get("mmad", {}).get("thresholds")
