"""`mmad-pretrain`: teaches a backbone to recognise actions, or to rebuild masked video, and writes its weights."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mmad.cli.entry import run, shown, stop, warn
from mmad.errors import MmadError

if TYPE_CHECKING:
    import lightning as L

    from mmad.cli.earlier import Earlier
    from mmad.lit.datamodule import ClipDataModule
    from mmad.lit.mae import MaskedAutoencodingModule
    from mmad.lit.recognition import RecognitionModule

RUNS = Path("runs/pretrain")
SHOWN = 4
"""Chunks in the picture of reconstructions."""


def main() -> None:
    """Console script."""
    from mmad.cli.train import continued

    try:
        sys.argv[1:] = continued(sys.argv[1:], runs=RUNS)
    except MmadError as error:
        stop(str(error))
    run(pretrain, config="pretrain")


def pretrain(cfg: DictConfig) -> None:
    """Pre-trains one configuration; its weights go into `backbone.weights` of mmad-train."""
    from mmad.cli.earlier import begun, done_before

    with begun(cfg, command="mmad-pretrain") as (folder, earlier):
        if earlier.finished:
            done_before(folder)
        else:
            _pretrain(cfg, folder, earlier)


def _pretrain(cfg: DictConfig, folder: Path, earlier: "Earlier") -> None:
    from mmad.cli.train import introduce, prepared

    data = prepared(cfg)
    from hydra.utils import get_class, instantiate
    from lightning.pytorch.callbacks import ModelCheckpoint

    from mmad.backbones.checkpoints import save_weights
    from mmad.cli.earlier import set_aside
    from mmad.cli.surroundings import Surroundings, effective_batch
    from mmad.cli.tracking import log_pictures
    from mmad.lit.callbacks import Progress
    from mmad.lit.checkpoint_io import WholeCheckpoints
    from mmad.lit.costs import Costs, write_costs
    from mmad.lit.loggers import finish
    from mmad.lit.mae import MaskedAutoencodingModule
    from mmad.lit.recognition import RecognitionModule
    from mmad.lit.stopping import Stopping, leave_signals_alone

    backbone = instantiate(cfg.backbone, _convert_="all")
    kind = get_class(cfg.objective._target_)
    needs: dict[str, Any] = {}
    if issubclass(kind, MaskedAutoencodingModule):
        warn(_check_videos(data))
    else:
        warn(data.check_training(assignment=None, evaluated=False))
        if issubclass(kind, RecognitionModule):
            _check_trimmed(cfg, data)
            needs["taxonomy"] = data.taxonomy
        else:
            needs["classes"] = len(data.taxonomy.actions)
    # As a partial, since Hydra would make a configuration of the taxonomy.
    module = instantiate(cfg.objective, _partial_=True)(
        backbone,
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
        seed=cfg.seed,
        **needs,
    )
    if earlier.checkpoint is not None:
        _check_fits(earlier.checkpoint, module)
    last = ModelCheckpoint(
        folder / "checkpoints", filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    costs = Costs()
    trainer = instantiate(
        cfg.trainer,
        logger=list(instantiate(cfg.logger).values()),
        callbacks=[Progress(folder, command="mmad-pretrain"), costs, Stopping(folder, command="mmad-pretrain"), last],
        plugins=[WholeCheckpoints()],
        default_root_dir=str(folder),
        enable_progress_bar=sys.stderr.isatty(),
    )
    report = module.model.load_report if isinstance(module, MaskedAutoencodingModule) else backbone.load_report
    batch = effective_batch(cfg, trainer)
    leave_signals_alone(trainer)
    splits = ("train", "val") if data.validates else ("train",)
    trainer.callbacks.append(
        Surroundings(
            folder, earlier=earlier.environment, seed=cfg.seed, effective_batch=batch, splits=splits, weights=report
        )
    )
    if trainer.is_global_zero:
        set_aside(folder, anew=earlier.checkpoint is None)
        introduce(cfg, module, folder)
        if report is not None:
            print(report)
    try:
        trainer.fit(module, data, ckpt_path=earlier.checkpoint)
        cost = costs.told(trainer, module)
        told = {name: float(value) for name, value in trainer.callback_metrics.items()}
        path = folder / "weights.safetensors"
        metadata = {
            "objective": cfg.objective._target_,
            "seed": str(cfg.seed),
            "seconds": f"{cost['seconds']:.0f}",
            "metrics": json.dumps(told),
        }
        if trainer.is_global_zero:
            save_weights(backbone, path, metadata)  # nothing that comes after may cost them
        if isinstance(module, RecognitionModule):
            if module.measured_at != trainer.global_step:
                trainer.validate(module, data, verbose=False)
            metadata["metrics"] = json.dumps(told | {f"val/{name}": value for name, value in module.measures.items()})
            if trainer.is_global_zero:
                save_weights(backbone, path, metadata)
        pictures = []
        if trainer.is_global_zero and isinstance(module, MaskedAutoencodingModule):
            pictures.append(_show(module, data, folder))
            # Real people's pictures leave this machine only when asked for.
            if data.make is not None or cfg.log_pictures:
                log_pictures(trainer.loggers, pictures)
    finally:
        finish(trainer.loggers)
    if trainer.is_global_zero:
        written = [path, folder / "metrics.csv", *pictures]
        if isinstance(module, RecognitionModule) and module.found:
            written += _conclude(module, data, folder)
        write_costs(folder, {**cost, "best": None})
        print()
        for each in written:
            print(f"  {shown(each)}")
        print(f"\nNext: mmad-train backbone.weights={shown(path)}")


def _check_videos(data: "ClipDataModule") -> list[str]:
    """Checks what a run without labels needs: videos of split train, and of val if there is such a split.

    Returns:
        A sentence for each kind of fault that does not stand in the way.
    """
    if data.make is None:
        data.validates = "val" in data.source.dealt.values()
    return data.check(*(("train", "val") if data.validates else ("train",)), assignment=None)


def _check_trimmed(cfg: DictConfig, data: "ClipDataModule") -> None:
    """Raises MmadError unless each clip of the splits train and val shows one action."""
    fix = "objective=framewise takes clips with any number of them, data=demo_trimmed and data=ma52 have one each"
    if data.make is not None:
        # They may not be drawn yet, and that takes minutes.
        if not cfg.data.make.get("trimmed"):
            raise MmadError(f"objective=recognition takes clips of one instance each, these are drawn with more; {fix}")
        return
    clips = [*data.clips("train"), *data.clips("val")]
    if others := [clip for clip in clips if len(clip.instances) != 1]:
        raise MmadError(
            f"{data.root}: {len(others)} of {len(clips)} clips have not one instance, {others[0].id!r} has "
            f"{len(others[0].instances)}, but objective=recognition takes clips of one each; {fix}"
        )


def _check_fits(path: Path, module: "L.LightningModule") -> None:
    """Raises MmadError unless a checkpoint is one of this module."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except Exception as error:
        raise MmadError(f"{path}: this is not a checkpoint of mmad-pretrain, or it is damaged.") from error
    own = {name: tensor.shape for name, tensor in module.state_dict().items()}
    theirs = {name: tensor.shape for name, tensor in state.items()}
    wrong = sorted(name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name))
    if wrong:
        # Its runs could be asked for by the name that recognition of trimmed clips has now.
        framewise = "classifier.weight" in theirs.keys() - own.keys()
        raise MmadError(
            f"{path}: this checkpoint is of another model, {len(wrong)} tensors do not fit, like {wrong[0]}; use the "
            f"objective{' (framewise)' if framewise else ''}, backbone and resolution that it was trained with."
        )


