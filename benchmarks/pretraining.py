"""What a frozen backbone with DSTA, and one that trains whole, reach from each kind of pre-training of equal cost.

Run from the project's root; pre-trains for an hour of one core, then trains 24 detectors of four minutes each, and fits
a linear probe to each backbone:

    python benchmarks/pretraining.py [FOLDER] [--seeds 3] [--jobs 2] [--overrides data=demo]

What FOLDER (default: runs/pretraining) already holds is not repeated. All see the same drawn clips for the same time,
28 minutes of one core. Recognition is the package's `vmae_tiny`, made by `mmad-pretrain` with its defaults.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from comparison import arguments, draw, mmad, report, train_all
from safetensors import safe_open
from safetensors.torch import load_file, save_file

# At nine tenths, one or two of the tiny frame's twelve patches would stay visible.
MAE = ["objective=mae", "objective.mask_ratio=0.75"]
STEPS = {
    "mae": [*MAE, "trainer.max_epochs=96"],
    "half": [*MAE, "trainer.max_epochs=48"],
    "both": ["trainer.max_epochs=75", "backbone.weights={folder}/half/weights.safetensors"],
}
# The map over a frame's tokens and the classifier are all that trains, and both are linear.
PROBE = [
    "adapter=frozen", "data=demo_large", "recipe=pretrain", "data.batch_size=64", "trainer.max_epochs=4",
    "trainer.check_val_every_n_epoch=4",
]  # fmt: skip


def pretrain(folder: Path, *, jobs: int) -> dict[str, str]:
    """The weights of each kind of pre-training."""
    threads = max((os.cpu_count() or 1) // jobs, 1)
    draw("pretrain", [])

    def chain(*names: str) -> None:
        for name in names:
            line = [part.format(folder=folder.resolve()) for part in STEPS[name]]
            mmad("mmad-pretrain", line, run=folder / name, threads=threads)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda names: chain(*names), [("mae",), ("half", "both")]))
    own = {name: str((folder / name / "weights.safetensors").resolve()) for name in ("mae", "both")}
    return {
        "no pre-training": "null",
        "masked autoencoding": own["mae"],
        "recognition": "builtin:vmae_tiny",
        "first the one, then the other": own["both"],
    }


def probe(folder: Path, name: str, weights: str, *, threads: int) -> float:
    """Frame-wise mean average precision on val of a linear classifier over the frozen backbone, in percent."""
    run = folder / name.replace(" ", "-").replace(",", "")
    if weights != "null":
        # The map over a frame's tokens starts at random for all: only recognition has learnt one.
        shipped = str(files("mmad.backbones") / "weights" / f"{weights.removeprefix('builtin:')}.safetensors")
        tensors = load_file(shipped if weights.startswith("builtin:") else weights)
        tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith("pool.")}
        folder.mkdir(parents=True, exist_ok=True)
        weights = str(run.with_suffix(".safetensors").resolve())
        save_file(tensors, weights)
    mmad("mmad-pretrain", [*PROBE, f"backbone.weights={weights}"], run=run, threads=threads)
    with safe_open(run / "weights.safetensors", framework="pt") as file:
        return float(json.loads(file.metadata()["metrics"])["val/frame_map"])


def main() -> None:
    given = arguments(__doc__, folder="runs/pretraining")
    try:
        weights = pretrain(given.folder / "pretrained", jobs=given.jobs)
        threads = max((os.cpu_count() or 1) // given.jobs, 1)
        draw("train", ["data=demo_large"])
        with ThreadPoolExecutor(given.jobs) as pool:
            found = pool.map(lambda each: probe(given.folder / "probes", *each, threads=threads), weights.items())
            probes = dict(zip(weights, found, strict=True))
    except RuntimeError as error:
        sys.exit(str(error))
    ways = {"DSTA": "adapter=dsta", "everything trains": "adapter=full"}
    settings = {
        f"{name}: {way}": [adapter, f"backbone.weights={file}"]
        for name, file in weights.items()
        for way, adapter in ways.items()
    }
    train_all(settings, folder=given.folder, seeds=given.seeds, jobs=given.jobs, overrides=given.overrides)
    column = {setting: f"{probes[setting.split(':')[0]]:.1f}" for setting in settings}
    report(
        settings,
        folder=given.folder,
        seeds=given.seeds,
        baseline="recognition: DSTA",
        columns={"linear probe": column},
    )


if __name__ == "__main__":
    main()
