"""What a run's training cost: time, memory and parameters."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from mmad.formats.whole_file import write_whole

COSTS = "training.json"
"""Name of the file in a run's folder; it is the last that a run writes."""


class Costs(Callback):
    """Measures the time in training, over all parts of a run, and the peak memory of this part."""

    def __init__(self) -> None:
        self.seconds, self.peak, self._since = 0.0, 0, 0.0
        self._device = torch.device("cpu")

    def state_dict(self) -> dict[str, Any]:
        """What the next part of a broken run goes on from."""
        self._count()
        return {"seconds": self.seconds, "peak": self.peak}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up what earlier parts have measured."""
        self.seconds, self.peak = state_dict["seconds"], state_dict["peak"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._device, self._since = trainer.strategy.root_device, time.monotonic()
        _forget_peak(self._device)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Adds what has passed; validation is part of it."""
        self._count()

    def _count(self) -> None:
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        self.peak = max(self.peak, _peak(self._device))

    def told(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, Any]:
        """The costs as plain data: `seconds` of training, `peak_memory` in bytes, of the process on a CPU, of torch's
        allocator on a GPU."""
        epochs = trainer.current_epoch
        sizes = [(name, p.numel(), p.requires_grad) for name, p in module.named_parameters()]
        trained = [(name, size) for name, size, trains in sizes if trains]
        return {
            "epochs": epochs,
            "steps": trainer.global_step,
            "seconds": self.seconds,
            "seconds_per_epoch": self.seconds / max(epochs, 1),
            "peak_memory": self.peak or None,
            "device": _name(trainer.strategy.root_device),
            "processes": trainer.world_size,
            "parameters": {
                "total": sum(size for _, size, _ in sizes),
                "trained": sum(size for _, size in trained),
                "trained_in_backbone": sum(size for name, size in trained if "backbone." in name),
            },
        }


def write_costs(folder: Path, costs: dict[str, Any]) -> None:
    """Writes the file that says that a run is over."""
    write_whole(folder / COSTS, f"{json.dumps(costs, indent=2)}\n".encode())


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _forget_peak(device: torch.device) -> None:
    """Starts the measurement anew: another job of the sweep may have run in this process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device) -> int:
    """Bytes held at most; 0 where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    return 0
