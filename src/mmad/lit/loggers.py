"""Loggers that need a decision at start."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import Logger, WandbLogger

from mmad.diagnosis.records import Numbers
from mmad.tables import Table


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


def log_report(loggers: Iterable[Logger], numbers: Numbers, tables: Iterable[Table], figures: Path) -> None:
    """Gives W&B an evaluation's summary, tables and figures; pictures of people stay here.

    Args:
        loggers: those of the run; all but W&B's have the run's folder.
        numbers: Detection-mAP and its intervals.
        tables: each becomes a W&B table.
        figures: folder with the figures as PNG.
    """
    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        run = logger.experiment
        run.summary["report/avg"] = numbers["avg"]
        for name, level in (("action", numbers["action"]), ("body", numbers["body"])):
            run.summary[f"report/{name}"] = level["avg"]
            for bound, value in zip(("low", "high"), level["intervals"].get("avg", ()), strict=False):
                run.summary[f"report/{name}_{bound}"] = value
        run.log(
            {f"tables/{t.name}": wandb.Table(columns=list(t.header), data=[list(r) for r in t.rows]) for t in tables}
        )
        run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in sorted(figures.glob("*.png"))})


def keep_earlier(folder: Path) -> None:
    """Renames what an earlier part of a run wrote and a later one writes anew: metrics.csv to metrics.1.csv, ..."""
    for name in ("metrics.csv", "config.yaml", "environment.json"):
        path = folder / name
        if path.exists():
            number = 1 + len(list(folder.glob(f"{path.stem}.*{path.suffix}")))
            path.rename(folder / f"{path.stem}.{number}{path.suffix}")
