"""Tables of how well instances are detected: Detection-mAP and what belongs to it."""

from typing import Literal

from mmad.diagnosis.records import Comparison, Diagnosis, Difference, LevelNumbers, Numbers
from mmad.tables.table import Cell, Table, ends, with_ends

LEVELS: tuple[Literal["action"], Literal["body"]] = ("action", "body")

_PAPER_COLUMNS = ("0.2", "0.5", "0.7")


def _map_cells(level: LevelNumbers, key: str) -> tuple[Cell, ...]:
    """A mean AP, by threshold or `avg`, and its interval."""
    return (level["avg"] if key == "avg" else level["map"][key], *ends(level["intervals"].get(key)))


def _bootstrap(numbers: Numbers) -> str:
    """Where the intervals come from; empty without any."""
    unit = numbers["unit"]
    return "" if unit is None else f", with 95 % intervals (bootstrap over {numbers['units']} {unit}s)"


def detection_map(numbers: Numbers) -> Table:
    """The columns of the MMAD paper's Table 3, a row per level."""
    columns = [key for key in _PAPER_COLUMNS if key in numbers["action"]["map"]]
    header = ("level", *with_ends(*(f"@{key} (%)" for key in columns), "Avg (%)"))
    rows: list[tuple[Cell, ...]] = [
        (level, *(cell for key in (*columns, "avg") for cell in _map_cells(numbers[level], key))) for level in LEVELS
    ]
    rows.append(("both (AVG)", *[None] * 3 * len(columns), numbers["avg"], *ends(numbers["interval"])))
    return Table("detection_map", f"Detection-mAP{_bootstrap(numbers)}", header, rows)


def paper_row(numbers: Numbers) -> Table:
    """The same columns side by side, to be added to a table of methods."""
    keys = [
        (level, key) for level in LEVELS for key in (*_PAPER_COLUMNS, "avg") if key in {"avg", *numbers[level]["map"]}
    ]
    names = tuple(f"{level} {'Avg' if key == 'avg' else '@' + key} (%)" for level, key in keys)
    row = (*(_map_cells(numbers[level], key)[0] for level, key in keys), numbers["avg"])
    return Table("paper_row", "Detection-mAP as one row of a results table", (*names, "AVG (%)"), [row])


def thresholds(numbers: Numbers) -> Table:
    """Mean AP at every tIoU threshold."""
    keys = [*numbers["action"]["map"], "avg"]
    rows: list[tuple[Cell, ...]] = [
        ("Avg" if key == "avg" else key, *_map_cells(numbers["action"], key), *_map_cells(numbers["body"], key))
        for key in keys
    ]
    title = f"Mean AP at each tIoU threshold{_bootstrap(numbers)}"
    return Table("thresholds", title, ("tIoU", *with_ends("action (%)", "body (%)")), rows)


def subjects(numbers: Numbers) -> Table:
    """Detection-mAP of each subject."""
    rows: list[tuple[Cell, ...]] = [
        (row["subject"], row["clips"], row["instances"], row["action"], row["body"]) for row in numbers["per_subject"]
    ]
    header = ("subject", "clips", "instances", "action (%)", "body (%)")
    return Table("subjects", "Detection-mAP within the clips of each subject", header, rows)


def average_recall(numbers: Numbers) -> Table:
    """Average recall of both levels."""
    recall = {level: numbers[level]["average_recall"] for level in LEVELS}
    rows: list[tuple[Cell, ...]] = [
        (k, recall["action"].get(k), recall["body"].get(k)) for k in dict.fromkeys((*recall["action"], *recall["body"]))
    ]
    title = "Average recall by number of predictions per clip"
    return Table("average_recall", title, ("predictions per clip", "action (%)", "body (%)"), rows)


def frame_map(numbers: Numbers) -> Table:
    """Per-frame mAP, if it was asked for."""
    frame = numbers["frame_map"]
    rows: list[tuple[Cell, ...]] = [] if frame is None else [(frame["rate"], frame["action"], frame["body"])]
    return Table("frame_map", "Per-frame mAP", ("frames per second", "action (%)", "body (%)"), rows)


def comparison(compared: Comparison) -> Table:
    """Differences between two sets of predictions."""

    def row(level: str, what: str, one: Difference) -> tuple[Cell, ...]:
        low, high = ends(one["interval"])
        apart = None if low is None or high is None else "yes" if low > 0 or high < 0 else "no"
        return (level, what, one["first"], one["second"], one["difference"], low, high, apart)

    rows = [row("both", "AVG", compared["avg"])]
    for level in LEVELS:
        rows += [row(level, "Avg" if key == "avg" else f"@{key}", one) for key, one in compared[level].items()]
    rows += [row("action", name, one) for name, one in compared["per_class"].items()]
    rows += [row("body", name, one) for name, one in compared["per_body"].items()]
    names = (f"{compared['first']} (%)", f"{compared['second']} (%)")
    header = ("level", "what", *names, *with_ends("difference (points)"), "interval excludes 0")
    title = f"Detection-mAP of {compared['second']} minus that of {compared['first']}, with paired 95 % intervals"
    return Table("comparison", title, header, rows)


def evaluation(numbers: Numbers, diagnosis: Diagnosis) -> Table:
    """What was evaluated and how, and what was unusual in the input."""
    counted = {key: numbers[key] for key in ("clips", "instances", "predictions", "unit", "units", "draws")}
    settings = {key: diagnosis[key] for key in ("mode", "threshold", "background")}
    rows: list[tuple[Cell, ...]] = [
        *(("evaluated", key, _plain(value)) for key, value in counted.items() if value is not None),
        *(("protocol", key, _plain(value)) for key, value in numbers["protocol"].items()),
        *(("analysis", key, _plain(value)) for key, value in settings.items()),
        *(("note", None, note) for note in numbers["notes"]),
    ]
    return Table("evaluation", "How this was evaluated", ("part", "setting", "value"), rows)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
