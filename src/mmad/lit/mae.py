"""Pre-training a backbone by masked autoencoding, on videos without labels."""

import warnings
from collections.abc import Callable

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric

from mmad.backbones.masked_autoencoder import MaskedAutoencoder, tube_masks, valid_chunks
from mmad.backbones.videomae import VideoMAE
from mmad.data.clips import Batch
from mmad.lit.optimizers import per_step
from mmad.timebase import CHUNK


class MaskedAutoencodingModule(L.LightningModule):
    """Teaches a backbone to rebuild the masked part of each 16-frame chunk.

    In training, masks depend on seed, epoch, batch and rank alone, so that a resumed run repeats an unbroken one; in
    validation on the seed and the window, so that epochs can be compared.

    Args:
        backbone: what is pre-trained.
        mask_ratio: share of the places of a chunk that is masked.
        decoder_width, decoder_depth, decoder_heads: sizes of the decoder; None for the published ones.
        optimizer: called with the backbone and the decoder.
        scheduler: called with the optimiser and `steps`, the optimiser steps of the run.
        seed: of the masks.
    """

    def __init__(
        self,
        backbone: VideoMAE,
        *,
        mask_ratio: float,
        decoder_width: int | None,
        decoder_depth: int | None,
        decoder_heads: int | None,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler],
        seed: int,
    ) -> None:
        super().__init__()
        self.model = MaskedAutoencoder(backbone, width=decoder_width, depth=decoder_depth, heads=decoder_heads)
        self.mask_ratio, self.seed = mask_ratio, seed
        self._masks(1, 0)  # a ratio that does not fit the frame is told before long work
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.validation_loss = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser; its schedule advances at every step."""
        optimizer = self.make_optimizer(self.model.backbone, self.model.decoder)
        return per_step(optimizer, self.make_scheduler, self.trainer)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Makes dropped paths depend on what masks depend on."""
        torch.manual_seed(self._training_seed(batch_index))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Mean squared error over the masked tokens of all chunks that are not padding."""
        chunks = valid_chunks(batch["inputs"], batch["mask_BT"])
        masked = self._masks(len(chunks), self._training_seed(batch_index)).to(chunks.device)
        loss = self.model.loss(chunks, masked)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(chunks))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collects the loss of each window under its own fixed masks."""
        chunks, masked = self.fixed(batch)
        self.validation_loss.update(self.model.loss(chunks, masked), weight=len(chunks))

    def on_validation_epoch_end(self) -> None:
        """Logs the mean loss of all chunks."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a process without a window
            self.log("val/loss", self.validation_loss.compute())
        self.validation_loss.reset()

    def fixed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The chunks of a batch and masks that are the same whenever and with whatever neighbours a window comes.

        Args:
            batch: B windows.

        Returns:
            (P, 3, 16, H, W) chunks and (P, S) bool masks.
        """
        chunks = valid_chunks(batch["inputs"], batch["mask_BT"])
        counts = batch["mask_BT"].unflatten(1, (batch["inputs"].shape[2] // CHUNK, -1)).any(-1).sum(1)
        masks = [
            self._masks(int(count), _mixed(self.seed, window.clip, window.first))
            for window, count in zip(batch["windows"], counts, strict=True)
        ]
        return chunks, torch.cat(masks).to(chunks.device)

    def examples(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The first chunk of each window, masked as in validation, and what the model makes of it.

        Args:
            batch: B windows.

        Returns:
            Three (B, 16, h, w, 3) uint8: original, masked, rebuilt; only whole patches.
        """
        steps = batch["mask_BT"].shape[1] * CHUNK // batch["inputs"].shape[2]
        first: Batch = {
            **batch,
            "inputs": batch["inputs"][:, :, :CHUNK],
            "mask_BT": batch["mask_BT"][:, :steps],
        }
        chunks, masked = self.fixed(first)
        hidden, rebuilt = self.model.rebuild(chunks, masked)
        original = chunks[..., : hidden.shape[-2], : hidden.shape[-1]]
        return original.movedim(1, -1), hidden.movedim(1, -1), rebuilt.movedim(1, -1)

    def _training_seed(self, batch_index: int) -> int:
        return _mixed(self.seed, self.current_epoch, batch_index, self.global_rank)

    def _masks(self, chunks: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return tube_masks(chunks, places=self.model.places, ratio=self.mask_ratio, generator=generator)


def _mixed(*numbers: int) -> int:
    """One seed of several small numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number) % 2**63
    return seed
