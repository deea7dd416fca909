"""Tables of what goes wrong: kinds of errors, missed instances, confusions, boundaries, scores."""

from collections.abc import Iterator
from typing import Literal

from mmad.diagnosis.records import Bucket, Diagnosis, FalseNegatives, LevelDiagnosis, LevelNumbers, Offsets
from mmad.tables.table import Cell, Table, ends, with_ends

LARGEST = 30
"""Pairs of classes listed per level; diagnosis.json has all."""


def _levels(diagnosis: Diagnosis) -> Iterator[tuple[str, LevelDiagnosis]]:
    yield "action", diagnosis["action"]
    yield "body", diagnosis["body"]


def classes(level: Literal["action", "body"], numbers: LevelNumbers, diagnosis: Diagnosis) -> Table:
    """AP, the best score, what is right and wrong from there upwards, and how far off ends are, of each class."""
    rows: list[tuple[Cell, ...]] = []
    for row in diagnosis[level]["classes"]:
        errors = {kind: count for kind, count in row["errors"].items() if count and kind != "true positive"}
        main = max(errors, key=errors.__getitem__, default=None)
        who = (row["code"], row["name"], row["group"]) if level == "action" else (row["name"],)
        counts = (row["instances"], row["predictions"])
        ap = (row["ap"], *ends(numbers["per_class_intervals"].get(row["name"])), row["ap_50"])
        kept = (row["best_score"], row["kept"], row["precision"], row["recall"], row["f1"])
        wrong = (main, None if main is None else errors[main], row["missed"], row["onset"], row["offset"])
        rows.append((*who, *counts, *ap, *kept, *wrong))
    threshold = f"{diagnosis['threshold']:g}"
    header = (
        *(("code", "class", "body group") if level == "action" else ("body group",)),
        *("instances", "predictions", *with_ends("AP (%)")),
        f"AP@{threshold} (%)",
        *("best score (0-1)", "kept", "precision (%)", "recall (%)", "F1 (%)"),
        *("main error", "of this kind", "missed", "onset (s)", "offset (s)"),
    )
    name, what = ("classes", "Action classes") if level == "action" else ("body_groups", "Body groups")
    return Table(name, f"{what}; kept: predictions from the score of best F1 at tIoU {threshold} upwards", header, rows)


def false_positives(diagnosis: Diagnosis) -> Table:
    """Counts of each kind of prediction, by level and slice."""
    kinds = diagnosis["action"]["false_positives"]["kinds"]
    rows: list[tuple[Cell, ...]] = []
    for level, record in _levels(diagnosis):
        profile = record["false_positives"]
        lines = [(f"{k}G", counts) for k, counts in enumerate(profile["slices"], start=1)]
        for name, counts in (*lines, ("all", profile["total"])):
            of_kind = dict(zip(profile["kinds"], counts, strict=True))
            rows.append((level, name, *(of_kind.get(kind) for kind in kinds), sum(counts)))
    header = ("level", "slice", *kinds, "predictions")
    return Table("false_positives", "Kinds of the best predictions, by slice of each class's ranking", header, rows)


def gains(diagnosis: Diagnosis) -> Table:
    """Points of mAP_N that errors of each kind cost."""
    rows: list[tuple[Cell, ...]] = []
    for level, record in _levels(diagnosis):
        profile = record["false_positives"]
        count = dict(zip(profile["kinds"], profile["total"], strict=True))
        rows += [
            (
                level,
                kind,
                count.get(kind),
                profile["same_group"].get(kind),
                profile["idle"] if kind == "background" else None,
                profile["removed"].get(kind),
                profile["repaired"].get(kind),
                profile["base"],
            )
            for kind in dict.fromkeys((*profile["removed"], *profile["repaired"]))
        ]
    header = ("level", "kind of error", "predictions", "in the same body group", "on no instance at all")
    points = ("removed (points)", "repaired (points)", "mAP_N (%)")
    return Table("gains", "What mAP_N would gain without each kind of error", (*header, *points), rows)


def _span(bucket: Bucket) -> str:
    low, high = bucket["above"], bucket["up_to"]
    return f"({'-inf' if low is None else f'{low:g}'}, {'inf)' if high is None else f'{high:g}]'}"


def false_negatives(diagnosis: Diagnosis) -> Table:
    """Missed instances and mAP_N, by level, characteristic and bucket."""
    rows: list[tuple[Cell, ...]] = []
    for level, record in _levels(diagnosis):
        misses, kept = record["false_negatives"], record["kept_misses"]
        total = (misses["instances"], *_missed(misses), *_missed(kept), misses["map_n"], None)
        rows.append((level, "all instances", None, None, *total))
        for characteristic, same in zip(misses["characteristics"], kept["characteristics"], strict=True):
            name, unit = characteristic["name"], characteristic["unit"]
            kind = f"{name} ({unit})" if unit else name
            for bucket, kept_bucket in zip(characteristic["buckets"], same["buckets"], strict=True):
                counts = (bucket["instances"], *_missed(bucket), *_missed(kept_bucket))
                rows.append((level, kind, bucket["label"], _span(bucket), *counts, bucket["map_n"], bucket["classes"]))
    missed = ("missed", *with_ends("missed (%)"), "missed by kept", *with_ends("missed by kept (%)"))
    header = ("level", "characteristic", "bucket", "range", "instances", *missed)
    title = "Missed instances and mAP_N by kind of instance"
    return Table("false_negatives", title, (*header, "mAP_N (%)", "classes"), rows)


def _missed(misses: FalseNegatives | Bucket) -> tuple[Cell, ...]:
    return (misses["missed"], misses["rate"], *ends(misses["interval"]))


