"""What a sweep says when it is over: how each of its jobs went."""

import json
import os
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

FAILURE = "error.txt"
"""What the folder of a job holds after it failed, until it is started again."""

_JOBS = "MMAD_JOBS"
"""Environment variable with the file in which the jobs of the running sweep, in whatever process, note folders."""


class Noting(Callback):
    """Notes which jobs a sweep has started, and where."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra before the first job, in the process that conducts the sweep."""
        folder = Path(config.hydra.sweep.dir).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "jobs.txt").write_text("")
        os.environ[_JOBS] = str(folder / "jobs.txt")

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra before each job, in the job's process."""
        if _JOBS in os.environ:
            with open(os.environ[_JOBS], "a") as file:
                file.write(f"{config.hydra.runtime.output_dir}\n")


def conclude() -> str | None:
    """Prints a line for each job of the sweep that has just been conducted, if there was one.

    Returns:
        A sentence that names those that failed; None where none did.
    """
    told = os.environ.pop(_JOBS, None)
    if told is None:
        return None
    jobs = [Path(line) for line in dict.fromkeys(Path(told).read_text().splitlines())]
    states = {_short(job): _state(job) for job in jobs}
    width = max(map(len, states), default=0)
    print(f"\n{len(states)} jobs")
    for name, state in states.items():
        print(f"  {name:<{width}}  {state}")
    failed = sum(state.startswith("failed: ") for state in states.values())
    if not failed:
        return None
    folder = Path(told).parent
    stamped = os.environ["MMAD_STAMP"] in folder.name and all(job.is_relative_to(folder) for job in jobs)
    place = f" with hydra.sweep.dir={_short(folder)}" if stamped else ""
    return f"{failed} of the sweep's {len(states)} jobs failed; the same command{place} takes up only what is not done."


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _state(job: Path) -> str:
    """How a job went, in a few words."""
    failure = job / FAILURE
    if failure.exists():
        return f"failed: {failure.read_text().strip()}"
    try:
        average = json.loads((job / "metrics.json").read_text()).get("avg")
    except (OSError, ValueError):
        average = None
    return "done" if average is None else f"done, AVG {average:.2f}"
