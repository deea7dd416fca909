"""What Weights & Biases is told of an evaluation, and which pictures it gets."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import wandb
from lightning.pytorch.loggers import Logger, WandbLogger

from mmad.plots.figures import write_figures
from mmad.report import Evaluation


def log_report(loggers: Iterable[Logger], evaluation: Evaluation) -> None:
    """Gives W&B an evaluation's summary, tables and figures; pictures of people stay here.

    Args:
        loggers: those of the run; all but W&B's have the run's folder.
        evaluation: what was found.
    """
    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        run, numbers = logger.experiment, evaluation.numbers
        run.summary["report/avg"] = numbers["avg"]
        for name, level in (("action", numbers["action"]), ("body", numbers["body"])):
            run.summary[f"report/{name}"] = level["avg"]
            for bound, value in zip(("low", "high"), level["intervals"].get("avg", ()), strict=False):
                run.summary[f"report/{name}_{bound}"] = value
        for table in evaluation.tables():
            rows = [list(row) for row in table.rows]
            run.log({f"tables/{table.name}": wandb.Table(columns=list(table.header), data=rows)})
        # Drawn anew into a folder of their own, so that nothing else that lies in the run's folder goes out.
        with TemporaryDirectory() as folder:
            drawn = write_figures(Path(folder), numbers, evaluation.diagnosis, evaluation.comparison, formats=("png",))
            run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in drawn})


def log_pictures(loggers: Iterable[Logger], paths: Iterable[Path]) -> None:
    """Gives W&B pictures under their names; all other loggers have the run's folder."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.log({f"pictures/{path.stem}": wandb.Image(str(path)) for path in paths})
