"""What the settings of a table reach, and how they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmad.annotations import Clip
from mmad.average_precision import Protocol
from mmad.comparison.records import Cost, Reached, Record, RunRecord, Spread
from mmad.comparison.remarks import remarks
from mmad.comparison.rows import Arrangement, Row
from mmad.comparison.run import Run
from mmad.comparison.settings import Setting
from mmad.diagnosis.repeats import LEVELS, Contrast, Repeated, repeated
from mmad.errors import MmadError
from mmad.formats.predictions import read_predictions
from mmad.matching import Rows
from mmad.pairing import pair_up
from mmad.taxonomy import Taxonomy

_ALIKE = 0.005
"""Points by which a run's AVG may be another than its metrics.json says."""


@dataclass(frozen=True)
class GroundTruth:
    """What all runs were evaluated on.

    Args:
        clips: in any order.
        taxonomy: the classes.
    """

    clips: Sequence[Clip]
    taxonomy: Taxonomy

    def same(self, other: "GroundTruth") -> bool:
        """Whether the other has the same clips, people, annotations and classes, wherever the videos are."""
        mine, others = ({clip.id: (clip.subject, clip.instances) for clip in each.clips} for each in (self, other))
        return mine == others and self.taxonomy == other.taxonomy


def compare(arrangement: Arrangement, truth: GroundTruth | MmadError | None, *, folder: Path, draws: int) -> Record:
    """Means, deviations, intervals, differences and costs of the rows of a table.

    Args:
        arrangement: the rows; their runs were evaluated alike.
        truth: what they were evaluated on; why it cannot be read, and then there are neither intervals nor p; or None
            if there is no finished run.
        folder: that all runs lie in.
        draws: of the bootstrap and of the permutation test; 0 for neither.
    """
    rows = {row.name: row for row in arrangement.rows}
    finished = {name: row for name, row in rows.items() if row.finished}
    reached = {name: _reached(row.finished) for name, row in finished.items()}
    contrasts = _differences(reached, baseline=arrangement.baseline)
    why, unit, units = None, None, None
    if isinstance(truth, MmadError):
        why = str(truth)
    elif truth is not None and len({clip.subject or clip.id for clip in truth.clips}) < 2:
        why = "all clips show one person"
    elif truth is not None and arrangement.baseline is not None and draws:
        try:
            averages, contrasts = _uncertain(finished, truth, baseline=arrangement.baseline, draws=draws)
            for name, levels in averages.items():
                reached[name]["avg"] = levels
            people = {clip.subject for clip in truth.clips}
            unit, units = ("clip", len(truth.clips)) if None in people else ("subject", len(people))
        except MmadError as error:
            why = str(error)
    any_run = next((row.finished[0] for row in finished.values()), None)
    record: Record = {
        "title": arrangement.title,
        "source": arrangement.source,
        "baseline": arrangement.baseline,
        "split": None if any_run is None else str(any_run.config["data"].get("evaluate_split")),
        "clips": None if any_run is None else any_run.finished["clips"],
        "instances": None if any_run is None else any_run.finished["instances"],
        "unit": unit,
        "units": units,
        "draws": draws if unit else 0,
        "rows": [
            {
                "name": name,
                "seeds": [run.seed for run in row.finished],
                "reached": reached.get(name),
                "contrast": contrasts.get(name),
                "paper": dict(row.paper),
                "cost": _cost(row.finished),
            }
            for name, row in rows.items()
        ],
        "runs": _runs(arrangement, folder=folder),
        "notes": [],
        "meaning": [],
    }
    notes, meaning = remarks(arrangement, folder=folder, without_intervals=why, unit=unit, units=units, draws=draws)
    record["notes"], record["meaning"] = notes, meaning
    return record


def _spread(values: Sequence[float]) -> Spread:
    return {
        "mean": float(np.mean(values)),
        "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
    }


def _averages(run: Run) -> dict[str, float]:
    metrics = run.finished
    return {"action": metrics["action"]["avg"], "body": metrics["body"]["avg"], "avg": metrics["avg"]}


def _reached(runs: Sequence[Run]) -> Reached:
    maps = {
        "action": [run.finished["action"]["map"] for run in runs],
        "body": [run.finished["body"]["map"] for run in runs],
    }
    averages = {level: [_averages(run)[level] for run in runs] for level in LEVELS}
    return {
        "map": {level: {t: _spread([each[t] for each in of]) for t in of[0]} for level, of in maps.items()},
        "avg": {level: {"runs": values, **_spread(values), "interval": None} for level, values in averages.items()},
    }


