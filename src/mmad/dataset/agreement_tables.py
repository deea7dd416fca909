"""Tables of annotator agreement, ready for a paper."""

from collections import Counter
from collections.abc import Sequence

from mmad.dataset.agreement import PAIR_THRESHOLDS, Agreement, ClassAgreement, LevelAgreement, Shares
from mmad.dataset.discussion import KINDS, Case
from mmad.tables import Table
from mmad.tables.table import Cell

LARGEST = 30
"""Pairs of classes listed; discuss.csv has all."""
_SHARES = ("segments", "reliable (%)", "majority (%)", "dispute (%)")


def agreement_tables(found: Agreement, cases: Sequence[Case]) -> list[Table]:
    """All tables, the most wanted first; those without a row are left out.

    Args:
        found: the numbers.
        cases: what annotators differ on.
    """
    tables = [_levels(found), _classes(found), _bodies(found), _pairs(found), _curve(found)]
    tables += [_kinds(cases), _confusions(cases), _conditions(found)]
    return [table for table in tables if table.rows]


def levels_of(found: Agreement) -> list[tuple[str, LevelAgreement]]:
    """The levels that there are, by name."""
    body = [] if found["body"] is None else [("body", found["body"])]
    return [("action", found["action"]), *body, ("any action", found["any"])]


def _cells(shares: Shares) -> tuple[Cell, ...]:
    return (shares["segments"], shares["reliable"], shares["majority"], shares["dispute"])


def _levels(found: Agreement) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, *_cells(level["overall"]), level["alpha"], level["positive"], level["valued"])
        for name, level in levels_of(found)
    ]
    header = ("level", *_SHARES, "mean alpha", "mean positive agreement", "classes with alpha")
    return Table("agreement", f"Agreement of annotators; alike: tIoU above {found['threshold']:g}", header, rows)


def _of_classes(name: str, title: str, who: Sequence[str], classes: Sequence[ClassAgreement]) -> Table:
    """A row per class; reasons why there is no alpha only where one is needed."""
    reasons = any(row["reason"] for row in classes)
    rows: list[tuple[Cell, ...]] = []
    for row in classes:
        names: dict[str, str] = {"code": row["code"], "class": row["name"], "body group": row["group"]}
        why = (row["reason"] or None,) if reasons else ()
        rows.append((*(names[column] for column in who), *_cells(row), row["alpha"], row["positive"], *why))
    header = (*who, *_SHARES, "alpha", "positive agreement", *(("why there is no alpha",) if reasons else ()))
    return Table(name, title, header, rows)


def _classes(found: Agreement) -> Table:
    who = ("code", "class", "body group")
    return _of_classes("agreement_classes", "Agreement on each class", who, found["action"]["classes"])


def _bodies(found: Agreement) -> Table:
    classes = [] if found["body"] is None else found["body"]["classes"]
    return _of_classes("agreement_body_groups", "Agreement on each body group", ("body group",), classes)


def _pairs(found: Agreement) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            *(pair["first"], pair["second"], pair["clips"], pair["segments"]),
            *(pair["f1"][f"{threshold:g}"] for threshold in PAIR_THRESHOLDS),
            *(pair["onset"], pair["offset"]),
        )
        for pair in found["pairs"]
    ]
    f1 = tuple(f"F1@{threshold:g} (%)" for threshold in PAIR_THRESHOLDS)
    header = ("first", "second", "clips", "segments", *f1, "onset (s)", "offset (s)")
    title = (
        f"Pairs of annotators; onset, offset: mean absolute difference of those alike at tIoU {PAIR_THRESHOLDS[0]:g}"
    )
    return Table("agreement_pairs", title, header, rows)


def _curve(found: Agreement) -> Table:
    levels = levels_of(found)
    rows: list[tuple[Cell, ...]] = [
        (f"{tiou:g}", *(level["curve"][column] for _, level in levels)) for column, tiou in enumerate(found["tious"])
    ]
    header = ("tIoU above", *(f"{name} (%)" for name, _ in levels))
    return Table("agreement_curve", "Reliable share of the segments by tIoU threshold", header, rows)


def _kinds(cases: Sequence[Case]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for kind in KINDS:
        mine = [case for case in cases if case.kind == kind]
        rows.append((kind, len(mine), sum(len(case.rows) for case in mine), sum(case.disputed for case in mine)))
    header = ("difference", "cases", "segments", "in dispute")
    return Table("differences", "What annotators differ in", header, rows if cases else [])


def _confusions(cases: Sequence[Case]) -> Table:
    # Both classes' cases may tell of the same time.
    told = {(case.clip, names) for case in cases for names in case.names}
    counts = Counter(names for _, names in told)
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:LARGEST]
    rows: list[tuple[Cell, ...]] = [(*names, count) for names, count in largest]
    title = "Classes that annotators give to the same time"
    return Table("confused_classes", title, ("class", "other class", "clips"), rows)


def _conditions(found: Agreement) -> Table:
    rows: list[tuple[Cell, ...]] = [
        *(
            ("annotator", name, f"{counts['clips']} clips, {counts['segments']} segments")
            for name, counts in found["annotators"].items()
        ),
        *(("clips seen by", f"{count} annotators", str(clips)) for count, clips in found["seen_by"].items()),
        ("alike", "tIoU above", f"{found['threshold']:g}"),
        ("alpha", "time unit in seconds", f"{found['unit']:g}"),
        *(("note", None, note) for note in found["notes"]),
    ]
    return Table("agreement_conditions", "How agreement was measured", ("part", "setting", "value"), rows)
