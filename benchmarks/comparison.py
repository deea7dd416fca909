"""Trains detectors in several settings with several seeds and compares them: what the comparisons here share."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tqdm import tqdm

from mmad.cli.entry import conf_dir, prepare_environment
from mmad.diagnosis.repeats import Contrast, Repeated, repeated
from mmad.formats.mma52 import read_mma52
from mmad.formats.predictions import read_predictions
from mmad.matching import Rows
from mmad.pairing import pair_up
from mmad.plots import style
from mmad.plots.settings import settings_figure
from mmad.taxonomy import MMA52

SHORT = ["data=demo_large", "report.figures=[]"]


def arguments(description: str, *, folder: str) -> argparse.Namespace:
    """The command line of a comparison."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(folder), help="for the runs; what it holds is kept"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each setting")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, each with its share of the cores")
    parser.add_argument("--overrides", nargs="*", default=SHORT, help="what all runs share; the default is a short run")
    return parser.parse_args()


def draw(config: str, overrides: Sequence[str]) -> None:
    """Draws the clips that a command's configuration asks for, before several runs want them at once."""
    prepare_environment()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose(config, overrides=list(overrides))
    instantiate(cfg.data, _convert_="all").prepare_data()


def mmad(command: str, overrides: Sequence[str], *, run: Path, threads: int) -> None:
    """One run of a command, unless its folder holds it already; its output goes to `run`.log.

    Raises:
        RuntimeError: it failed, or the folder holds a run with other arguments.
    """
    done = run / ("metrics.json" if command == "mmad-train" else "weights.safetensors")
    if done.exists():
        given = list(OmegaConf.load(run / ".hydra" / "overrides.yaml"))
        if given != list(overrides):
            raise RuntimeError(f"{run} holds a run with {given}, not {list(overrides)}; choose another folder")
        return
    run.parent.mkdir(parents=True, exist_ok=True)
    line = [str(Path(sys.executable).parent / command), *overrides, f"hydra.run.dir={run}"]
    with run.with_suffix(".log").open("w") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        code = subprocess.run(line, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False).returncode
    if code or not done.exists():
        raise RuntimeError(f"{run} failed; see {run.with_suffix('.log')}")


def train_all(
    settings: Mapping[str, Sequence[str]], *, folder: Path, seeds: int, jobs: int, overrides: Sequence[str]
) -> None:
    """All runs that the folder lacks, seed by seed, so that a broken-off comparison has whole seeds.

    Raises:
        SystemExit: some failed; the others are done first.
    """
    threads = max((os.cpu_count() or 1) // jobs, 1)
    draw("train", overrides)
    wanted = [(name, seed) for seed in range(seeds) for name in settings]
    failed = []
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(wanted), desc="train", unit="run") as bar:

        def job(name: str, seed: int) -> None:
            try:
                run = run_folder(folder, name, seed)
                mmad("mmad-train", [*overrides, *settings[name], f"seed={seed}"], run=run, threads=threads)
            except RuntimeError as error:
                failed.append(str(error))
            bar.update()

        list(pool.map(lambda each: job(*each), wanted))
    if failed:
        sys.exit("\n".join(failed))


def run_folder(folder: Path, name: str, seed: int) -> Path:
    """Where a run lies."""
    return folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}-{seed}"


def compared(
    settings: Sequence[str], *, folder: Path, seeds: int, baseline: str
) -> tuple[dict[str, dict[str, Repeated]], dict[str, dict[str, Contrast]]]:
    """What the runs reach on the split that they were evaluated on, and the differences from a baseline."""
    first = OmegaConf.load(run_folder(folder, settings[0], 0) / "config.yaml").data
    clips = read_mma52(Path(first.root), first.evaluate_split)
    runs: dict[str, list[Rows]] = {}
    for name in tqdm(settings, desc="read", leave=False):
        runs[name] = []
        for seed in range(seeds):
            found = read_predictions(run_folder(folder, name, seed) / "predictions.json", taxonomy=MMA52)
            table, _ = pair_up(found, [clip.id for clip in clips])
            runs[name].append(Rows.of(list(table.values())))
    return repeated(
        runs,
        Rows.of([clip.segments() for clip in clips]),
        taxonomy=MMA52,
        subjects=[clip.subject for clip in clips],
        baseline=baseline,
    )


def report(
    settings: Mapping[str, Sequence[str]],
    *,
    folder: Path,
    seeds: int,
    baseline: str,
    columns: Mapping[str, Mapping[str, str]],
) -> None:
    """Prints a Markdown table and writes it with its figure and numbers into the folder.

    Args:
        settings: what was compared.
        folder: that of the runs.
        seeds: runs of each setting.
        baseline: what the others are compared with.
        columns: further columns by title, each with a cell by setting.
    """
    reached, contrasts = compared(list(settings), folder=folder, seeds=seeds, baseline=baseline)
    head = ["setting", "action", "body", "AVG", "runs", f"against {baseline}", "p (these runs)", *columns]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, levels in reached.items():
        cells = [name, *(_value(levels[level]) for level in ("action", "body", "avg"))]
        cells.append(", ".join(f"{value:.1f}" for value in levels["avg"]["runs"]))
        cells += _contrast(contrasts[name]["avg"]) if name in contrasts else ["", ""]
        lines.append("| " + " | ".join([*cells, *(column.get(name, "") for column in columns.values())]) + " |")
    (folder / "comparison.md").write_text("\n".join(lines) + "\n")
    (folder / "comparison.json").write_text(json.dumps({"reached": reached, "contrasts": contrasts}, indent=2) + "\n")
    averages = {name: levels["avg"] for name, levels in reached.items()}
    style.save(settings_figure(averages, title="Mean of action and body level"), folder / "comparison", formats=["png"])
    print("\n".join(["", *lines, ""]))
    for name in ("comparison.md", "comparison.json", "comparison.png"):
        print(f"  {folder / name}")


def _value(of: Repeated) -> str:
    return f"{of['mean']:.1f}" + (f" ({of['interval'][0]:.1f}-{of['interval'][1]:.1f})" if of["interval"] else "")


def _contrast(of: Contrast) -> list[str]:
    low, high = of["interval"] or (float("nan"), float("nan"))
    return [f"{of['difference']:+.1f} ({low:+.1f} to {high:+.1f})", "" if of["p"] is None else f"{of['p']:.3f}"]
