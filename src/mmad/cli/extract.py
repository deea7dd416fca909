"""`mmad-extract`: writes what a backbone makes of the snippets of every clip, for detectors without a backbone."""

import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from mmad.cli.entry import run, shown, warn
from mmad.cli.ranks import of_all_ranks
from mmad.errors import MmadError

if TYPE_CHECKING:
    from torch import nn

_LIBRARIES = ("mmad", "torch", "torchvision", "timm", "decord", "av", "numpy")
"""Whose versions the files name; not the revision of a checkout, which may change while an extraction rests."""

_WITHOUT_EFFECT = ("weights", "adapter", "trains", "drop_path", "checkpointing", "frames_per_step")
"""Settings of a backbone that change no feature: its weights are known by their fingerprint, wherever they lie, and the
mean over time is the same at any rate of steps."""


def main() -> None:
    """Console script."""
    run(extract, config="extract")


def extract(cfg: DictConfig) -> None:
    """Extracts the features of one data set with one backbone; what is done already is not done again."""
    from mmad.cli.alone import alone_in
    from mmad.cli.tasks.apart import check_apart
    from mmad.cli.train import prepared
    from mmad.lit.signals import ended_by_signals

    choices = HydraConfig.get().runtime.choices
    if choices["backbone"] == "features":
        raise MmadError(
            "backbone=features stands for what mmad-extract writes; name the backbone that sees the videos."
        )
    if cfg.adapter.layer is not None:
        raise MmadError("mmad-extract takes the backbone alone, and these adapters are not trained; leave adapter out.")
    output = Path(cfg.output)
    if output.exists() and not output.is_dir():
        raise MmadError(f"output={output} is a file; name a folder")
    check_apart(output, Path(cfg.data.root).expanduser(), nested=True)
    data = prepared(cfg)
    from hydra.utils import instantiate
    from lightning.pytorch.strategies import DDPStrategy
    from lightning.pytorch.utilities import rank_zero_only

    from mmad.cli.versions import versions
    from mmad.data.feature_set import write_set
    from mmad.lit.extraction import ExtractionModule, SnippetData
    from mmad.lit.stopping import leave_signals_alone

    if data.make is None:
        warn(data.check(*dict.fromkeys(data.source.split_of.values()), assignment=None))
    backbone = instantiate(cfg.backbone, _convert_="all").requires_grad_(False).eval()
    first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
    with alone_in(output) if first else nullcontext(), ended_by_signals("the same command goes on"):
        snippets = instantiate(cfg.snippet)
        pieces = SnippetData(
            data, folder=output, snippets=snippets, size=cfg.batch_size, settings=_settings(cfg, backbone)
        )
        known = {name: version for name, version in versions().items() if name in _LIBRARIES}
        module = ExtractionModule(backbone, name=choices["backbone"], versions=known)
        # Ranks meet once, at the end, and one may be hours ahead.
        patient = DDPStrategy(timeout=timedelta(days=30)) if cfg.trainer.strategy == "ddp" else cfg.trainer.strategy
        trainer = instantiate(
            cfg.trainer,
            strategy=patient,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=sys.stderr.isatty(),
        )
        leave_signals_alone(trainer)
        if trainer.is_global_zero:
            print(backbone.load_report or f"{choices['backbone']} has random weights")
            if backbone.load_report is None:
                warn(["backbone.weights is not set, so these are the features of a random backbone"])
        trainer.predict(module, pieces, return_predictions=False)
        faults = of_all_ranks(module.faults)
        if not trainer.is_global_zero:
            return
        clips = sum(map(len, pieces.clips.values()))
        if faults:
            *others, last = faults.values()
            warn(others)
            raise MmadError(
                f"{last} ({len(faults)} of {clips} clips have no features, all others have; the same command takes up "
                f"what is left)"
            )
        written = write_set(
            output, pieces.clips, taxonomy=data.taxonomy, data=choices["data"], evaluate_split=data.evaluate_split
        )
    print(f"\nFeatures of {clips:,} clips in {shown(output)}\n")
    for path in written:
        print(f"  {shown(path)}")
    if data.taxonomy.actions:
        recipe = " recipe=demo_features" if choices["recipe"] == "demo" else ""
        print(f"\nNext: mmad-train data=features data.root={shown(output)}{recipe}")


def _settings(cfg: DictConfig, backbone: "nn.Module") -> dict[str, Any]:
    """What decides the features of a video, as plain data."""
    from mmad.backbones.checkpoints import fingerprint
    from mmad.data.transforms import height_width
    from mmad.data.video import RESIZE
    from mmad.timebase import CHUNK

    model = OmegaConf.to_container(cfg.backbone, resolve=True)
    assert isinstance(model, dict)
    model = {name: value for name, value in model.items() if name not in _WITHOUT_EFFECT}
    return {
        "snippet": {"frames": CHUNK, "stride": cfg.snippet.stride, "align": cfg.snippet.align},
        "resolution": list(height_width(cfg.data.resolution)),
        "resize": RESIZE,
        "precision": cfg.trainer.precision,
        "backbone": {**model, "fingerprint": fingerprint(backbone)},
    }
