"""Which setting is in which row of a table, and whether the rows may stand side by side."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmad.comparison.run import Run
from mmad.comparison.settings import ABSENT, Setting, difference, joined, names, shown, unlike, value_of
from mmad.errors import MmadError

_EVALUATED = ("data.root", "data.source", "data.make")
"""Options that say which clips and annotations there are."""

_LEVELS = ("action", "body")
_MOST = 3


@dataclass(frozen=True)
class PlannedRow:
    """A row that a table asks for.

    Args:
        name: of the row.
        match: choices of groups (a list for any of them) and values of options that its runs have; None if no run can
            have them yet.
        paper: what a paper reports, in percent, as far as it is known: `{"action": {"0.2": ..., "avg": ...}, "body":
            {...}, "avg": ..., "parameters": ...}`, the last in units of 2^20.
    """

    name: str
    match: Mapping[str, Any] | None
    paper: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """A table that is asked for.

    Args:
        name: of its file in `conf/table/`.
        title: above it.
        source: where the paper's numbers are from, and on which data; None without any.
        baseline: name of the row that the others are compared with.
        rows: from top to bottom.
        show_empty: whether rows without a run are shown.
        notes: sentences to stand below it.
    """

    name: str
    title: str
    source: str | None
    baseline: str
    rows: Sequence[PlannedRow]
    show_empty: bool
    notes: Sequence[str]


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        name: of the row.
        setting: whose runs it shows; None if there is none.
        paper: as in `PlannedRow`.
    """

    name: str
    setting: Setting | None
    paper: Mapping[str, Any]

    @property
    def finished(self) -> Sequence[Run]:
        """The runs that count."""
        return () if self.setting is None else self.setting.finished


@dataclass(frozen=True)
class Arrangement:
    """Settings in the rows of a table.

    Args:
        title: above the table.
        source: as in `Plan`.
        rows: from top to bottom.
        baseline: name of the row that the others are compared with; None without any finished run.
        left_out: settings that are in no row, by name.
        notes: sentences on what is special.
    """

    title: str
    source: str | None
    rows: Sequence[Row]
    baseline: str | None
    left_out: Mapping[str, Setting]
    notes: Sequence[str]


def plan_of(name: str, node: Mapping[str, Any]) -> Plan | None:
    """The plan that a file of `conf/table/` holds; None for a row per setting.

    Args:
        name: of the file.
        node: what it holds, as plain data.

    Raises:
        MmadError: the file has no title, or a row has no name, or that of another.
    """
    if node.get("rows") is None:
        return None
    titles = [row.get("name") for row in node["rows"]]
    if not node.get("title") or None in titles or len(set(titles)) < len(titles):
        raise MmadError(
            f"table={name}: a title and a name for each row, none twice, are needed in conf/table/{name}.yaml"
        )
    rows = [PlannedRow(str(row["name"]), row.get("match"), row.get("paper") or {}) for row in node["rows"]]
    if unknown := [key for row in rows for key in row.paper if key not in (*_LEVELS, "avg", "parameters")]:
        raise MmadError(
            f"table={name}: a row has the paper's {unknown[0]!r}, expected action, body, avg or parameters; mend "
            f"conf/table/{name}.yaml"
        )
    return Plan(
        name=name,
        title=str(node["title"]),
        source=node.get("source"),
        baseline=str(node.get("baseline") or rows[0].name),
        rows=rows,
        show_empty=bool(node.get("show_empty", True)),
        notes=list(node.get("notes") or ()),
    )


def arrange(settings: Sequence[Setting], plan: Plan | None, *, baseline: str | None = None, title: str) -> Arrangement:
    """Puts settings into the rows of a table.

    Args:
        settings: all that there are.
        plan: what is asked for; None for a row per setting.
        baseline: name of the row to compare with, or of the choice or value that it alone has; None for the plan's, or
            the first.
        title: of a table without a plan.

    Raises:
        MmadError: two settings that have finished runs fit one row, a setting fits two rows, or there is no such
            baseline.
    """
    called = dict(zip(names(settings), settings, strict=True))
    if plan is None:
        rows = [Row(name, setting, {}) for name, setting in called.items()]
        return Arrangement(title, None, rows, _baseline(rows, baseline), {}, [])
    fitting = {row.name: [each for each in settings if _fits(each.first, row.match)] for row in plan.rows}
    for setting in settings:
        if len(twice := [name for name, fits in fitting.items() if any(each is setting for each in fits)]) > 1:
            raise MmadError(
                f"{setting.first.folder} fits two rows of table={plan.name}, {twice[0]!r} and {twice[1]!r}; make their "
                f"match differ in conf/table/{plan.name}.yaml"
            )
    rows = [Row(row.name, _only(fitting[row.name], row=row.name, plan=plan), row.paper) for row in plan.rows]
    if not plan.show_empty:
        rows = [row for row in rows if row.setting is not None]
    placed = [each for fits in fitting.values() for each in fits]
    left_out = {name: each for name, each in called.items() if not any(each is other for other in placed)}
    chosen, notes = _baseline(rows, baseline or plan.baseline, insist=baseline is not None), []
    if awaited := [
        row.name for row in plan.rows if row.match is not None and not fitting[row.name] and plan.show_empty
    ]:
        notes.append(f"No run yet: {'; '.join(awaited)}.")
    if chosen is not None and baseline is None and chosen != plan.baseline:
        notes.append(f"The table's baseline, {plan.baseline}, has no finished run; {chosen} takes its place.")
    return Arrangement(plan.title, plan.source, rows, chosen, left_out, [*notes, *_mixed(rows, plan), *plan.notes])


