"""Loggers that need a decision at start."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import Logger, WandbLogger


def wandb_logger(*, project: str, group: str | None, save_dir: str) -> WandbLogger:
    """Weights & Biases, offline where no API key is configured.

    Args:
        project: name of the W&B project.
        group: name that the runs of one comparison share.
        save_dir: folder in which `wandb/` is made.
    """
    offline = os.environ.get("WANDB_MODE") == "offline" or not wandb.login(prompt=False)
    if offline:
        print(f"wandb: no API key, so the run is kept offline; later: wandb sync {save_dir}/wandb/offline-run-*")
    mode = "offline" if offline else "online"
    return WandbLogger(project=project, group=group, save_dir=save_dir, offline=offline, mode=mode)


def describe(loggers: Iterable[Logger], settings: dict[str, Any]) -> None:
    """Tells W&B the resolved configuration before anything is logged; the run's folder has it anyway."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_hyperparams(settings)


def finish(loggers: Iterable[Logger]) -> None:
    """Ends the W&B run; without this the next job of a sweep would write into it."""
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        wandb.finish()


def keep_earlier(folder: Path) -> None:
    """Renames what an earlier part of a run wrote and a later one writes anew: metrics.csv to metrics.1.csv, ..."""
    for name in ("metrics.csv", "config.yaml", "environment.json"):
        path = folder / name
        if path.exists():
            number = 1 + len(list(folder.glob(f"{path.stem}.*{path.suffix}")))
            path.rename(folder / f"{path.stem}.{number}{path.suffix}")
