"""Tables of settings that were each trained several times, beside a paper's numbers."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any, Literal, get_args

from mmad.comparison.records import Reached, Record, RowRecord, Spread
from mmad.diagnosis.records import Interval
from mmad.diagnosis.repeats import Repeated
from mmad.tables.table import Cell, Table, _markdown, _numeric, _shown, ends, to_latex, to_markdown, with_ends

_LEVELS = ("action", "body")
_THRESHOLDS = ("0.2", "0.5", "0.7")
_UNIT = 2**20
"""The paper's Table 4 counts parameters in these."""
_GIB = 2**30
_Of = Literal["total", "trained", "trained_in_backbone", "epochs", "seconds", "seconds_per_epoch", "peak_memory"]
_COSTS: tuple[_Of, ...] = get_args(_Of)


def tables_of(record: Record) -> list[Table]:
    """The tables for readers: what the settings reach, at which thresholds, and what they cost; those without a row are
    left out."""
    return [table for table in (results(record), thresholds(record), costs(record)) if table.rows]


def results(record: Record) -> Table:
    """A row per setting: averages beside the paper's, the difference from the baseline, and costs in short."""
    paper = [
        level for level in ("avg", "action") if any(level_of(row["paper"], level) is not None for row in record["rows"])
    ]
    columns: dict[str, list[Cell]] = {"setting": [row["name"] for row in record["rows"]]}
    for level, title in (("action", "action Avg (%)"), ("body", "body Avg (%)")):
        columns[title] = [_mean(row, level) for row in record["rows"]]
    if paper[:1] == ["action"]:
        columns["paper, action (%)"] = [level_of(row["paper"], "action") for row in record["rows"]]
    columns["AVG (%)"] = [_mean(row, "avg") for row in record["rows"]]
    columns |= _interval("AVG (%)", [_bounds(row) for row in record["rows"]])
    columns["SD (%)"] = [_deviation(row, "avg") for row in record["rows"]]
    if paper[:1] == ["avg"]:
        columns["paper, AVG (%)"] = [level_of(row["paper"], "avg") for row in record["rows"]]
    columns["runs"] = [len(row["seeds"]) for row in record["rows"]]
    contrasts = [None if row["contrast"] is None else row["contrast"]["avg"] for row in record["rows"]]
    columns["difference (points)"] = [None if of is None else of["difference"] for of in contrasts]
    columns |= _interval("difference (points)", [None if of is None else of["interval"] for of in contrasts])
    columns["p (0-1)"] = [None if of is None else of["p"] for of in contrasts]
    columns["trained in backbone (2^20)"] = [_in_backbone(row) for row in record["rows"]]
    columns["paper (2^20)"] = [row["paper"].get("parameters") for row in record["rows"]]
    cost = [row["cost"] for row in record["rows"]]
    columns["s per epoch"] = [None if of is None else of["seconds_per_epoch"] for of in cost]
    columns["peak memory (GiB)"] = [_gib(None if of is None else of["peak_memory"]) for of in cost]
    return _table("results", record["title"], columns)


def thresholds(record: Record) -> Table:
    """The columns of the paper's Table 3: mean of a setting's runs, their deviation, and the paper's row."""
    header = (
        "setting",
        "",
        *(f"{level} {_column(key)} (%)" for level in _LEVELS for key in (*_THRESHOLDS, "avg")),
        "AVG (%)",
    )
    rows: list[tuple[Cell, ...]] = []
    for row in record["rows"]:
        runs = len(row["seeds"])
        if row["reached"] is not None:
            what = f"mean of {runs} runs" if runs > 1 else "1 run"
            rows.append((row["name"], what, *_spreads(row["reached"], deviation=False)))
        if row["reached"] is not None and runs > 1:
            rows.append((row["name"], "SD", *_spreads(row["reached"], deviation=True)))
        told = [_paper(row["paper"], level, key) for level in _LEVELS for key in (*_THRESHOLDS, "avg")]
        if any(value is not None for value in (*told, row["paper"].get("avg"))):
            rows.append((row["name"], "paper", *told, row["paper"].get("avg")))
    return Table("thresholds", "Detection-mAP by tIoU threshold", header, rows)


def costs(record: Record) -> Table:
    """What the runs of each setting cost; settings whose runs do not tell are left out."""
    header = (
        "setting",
        "parameters",
        "trained",
        "trained in backbone",
        "epochs",
        "s per epoch",
        "training (min)",
        "peak memory (GiB)",
        "processes",
        "device",
    )
    rows: list[tuple[Cell, ...]] = []
    for row in record["rows"]:
        of = row["cost"]
        if of is not None:
            sizes = (of["total"], of["trained"], of["trained_in_backbone"])
            times = (of["epochs"], of["seconds_per_epoch"], of["seconds"] / 60, _gib(of["peak_memory"]))
            rows.append((row["name"], *sizes, *times, of["processes"], ", ".join(of["devices"])))
    return Table("costs", "What the runs cost, mean over the runs of a setting", header, rows)


