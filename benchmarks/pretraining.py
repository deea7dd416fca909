"""What a frozen backbone with DSTA, and one that trains whole, reach from each kind of pre-training of equal cost.

Run from the project's root; pre-trains for an hour of one core, then trains 24 detectors of four minutes each, and fits
a linear probe to each backbone:

    python benchmarks/pretraining.py [FOLDER] [--seeds 3] [--jobs 2] [--overrides data=demo]

What FOLDER (default: runs/pretraining) already holds is not repeated. All see the same drawn clips for the same time,
28 minutes of one core. Recognition is the package's `vmae_tiny`, made by `mmad-pretrain` with its defaults.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mmad.cli.entry import conf_dir, prepare_environment

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


RECOGNITION = "builtin:vmae_tiny"


def draw(config: str, overrides: Sequence[str]) -> None:
    """Draws the clips that a command's configuration asks for, before several runs want them at once."""
    prepare_environment()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose(config, overrides=list(overrides))
    instantiate(cfg.data, _convert_="all").prepare_data()


def mmad(command: str, overrides: Sequence[str], *, threads: int) -> None:
    """Runs a command.

    Raises:
        SystemExit: it failed, which it has said itself.
    """
    line = [str(Path(sys.executable).parent / command), *overrides]
    if code := subprocess.run(line, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, check=False).returncode:
        sys.exit(code)


def pretrained(overrides: Sequence[str], *, run: Path, threads: int) -> None:
    """One run of mmad-pretrain, unless its folder holds it already.

    Raises:
        SystemExit: it failed, or the folder holds a run with other arguments.
    """
    if (run / "weights.safetensors").exists():
        given = list(OmegaConf.load(run / ".hydra" / "overrides.yaml"))
        if given != list(overrides):
            sys.exit(f"{run} holds a run with {given}, not {list(overrides)}; choose another folder")
        return
    mmad("mmad-pretrain", [*overrides, f"hydra.run.dir={run}"], threads=threads)


def pretrain(folder: Path, *, jobs: int) -> dict[str, str]:
    """The weights of each kind of pre-training."""
    threads = max((os.cpu_count() or 1) // jobs, 1)
    draw("pretrain", [])

    def chain(*names: str) -> None:
        for name in names:
            line = [part.format(folder=folder.resolve()) for part in STEPS[name]]
            pretrained(line, run=folder / name, threads=threads)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda names: chain(*names), [("mae",), ("half", "both")]))
    own = {name: str((folder / name / "weights.safetensors").resolve()) for name in ("mae", "both")}
    return {
        "no pre-training": "null",
        "masked autoencoding": own["mae"],
        "recognition": RECOGNITION,
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
    pretrained([*PROBE, f"backbone.weights={weights}"], run=run, threads=threads)
    with safe_open(run / "weights.safetensors", framework="pt") as file:
        return float(json.loads(file.metadata()["metrics"])["val/frame_map"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/pretraining"), help="what it holds is kept")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each setting")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, each with its share of the cores")
    parser.add_argument("--overrides", nargs="*", default=["data=demo_large"], help="what all detectors share")
    given = parser.parse_args()
    threads = max((os.cpu_count() or 1) // given.jobs, 1)
    weights = pretrain(given.folder / "pretrained", jobs=given.jobs)
    draw("train", PROBE[1:2])
    with ThreadPoolExecutor(given.jobs) as pool:
        found = pool.map(lambda each: probe(given.folder / "probes", *each, threads=threads), weights.items())
        probes = dict(zip(weights, found, strict=True))
    draw("train", given.overrides)
    detectors = given.folder / "detectors"
    sweep = [
        "-m",
        *given.overrides,
        "report.figures=[]",
        "adapter=dsta,full",
        f"backbone.weights={','.join(weights.values())}",
        f"seed={','.join(map(str, range(given.seeds)))}",
        f"hydra.sweep.dir={detectors}",
        "hydra/launcher=joblib",
        f"hydra.launcher.n_jobs={given.jobs}",
    ]
    mmad("mmad-train", sweep, threads=threads)
    baseline = f"adapter=dsta, backbone.weights={RECOGNITION}"
    mmad("mmad-report", [f"runs={detectors}", f'baseline="{baseline}"'], threads=threads)
    print("Linear probes: frame-wise mean average precision on val, percent")
    for name, value in probes.items():
        print(f"  {name}: {value:.1f}  ({weights[name]})")


if __name__ == "__main__":
    main()
