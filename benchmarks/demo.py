"""Trains the demo with three seeds and its controls, and prints a table with intervals over subjects.

Run from the project's root; takes about four minutes per training run on two free cores:

    python benchmarks/demo.py [FOLDER]

A run that FOLDER (default: runs/benchmark-demo) already holds is not repeated. The intervals are basic bootstrap
intervals: subjects are drawn with replacement, each draw is evaluated anew, and its difference from the whole is turned
round. (Plain percentiles lie too high: a draw repeats people and misses rare classes.)
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from mmad.annotations import Clip
from mmad.average_precision import detection_map
from mmad.formats.mma52 import read_mma52
from mmad.formats.predictions import read_predictions
from mmad.matching import Rows
from mmad.segments import Segments
from mmad.taxonomy import MMA52

DRAWS = 300
RUNS = {
    "DSTA, seed 0": ["seed=0"],
    "DSTA, seed 1": ["seed=1"],
    "DSTA, seed 2": ["seed=2"],
    "one still frame per chunk": ["data.control=still"],
    "shuffled labels": ["data.control=shuffled"],
}


def rows(table: dict[str, Segments], names: list[str], *, scored: bool) -> Rows:
    """Segments of the named clips, one after the other; a name may come more than once."""
    parts = [table[name] for name in names]
    return Rows(
        clip=np.repeat(np.arange(len(names)), [len(part["labels"]) for part in parts]),
        label=np.concatenate([part["labels"].numpy() for part in parts]),
        segment=np.concatenate([part["segments"].double().numpy() for part in parts]),
        score=np.concatenate([part["scores"].double().numpy() for part in parts]) if scored else None,
    )


def measure(predictions: dict[str, Segments], clips: list[Clip]) -> str:
    """Action, body and AVG in percent with 95 % intervals over subjects, as cells of a Markdown table."""
    truth = {clip.id: clip.segments() for clip in clips}
    by_subject: dict[str, list[str]] = {}
    for clip in clips:
        by_subject.setdefault(str(clip.subject), []).append(clip.id)
    subjects = sorted(by_subject)

    def score(chosen: list[str]) -> tuple[float, float, float]:
        names = [name for subject in chosen for name in by_subject[subject]]
        report = detection_map(rows(predictions, names, scored=True), rows(truth, names, scored=False), taxonomy=MMA52)
        return report["action"]["avg"], report["body"]["avg"], report["avg"]

    generator = np.random.default_rng(0)
    draws = np.array([score(list(generator.choice(subjects, len(subjects)))) for _ in range(DRAWS)])
    whole = np.array(score(subjects))
    high, low = 2 * whole - np.percentile(draws, [2.5, 97.5], axis=0)
    return " | ".join(f"{v:.1f} ({a:.1f}-{b:.1f})" for v, a, b in zip(whole, low, high, strict=True))


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
        lines.append(f"| {name} | {measure(predictions, clips['test'])} |")
        print(lines[-1], flush=True)
    lines.append(f"| class priors, whole clip | {measure(prior(clips['train'], clips['test']), clips['test'])} |")
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
