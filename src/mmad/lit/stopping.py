"""Ends a training run that a signal asks to stop, without losing a step."""

import signal
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from mmad.errors import Stopped
from mmad.lit.signals import note, received


class Stopping(Callback):
    """On SIGTERM or SIGUSR1, writes `last.ckpt` after the running optimiser step and ends the run on all ranks.

    The checkpoint holds the place within the epoch, so that the run goes on with the next batch. A signal during
    validation waits for the end of the epoch, whose checkpoint follows.

    Args:
        folder: the run's folder.
        command: name of the one that goes on with it.
    """

    def __init__(self, folder: Path, *, command: str) -> None:
        self.folder, self.command = folder, command

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here on a signal waits for the end of a step."""
        note(True)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ends the run if a signal has come; not while gradients are gathered, and not at the end of an epoch."""
        done = batch_idx + 1
        if done == trainer.num_training_batches or done % trainer.accumulate_grad_batches:
            return
        if number := self._asked(trainer):
            data = trainer.datamodule  # type: ignore[attr-defined]
            data.batches_done = done
            trainer.save_checkpoint(self.folder / "checkpoints" / "last.ckpt")
            data.batches_done = 0
            self._end(number, f"after batch {done} of epoch {trainer.current_epoch + 1}")

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends the run if a signal came late in the epoch before; its checkpoint is written."""
        if number := self._asked(trainer):
            self._end(number, f"after epoch {trainer.current_epoch}")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """As at the start of an epoch; from here on a signal ends the job at once."""
        if number := self._asked(trainer):
            self._end(number, f"after epoch {trainer.current_epoch}")
        note(False)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Waits no more."""
        note(False)

    def _asked(self, trainer: L.Trainer) -> int:
        """The number of a signal that has come to any rank, the same on all; 0 if none has."""
        number = torch.tensor(received(), device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(number, reduce_op="max"))

    def _end(self, number: int, when: str) -> None:
        name = signal.Signals(number).name
        raise Stopped(f"stopped by {name} {when}; {self.command} ckpt={self.folder} goes on from there", signal=number)


def leave_signals_alone(trainer: L.Trainer) -> None:
    """Keeps Lightning from handling signals itself.

    Its handler waits for other ranks within the handler, where they may never meet, and under SLURM it writes
    checkpoints that later runs of the same folder would take up unasked.
    """
    connector = trainer._signal_connector
    assert hasattr(connector, "register_signal_handlers"), "this version of lightning is not known"
    connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
