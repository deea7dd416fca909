"""`mmad-data`: works on annotated clips."""

from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig

from mmad.cli.entry import run
from mmad.errors import MmadError

TASKS = ("check", "stats", "convert", "split", "cut", "agreement")
"""Names of the modules in `mmad.cli.tasks`, and of the function in each."""


def main() -> None:
    """Console script."""
    run(data, config="dataset")


def data(cfg: DictConfig) -> None:
    """Does the task that was asked for."""
    if cfg.task not in TASKS:
        raise MmadError(f"task={cfg.task}: choose {', '.join(TASKS)}.")
    output = Path(cfg.output)
    if output.exists() and not output.is_dir():
        raise MmadError(f"output={output} is a file; name a folder")
    # Imported only now, since `--help` and mistakes shall not wait for torch.
    getattr(import_module(f"mmad.cli.tasks.{cfg.task}"), cfg.task)(cfg)
