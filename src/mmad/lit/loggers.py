"""Loggers that need a decision at start."""

import os

import wandb
from lightning.pytorch.loggers import WandbLogger


def wandb_logger(*, project: str, group: str | None, save_dir: str) -> WandbLogger:
    """Weights & Biases, offline where no API key is configured.

    Args:
        project: name of the W&B project.
        group: name that the runs of one comparison share.
        save_dir: folder in which `wandb/` is made.
    """
    offline = os.environ.get("WANDB_MODE") == "offline" or wandb.api.api_key is None
    if offline:
        print(f"wandb: no API key, so the run is kept offline; later: wandb sync {save_dir}/wandb/offline-run-*")
    return WandbLogger(project=project, group=group, save_dir=save_dir, offline=offline)
