"""`mmad-pretrain`: teaches a backbone to recognise actions and writes its weights."""

import json
import sys
import time

from omegaconf import DictConfig

from mmad.cli.entry import output_dir, run


def main() -> None:
    """Console script."""
    run(pretrain, config="pretrain")


def pretrain(cfg: DictConfig) -> None:
    """Pre-trains one configuration; its weights go into `backbone.weights` of mmad-train."""
    from mmad.cli.train import check_device, introduce, quiet, shown

    check_device(cfg.trainer)
    import lightning as L
    from hydra.utils import instantiate

    from mmad.backbones.checkpoints import save_weights
    from mmad.lit.callbacks import Progress

    quiet()
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    folder = output_dir()
    data = instantiate(cfg.data, _convert_="all")
    data.check_training()
    backbone = instantiate(cfg.backbone, weights=None, _convert_="all")
    module = instantiate(
        cfg.objective,
        backbone,
        classes=len(data.taxonomy.actions),
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
        seed=cfg.seed,
    )
    trainer = instantiate(
        cfg.trainer,
        logger=list(instantiate(cfg.logger).values()),
        callbacks=[Progress(folder)],
        default_root_dir=str(folder),
        enable_progress_bar=sys.stderr.isatty(),
        enable_checkpointing=False,
    )
    if trainer.is_global_zero:
        introduce(cfg, module, folder)
    start = time.monotonic()
    trainer.fit(module, data)
    if trainer.is_global_zero:
        path = folder / "weights.safetensors"
        told = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metadata = {
            "seed": str(cfg.seed),
            "seconds": f"{time.monotonic() - start:.0f}",
            "metrics": json.dumps(told),
        }
        save_weights(backbone, path, metadata)
        print(f"\n  {shown(path)}\n  {shown(folder / 'metrics.csv')}")
        print(f"\nNext: mmad-train backbone.weights={shown(path)}")
