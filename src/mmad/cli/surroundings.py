"""What a run was made with, and whether its learning rates are for batches like its own."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

from mmad.backbones.checkpoints import LoadReport
from mmad.cli.entry import warn
from mmad.cli.versions import hardware, versions
from mmad.formats.whole_file import write_whole


def effective_batch(cfg: DictConfig, trainer: Trainer) -> int:
    """Windows per optimiser step, over all processes; warns where learning rates were chosen for another number."""
    found = cfg.data.batch_size * trainer.world_size * trainer.accumulate_grad_batches
    if found != cfg.get("effective_batch", found) and trainer.is_global_zero:
        warn(
            [
                f"an optimiser step sees {found} windows (data.batch_size={cfg.data.batch_size}, {trainer.world_size} "
                f"processes, trainer.accumulate_grad_batches={trainer.accumulate_grad_batches}), but the recipe's "
                f"learning rates are for {cfg.effective_batch}; change one of these, or the learning rates, and say so "
                f"with effective_batch={found}"
            ]
        )
    return found


class Surroundings(Callback):
    """Writes `environment.json`: what has to be the same for a run to come out the same.

    Args:
        folder: the run's folder.
        seed: of the run.
        effective_batch: windows per optimiser step, over all processes.
        splits: of the data, that the run uses.
        weights: what came of loading the backbone's weights, if there are any.
    """

    def __init__(
        self, folder: Path, *, seed: int, effective_batch: int, splits: Sequence[str], weights: LoadReport | None
    ) -> None:
        self.folder, self.splits = folder, splits
        self.told: dict[str, Any] = {"seed": seed, "effective_batch": effective_batch}
        self.told["weights"] = None if weights is None else {"source": weights.source, "sha256": weights.sha256}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the file, now that the data are there."""
        if trainer.is_global_zero:
            data = trainer.datamodule.fingerprint(*self.splits)  # type: ignore[attr-defined]
            told = {"command": shlex.join(sys.argv), **self.told, "data": data, "hardware": hardware(), **versions()}
            write_whole(self.folder / "environment.json", f"{json.dumps(told, indent=2)}\n".encode())
