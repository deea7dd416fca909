"""`mmad-pretrain`: teaches a backbone to recognise actions, or to rebuild masked video, and writes its weights."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mmad.cli.entry import run, stop, warn
from mmad.errors import MmadError

if TYPE_CHECKING:
    import lightning as L

    from mmad.lit.datamodule import ClipDataModule
    from mmad.lit.mae import MaskedAutoencodingModule

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
    from mmad.cli.train import begin, introduce, shown

    folder, data = begin(cfg)
    from hydra.utils import get_class, instantiate
    from lightning.pytorch.callbacks import ModelCheckpoint

    from mmad.backbones.checkpoints import save_weights
    from mmad.lit.callbacks import Progress
    from mmad.lit.loggers import finish, keep_earlier
    from mmad.lit.mae import MaskedAutoencodingModule

    backbone = instantiate(cfg.backbone, _convert_="all")
    needs: dict[str, Any] = {}
    if issubclass(get_class(cfg.objective._target_), MaskedAutoencodingModule):
        warn(_check_videos(data))
    else:
        warn(data.check_training(assigned=False))
        needs["classes"] = len(data.taxonomy.actions)
    module = instantiate(
        cfg.objective,
        backbone,
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
        seed=cfg.seed,
        **needs,
    )
    if cfg.ckpt is not None:
        _check_fits(Path(cfg.ckpt), module)
    last = ModelCheckpoint(
        folder / "checkpoints", filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    trainer = instantiate(
        cfg.trainer,
        logger=list(instantiate(cfg.logger).values()),
        callbacks=[Progress(folder, command="mmad-pretrain"), last],
        default_root_dir=str(folder),
        enable_progress_bar=sys.stderr.isatty(),
    )
    if trainer.is_global_zero:
        keep_earlier(folder)
        introduce(cfg, module, folder)
        masked = isinstance(module, MaskedAutoencodingModule)
        report = module.model.load_report if masked else backbone.load_report
        if report is not None:
            print(report)
    start = time.monotonic()
    try:
        trainer.fit(module, data, ckpt_path=cfg.ckpt)
    finally:
        finish(trainer.loggers)
    if trainer.is_global_zero:
        path = folder / "weights.safetensors"
        told = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metadata = {
            "objective": cfg.objective._target_,
            "seed": str(cfg.seed),
            "seconds": f"{time.monotonic() - start:.0f}",
            "metrics": json.dumps(told),
        }
        save_weights(backbone, path, metadata)
        written = [path, folder / "metrics.csv"]
        if isinstance(module, MaskedAutoencodingModule):
            written.append(_show(module, data, folder))
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
    return data.check(*(("train", "val") if data.validates else ("train",)), assigned=False)


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
        raise MmadError(
            f"{path}: this checkpoint is of another model, {len(wrong)} tensors do not fit, like {wrong[0]}; use the "
            f"objective, backbone and resolution that it was trained with."
        )


def _show(module: "MaskedAutoencodingModule", data: "ClipDataModule", folder: Path) -> Path:
    """Draws what the model makes of some clips; people are shown, so that no logger gets the picture."""
    from mmad.plots.reconstruction import plot_reconstructions

    split = "val" if data.validates else "train"
    batch = data.sample(split, SHOWN)
    names = [data.clips(split)[window.clip].id for window in batch["windows"]]
    original, hidden, rebuilt = (video.numpy() for video in module.cpu().eval().examples(batch))
    return plot_reconstructions(folder / "reconstruction.png", names, original, hidden, rebuilt)
