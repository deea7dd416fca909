"""Trains the demo with three seeds and its controls, and prints a table with intervals over subjects.

Run from the project's root; takes about four minutes per training run on two free cores:

    python benchmarks/demo.py [FOLDER]

A run that FOLDER (default: runs/benchmark-demo) already holds is not repeated. Intervals are those of every report.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from mmad.annotations import Clip
from mmad.diagnosis import measure
from mmad.formats.mma52 import read_mma52
from mmad.formats.predictions import read_predictions
from mmad.matching import Rows
from mmad.pairing import pair_up
from mmad.segments import Segments
from mmad.taxonomy import MMA52

RUNS = {
    "DSTA, seed 0": ["seed=0"],
    "DSTA, seed 1": ["seed=1"],
    "DSTA, seed 2": ["seed=2"],
    "one still frame per chunk": ["data.control=still"],
    "shuffled labels": ["data.control=shuffled"],
}


def measured(predictions: dict[str, Segments], clips: list[Clip]) -> str:
    """Action, body and AVG in percent with 95 % intervals over subjects, as cells of a Markdown table."""
    table, _ = pair_up(predictions, [clip.id for clip in clips])
    numbers = measure(
        Rows.of(list(table.values())),
        Rows.of([clip.segments() for clip in clips]),
        taxonomy=MMA52,
        subjects=[str(clip.subject) for clip in clips],
    )
    values = [(numbers[level]["avg"], numbers[level]["intervals"]["avg"]) for level in ("action", "body")]
    values.append((numbers["avg"], numbers["interval"]))
    return " | ".join(f"{value:.1f} ({low:.1f}-{high:.1f})" for value, (low, high) in values)


def prior(train: list[Clip], test: list[Clip]) -> dict[str, Segments]:
    """Every class over the whole clip, scored by its share of the training instances."""
    labels = np.concatenate([clip.segments()["labels"].numpy() for clip in train])
    share = torch.from_numpy(np.bincount(labels, minlength=len(MMA52.actions)) / len(labels))
    classes = torch.nonzero(share)[:, 0]
    return {
        clip.id: {
            "segments": torch.tensor([[0.0, clip.duration]]).expand(len(classes), 2),
            "labels": classes,
            "scores": share[classes],
        }
        for clip in test
    }


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/benchmark-demo")
    lines = ["| run | action | body | AVG |", "|---|---|---|---|"]
    clips: dict[str, list[Clip]] = {}
    for name, arguments in RUNS.items():
        run = folder / name.replace(",", "").replace(" ", "-")
        if not (run / "metrics.json").exists():
            command = ["mmad-train", *arguments, f"hydra.run.dir={run}"]
            subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], check=True)
        if not clips:
            root = Path(OmegaConf.load(run / "config.yaml").data.root)
            clips = {split: read_mma52(root, split) for split in ("train", "test")}
        predictions = read_predictions(run / "predictions.json", taxonomy=MMA52)
        lines.append(f"| {name} | {measured(predictions, clips['test'])} |")
        print(lines[-1], flush=True)
    lines.append(f"| class priors, whole clip | {measured(prior(clips['train'], clips['test']), clips['test'])} |")
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
