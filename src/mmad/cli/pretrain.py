"""`mmad-pretrain`: teaches a backbone to recognise actions and writes its weights."""

import json
import sys
import time

from omegaconf import DictConfig

from mmad.cli.entry import run, warn


def main() -> None:
    """Console script."""
    run(pretrain, config="pretrain")


def pretrain(cfg: DictConfig) -> None:
    """Pre-trains one configuration; its weights go into `backbone.weights` of mmad-train."""
    from mmad.cli.train import begin, introduce, shown

    folder, data = begin(cfg)
    from hydra.utils import instantiate

    from mmad.backbones.checkpoints import save_weights
    from mmad.lit.callbacks import Progress
    from mmad.lit.loggers import finish

    backbone = instantiate(cfg.backbone, _convert_="all")
    warn(data.check_training(assigned=False))
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
    try:
        trainer.fit(module, data)
    finally:
        finish(trainer.loggers)
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
