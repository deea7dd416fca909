"""What a reader of a table of settings must know, in sentences."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmad.comparison.rows import Arrangement, Row
from mmad.comparison.run import Run
from mmad.comparison.settings import Setting

_MANY = 3
"""So many comparisons with one baseline make a small p of one of them no surprise."""


def remarks(
    arrangement: Arrangement,
    *,
    folder: Path,
    without_intervals: str | None,
    unit: str | None,
    units: int | None,
    draws: int,
) -> tuple[list[str], list[str]]:
    """Sentences on what is special, and on what the columns mean.

    Args:
        arrangement: the rows.
        folder: that all runs lie in.
        without_intervals: why there are none although they were asked for.
        unit, units: what the bootstrap drew, and how many there are; None without intervals.
        draws: of the bootstrap and of the test.
    """
    notes = [
        *_lacking(arrangement.rows, folder=folder),
        *_left_out(arrangement.left_out),
        *_twice(arrangement.rows, folder=folder),
        *arrangement.notes,
        *_other_data(arrangement),
        *_devices(arrangement.rows),
    ]
    if without_intervals is not None:
        notes.append(f"No intervals and no p: {_sentence(without_intervals)}")
    several = any(len(row.finished) > 1 for row in arrangement.rows)
    if unit is None:
        return notes, _meaning(arrangement, unit=None, units=0, draws=0, several=several)
    single = [row.name for row in arrangement.rows if len(row.finished) == 1]
    if single and several:
        notes.append(
            f"{_listed(single)}: one run each, so how far trainings vary is not in their intervals."
            if len(single) > 1
            else f"{single[0]}: one run, so how far trainings vary is not in its interval."
        )
    return notes, _meaning(arrangement, unit=unit, units=units or 0, draws=draws, several=several)


_SPREAD = "SD is the standard deviation of the runs, which differ in the seed."


def _meaning(arrangement: Arrangement, *, unit: str | None, units: int, draws: int, several: bool) -> list[str]:
    compared = sum(1 for row in arrangement.rows if row.finished and row.name != arrangement.baseline)
    spread = [_SPREAD] if several else []
    if unit is None:
        return [*spread, *([f"Differences are in AVG, from {arrangement.baseline}."] if compared else [])]
    anew = " and the settings trained anew" if several else ""
    widened = ", widened by Student's t of the runs" if several else ""
    others = "other people shown" if unit == "subject" else "other clips shown"
    each, paired = ("person by person", "people") if unit == "subject" else ("clip by clip", "clips")
    sentences = [
        *spread,
        f"Intervals are of 95 %, were {others}{anew}: a bootstrap over {units} {unit}s{widened}.",
    ]
    if compared:
        sentences += [
            f"Differences are in AVG, from {arrangement.baseline}, paired in {paired}.",
            f"p: of {draws:,} random exchanges of the two settings' predictions, {each}, the share that gives a "
            f"difference at least as large. It speaks of these very runs; where trainings vary, it is small by the "
            f"luck of their seeds too, and the interval is what speaks of settings.",
        ]
    if compared >= _MANY:
        sentences.append(f"{compared} rows are compared with one, so one p below 0.05 would be no surprise.")
    return sentences


def _lacking(rows: Sequence[Row], *, folder: Path) -> list[str]:
    """Says which runs are missing, unfinished or failed."""
    seeds = sorted({run.seed for row in rows for run in _all(row) if run.seed is not None})
    told = []
    for row in rows:
        there = {run.seed for run in _all(row)}
        if not there:
            continue
        unfinished = row.setting.unfinished if row.setting is not None else ()
        parts = [f"seed {run.seed} {_state(run)} ({_place(run, folder)})" for run in unfinished]
        if absent := [str(seed) for seed in seeds if seed not in there]:
            parts.append(
                f"{'seeds' if absent[1:] else 'seed'} {_listed(absent)} {'have' if absent[1:] else 'has'} no run"
            )
        if parts:
            told.append(_sentence(f"{row.name}: {'; '.join(parts)}"))
    return told


def _state(run: Run) -> str:
    lacks = run.lacks or ""
    return lacks if lacks.startswith(("failed", "stopped")) else f"is not finished: {lacks}"


def _all(row: Row) -> list[Run]:
    return [] if row.setting is None else [*row.setting.finished, *row.setting.unfinished]


def _left_out(settings: Mapping[str, Setting]) -> list[str]:
    if not settings:
        return []
    told = []
    for name, setting in settings.items():
        count = len(setting.finished) + len(setting.unfinished)
        told.append(f"{name} ({count} {'run' if count == 1 else 'runs'})")
    return [f"Left out, since {'it fits' if len(told) == 1 else 'they fit'} no row: {'; '.join(told)}."]


def _twice(rows: Sequence[Row], *, folder: Path) -> list[str]:
    told = []
    for row in rows:
        for run in row.setting.surplus if row.setting is not None else ():
            newer = next(each for each in row.finished if each.seed == run.seed)
            told.append(
                f"{row.name}: seed {run.seed} was run more than once; {_place(newer, folder)} counts, the newest that "
                f"is finished, and {_place(run, folder)} does not."
            )
    return told


def _other_data(arrangement: Arrangement) -> list[str]:
    """Warns of reading the paper's numbers beside those of other data."""
    data = {run.choices.get("data", run.config["data"]["root"]) for row in arrangement.rows for run in row.finished}
    if arrangement.source is None or not any(row.paper for row in arrangement.rows):
        return []
    told = f"The paper's numbers: {arrangement.source}."
    if foreign := sorted(str(each) for each in data if each not in ("mma52", "features")):
        told += f" The runs here are on data={_listed(foreign)}, so the two are not to be compared with each other."
    if "features" in data:
        told += " Features do not say here whose clips they are of; unless of MMA-52, the two are not to be compared."
    return [told]


def _devices(rows: Sequence[Row]) -> list[str]:
    devices = {
        f"{run.training['device']} x {run.training['processes']}"
        for row in rows
        for run in row.finished
        if run.training is not None
    }
    if len(devices) < 2:
        return []
    return [f"Time and memory are of different devices: {_listed(sorted(devices))}."]


def _place(run: Run, folder: Path) -> str:
    return run.folder.relative_to(folder).as_posix()


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
