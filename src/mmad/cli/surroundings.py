"""What a run was made with, and whether its learning rates are for batches like its own."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

from mmad.backbones.checkpoints import LoadReport
from mmad.cli.entry import warn
from mmad.cli.versions import hardware, versions
from mmad.errors import MmadError
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
        earlier: what the file held when the run was broken off; empty if it begins.
        seed: of the run.
        effective_batch: windows per optimiser step, over all processes.
        splits: of the data, that the run uses.
        weights: what came of loading the backbone's weights, if there are any.
        head: what came of loading the head's.

    Raises:
        MmadError: data or weights are not those that the earlier part of the run had.
    """

    def __init__(
        self,
        folder: Path,
        *,
        earlier: Mapping[str, Any],
        seed: int,
        effective_batch: int,
        splits: Sequence[str],
        weights: LoadReport | None,
        head: LoadReport | None = None,
    ) -> None:
        self.folder, self.earlier, self.splits = folder, earlier, splits
        job = HydraConfig.get()
        choices = {group: choice for group, choice in job.runtime.choices.items() if choice and "/" not in group}
        self.told: dict[str, Any] = {"seed": seed, "effective_batch": effective_batch}
        self.told |= {"choices": choices, "overrides": list(job.overrides.task)}
        for name, report in (("weights", weights), ("head_weights", head)):
            self.told[name] = None if report is None else {"source": report.source, "sha256": report.sha256}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the file, now that the data are there."""
        if trainer.is_global_zero:
            data = trainer.datamodule.fingerprint(*self.splits)  # type: ignore[attr-defined]
            self._check("annotations", (self.earlier.get("data") or {}).get("annotations"), data["annotations"])
            weights = self.told["weights"] or {}
            self._check("backbone's weights", (self.earlier.get("weights") or {}).get("sha256"), weights.get("sha256"))
            told = {"command": shlex.join(sys.argv), **self.told, "data": data, "hardware": hardware(), **versions()}
            write_whole(self.folder / "environment.json", f"{json.dumps(told, indent=2)}\n".encode())

    def _check(self, what: str, before: str | None, now: str | None) -> None:
        if before is not None and before != now:
            raise MmadError(
                f"{self.folder}: the {what} have changed since this run was broken off; bring the old ones back, or "
                f"start anew in another folder."
            )
