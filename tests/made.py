"""Folders of runs as `mmad-train` leaves them, made by hand: real configurations, planted predictions."""

import csv
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmad.annotations import Clip
from mmad.cli.entry import conf_dir, prepare_environment
from mmad.comparison.records import Cost, Record, RowRecord, RunRecord, Spread
from mmad.diagnosis import measure
from mmad.diagnosis.repeats import Contrast, Repeated
from mmad.formats.mma52 import read_mma52
from mmad.formats.predictions import write_predictions
from mmad.matching import Rows
from mmad.segments import Segments
from mmad.taxonomy import MMA52
from numbered import write_numbered

HEADER = ("id", "video_id", "start_frame", "end_frame", "class", "total_frames", "fps")
FPS, FRAMES = 10, 60
LABELS = (8, 9, 24, 40)


def write_data(root: Path, *, clips: int = 3, split: str = "val", seed: int = 0, people: int | None = None) -> Path:
    """A split in MMA-52's layout: tiny videos, three instances each, of one person each unless there are fewer."""
    rng = np.random.default_rng(seed)
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    with (root / "annotations" / f"{split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(clips):
            clip = f"{1 + number % (people or clips):03}_01_{number:04}_A"
            for label in rng.choice(LABELS, 3, replace=False):
                start = int(rng.integers(0, FRAMES - 25))
                writer.writerow([0, clip, start, start + int(rng.integers(8, 24)), label, FRAMES, float(FPS)])
            (root / split).mkdir(exist_ok=True)
            write_numbered(root / split / f"{clip}.mp4", frames=FRAMES, fps=FPS, width=32, height=32)
    return root


def found_in(clips: Sequence[Clip], *, spread: float, seed: int) -> dict[str, Segments]:
    """Every instance, its ends off by `spread` seconds or so, and a false one in each clip."""
    rng = np.random.default_rng(seed)
    found: dict[str, Segments] = {}
    for clip in clips:
        truth = clip.segments()
        times = truth["segments"].numpy() + rng.normal(0, spread, truth["segments"].shape)
        start = rng.uniform(0, 4)
        times = np.concatenate([np.sort(times, axis=1), [[start, start + 1]]])
        labels = torch.cat([truth["labels"], torch.tensor([int(rng.choice(LABELS))])])
        scores = torch.from_numpy(rng.uniform(0.2, 1, len(times)))
        found[clip.id] = {"segments": torch.from_numpy(times), "labels": labels, "scores": scores}
    return found


@cache
def _composed(overrides: tuple[str, ...]) -> Any:
    prepare_environment()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


def write_run(
    folder: Path,
    *overrides: str,
    root: Path,
    seed: int = 0,
    spread: float = 0.3,
    state: str = "finished",
    device: str = "CPU",
    cwd: Path | None = None,
) -> Path:
    """A run's folder.

    Args:
        folder: is made.
        overrides: arguments of the run beside data and seed.
        root: folder of the data; its `val` is evaluated.
        seed: of the run and of its predictions.
        spread: how far off the ends of its predictions are, in seconds.
        state: "finished"; "untold", without training.json; "failed"; "started", without a configuration of its own; or
            "epoch N", stopped after it.
        device: name in training.json.
        cwd: where it was started.
    """
    data = () if any(each.startswith("data=") for each in overrides) else ("data=mma52",)
    given = (*data, f"data.root={root}", *overrides, f"seed={seed}")
    composed = _composed((*data, "data.root=anywhere", *overrides)).copy()
    OmegaConf.set_struct(composed, False)
    composed.data.root, composed.seed = str(root), seed
    told = composed.pop("hydra")
    choices = OmegaConf.to_container(told.runtime.choices)
    hydra = {"hydra": {"job": {"name": "mmad-train", "config_name": "train"}, "runtime": {"choices": choices}}}
    hydra["hydra"]["runtime"]["cwd"] = str(cwd or Path.cwd())
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(composed, folder / ".hydra" / "config.yaml")
    OmegaConf.save(OmegaConf.create(hydra), folder / ".hydra" / "hydra.yaml")
    OmegaConf.save(OmegaConf.create(list(given)), folder / ".hydra" / "overrides.yaml")
    if state == "failed":
        (folder / "error.txt").write_text("The disk is full; make room.\n")
    if state in ("failed", "started"):
        return folder
    composed.pop("logger")  # it names a folder that only a running job knows
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(composed, resolve=True)), folder / "config.yaml")
    if state.startswith("epoch "):
        (folder / "checkpoints").mkdir()
        torch.save({"epoch": int(state.split()[1]) - 1}, folder / "checkpoints" / "last.ckpt")
        return folder
    clips = read_mma52((cwd or Path.cwd()) / root, str(composed.data.evaluate_split))
    found = found_in(clips, spread=spread, seed=seed)
    write_predictions(folder / "predictions.json", found, taxonomy=MMA52)
    truth = Rows.of([clip.segments() for clip in clips])
    numbers = measure(Rows.of(list(found.values())), truth, taxonomy=MMA52, draws=0)
    (folder / "metrics.json").write_text(json.dumps(numbers))
    (folder / "report.html").write_text("<title>report</title>")
    if state == "finished":
        costs = {
            "epochs": 20,
            "steps": 100,
            "seconds": 100.0 + seed,
            "seconds_per_epoch": 5.0 + seed / 20,
            "peak_memory": 3 * 2**30 + seed,
            "device": device,
            "processes": 1,
            "parameters": {"total": 22_000_000, "trained": 2**21, "trained_in_backbone": 2**20 + 2**19},
        }
        (folder / "training.json").write_text(json.dumps(costs))
    return folder


