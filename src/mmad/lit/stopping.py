"""Ends a training run that a signal asks to stop, without losing a step."""

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from mmad.errors import Stopped

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""SLURM sends the first before it takes a job's place away, and the second on request before time is up."""


class Stopping(Callback):
    """On SIGTERM or SIGUSR1, writes `last.ckpt` after the running optimiser step and ends the run on all ranks.

    The checkpoint holds the place within the epoch, so that the run goes on with the next batch. After SIGUSR1 under
    SLURM, the job is put back into the queue.

    Args:
        folder: the run's folder.
        command: name of the one that goes on with it.
    """

    def __init__(self, folder: Path, *, command: str) -> None:
        self.folder, self.command = folder, command
        self._received: int | None = None
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listens from here on; Lightning's own handler waits for other ranks within the handler, and can hang."""
        self._received = None
        for number in SIGNALS:
            self._handlers[number] = signal.signal(number, self._note)

    def _note(self, number: int, _: Any) -> None:
        self._received = number

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ends the run if a signal has come; not while gradients are gathered, and not at the end of an epoch."""
        done = batch_idx + 1
        if done == trainer.num_training_batches or done % trainer.accumulate_grad_batches:
            return
        if self._asked(trainer):
            data = trainer.datamodule  # type: ignore[attr-defined]
            data.batches_done = done
            trainer.save_checkpoint(self.folder / "checkpoints" / "last.ckpt")
            data.batches_done = 0
            self._end(trainer, f"after batch {done} of epoch {trainer.current_epoch + 1}")

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends the run if a signal came late in the epoch before; its checkpoint is written."""
        if self._asked(trainer):
            self._end(trainer, f"after epoch {trainer.current_epoch}")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listens no more."""
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Listens no more."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _asked(self, trainer: L.Trainer) -> bool:
        """Whether a signal has come to any rank."""
        return trainer.strategy.reduce_boolean_decision(self._received is not None, all=False)

    def _end(self, trainer: L.Trainer, when: str) -> None:
        number = self._received or signal.SIGTERM
        if number == getattr(signal, "SIGUSR1", None) and trainer.is_global_zero:
            _requeue()
        raise Stopped(
            f"stopped by {signal.Signals(number).name} {when}; {self.command} ckpt={self.folder} goes on from there",
            signal=int(number),
        )


def _requeue() -> None:
    """Puts the SLURM job that this is back into the queue."""
    job = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = os.environ.get("SLURM_JOB_ID") if job is None else f"{job}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    if job is not None and re.fullmatch(r"\d+(_\d+)?", job):
        subprocess.run(["scontrol", "requeue", job], check=False)
