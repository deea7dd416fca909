"""What a sweep says when it is over: how each of its jobs went."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

FAILURE = "error.txt"
"""What the folder of a job holds after it failed, until it is started again."""

DONE = "done"

_JOBS = "MMAD_JOBS"
"""Environment variable with the file in which the jobs of the running sweep, in whatever process, note folders."""


_conducting: set[int] = set()
"""Id of this process while it conducts a sweep."""


class Noting(Callback):
    """Notes which jobs a sweep has started, and where."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra before the first job, in the process that conducts the sweep."""
        folder = Path(config.hydra.sweep.dir).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "jobs.txt").write_text("")
        os.environ[_JOBS] = str(folder / "jobs.txt")
        _conducting.add(os.getpid())

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra before each job, in the job's process."""
        note(Path(config.hydra.runtime.output_dir), "not finished")


def note(job: Path, state: str) -> None:
    """Notes how a sweep's job goes, for the closing list; of another job, and where nothing can be written, nothing."""
    if _JOBS in os.environ:
        with suppress(OSError), open(os.environ[_JOBS], "a") as file:
            file.write(f"{job}\t{' '.join(state.split())}\n")


def conclude() -> str | None:
    """Prints a line for each job of the sweep that has just been conducted, if there was one.

    Returns:
        A sentence that says how many are not done; None where all are.
    """
    # The further processes of a job have the variable too.
    if os.getpid() not in _conducting:
        return None
    _conducting.clear()
    told = os.environ.pop(_JOBS)
    lines = (line.partition("\t") for line in Path(told).read_text().splitlines())
    states = {Path(job): state for job, _, state in lines}
    width = max((len(_short(job)) for job in states), default=0)
    print(f"\n{len(states)} job{'s' if len(states) > 1 else ''}")
    for job, state in states.items():
        print(f"  {_short(job):<{width}}  {state}{_average(job) if state == DONE else ''}")
    missing = sum(state != DONE for state in states.values())
    if not missing:
        return None
    folder = Path(told).parent
    stamped = os.environ["MMAD_STAMP"] in folder.name and all(job.is_relative_to(folder) for job in states)
    place = f" with hydra.sweep.dir={_short(folder)}" if stamped else ""
    count = f"{missing} of the sweep's {len(states)} jobs failed"
    return f"{count}; the same command{place} takes up only what is not done."


def _average(job: Path) -> str:
    """What an evaluation came to."""
    try:
        return f", AVG {json.loads((job / 'metrics.json').read_text())['avg']:.2f}"
    except (OSError, ValueError, KeyError):
        return ""


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