def record() -> Record:
    """A table of three rows by hand: a baseline with two runs, one with a single run, and one that only a paper has."""
    spread: dict[str, Spread] = {t: {"mean": 40 + 1 / 3, "deviation": 0.5} for t in ("0.1", "0.2", "0.5", "0.7", "0.9")}
    single: dict[str, Spread] = {t: {"mean": 30.0, "deviation": None} for t in spread}
    averages: Repeated = {"runs": [60.0, 62.0], "mean": 61.0, "deviation": 2**0.5, "interval": (58.5, 63.25)}
    alone: Repeated = {"runs": [50.0], "mean": 50.0, "deviation": None, "interval": (47.0, 52.0)}
    contrast: Contrast = {"difference": -11.0, "interval": (-13.5, -8.25), "p": 1 / 1001}
    levels = ("action", "body", "avg")
    cost: Cost = {
        "total": 22_000_000,
        "trained": 12_345_678,
        "trained_in_backbone": 1_891_620,
        "epochs": 20,
        "seconds": 90.0,
        "seconds_per_epoch": 4.5,
        "peak_memory": 2**30 + 2**29,
        "devices": ["H100"],
        "processes": 1,
    }
    paper = {"action": {"0.2": 30.5, "avg": 18.16}, "body": {"avg": 28.7}, "avg": 23.43, "parameters": 1.8}
    base: RowRecord = {
        "name": "DSTA_1 | <b>",
        "seeds": [0, 1],
        "reached": {"map": {"action": spread, "body": spread}, "avg": dict.fromkeys(levels, averages)},
        "contrast": None,
        "paper": paper,
        "cost": cost,
    }
    other: RowRecord = {
        "name": "tia",
        "seeds": [0],
        "reached": {"map": {"action": single, "body": single}, "avg": dict.fromkeys(levels, alone)},
        "contrast": dict.fromkeys(levels, contrast),
        "paper": {},
        "cost": None,
    }
    absent: RowRecord = {
        **other,
        "name": "TadTR",
        "seeds": [],
        "reached": None,
        "contrast": None,
        "paper": {"avg": 13.41},
    }

    def run(setting: str, seed: int, state: str, avg: float | None, folder: str, *, counts: bool = True) -> RunRecord:
        return {
            "setting": setting,
            "seed": seed,
            "state": state,
            "counts": counts,
            "action": avg,
            "body": avg,
            "avg": avg,
            "folder": folder,
            "overrides": {},
        }

    return {
        "title": "Methods & <more>",
        "source": "A paper",
        "baseline": base["name"],
        "split": "val",
        "clips": 1475,
        "instances": 4735,
        "unit": "subject",
        "units": 37,
        "draws": 1000,
        "rows": [base, other, absent],
        "runs": [
            run(base["name"], 0, "finished", 60.0, "sweep/a b#1"),
            run(base["name"], 1, "finished", 62.0, "sweep/1"),
            run("tia", 0, "finished", 50.0, "sweep/2"),
            run("tia", 0, "older", 49.0, "sweep/3", counts=False),
            run("tia", 1, "failed: <script>", None, "sweep/4", counts=False),
            run("adapter=full", 0, "finished", 10.0, "sweep/5", counts=False),
        ],
        "notes": ["tia: seed 1 failed: <script>alert_(1)</script> (sweep/4)."],
        "meaning": ["Intervals are of 95 %."],
    }
