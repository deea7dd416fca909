"""What a comparison of settings gives: the plain record that tables, figure and page are made of."""

from collections.abc import Mapping
from typing import Any, TypedDict

from mmad.diagnosis.repeats import Contrast, Repeated


class Spread(TypedDict):
    """Mean and standard deviation over runs, in percent; no deviation of a single run."""

    mean: float
    deviation: float | None


class Reached(TypedDict):
    """What the runs of a setting reach, in percent.

    Args:
        map: mean AP at the levels `action` and `body`, by tIoU threshold.
        avg: mean over thresholds, at the levels `action`, `body` and `avg`, their mean.
    """

    map: dict[str, dict[str, Spread]]
    avg: dict[str, Repeated]


class Cost(TypedDict):
    """What the runs of a setting cost.

    Args:
        total, trained, trained_in_backbone: parameters.
        epochs: of a run; None where runs differ.
        seconds: in training, mean over runs.
        seconds_per_epoch: mean over runs.
        peak_memory: bytes, the most of all runs; None where nothing tells.
        devices: what the runs ran on, each once.
        processes: the most that trained together.
    """

    total: int
    trained: int
    trained_in_backbone: int
    epochs: int | None
    seconds: float
    seconds_per_epoch: float
    peak_memory: int | None
    devices: list[str]
    processes: int


class RunRecord(TypedDict):
    """A run.

    Args:
        setting: name of its row, or of its setting if it is in none.
        seed: of the run.
        state: "finished"; "older" if a newer run of its seed counts; else why it is not finished.
        counts: whether it is in the table.
        action, body, avg: in percent; None unless it is finished.
        folder: from the folder of all runs.
        overrides: its arguments.
    """

    setting: str
    seed: int | None
    state: str
    counts: bool
    action: float | None
    body: float | None
    avg: float | None
    folder: str
    overrides: dict[str, str]


class RowRecord(TypedDict):
    """A row of the table.

    Args:
        name: of the row.
        seeds: of the runs that count.
        reached: None without a finished run.
        contrast: differences from the baseline by level; None for the baseline itself and without one.
        paper: as in `mmad.comparison.rows.PlannedRow`.
        cost: None where no run tells.
    """

    name: str
    seeds: list[int | None]
    reached: Reached | None
    contrast: dict[str, Contrast] | None
    paper: Mapping[str, Any]
    cost: Cost | None


class Record(TypedDict):
    """What table.json holds.

    Args:
        title: of the table.
        source: where the paper's numbers are from; None without any.
        baseline: name of the row that the others are compared with; None without any finished run.
        split: that all runs were evaluated on; None without any finished run, as are the following.
        clips, instances: how many it has.
        unit, units: what the bootstrap drew, and how many there are; None without intervals.
        draws: of the bootstrap and of the test; 0 without.
        rows: from top to bottom.
        runs: all that were found.
        notes: sentences on what is special.
        meaning: sentences on what the columns mean.
    """

    title: str
    source: str | None
    baseline: str | None
    split: str | None
    clips: int | None
    instances: int | None
    unit: str | None
    units: int | None
    draws: int
    rows: list[RowRecord]
    runs: list[RunRecord]
    notes: list[str]
    meaning: list[str]
