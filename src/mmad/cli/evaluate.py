"""`mmad-eval`: Detection-mAP of a checkpoint on its data, or of a predictions file."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from mmad.cli.entry import run
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
    if cfg.checkpoint is not None:
        evaluate_checkpoint(cfg)
    else:
        evaluate_predictions_file(cfg)


def evaluate_checkpoint(cfg: DictConfig) -> None:
    """Runs the checkpoint's detector on a split and writes what a training run writes."""
    from mmad.cli.train import check_device, finish, quiet

    check_device(cfg.trainer)
    from hydra.utils import instantiate

    from mmad.cli.build import detector_of, read_checkpoint
    from mmad.lit.module import DetectionModule

    quiet()
    detector, taxonomy, trained = detector_of(read_checkpoint(Path(cfg.checkpoint)), weights=cfg.weights)
    settings = trained.data
    for name in ("batch_size", "workers"):
        if cfg[name] is not None:
            settings[name] = cfg[name]
    if cfg.split is not None:
        settings.evaluate_split = cfg.split
    if cfg.root is not None:
        settings.root, settings.make = cfg.root, None
    data = instantiate(settings, _convert_="all")
    data.check(data.evaluate_split)
    module = DetectionModule(detector, taxonomy=taxonomy, seed=trained.seed)
    trainer = instantiate(cfg.trainer, enable_progress_bar=sys.stderr.isatty())
    trainer.test(module, data, verbose=False)
    if trainer.is_global_zero:
        finish(module, data, Path(cfg.output))


def evaluate_predictions_file(cfg: DictConfig) -> None:
    """Compares a predictions file with an annotation file; no video and no model is needed."""
    from mmad.cli.train import conclude
    from mmad.formats.ground_truth import read_ground_truth
    from mmad.formats.predictions import read_predictions
    from mmad.metrics import evaluate_predictions
    from mmad.report import write_metrics
    from mmad.taxonomy import MMA52

    if cfg.annotations is None:
        raise MmadError(f"predictions={cfg.predictions} needs annotations=FILE, a released CSV or an ActivityNet JSON.")
    truth = read_ground_truth(Path(cfg.annotations), taxonomy=MMA52, subset=cfg.subset, fps=cfg.fps)
    report = evaluate_predictions(read_predictions(Path(cfg.predictions), taxonomy=MMA52), truth, taxonomy=MMA52)
    conclude(report, paths=[write_metrics(Path(cfg.output), report)], on=f"{len(truth)} clips")
