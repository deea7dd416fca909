"""`mmad-eval`: Detection-mAP and error analysis of a checkpoint on its data, or of a predictions file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mmad.cli.entry import plain, run, shown, warn
from mmad.cli.ranks import launch_single_jobs
from mmad.errors import MmadError


def main() -> None:
    """Console script."""
    run(evaluate, config="eval")


def evaluate(cfg: DictConfig) -> None:
    """Evaluates a checkpoint, or a predictions file against annotations."""
    if (cfg.checkpoint is None) == (cfg.predictions is None):
        raise MmadError(
            "Pass either checkpoint=FILE, or predictions=FILE annotations=FILE; "
            f"{'neither' if cfg.checkpoint is None else 'both'} came."
        )
    if Path(cfg.output).is_file():
        raise MmadError(f"output={cfg.output} is a file, expected a folder to write into; name another one.")
    mode = HydraConfig.get()
    if mode.mode == RunMode.MULTIRUN and Path(cfg.output).resolve() != Path(mode.runtime.output_dir).resolve():
        raise MmadError(f"output={cfg.output}: every job of the sweep would write there; leave output out.")
    if cfg.checkpoint is not None:
        evaluate_checkpoint(cfg)
    else:
        evaluate_predictions_file(cfg)


def evaluate_checkpoint(cfg: DictConfig) -> None:
    """Runs the checkpoint's detector on a split and writes what a training run writes."""
    needless = [name for name in ("annotations", "labels", "subset", "fps", "videos") if cfg[name] is not None]
    if needless:
        raise MmadError(
            f"{needless[0]}={cfg[needless[0]]} goes with predictions=FILE; a checkpoint brings its own data "
            f"(split=..., root=...)."
        )
    from mmad.cli.train import check_device, finish, quiet
    from mmad.lit.stopping import leave_signals_alone

    check_device(cfg.trainer)
    launch_single_jobs()
    from hydra.utils import instantiate

    from mmad.cli.build import detector_of, read_checkpoint
    from mmad.formats.predictions import read_predictions
    from mmad.lit.module import DetectionModule

    quiet()
    reporting = instantiate(cfg.report, _convert_="all")
    detector, taxonomy, trained = detector_of(read_checkpoint(Path(cfg.checkpoint)), weights=cfg.weights)
    others = None if cfg.against is None else read_predictions(Path(cfg.against), taxonomy=taxonomy)
    settings = trained.data
    for name in ("batch_size", "workers"):
        if cfg[name] is not None:
            settings[name] = cfg[name]
    if cfg.split is not None:
        settings.evaluate_split = cfg.split
    if cfg.root is not None:
        settings.root, settings.make = cfg.root, None
    data = instantiate(settings, _convert_="all")
    if data.make is None and data.taxonomy.actions != taxonomy.actions:
        raise MmadError(
            f"{data.root} has other classes than the checkpoint ({len(data.taxonomy.actions)}, not "
            f"{len(taxonomy.actions)}, or in another order); put a labels.csv there with those of the checkpoint."
        )
    warn(data.check(data.evaluate_split, assignment=None))
    module = DetectionModule(detector, taxonomy=taxonomy, seed=trained.seed, protocol=reporting.protocol)
    trainer = instantiate(cfg.trainer, enable_progress_bar=sys.stderr.isatty())
    leave_signals_alone(trainer)
    trainer.test(module, data, verbose=False)
    if trainer.is_global_zero:
        with _logging(cfg) as loggers:
            finish(
                module,
                data,
                Path(cfg.output),
                reporting=reporting,
                loggers=loggers,
                others=others,
                names=_names(cfg.checkpoint, cfg.against or ""),
                submission=cfg.submission,
            )


def evaluate_predictions_file(cfg: DictConfig) -> None:
    """Compares a predictions file with an annotation file; no video and no model is needed."""
    from hydra.utils import instantiate

    from mmad.cli.train import conclude
    from mmad.formats.challenge import write_submission
    from mmad.formats.ground_truth import read_ground_truth
    from mmad.formats.labels import read_taxonomy
    from mmad.formats.predictions import read_predictions
    from mmad.taxonomy import MMA52

    if cfg.annotations is None and (cfg.submission is None or cfg.against is not None):
        raise MmadError(
            f"predictions={cfg.predictions} needs annotations=FILE, a released CSV or an ActivityNet JSON; without, "
            f"only submission=FILE.zip can be written."
        )
    ignored = list(cfg.ignore_labels)
    taxonomy = MMA52 if cfg.labels is None else read_taxonomy(Path(cfg.labels), ignore_labels=ignored)
    if cfg.annotations is None:
        write_submission(
            Path(cfg.submission), read_predictions(Path(cfg.predictions), taxonomy=taxonomy), taxonomy=taxonomy
        )
        print(f"\n  {shown(Path(cfg.submission))}")
        return
    reporting = instantiate(cfg.report, _convert_="all")
    truth = read_ground_truth(
        Path(cfg.annotations),
        taxonomy=taxonomy,
        subset=cfg.subset,
        fps=cfg.fps,
        ignore_labels=ignored,
        videos=None if cfg.videos is None else Path(cfg.videos),
    )
    predictions = read_predictions(Path(cfg.predictions), taxonomy=taxonomy)
    others = None if cfg.against is None else read_predictions(Path(cfg.against), taxonomy=taxonomy)
    written = []
    if cfg.submission is not None:
        write_submission(Path(cfg.submission), predictions, taxonomy=taxonomy, clips=[clip.id for clip in truth])
        written.append(Path(cfg.submission))
    from mmad.report import evaluate as judge

    evaluation = judge(
        predictions,
        truth,
        taxonomy=taxonomy,
        reporting=reporting,
        names=_names(cfg.predictions, cfg.against or ""),
        others=others,
        unknown=cfg.unknown_clips,
    )
    with _logging(cfg) as loggers:
        conclude(
            evaluation,
            folder=Path(cfg.output),
            title=f"{Path(cfg.predictions).name} on {Path(cfg.annotations).name}",
            on=f"{evaluation.numbers['clips']} clips",
            paths=written,
            loggers=loggers,
        )


def _names(first: str, second: str) -> tuple[str, str]:
    """File names, with as many of their folders as tell them apart."""
    a, b = (Path(path).resolve().parts for path in (first, second))
    same = next((n for n, (x, y) in enumerate(zip(a[::-1], b[::-1], strict=False)) if x != y), 0)
    return str(Path(*a[-1 - same :])), str(Path(*b[-1 - same :]))


@contextmanager
def _logging(cfg: DictConfig) -> Iterator[list]:
    """The configured loggers, W&B told of the configuration; its run ends with the block."""
    if not cfg.logger:
        yield []  # without loading Lightning, which takes longer than evaluating a file
        return
    from hydra.utils import instantiate

    from mmad.lit.loggers import describe, finish

    loggers = list(instantiate(cfg.logger).values())
    try:
        describe(loggers, plain(cfg))
        yield loggers
    finally:
        finish(loggers)
