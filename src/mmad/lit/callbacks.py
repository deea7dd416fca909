"""Callbacks: averaged weights, checkpoints that are enough to predict, and a line per epoch."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from tqdm.auto import tqdm

from mmad.backbones.checkpoints import frozen_names

SHOWN = ("val/action", "val/body", "val/avg", "val/frame_map", "val/action_top1", "val/f1_mean")
LOSSES = ("train/loss", "val/loss")


class TrainedEMA(Callback):
    """Exponential moving average of the parameters that train; evaluation and checkpoints use it.

    Frozen parameters are neither copied nor averaged. A checkpoint's `state_dict` holds the average; the raw values,
    which a resumed run needs, lie beside it.

    Args:
        decay: of the average; early on min(decay, (1 + n) / (10 + n)) after n steps, so that short runs are not held
            back by their first weights.
    """

    def __init__(self, *, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.average: dict[str, Tensor] = {}
        self._seen_step = -1

    @staticmethod
    def _trained(module: L.LightningModule) -> dict[str, Tensor]:
        return {name: p.data for name, p in module.named_parameters() if p.requires_grad}

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts from the present weights, unless a checkpoint brought an average."""
        trained = self._trained(pl_module)
        if not self.average:
            self.average = {name: value.clone() for name, value in trained.items()}
        self.average = {name: value.to(trained[name].device) for name, value in self.average.items()}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Notes the step at which training starts or goes on."""
        self._seen_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Updates the average after an optimiser step."""
        if trainer.global_step == self._seen_step:
            return
        self._seen_step = trainer.global_step
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        trained = self._trained(pl_module)
        torch._foreach_lerp_(list(self.average.values()), [trained[n] for n in self.average], 1 - decay)

    def _swap(self, module: L.LightningModule) -> None:
        for name, value in self._trained(module).items():
            raw = value.clone()
            value.copy_(self.average[name])
            self.average[name].copy_(raw)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluates the average."""
        if self.average and trainer.state.fn == "fit":
            self._swap(pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Goes on training the raw weights."""
        if self.average and trainer.state.fn == "fit":
            self._swap(pl_module)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the average in the place of the weights and the weights beside it."""
        state = checkpoint["state_dict"]
        checkpoint["raw_weights"] = {name: state[name] for name in self.average}
        checkpoint["ema_updates"] = self.updates
        state.update({name: value.clone() for name, value in self.average.items()})

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restores the raw weights and keeps the average."""
        if "raw_weights" not in checkpoint:
            return
        self.updates = checkpoint["ema_updates"]
        self.average = {name: checkpoint["state_dict"][name].clone() for name in checkpoint["raw_weights"]}
        for name, value in self._trained(pl_module).items():
            value.copy_(checkpoint["raw_weights"][name])


class Progress(Callback):
    """Prints one line per epoch: losses, the last validation and the time left; says how an interrupted run goes on.

    Args:
        folder: the run's folder.
        command: name of the one that goes on with it.
    """

    def __init__(self, folder: Path, *, command: str = "mmad-train") -> None:
        self.folder, self.command, self._start, self._first = folder, command, 0.0, 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._start, self._first = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints the line."""
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 0
        told = trainer.callback_metrics
        line = f"epoch {done}/{total}"
        line += "".join(f"  {name} {told[name]:.3f}" for name in LOSSES if name in told)
        line += "".join(f"  {name} {value:.1f}" for name, value in told.items() if name in SHOWN)
        pace = (time.monotonic() - self._start) / (done - self._first)
        if total > done:
            line += f"  about {pace * (total - done) / 60:.1f} min left"
        if trainer.is_global_zero:
            tqdm.write(line)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Names the command that goes on."""
        resumable = (self.folder / "checkpoints" / "last.ckpt").exists()
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero and resumable:
            tqdm.write(f"interrupted; {self.command} ckpt={self.folder} goes on after its last finished epoch")


class SelfContained(Callback):
    """Stores in each checkpoint what is needed to rebuild its model, and leaves out frozen weights found elsewhere.

    Args:
        recipe: plain data: resolved model configuration, taxonomy, grid, versions, and `identity` of the frozen weights
            that the checkpoint stands on; None there means that no file holds them, so that they are stored too.
    """

    def __init__(self, recipe: Mapping[str, Any]) -> None:
        self.recipe = dict(recipe)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the recipe and drops frozen parameters."""
        checkpoint["mmad"] = self.recipe
        if self.recipe["identity"] is not None:
            for name in frozen_names(pl_module):
                del checkpoint["state_dict"][name]
