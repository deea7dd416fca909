"""Tables of a data set: its splits, its classes, and what happens at the same time."""

import numpy as np

from mmad.dataset.records import LevelStatistics, Part, Statistics
from mmad.tables.table import Cell, Table

MOST_PAIRS = 50
"""Rows of a table of pairs."""


def tables_of(statistics: Statistics) -> list[Table]:
    """All tables of a data set; those without a row are left out.

    Args:
        statistics: as `mmad.dataset.describe` gives them.
    """
    levels = [("classes", "class", statistics["action"])]
    if not statistics["flat"]:
        levels.append(("groups", "body group", statistics["body"]))
    splits = list(statistics["splits"])
    tables = [size(statistics), overlap(statistics)]
    tables += [categories(name, what, level, splits=splits) for name, what, level in levels]
    tables += [pairs(name, what, level) for name, what, level in levels]
    return [table for table in tables if table.rows]


def size(statistics: Statistics) -> Table:
    """The MMAD paper's Table 1, and instances per clip."""
    header = (
        "split",
        "clips",
        "instances",
        "hours",
        "mean clip (s)",
        "mean instance (s)",
        "subjects",
        "instances per clip",
        "fewest",
        "most",
    )
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            part["clips"],
            part["instances"],
            part["hours"],
            part["mean_clip"],
            part["mean_instance"],
            part["subjects"],
            part["per_clip_mean"],
            part["per_clip_least"],
            part["per_clip_most"],
        )
        for name, part in parts(statistics)
    ]
    return Table("dataset", "Clips and instances of each split", header, rows)


def overlap(statistics: Statistics) -> Table:
    """How much happens at the same time, and how much is cut off."""
    header = (
        "split",
        "overlap another (%)",
        "own group (%)",
        "own class (%)",
        "others at the same time",
        "clips with overlap (%)",
        "time with 0 (%)",
        "time with 1 (%)",
        "time with 2 or more (%)",
        "most at once",
        "cut at start (%)",
        "cut at end (%)",
        "cut (%)",
    )
    rows: list[tuple[Cell, ...]] = []
    for name, part in parts(statistics):
        if not part["instances"]:
            continue
        none, one, *more = [*part["overlap"]["concurrency"], 0.0, 0.0]
        own = None if statistics["flat"] else part["overlap"]["own_group"]
        rows.append(
            (
                name,
                part["overlap"]["any"],
                own,
                part["overlap"]["own_class"],
                part["overlap"]["others"],
                part["overlap"]["clips"],
                none,
                one,
                sum(more),
                part["overlap"]["highest"],
                part["cut"]["start"],
                part["cut"]["end"],
                part["cut"]["either"],
            )
        )
    return Table("overlap", "Instances at the same time, and instances cut by the ends of clips", header, rows)


def categories(name: str, what: str, level: LevelStatistics, *, splits: list[str]) -> Table:
    """How frequent and how long each class or body group is.

    Args:
        name: of the table's files.
        what: "class" or "body group".
        level: its statistics.
        splits: names, in order.
    """
    coded = ("code", "class", "body group") if what == "class" else ("body group",)
    header = (
        *coded,
        *splits,
        *(f"{split} (%)" for split in splits),
        "clips",
        "mean (s)",
        "std (s)",
        "5 % (s)",
        "25 % (s)",
        "median (s)",
        "75 % (s)",
        "95 % (s)",
        "cut at start (%)",
        "cut at end (%)",
        "cut (%)",
    )
    rows: list[tuple[Cell, ...]] = [
        (
            *((row["code"], row["name"], row["group"]) if what == "class" else (row["name"],)),
            *(row["counts"][split] for split in splits),
            *(row["shares"][split] for split in splits),
            row["clips"],
            *(row["seconds"][key] for key in ("mean", "std", "low", "lower", "median", "upper", "high")),
            *(row["cut"][key] for key in ("start", "end", "either")),
        )
        for row in level["classes"]
    ]
    title = "Classes" if what == "class" else "Body groups"
    return Table(name, f"{title}: instances, shares of each split, and durations over all splits", header, rows)


def pairs(name: str, what: str, level: LevelStatistics) -> Table:
    """The pairs of classes or groups that overlap most often.

    Args:
        name: of the level.
        what: "class" or "body group".
        level: its statistics.
    """
    names = [row["name"] for row in level["classes"]]
    both, overlapping = np.array(level["clips_with_both"]), np.array(level["overlapping_pairs"])
    first, second = np.triu_indices(len(names), k=1)
    order = np.lexsort((-both[first, second], -overlapping[first, second]))[:MOST_PAIRS]
    rows: list[tuple[Cell, ...]] = [
        (names[i], names[j], int(overlapping[i, j]), int(both[i, j]))
        for i, j in zip(first[order], second[order], strict=True)
        if both[i, j]
    ]
    header = (f"first {what}", f"second {what}", "overlapping pairs of instances", "clips with both")
    plural = "Classes" if what == "class" else "Body groups"
    return Table(f"{name}_together", f"{plural} that occur together, most frequent first", header, rows)


def parts(statistics: Statistics) -> list[tuple[str, Part]]:
    """Each split by its name, and all together where there are several."""
    rows = list(statistics["splits"].items())
    return rows if len(rows) == 1 else [*rows, ("all", statistics["all"])]
