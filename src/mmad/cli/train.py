"""`mmad-train`: trains a detector, evaluates its best checkpoint and writes a run's folder."""

import json
import logging
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from mmad.cli.entry import plain, run, shown, stop, warn
from mmad.cli.ranks import launch_single_jobs, quoted
from mmad.errors import MmadError
from mmad.formats.whole_file import numbered, write_whole

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger
    from torch import nn

    from mmad.cli.earlier import Earlier
    from mmad.lit.datamodule import ClipDataModule
    from mmad.lit.module import DetectionModule
    from mmad.report import Evaluation, Reporting
    from mmad.segments import Segments

RUNS = Path("runs/train")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def main() -> None:
    """Console script."""
    try:
        sys.argv[1:] = continued(sys.argv[1:])
    except MmadError as error:
        stop(str(error))
    run(train, config="train")


def continued(arguments: list[str], *, runs: Path = RUNS) -> list[str]:
    """The command line with `ckpt=` worked out: the run's own settings first, its folder, and its last checkpoint.

    Args:
        arguments: the command line without the program's name.
        runs: where the command keeps the folders of its runs.

    Raises:
        MmadError: there is nothing to go on with.
    """
    asked = [a.partition("=")[2].strip("'\"") for a in arguments if a.startswith("ckpt=")]
    if not asked or asked[-1] in ("", "null"):
        return arguments
    if asked[-1] == "last":
        found = sorted(runs.glob("*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise MmadError(f"ckpt=last: no run in {runs} has a last.ckpt yet; name a run's folder or a checkpoint.")
        path = found[-1]
    else:
        path = Path(asked[-1])
        path = path / "checkpoints" / "last.ckpt" if path.is_dir() else path
        if not path.is_file():
            raise MmadError(f"ckpt={asked[-1]}: there is no checkpoint {path}; ckpt=last takes the newest run's.")
    folder = path.resolve().parent.parent
    earlier = folder / ".hydra" / "overrides.yaml"
    before = [str(o) for o in OmegaConf.load(earlier)] if earlier.is_file() else []
    new = [a for a in arguments if not a.startswith("ckpt=")]
    said = {a.partition("=")[0] for a in new}
    kept = [o for o in before if o.partition("=")[0] not in said | {"ckpt"}]
    return [
        *kept,
        *new,
        f"ckpt={quoted(str(path.resolve()))}",
        f"hydra.run.dir={quoted(str(folder))}",
        "hydra.mode=RUN",
    ]


def check_device(trainer: DictConfig) -> None:
    """Refuses accelerators, devices and precisions that do not exist here.

    Args:
        trainer: settings `accelerator`, `devices` and `precision` of Lightning's trainer.

    Raises:
        MmadError: with what there is.
    """
    import torch

    accelerator, devices = str(trainer.accelerator), trainer.devices
    gpus = torch.cuda.device_count()
    if accelerator not in ("auto", "cpu", "gpu", "cuda", "mps"):
        raise MmadError(f"trainer.accelerator={accelerator}: choose auto, cpu, gpu or mps.")
    if accelerator in ("gpu", "cuda") and gpus == 0:
        raise MmadError(
            f"trainer.accelerator={accelerator}: torch sees no GPU here; use trainer.accelerator=cpu, or auto."
        )
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise MmadError("trainer.accelerator=mps: torch sees no Apple GPU here; use trainer.accelerator=cpu, or auto.")
    if accelerator in ("gpu", "cuda") or (accelerator == "auto" and gpus):
        highest = max(devices) + 1 if OmegaConf.is_list(devices) else devices
        if isinstance(highest, int) and highest > gpus:
            raise MmadError(f"trainer.devices={devices}: torch sees {gpus} GPU here; ask for no more than that.")
    if trainer.precision not in PRECISIONS:
        raise MmadError(f"trainer.precision={trainer.precision}: choose {', '.join(PRECISIONS)}.")


def train(cfg: DictConfig) -> float | None:
    """Trains, evaluates and reports one configuration; returns the best AVG on `val`, in percent."""
    from mmad.cli.earlier import begun, done_before

    with begun(cfg, command="mmad-train") as (folder, earlier):
        return done_before(folder) if earlier.finished else _train(cfg, folder, earlier)


def _train(cfg: DictConfig, folder: Path, earlier: "Earlier") -> float | None:
    data = prepared(cfg)
    from hydra.utils import get_class, instantiate
    from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint

    from mmad.backbones.features import Features
    from mmad.card import write_card
    from mmad.cli.build import build_detector, load_trained, read_checkpoint, recipe
    from mmad.cli.earlier import set_aside
    from mmad.cli.surroundings import Surroundings, effective_batch
    from mmad.cli.tracking import log_pictures
    from mmad.data.balance import class_counts
    from mmad.lit.callbacks import Progress, SelfContained, TrainedEMA
    from mmad.lit.checkpoint_io import WholeCheckpoints
    from mmad.lit.costs import Costs, write_costs
    from mmad.lit.loggers import describe
    from mmad.lit.loggers import finish as finish_logging
    from mmad.lit.module import DetectionModule
    from mmad.lit.stopping import Stopping, leave_signals_alone

    reporting = instantiate(cfg.report, _convert_="all")
    of_features = data.resolution is None
    if issubclass(get_class(cfg.backbone._target_), Features) != of_features:
        raise MmadError(
            "data=features has been seen by a backbone before: add backbone=features adapter=frozen grid=features."
            if of_features
            else "backbone=features goes with data=features and with no other data; leave backbone=... out."
        )
    centers = {key: cfg.head[key] for key in ("center_radius", "filter_similar") if key in cfg.head}
    remarks = data.check_training(assignment=centers or None)
    detector = build_detector(cfg, taxonomy=data.taxonomy)
    warn(remarks)
    told = recipe(cfg, detector, taxonomy=data.taxonomy)
    if earlier.checkpoint is not None:
        load_trained(detector, read_checkpoint(earlier.checkpoint), weights=cfg.backbone.weights)
    module = DetectionModule(
        detector,
        taxonomy=data.taxonomy,
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
        seed=cfg.seed,
        protocol=reporting.protocol,
    )
    best = ModelCheckpoint(
        folder / "checkpoints",
        filename="best",
        monitor="val/avg",
        mode="max",
        enable_version_counter=False,
    )
    last = ModelCheckpoint(
        folder / "checkpoints", filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    costs = Costs()
    stopping = Stopping(folder, command="mmad-train")
    callbacks = [TrainedEMA(decay=cfg.ema), SelfContained(told), Progress(folder), costs, stopping, best, last]
    if cfg.head.get("class_balance") is not None:

        def balance(*_: object) -> None:
            detector.head.balance(class_counts(data.clips("train"), classes=len(data.taxonomy.actions)))  # type: ignore[operator]

        # Not before the fit: clips that the project draws itself may not be there yet.
        callbacks.append(LambdaCallback(on_fit_start=balance))
    trainer = instantiate(
        cfg.trainer,
        logger=list(instantiate(cfg.logger).values()),
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        default_root_dir=str(folder),
        enable_progress_bar=sys.stderr.isatty(),
    )
    leave_signals_alone(trainer)
    batch = effective_batch(cfg, trainer)
    trainer.callbacks.append(
        Surroundings(
            folder,
            earlier=earlier.environment,
            seed=cfg.seed,
            effective_batch=batch,
            splits=("train", "val", data.evaluate_split),
            weights=detector.backbone.load_report,  # type: ignore[arg-type]
            head=getattr(detector.head, "load_report", None),
        )
    )
    if trainer.is_global_zero:
        set_aside(folder, anew=earlier.checkpoint is None)
        introduce(cfg, detector, folder)
        if detector.backbone.load_report is not None:
            print(detector.backbone.load_report)
        elif earlier.checkpoint is None and list(detector.backbone.parameters()):  # features have none
            what = "backbone starts at random" if cfg.adapter.trains == "everything" else "frozen backbone is random"
            print(f"warning: backbone.weights is not set, so the {what}", file=sys.stderr)
    try:
        describe(trainer.loggers, plain(cfg))
        trainer.fit(module, data, ckpt_path=earlier.checkpoint)
        cost = costs.told(trainer, module)
        value = None if best.best_model_score is None else float(best.best_model_score)
        chosen = folder / "checkpoints" / "best.ckpt"
        chosen = chosen if chosen.exists() else folder / "checkpoints" / "last.ckpt"
        load_trained(detector, read_checkpoint(chosen), weights=cfg.backbone.weights)
        trainer.test(module, data, verbose=False)
        if trainer.is_global_zero:
            written = [chosen, folder / "metrics.csv"]
            evaluation = finish(module, data, folder, reporting=reporting, loggers=trainer.loggers, written=written)
            card = chosen.with_suffix(".md")
            write_card(
                card,
                recipe=read_checkpoint(chosen)["mmad"],
                environment=json.loads((folder / "environment.json").read_text()),
                parameters=cost["parameters"],
                clips={split: data.clips(split) for split in ("train", "val", data.evaluate_split)},
                evaluated=data.evaluate_split,
                evaluation=evaluation,
            )
            print(f"  {shown(card)}")
            # Real people's pictures leave this machine only when asked for.
            if (data.make is not None or cfg.log_pictures) and data.resolution is not None:
                log_pictures(trainer.loggers, [folder / "timeline.png"])
            write_costs(folder, {**cost, "best": value})
            command, data_of = ("mmad-eval", "") if data.resolution is None else ("mmad-predict", " videos=FOLDER")
            print(f"\nNext: open {shown(folder / 'report.html')}, or {command} checkpoint={shown(chosen)}{data_of}")
    finally:
        finish_logging(trainer.loggers)
    return value


def prepared(cfg: DictConfig) -> "ClipDataModule":
    """Checks the device and that files of weights are there, seeds, and gives the data."""
    check_device(cfg.trainer)
    import lightning as L
    from hydra.utils import instantiate

    from mmad.formats.weights_file import weights_path

    # Looking at all videos, which comes next, may take minutes.
    for option, source in (("backbone.weights", cfg.backbone.get("weights")), ("weights", cfg.get("weights"))):
        if source is not None and not str(source).startswith("builtin:"):
            weights_path(source, option=option)
    quiet()
    launch_single_jobs()
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    return instantiate(cfg.data, _convert_="all")


def introduce(cfg: DictConfig, model: "nn.Module", folder: Path) -> None:
    """Writes the resolved configuration and says what is about to be trained."""
    path, text = folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(plain(cfg)))
    # Never without the file: by it the next start knows its own earlier part.
    if path.exists() and path.read_text() != text:
        shutil.copyfile(path, numbered(path))
    write_whole(path, text.encode())
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    trained, total = sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes)
    print(f"{shown(folder)}: training {trained:,} of {total:,} parameters")


def finish(
    module: "DetectionModule",
    data: "ClipDataModule",
    folder: Path,
    *,
    reporting: "Reporting",
    loggers: "Sequence[Logger]",
    written: Sequence[Path] = (),
    others: "Mapping[str, Segments] | None" = None,
    names: tuple[str, str] = ("this run", "others"),
    submission: str | None = None,
) -> "Evaluation | None":
    """Writes what an evaluation found and says so, after the files `written` before; `others` are compared with it.

    Returns:
        What was found; None without ground truth.
    """
    from mmad.formats.challenge import write_submission
    from mmad.formats.predictions import write_predictions
    from mmad.report import evaluate, write_predictions_and_timeline

    clips = data.evaluated
    found = {clips[index].id: detections for index, detections in sorted(module.detections.items())}
    truths = [clip.truth() for clip in clips]
    paths = [*written]
    if data.resolution is None:
        # Of features there is nothing to look at.
        truths = [replace(truth, video=None) for truth in truths]
        paths.append(folder / "predictions.json")
        write_predictions(paths[-1], found, taxonomy=data.taxonomy)
    else:
        paths += write_predictions_and_timeline(
            folder, clips=clips, detections=module.detections, taxonomy=data.taxonomy
        )
    if submission is not None:
        write_submission(Path(submission), found, taxonomy=data.taxonomy, clips=[clip.id for clip in clips])
        paths.append(Path(submission))
    on = f"{data.evaluate_split}, {len(clips)} clips"
    if module.report is None:
        print(f"\nNo ground truth, so no Detection-mAP ({on})\n")
        for path in paths:
            print(f"  {shown(path)}")
        return None
    evaluation = evaluate(
        found,
        truths,
        taxonomy=data.taxonomy,
        reporting=reporting,
        names=names,
        others=others,
    )
    conclude(evaluation, folder=folder, title=f"{folder.resolve().name} on {on}", on=on, paths=paths, loggers=loggers)
    return evaluation


def conclude(
    evaluation: "Evaluation",
    *,
    folder: Path,
    title: str,
    on: str,
    paths: Sequence[Path],
    loggers: "Sequence[Logger]",
) -> None:
    """Writes the report, prints the table and the files written, and tells W&B where that is configured."""
    from mmad.cli.versions import versions
    from mmad.report import summary, write_report

    about = {"command": _command(), **versions(), "date": f"{datetime.now():%Y-%m-%d %H:%M}"}
    written = write_report(folder, evaluation, title=title, about=about)
    print(f"\n{summary(evaluation, on=on)}\n")
    for path in [*paths, *written]:
        print(f"  {shown(path)}")
    if loggers:
        from mmad.cli.tracking import log_report

        log_report(loggers, evaluation)


def _command() -> str:
    """The command line without the user's folders: a page may be sent to others."""
    line = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return line.replace(f"{Path.cwd()}{os.sep}", "").replace(str(Path.home()), "~")


def quiet() -> None:
    """Silences Lightning's advertisements and its remarks on what the configuration chose on purpose."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