def _differences(reached: Mapping[str, Reached], *, baseline: str | None) -> dict[str, dict[str, Contrast]]:
    """Differences of the means alone."""
    if baseline is None:
        return {}
    base = reached[baseline]["avg"]
    return {
        name: {
            level: {"difference": of["avg"][level]["mean"] - base[level]["mean"], "interval": None, "p": None}
            for level in LEVELS
        }
        for name, of in reached.items()
        if name != baseline
    }


def _uncertain(
    rows: Mapping[str, Row], truth: GroundTruth, *, baseline: str, draws: int
) -> tuple[dict[str, dict[str, Repeated]], dict[str, dict[str, Contrast]]]:
    """What `mmad.diagnosis.repeats.repeated` says of the rows, with a progress bar on a terminal.

    Raises:
        MmadError: predictions are missing, or are not those that a metrics.json is about.
    """
    of_rows: dict[str, list[Rows]] = {}
    for name, row in rows.items():
        of_rows[name] = [_predictions(run, truth) for run in row.finished]
    protocol = Protocol(**rows[baseline].finished[0].finished["protocol"])  # type: ignore[arg-type]
    ground_truth = Rows.of([clip.segments() for clip in truth.clips])
    subjects = [clip.subject for clip in truth.clips]
    reached: dict[str, dict[str, Repeated]] = {}
    contrasts: dict[str, dict[str, Contrast]] = {}
    others = [name for name in of_rows if name != baseline]
    # Two by two, which gives the same as all at once: the draws depend on the people alone.
    for name in tqdm(others or [baseline], desc="intervals", unit="setting", leave=False, disable=None):
        both = {each: of_rows[each] for each in dict.fromkeys((baseline, name))}
        averages, differences = repeated(
            both,
            ground_truth,
            taxonomy=truth.taxonomy,
            subjects=subjects,
            baseline=baseline,
            protocol=protocol,
            draws=draws,
        )
        for each in both:
            _check_unchanged(averages[each], rows[each].finished)
        reached |= averages
        contrasts |= differences
    return reached, contrasts


def _predictions(run: Run, truth: GroundTruth) -> Rows:
    found = read_predictions(run.folder / "predictions.json", taxonomy=truth.taxonomy)
    try:
        table, _ = pair_up(found, [clip.id for clip in truth.clips])
    except MmadError as error:
        raise MmadError(f"{run.folder}: {error}") from error
    return Rows.of(list(table.values()))


def _check_unchanged(averages: Mapping[str, Repeated], runs: Sequence[Run]) -> None:
    for run, value in zip(runs, averages["avg"]["runs"], strict=True):
        told = run.finished["avg"]
        if abs(value - told) > _ALIKE:
            raise MmadError(
                f"{run.folder} has AVG {told:.2f}, but its predictions.json gives {value:.2f} with the annotations as "
                f"they are now; evaluate its checkpoint anew with mmad-eval"
            )


def _cost(runs: Sequence[Run]) -> Cost | None:
    told = [run.training for run in runs if run.training is not None]
    if not told:
        return None
    peaks = [each["peak_memory"] for each in told if each["peak_memory"] is not None]
    epochs = {each["epochs"] for each in told}
    return {
        **told[0]["parameters"],
        "epochs": epochs.pop() if len(epochs) == 1 else None,
        "seconds": float(np.mean([each["seconds"] for each in told])),
        "seconds_per_epoch": float(np.mean([each["seconds_per_epoch"] for each in told])),
        "peak_memory": max(peaks, default=None),
        "devices": list(dict.fromkeys(each["device"] for each in told)),
        "processes": max(each["processes"] for each in told),
    }


def _runs(arrangement: Arrangement, *, folder: Path) -> list[RunRecord]:
    """Those of the rows, then those that are in none."""
    placed = [(row.name, row.setting, True) for row in arrangement.rows if row.setting is not None]
    placed += [(name, setting, False) for name, setting in arrangement.left_out.items()]
    return [record for name, setting, counts in placed for record in _of_setting(name, setting, counts, folder)]


def _of_setting(name: str, setting: Setting, counts: bool, folder: Path) -> list[RunRecord]:
    states = [(run, "finished") for run in setting.finished]
    states += [(run, run.lacks or "older") for run in (*setting.unfinished, *setting.surplus)]
    found: list[RunRecord] = []
    for run, state in sorted(states, key=lambda each: (each[0].seed is None, each[0].seed or 0)):
        averages: Mapping[str, float | None] = dict.fromkeys(LEVELS) if run.metrics is None else _averages(run)
        found.append(
            {
                "setting": name,
                "seed": run.seed,
                "state": state,
                "counts": counts and state == "finished",
                "action": averages["action"],
                "body": averages["body"],
                "avg": averages["avg"],
                "folder": run.folder.relative_to(folder).as_posix(),
                "overrides": dict(run.overrides),
            }
        )
    return found