def misses(diagnosis: Diagnosis) -> Table:
    """What there was in place of a prediction that matches."""
    rows: list[tuple[Cell, ...]] = [
        (level, which, reason, count, 100 * count / misses["missed"] if misses["missed"] else None)
        for level, record in _levels(diagnosis)
        for which, misses in (("all", record["false_negatives"]), ("kept", record["kept_misses"]))
        for reason, count in misses["reasons"].items()
    ]
    header = ("level", "predictions", "reason", "instances", "of the missed (%)")
    return Table("misses", "Why instances were missed", header, rows)


def sensitivity(diagnosis: Diagnosis) -> Table:
    """Spread of mAP_N over the buckets of each characteristic."""
    rows: list[tuple[Cell, ...]] = [
        (level, one["name"], one["sensitivity"], one["impact"], one["lowest"], one["highest"])
        for level, record in _levels(diagnosis)
        for one in record["false_negatives"]["characteristics"]
    ]
    header = ("level", "characteristic", "sensitivity in points", "impact in points", "lowest / all", "highest / all")
    return Table("sensitivity", "How mAP_N depends on the kind of instance", header, rows)


def confusions(diagnosis: Diagnosis) -> Table:
    """The pairs of classes that are confused most; background and misses do not count."""
    rows: list[tuple[Cell, ...]] = []
    for level, record in _levels(diagnosis):
        confusion = record["confusion"]
        names, groups, matrix = confusion["names"], confusion["groups"], confusion["matrix"]
        places = range(len(names))
        pairs = sorted(
            ((i, j) for i in places for j in places if i != j), key=lambda at: -confusion["matrix"][at[0]][at[1]]
        )
        for i, j in pairs[:LARGEST]:
            if count := matrix[i][j]:
                share = 100 * count / sum(matrix[i])
                together = None if level == "body" else "yes" if groups[i] == groups[j] else "no"
                rows.append((level, names[i], names[j], count, share, together))
    header = ("level", "true class", "predicted class", "predictions", "of the true class's row (%)", "same group")
    return Table("confusions", f"What was taken for what: up to {LARGEST} largest pairs of a level", header, rows)


def co_occurrence(diagnosis: Diagnosis) -> Table:
    """The pairs of classes that occur together most, and how many of them are found."""
    rows: list[tuple[Cell, ...]] = []
    for level, record in _levels(diagnosis):
        for pair in record["co_occurrence"]["pairs"][:LARGEST]:
            counts = (pair["pairs"], pair["both"], pair["one"], pair["none"])
            rows.append(
                (level, pair["first"], pair["second"], *counts, pair["true_seconds"], pair["predicted_seconds"])
            )
    header = ("level", "first class", "second class", "pairs", "both found", "one found", "none found")
    title = f"Classes at the same time: up to {LARGEST} most frequent pairs of a level"
    return Table("co_occurrence", title, (*header, "true (s)", "predicted (s)"), rows)


def co_occurrence_recall(diagnosis: Diagnosis) -> Table:
    """Recall of instances alone and together with others."""
    keys = ("alone", "overlapping", "recall_alone", "recall_overlapping", "both", "expected_both")
    rows: list[tuple[Cell, ...]] = [
        (level, *(record["co_occurrence"][key] for key in keys))  # type: ignore[literal-required]
        for level, record in _levels(diagnosis)
    ]
    header = ("level", "alone", "overlapping", "recall alone (%)", "recall overlapping (%)")
    title = "Instances alone and at the same time as others"
    return Table("co_occurrence_recall", title, (*header, "pairs found (%)", "expected by chance (%)"), rows)


def boundaries(diagnosis: Diagnosis) -> Table:
    """Quartiles of the errors at onset and offset, by length of the instance."""
    rows: list[tuple[Cell, ...]] = []
    for level, record in _levels(diagnosis):
        edges = record["boundaries"]
        for bucket, onset, offset in (("all", edges["onset"], edges["offset"]), *edges["by_length"]):
            ratio = edges["length_ratio"] if bucket == "all" else None
            rows += [
                (level, bucket, end, *_offsets(errors), ratio) for end, errors in (("onset", onset), ("offset", offset))
            ]
    header = ("level", "length", "end", "pairs", "median (s)", "lower quartile (s)", "upper quartile (s)")
    title = "Errors at both ends, predicted minus true time"
    return Table("boundaries", title, (*header, "mean absolute (s)", "median length ratio"), rows)


def _offsets(errors: Offsets) -> tuple[Cell, ...]:
    return (errors["pairs"], errors["median"], errors["lower"], errors["upper"], errors["absolute"])


def tolerance(diagnosis: Diagnosis) -> Table:
    """Share of the onsets and offsets that are right within a tolerance."""
    rows: list[tuple[Cell, ...]] = [
        (level, seconds, *shares)
        for level, record in _levels(diagnosis)
        for seconds, shares in record["boundaries"]["within"].items()
    ]
    title = "Pairs whose ends are no further off than a tolerance"
    return Table("tolerance", title, ("level", "tolerance in seconds", "onset (%)", "offset (%)"), rows)


def calibration(diagnosis: Diagnosis) -> Table:
    """Expected calibration error, of a level and of each body group."""
    rows: list[tuple[Cell, ...]] = []
    for level, record in _levels(diagnosis):
        calibration = record["calibration"]
        count = None if calibration["bins"] is None else sum(one["count"] for one in calibration["bins"])
        rows.append((level, "all", count, calibration["error"]))
        rows += [(level, group, None, error) for group, error in calibration["by_group"].items()]
    header = ("level", "body group", "predictions", "expected calibration error (0-1)")
    return Table("calibration", "How far scores are from the share of right predictions", header, rows)
