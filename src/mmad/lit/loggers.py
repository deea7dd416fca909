"""Loggers that need a decision at start."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

REACHED_WITHIN = 30
"""Seconds that W&B has to answer at the start of a run."""


def wandb_logger(*, project: str, group: str | None, job_type: str | None, save_dir: str) -> WandbLogger:
    """Weights & Biases; offline where no API key is configured, or where it cannot be reached.

    Args:
        project: name of the W&B project.
        group: name that the runs of one comparison share.
        job_type: what kind of command it is.
        save_dir: folder in which `wandb/` is made; its name is the run's.
    """
    first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
    why = _why_offline() if first else "only the first process logs"
    if why and first:
        print(f"wandb: {why}, so the run is kept offline; later: wandb sync {save_dir}/wandb/offline-run-*")
    return WandbLogger(
        project=project,
        name=Path(save_dir).name,
        group=group,
        job_type=job_type,
        save_dir=save_dir,
        offline=bool(why),
        mode="offline" if why else "online",
    )


def _why_offline() -> str:
    """Why a run cannot be sent as it goes; empty if it can."""
    if os.environ.get("WANDB_MODE") in ("offline", "dryrun"):
        return "WANDB_MODE asks for it"
    try:
        return "" if wandb.login(prompt=False, timeout=REACHED_WITHIN) else "no API key"
    except wandb.Error as error:
        return str(error).splitlines()[0].rstrip(".")


def describe(loggers: Iterable[Logger], settings: dict[str, Any]) -> None:
    """Tells W&B the resolved configuration before anything is logged; the run's folder has it anyway."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_hyperparams(dict(flat(settings)))


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names as the command line has them, such as adapter.layer.beta, with their values."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def finish(loggers: Iterable[Logger]) -> None:
    """Ends the W&B run; without this the next job of a sweep would write into it."""
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        wandb.finish()