def everything(record: Record) -> Table:
    """A row per setting with all numbers, for CSV."""
    columns: dict[str, list[Cell]] = {
        "setting": [row["name"] for row in record["rows"]],
        "runs": [len(row["seeds"]) for row in record["rows"]],
        "seeds": [" ".join(map(str, row["seeds"])) for row in record["rows"]],
    }
    maps = [None if row["reached"] is None else row["reached"]["map"] for row in record["rows"]]
    for level in _LEVELS:
        for key in dict.fromkeys(t for of in maps if of is not None for t in of[level]):
            columns[f"{level} @{key} (%)"] = [None if of is None else of[level][key]["mean"] for of in maps]
            columns[f"{level} @{key} SD (%)"] = [None if of is None else of[level][key]["deviation"] for of in maps]
    for level, title in (("action", "action Avg"), ("body", "body Avg"), ("avg", "AVG")):
        columns[f"{title} (%)"] = [_mean(row, level) for row in record["rows"]]
        columns |= _interval(f"{title} (%)", [_bounds(row, level) for row in record["rows"]])
        columns[f"{title} SD (%)"] = [_deviation(row, level) for row in record["rows"]]
        contrasts = [None if row["contrast"] is None else row["contrast"][level] for row in record["rows"]]
        columns[f"{title} difference (points)"] = [None if of is None else of["difference"] for of in contrasts]
        columns |= _interval(
            f"{title} difference (points)", [None if of is None else of["interval"] for of in contrasts]
        )
        columns[f"{title} p (0-1)"] = [None if of is None else of["p"] for of in contrasts]
    for level in _LEVELS:
        for key in (*_THRESHOLDS, "avg"):
            columns[f"paper {level} {_column(key)} (%)"] = [_paper(row["paper"], level, key) for row in record["rows"]]
    columns["paper AVG (%)"] = [row["paper"].get("avg") for row in record["rows"]]
    columns["paper parameters (2^20)"] = [row["paper"].get("parameters") for row in record["rows"]]
    cost = [row["cost"] for row in record["rows"]]
    for key in _COSTS:
        columns[key.replace("_", " ")] = [None if of is None else of[key] for of in cost]
    columns["device"] = [None if of is None else ", ".join(of["devices"]) for of in cost]
    return Table("table", record["title"], tuple(columns), list(zip(*columns.values(), strict=True)))


def to_document(record: Record) -> str:
    """All tables and sentences as a Markdown page."""
    first, *others = tables_of(record)
    parts = [f"# {_markdown(record['title'])}", on(record), to_markdown(first).rstrip()]
    parts.append(_sentences(record["notes"]))
    for table in others:
        parts += [f"## {_markdown(table.title)}", to_markdown(table).rstrip()]
    if record["meaning"]:
        parts += ["## What the columns mean", _sentences(record["meaning"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def to_floats(record: Record) -> str:
    """All tables as LaTeX floats, with the sentences as comments."""
    comments = "".join(f"% {' '.join(sentence.split())}\n" for sentence in (*record["notes"], *record["meaning"]))
    return comments + "\n".join(to_latex(table) for table in tables_of(record))


def to_text(table: Table) -> str:
    """The table for a terminal: as narrow as its cells, the words of the header above each other."""
    header, rows = _shown(table, minus="-", none="-")
    right = _numeric(table)
    columns = zip(header, *rows, strict=True)
    widths = [max(map(len, (*name.split(), *cells))) for name, *cells in columns]
    names = [wrap(name, width, break_long_words=False) for name, width in zip(header, widths, strict=True)]
    deepest = max(map(len, names))
    lines = [[*[""] * (deepest - len(name)), *name] for name in names]

    def joined(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if end else cell.ljust(width)
            for cell, width, end in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([*map(joined, zip(*lines, strict=True)), *map(joined, rows)]) + "\n"


def on(record: Record) -> str:
    """What the runs were evaluated on, in a sentence; empty without any finished run."""
    if record["split"] is None:
        return ""
    return f"Detection-mAP on {record['split']}: {record['clips']:,} clips, {record['instances']:,} instances."


def level_of(paper: Mapping[str, Any], level: str) -> float | None:
    """The paper's mean over thresholds at a level, `avg` for both."""
    return paper.get("avg") if level == "avg" else _paper(paper, level, "avg")


def _table(name: str, title: str, columns: Mapping[str, Sequence[Cell]]) -> Table:
    """The table of the columns that have any value; both ends of an interval stay or go together."""
    kept = {title: cells for title, cells in columns.items() if any(cell is not None for cell in cells)}
    rows: list[tuple[Cell, ...]] = list(zip(*kept.values(), strict=True))
    return Table(name, title, tuple(kept), rows)


def _interval(title: str, bounds: Sequence[Interval | None]) -> dict[str, list[Cell]]:
    """The two columns of an interval that follow that of its value."""
    _, low, high = with_ends(title)
    return {low: [ends(each)[0] for each in bounds], high: [ends(each)[1] for each in bounds]}


def _mean(row: RowRecord, level: str) -> float | None:
    return None if row["reached"] is None else row["reached"]["avg"][level]["mean"]


def _deviation(row: RowRecord, level: str) -> float | None:
    return None if row["reached"] is None else row["reached"]["avg"][level]["deviation"]


def _bounds(row: RowRecord, level: str = "avg") -> Interval | None:
    return None if row["reached"] is None else row["reached"]["avg"][level]["interval"]


def _spreads(reached: Reached, *, deviation: bool) -> list[Cell]:
    """Means or deviations in the order of the columns of `thresholds`."""
    levels: list[tuple[dict[str, Spread], Repeated]] = [
        (reached["map"][level], reached["avg"][level]) for level in _LEVELS
    ]
    spreads: list[Spread | Repeated | None] = []
    for by_threshold, average in levels:
        spreads += [*(by_threshold.get(key) for key in _THRESHOLDS), average]
    spreads.append(reached["avg"]["avg"])
    return [None if of is None else of["deviation"] if deviation else of["mean"] for of in spreads]


def _paper(paper: Mapping[str, Any], level: str, key: str) -> float | None:
    return (paper.get(level) or {}).get(key)


def _in_backbone(row: RowRecord) -> float | None:
    return None if row["cost"] is None else row["cost"]["trained_in_backbone"] / _UNIT


def _gib(size: int | None) -> float | None:
    return None if size is None else size / _GIB


def _column(key: str) -> str:
    return "Avg" if key == "avg" else f"@{key}"


def _sentences(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {_markdown(sentence)}" for sentence in sentences)
