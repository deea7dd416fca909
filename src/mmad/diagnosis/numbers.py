"""Detection-mAP with its uncertainty, and the comparison of two predictions of the same clips."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from mmad.average_precision import MMAD, Protocol, Ranking, levels, report_of
from mmad.diagnosis.frames import frame_map
from mmad.diagnosis.level import ByClip, looked_up
from mmad.diagnosis.records import Comparison, Difference, Interval, LevelNumbers, Numbers, SubjectRow
from mmad.diagnosis.uncertainty import draw_weights, interval, mean_of_classes, weighted_average_precision
from mmad.errors import MmadError
from mmad.matching import Integers, Reals, Rows
from mmad.taxonomy import Taxonomy

DRAWS = 1000
RECALL_AT = (5, 10, 20, 50, 100)
BEYOND_SECONDS = 0.1


@dataclass(frozen=True)
class Units:
    """What the bootstrap draws.

    Args:
        kind: "subject" or "clip".
        of_clip: (V,) unit of each clip, clips numbered from 0.
        names: U names, of subjects; numbers of clips.
    """

    kind: str
    of_clip: Integers
    names: list[str]


def measure(
    predictions: Rows,
    ground_truth: Rows,
    *,
    taxonomy: Taxonomy,
    subjects: Mapping[int, str | None] | Sequence[str | None] | None = None,
    durations: Mapping[int, float | None] | Sequence[float | None] | None = None,
    protocol: Protocol = MMAD,
    draws: int = DRAWS,
    unit: str | None = None,
    frame_rate: float | None = None,
    notes: Sequence[str] = (),
) -> Numbers:
    """Detection-mAP at both levels with bootstrap intervals, by class and by subject.

    Args:
        predictions: Q scored rows with action labels, in seconds.
        ground_truth: M rows with action labels, in seconds.
        taxonomy: names of the classes and the body group of each.
        subjects: by clip number, who is shown; intervals then draw people, since clips of a person are alike.
        durations: by clip number, seconds; needed for per-frame mAP only.
        protocol: how to count.
        draws: of the bootstrap; 0 for no intervals.
        unit: "subject" or "clip"; None draws subjects where they are known.
        frame_rate: frames per second of per-frame mAP; None leaves it out.
        notes: sentences to keep with the numbers.

    Returns:
        The record of metrics.json, in percent.

    Raises:
        MmadError: subjects or durations are needed and not all known, or as in `mmad.average_precision.detection_map`.
    """
    predictions, ground_truth, clips = _numbered(predictions, ground_truth, subjects, durations)
    action, body = levels(predictions, ground_truth, taxonomy=taxonomy, protocol=protocol)
    report = report_of(action, body, taxonomy=taxonomy)
    units = units_of(clips, subjects, unit=unit)
    weights_DU = draw_weights(len(units.names), draws=draws)
    drawn = [weighted_average_precision(level, units.of_clip, weights_DU) for level in (action, body)]
    averages = [100 * mean_of_classes(ap, all_classes=protocol.all_classes).mean(axis=1) for ap in drawn]
    return {
        "action": _level(report["action"], action, drawn[0], names=taxonomy.actions),
        "body": _level(report["body"], body, drawn[1], names=taxonomy.bodies),
        "avg": report["avg"],
        "interval": interval(report["avg"], (averages[0] + averages[1]) / 2),
        "unit": units.kind if len(weights_DU) else None,
        "units": len(units.names),
        "draws": len(weights_DU),
        "per_subject": _subjects(action, body, clips, subjects),
        "frame_map": None
        if frame_rate is None
        else frame_map(
            predictions,
            ground_truth,
            taxonomy=taxonomy,
            durations=_seconds(clips, durations),
            rate=frame_rate,
        ),
        "protocol": asdict(protocol),
        "clips": len(clips),
        "instances": len(action.truth),
        "predictions": len(predictions),
        "notes": [*notes, *_notes(predictions, ground_truth, action, clips, durations, taxonomy=taxonomy)],
    }


def compare(
    first: Rows,
    second: Rows,
    ground_truth: Rows,
    *,
    taxonomy: Taxonomy,
    names: tuple[str, str] = ("first", "second"),
    subjects: Mapping[int, str | None] | Sequence[str | None] | None = None,
    protocol: Protocol = MMAD,
    draws: int = DRAWS,
    unit: str | None = None,
) -> Comparison:
    """Differences in Detection-mAP of two predictions of the same clips, with paired bootstrap intervals.

    Both are evaluated on the same draws of subjects (or clips), so that what is common to both cancels.

    Args:
        first, second: scored rows with action labels, in seconds.
        ground_truth: rows with action labels, in seconds.
        taxonomy: names of the classes and the body group of each.
        names: of the two.
        subjects, protocol, draws, unit: as in `measure`.

    Returns:
        Percentages; differences are second minus first.

    Raises:
        MmadError: as in `measure`.

    >>> import numpy as np
    >>> from mmad.taxonomy import MMA52
    >>> clip, label = np.arange(20), np.full(20, 9)
    >>> truth = Rows(clip, label, np.tile([0.0, 4.0], (20, 1)))
    >>> loose = Rows(clip, label, np.tile([0.0, 2.2], (20, 1)), np.linspace(0.1, 0.9, 20))
    >>> tight = Rows(clip, label, np.tile([0.0, 3.8], (20, 1)), np.linspace(0.1, 0.9, 20))
    >>> change = compare(loose, tight, truth, taxonomy=MMA52)["action"]
    >>> change["0.5"]["difference"], change["0.7"]["difference"]
    (0.0, 100.0)
    """
    both = Rows(
        np.concatenate([first.clip, second.clip]),
        np.concatenate([first.label, second.label]),
        np.concatenate([first.segment, second.segment]),
    )
    numbered, ground_truth, clips = _numbered(both, ground_truth, subjects)
    sides = (
        replace(first, clip=numbered.clip[: len(first)]),
        replace(second, clip=numbered.clip[len(first) :]),
    )
    units = units_of(clips, subjects, unit=unit)
    weights_DU = draw_weights(len(units.names), draws=draws)
    rankings = [levels(side, ground_truth, taxonomy=taxonomy, protocol=protocol) for side in sides]
    reports = [report_of(*ranking, taxonomy=taxonomy) for ranking in rankings]
    drawn = [
        [100 * weighted_average_precision(level, units.of_clip, weights_DU) for level in ranking]
        for ranking in rankings
    ]
    means = [[mean_of_classes(ap, all_classes=protocol.all_classes) for ap in side] for side in drawn]
    averages = [(side[0].mean(axis=1) + side[1].mean(axis=1)) / 2 for side in means]

    def of_level(name: str, number: int) -> dict[str, Difference]:
        before, after = (report[name] for report in reports)  # type: ignore[literal-required]
        change = means[1][number] - means[0][number]
        result = {
            t: _difference(before["map"][t], after["map"][t], change[:, column])
            for column, t in enumerate(before["map"])
        }
        return {**result, "avg": _difference(before["avg"], after["avg"], change.mean(axis=1))}

    def by_class(name: str, number: int, known: Sequence[str]) -> dict[str, Difference]:
        before, after = (report[name]["per_class"] for report in reports)  # type: ignore[literal-required]
        change_DK = (drawn[1][number] - drawn[0][number]).mean(axis=2)
        return {c: _difference(before[c], after[c], change_DK[:, known.index(c)]) for c in before}

    return {
        "first": names[0],
        "second": names[1],
        "unit": units.kind,
        "units": len(units.names),
        "draws": len(weights_DU),
        "avg": _difference(reports[0]["avg"], reports[1]["avg"], averages[1] - averages[0]),
        "action": of_level("action", 0),
        "body": of_level("body", 1),
        "per_class": by_class("action", 0, taxonomy.actions),
        "per_body": by_class("body", 1, taxonomy.bodies),
    }


def _difference(before: float, after: float, change_D: Reals) -> Difference:
    return {
        "first": before,
        "second": after,
        "difference": after - before,
        "interval": interval(after - before, change_D, lowest=-100.0),
    }


def _numbered(predictions: Rows, ground_truth: Rows, *known: ByClip | None) -> tuple[Rows, Rows, Integers]:
    """Both sides with clips numbered from 0, and the numbers that they had; clips without a row count if known of."""
    clips = np.union1d(predictions.clip, ground_truth.clip)
    for by_clip in known:
        if by_clip is not None:
            clips = np.union1d(clips, list(by_clip) if isinstance(by_clip, Mapping) else np.arange(len(by_clip)))
    return (
        replace(predictions, clip=np.searchsorted(clips, predictions.clip)),
        replace(ground_truth, clip=np.searchsorted(clips, ground_truth.clip)),
        clips,
    )


def units_of(clips: Integers, subjects: ByClip | None, *, unit: str | None) -> Units:
    """What the bootstrap draws: subjects where all are known, unless `unit` says clips."""
    if unit not in (None, "subject", "clip"):
        raise MmadError(f"intervals of unit {unit!r}: choose subject or clip.")
    of_clip = None if subjects is None or unit == "clip" else looked_up(clips, subjects)
    if of_clip is None or any(subject is None for subject in of_clip):
        if unit == "subject":
            raise MmadError("intervals by subject need the subject of every clip; use unit=clip.")
        return Units("clip", np.arange(len(clips)), [str(clip) for clip in clips])
    names, number = np.unique([str(subject) for subject in of_clip], return_inverse=True)
    return Units("subject", number.reshape(-1), names.tolist())


def _seconds(clips: Integers, durations: ByClip | None) -> list[float]:
    found = [] if durations is None else looked_up(clips, durations)
    if len(found) < len(clips) or any(value is None for value in found):
        raise MmadError("per-frame mAP needs the duration of every clip; leave frame_rate out.")
    return found


def _level(report: Mapping, ranking: Ranking, ap_DKT: Reals, *, names: Sequence[str]) -> LevelNumbers:
    mean_DT = 100 * mean_of_classes(ap_DKT, all_classes=ranking.protocol.all_classes)
    intervals: dict[str, Interval | None] = {
        t: interval(value, mean_DT[:, column]) for column, (t, value) in enumerate(report["map"].items())
    }
    intervals["avg"] = interval(report["avg"], mean_DT.mean(axis=1))
    recall_JKT = 100 * ranking.average_recall(RECALL_AT)
    present = ranking.instances_K > 0
    return {
        "map": report["map"],
        "avg": report["avg"],
        "per_class": report["per_class"],
        "intervals": {name: bounds for name, bounds in intervals.items() if bounds is not None},
        "per_class_intervals": {
            name: interval(value, 100 * ap_DKT[:, names.index(name)].mean(axis=1))
            for name, value in report["per_class"].items()
        },
        "average_recall": {
            str(k): float(recall_KT[present].mean()) for k, recall_KT in zip(RECALL_AT, recall_JKT, strict=True)
        },
    }


def _subjects(action: Ranking, body: Ranking, clips: Integers, subjects: ByClip | None) -> list[SubjectRow]:
    units = units_of(clips, subjects, unit=None)
    if units.kind != "subject":
        return []
    alone_UU = np.eye(len(units.names))
    percent = [
        100 * mean_of_classes(weighted_average_precision(level, units.of_clip, alone_UU)).mean(axis=1)
        for level in (action, body)
    ]
    clips_U = np.bincount(units.of_clip, minlength=len(units.names))
    instances_U = np.bincount(units.of_clip[action.truth.clip], minlength=len(units.names))
    rows: list[SubjectRow] = [
        {
            "subject": name,
            "clips": int(clips_U[u]),
            "instances": int(instances_U[u]),
            "action": float(percent[0][u]),
            "body": float(percent[1][u]),
        }
        for u, name in enumerate(units.names)
        if instances_U[u]
    ]
    return sorted(rows, key=lambda row: -row["instances"])


def _notes(
    predictions: Rows,
    ground_truth: Rows,
    action: Ranking,
    clips: Integers,
    durations: ByClip | None,
    *,
    taxonomy: Taxonomy,
) -> list[str]:
    """What is unusual in the input and how it was taken."""
    notes = []
    unseen = np.setdiff1d(predictions.label, action.truth.label)
    if len(unseen):
        count = int(np.isin(predictions.label, unseen).sum())
        names = ", ".join(taxonomy.actions[k] for k in unseen[:3]) + (", ..." if len(unseen) > 3 else "")
        what = "a class" if len(unseen) == 1 else "classes"
        notes.append(
            f"{count:,} of {len(predictions):,} predictions are of {what} without ground truth here "
            f"({names}); they do not count at action level."
        )
    dropped = len(ground_truth) - len(action.truth)
    if dropped:
        notes.append(
            f"Instances that repeat another one of their clip and class or have no extent, which were dropped: "
            f"{dropped:,} of {len(ground_truth):,}."
        )
    backwards = int((predictions.segment[:, 1] < predictions.segment[:, 0]).sum())
    if backwards:
        notes.append(f"Predictions that end before they start, which count as false positives: {backwards:,}.")
    if durations is not None:
        seconds = np.array([np.inf if d is None else float(d) for d in looked_up(clips, durations)])
        for side, rows in (("Predictions", predictions), ("Instances", ground_truth)):
            outside = (rows.segment[:, 0] < -BEYOND_SECONDS) | (
                rows.segment[:, 1] > seconds[rows.clip] + BEYOND_SECONDS
            )
            if outside.any():
                notes.append(f"{side} that reach beyond their clip, taken as they are: {int(outside.sum()):,}.")
    return notes