def check_evaluated_alike(runs: Sequence[Run], *, same: Callable[[Run, Run], bool]) -> None:
    """Refuses to compare runs that were evaluated on other clips, or otherwise counted.

    Args:
        runs: finished ones.
        same: whether two runs whose data have other names or places were evaluated on the same clips and annotations.

    Raises:
        MmadError: two were not evaluated alike.
    """
    for run in runs[1:]:
        first = runs[0]
        if found := _evaluated_otherwise(first, run, same=same):
            key, one, other = found
            raise MmadError(
                f"{first.folder} and {run.folder} were not evaluated alike: {key} is {one} in the first and {other} in "
                f"the second; make a table of each kind, runs= naming a folder that holds no other"
            )


def _evaluated_otherwise(first: Run, run: Run, *, same: Callable[[Run, Run], bool]) -> tuple[str, str, str] | None:
    """The first thing in which two runs' evaluations differ, and its two values."""
    place = [(key, value_of(first, key), value_of(run, key)) for key in _EVALUATED]
    moved = [(key, one, other) for key, one, other in place if one != other]
    if moved and not same(first, run):
        chosen = ("data", value_of(first, "data"), value_of(run, "data"))
        named = [chosen, *moved] if "data" in first.choices and "data" in run.choices else moved
        key, one, other = next(each for each in named if each[1] != each[2])
        return key, shown(one), shown(other)
    counted = [("data.evaluate_split", value_of(first, "data.evaluate_split"), value_of(run, "data.evaluate_split"))]
    mine, others = first.finished["protocol"], run.finished["protocol"]
    counted += [(f"protocol.{key}", mine.get(key), others.get(key)) for key in sorted({*mine, *others})]
    counted += [
        ("the number of clips", first.finished["clips"], run.finished["clips"]),
        ("the number of instances", first.finished["instances"], run.finished["instances"]),
    ]
    return next(((key, shown(one), shown(other)) for key, one, other in counted if one != other), None)


def _fits(run: Run, match: Mapping[str, Any] | None) -> bool:
    if match is None:
        return False
    for key, wanted in match.items():
        value = value_of(run, key)
        if key in run.choices:
            if value not in [str(each) for each in (wanted if isinstance(wanted, list) else [wanted])]:
                return False
        elif value is ABSENT or value != wanted:
            return False
    return True


def _only(fitting: Sequence[Setting], *, row: str, plan: Plan) -> Setting | None:
    finished = [setting for setting in fitting if setting.finished]
    if len(finished) > 1:
        one, other = finished[0].first, finished[1].first
        key, *values = difference(one, other)
        raise MmadError(
            f"row {row!r} of table={plan.name} has two settings: {key} is {values[0]} in {one.folder} and {values[1]} "
            f"in {other.folder}; name a folder that holds one of them with runs=..., or give each a row with table=none"
        )
    return joined(fitting) if fitting else None


def _baseline(rows: Sequence[Row], wanted: str | None, *, insist: bool = True) -> str | None:
    """The name of the row to compare with; without one that is wanted, the first that has a finished run."""
    there = [row.name for row in rows if row.finished]
    exact = [name for name in there if name == wanted]
    alike = [name for name in there if wanted is not None and wanted.lower() in _parts(name)]
    if wanted is None or (not insist and not exact):
        return there[0] if there else None
    if exact or len(alike) == 1:
        return (exact or alike)[0]
    if not there:
        return None
    raise MmadError(
        f"baseline={wanted}: {'several rows are called so' if alike else 'no row with a finished run is called so'}; "
        f"choose one of {'; '.join(there)}"
    )


def _parts(name: str) -> list[str]:
    """What a row may be called for short: its name, or an argument in it, or the value of one, in small letters."""
    arguments = name.lower().split(", ")
    return [name.lower(), *arguments, *(re.sub(r"^[^=]*=", "", each) for each in arguments)]


def _mixed(rows: Sequence[Row], plan: Plan) -> list[str]:
    """Says in which options the rows differ that the table is not about."""
    about = list(dict.fromkeys(key for row in plan.rows for key in row.match or ()))
    found = unlike({row.name: row.setting.first for row in rows if row.setting is not None}, about=about)
    told = []
    for key, values in found[:_MOST]:
        of_value: dict[str, list[str]] = {}
        for name, value in values.items():
            of_value.setdefault(value, []).append(name)
        told.append(f"{key} is " + ", ".join(f"{value} in {' and '.join(rows)}" for value, rows in of_value.items()))
    if not told:
        return []
    more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return [f"More is set than the table compares: {'; '.join(told)}{more}."]