def _show(module: "MaskedAutoencodingModule", data: "ClipDataModule", folder: Path) -> Path:
    """Draws what the model makes of some clips."""
    from mmad.plots.reconstruction import plot_reconstructions

    split = "val" if data.validates else "train"
    batch = data.sample(split, SHOWN)
    names = [data.clips(split)[window.clip].id for window in batch["windows"]]
    original, hidden, rebuilt = (video.numpy() for video in module.cpu().eval().examples(batch))
    return plot_reconstructions(folder / "reconstruction.png", names, original, hidden, rebuilt)


def _conclude(module: "RecognitionModule", data: "ClipDataModule", folder: Path) -> list[Path]:
    """Prints how well the clips of split val are recognised, and writes it and what each was taken for."""
    from mmad.formats.ma52 import write_recognition
    from mmad.formats.whole_file import write_whole
    from mmad.tables import to_markdown
    from mmad.tables.recognition import recognition

    clips = data.clips("val")
    told = {"split": "val", "clips": len(module.found), **module.measures}
    paths = [folder / "metrics.json", folder / "predictions.csv"]
    write_whole(paths[0], f"{json.dumps(told, indent=2)}\n".encode())
    found = [(clips[index].path.name, action) for index, action in sorted(module.found.items())]
    write_recognition(paths[1], found, taxonomy=data.taxonomy)
    print(f"\n{to_markdown(recognition(module.measures))}")
    print(f"F1_mean {module.measures['f1_mean']:.2f} % (val, {len(module.found):,} clips)")
    return paths
