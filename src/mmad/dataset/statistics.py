"""Statistics of annotated clips: how many, how long, how often together, and how many are cut off.

Letters: B clips, M instances, P pairs of overlapping instances, E events (starts and ends), K classes or groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mmad.annotations import Clip, Truth
from mmad.data.sources.mma52 import USUAL_FPS
from mmad.dataset.records import Category, Cut, LevelStatistics, Overlap, Part, Spread, Statistics
from mmad.diagnosis.false_negatives import EDGE_SECONDS
from mmad.errors import MmadError
from mmad.taxonomy import Taxonomy

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ROUNDING = 0.001
"""Seconds by which a time may miss the clip's ends, since many tools keep whole milliseconds."""


@dataclass(frozen=True)
class _Table:
    """All clips and instances as arrays; instances are sorted by clip, then by start.

    Args:
        split_B: number of the split.
        subject_B: names, or None.
        length_B: seconds.
        frame_B: seconds that one frame lasts, or what is taken for it.
        clip_M: number of the clip.
        start_M, end_M: seconds.
        label_M: class index.
        body_M: group index.
        first_P, second_P: rows of two instances that overlap.
    """

    split_B: Integers
    subject_B: npt.NDArray[np.object_]
    length_B: Reals
    frame_B: Reals
    clip_M: Integers
    start_M: Reals
    end_M: Reals
    label_M: Integers
    body_M: Integers
    first_P: Integers
    second_P: Integers

    def of(self, splits: Sequence[int] | Integers) -> "_Table":
        """The clips of some splits, numbered anew, and what is in them."""
        in_B = np.isin(self.split_B, splits)
        in_M = in_B[self.clip_M]
        # Both instances of a pair are in one clip.
        in_P = in_M[self.first_P]
        clips, rows = np.cumsum(in_B) - 1, np.cumsum(in_M) - 1
        parts = {name: value[in_B] for name, value in vars(self).items() if name.endswith("_B")}
        parts |= {name: value[in_M] for name, value in vars(self).items() if name.endswith("_M")}
        parts |= {name: rows[value[in_P]] for name, value in vars(self).items() if name.endswith("_P")}
        return replace(self, **(parts | {"clip_M": clips[parts["clip_M"]]}))


def describe(splits: Mapping[str, Sequence[Clip | Truth]], *, taxonomy: Taxonomy) -> Statistics:
    """Statistics of a data set.

    An instance counts as cut by its clip's end if it ends within one frame of it: an annotation that names the last
    frame ends one frame before the clip does. Where frames are not known, 0.1 s are taken for one, as in the error
    analysis.

    A split without any instance is taken not to be annotated: of its clips, only their number, length and subjects
    count.

    Args:
        splits: clips of each split, in the order in which splits are to be shown.
        taxonomy: the classes.

    Returns:
        A plain record; see `mmad.dataset.records`.

    Raises:
        MmadError: there is no clip, the length of one is not known, or a label is no class.

    Source: Table 1 and Figs 3 and 4 of the MMAD paper.
    """
    table = _table_of(splits, taxonomy)
    annotated = np.unique(table.split_B[table.clip_M])
    parts = {name: table.of([number]) for number, name in enumerate(splits)}
    return {
        "splits": {name: _part(part, part if len(part.clip_M) else part.of([])) for name, part in parts.items()},
        "all": _part(table, table.of(annotated)),
        "seconds": _spread(table.end_M - table.start_M),
        "beyond": sum(_beyond(clip) for part in splits.values() for clip in part),
        "flat": taxonomy.flat,
        "action": _level(
            table,
            table.label_M,
            splits=list(splits),
            rows=[
                (code, name, taxonomy.bodies[body])
                for code, name, body in zip(taxonomy.codes, taxonomy.actions, taxonomy.body_of, strict=True)
            ],
        ),
        "body": _level(table, table.body_M, splits=list(splits), rows=[("", body, body) for body in taxonomy.bodies]),
    }


def _table_of(splits: Mapping[str, Sequence[Clip | Truth]], taxonomy: Taxonomy) -> _Table:
    clips = [(number, clip) for number, part in enumerate(splits.values()) for clip in part]
    if not clips:
        raise MmadError("there is no clip to describe; give at least one")
    for _, clip in clips:
        if clip.duration is None:
            raise MmadError(
                f"clip {clip.id!r}: its length is not known, expected seconds; name it in the annotations, or give its "
                f"video"
            )
    rows = [(b, i.start, i.end, i.label) for b, (_, clip) in enumerate(clips) for i in clip.instances]
    columns = np.array(rows, dtype=np.float64).reshape(-1, 4)
    columns = columns[np.lexsort((columns[:, 1], columns[:, 0]))]
    clip_M, label_M = columns[:, 0].astype(np.int64), columns[:, 3].astype(np.int64)
    wrong_M = (label_M < 0) | (label_M >= len(taxonomy.actions))
    if wrong_M.any():
        clip = clips[int(clip_M[wrong_M][0])][1]
        raise MmadError(
            f"clip {clip.id!r}: label is {label_M[wrong_M][0]}, expected 0 to {len(taxonomy.actions) - 1}; give the "
            f"taxonomy of these clips"
        )
    first_P, second_P = _overlapping(clip_M, columns[:, 1], columns[:, 2])
    return _Table(
        split_B=np.array([number for number, _ in clips], dtype=np.int64),
        subject_B=np.array([clip.subject for _, clip in clips], dtype=object),
        length_B=np.array([clip.duration for _, clip in clips], dtype=np.float64),
        frame_B=np.array([1 / clip.fps if isinstance(clip, Clip) else EDGE_SECONDS for _, clip in clips]),
        clip_M=clip_M,
        start_M=columns[:, 1],
        end_M=columns[:, 2],
        label_M=label_M,
        body_M=np.array(taxonomy.body_of, dtype=np.int64)[label_M],
        first_P=first_P,
        second_P=second_P,
    )


def _overlapping(clip_M: Integers, start_M: Reals, end_M: Reals) -> tuple[Integers, Integers]:
    """All pairs of instances of one clip that share more than a moment, each pair once.

    Args:
        clip_M, start_M, end_M: sorted by clip, then by start.

    Returns:
        (P,) and (P,) rows, the earlier one first.
    """
    count = len(clip_M)
    # Ranks in place of times, so that clip and time make one whole number without rounding.
    times, rank = np.unique(np.concatenate([start_M, end_M]), return_inverse=True)
    place = clip_M * len(times)
    # Those that begin while an instance runs are the next ones after it, up to the first that begins at its end.
    after = np.searchsorted(place + rank[:count], place + rank[count:], side="left")
    mates = np.maximum(after - np.arange(count) - 1, 0)
    first_P = np.repeat(np.arange(count), mates)
    second_P = np.arange(mates.sum()) - np.repeat(np.cumsum(mates) - mates, mates) + first_P + 1
    return first_P, second_P


def _part(table: _Table, annotated: _Table) -> Part:
    """Numbers of some clips, and what is annotated in those of them that are."""
    clips, instances = len(annotated.length_B), len(annotated.clip_M)
    per_clip_B = np.bincount(annotated.clip_M, minlength=clips)
    subjects = set(table.subject_B)
    return {
        "clips": len(table.length_B),
        "instances": instances,
        "hours": float(table.length_B.sum() / 3600),
        "mean_clip": float(table.length_B.mean()) if len(table.length_B) else None,
        "mean_instance": float((annotated.end_M - annotated.start_M).mean()) if instances else None,
        "subjects": len(subjects) if subjects and None not in subjects else None,
        "per_clip_mean": instances / clips if clips else None,
        "per_clip_least": int(per_clip_B.min()) if clips else None,
        "per_clip_most": int(per_clip_B.max()) if clips else None,
        "per_clip": np.bincount(per_clip_B).tolist(),
        "overlap": _overlap(annotated),
        "cut": _cut(annotated, np.ones(instances, dtype=bool)),
    }


def _overlap(table: _Table) -> Overlap:
    instances, clips = len(table.clip_M), len(table.length_B)
    concurrency = _concurrency(table)

    def share(pairs_P: Flags) -> float | None:
        meets_M = np.zeros(instances, dtype=bool)
        meets_M[table.first_P[pairs_P]] = meets_M[table.second_P[pairs_P]] = True
        return _percent(meets_M)

    crowded_B = np.zeros(clips, dtype=bool)
    crowded_B[table.clip_M[table.first_P]] = True
    return {
        "concurrency": concurrency,
        "highest": max(len(concurrency) - 1, 0),
        "clips": _percent(crowded_B),
        "any": share(np.ones(len(table.first_P), dtype=bool)),
        "own_group": share(table.body_M[table.first_P] == table.body_M[table.second_P]),
        "own_class": share(table.label_M[table.first_P] == table.label_M[table.second_P]),
        "others": 2 * len(table.first_P) / instances if instances else None,
    }


def _concurrency(table: _Table) -> list[float]:
    """Percent of the time in which 0, 1, 2, ... instances run; what lies beyond a clip's end does not count."""
    total = table.length_B.sum()
    if not total > 0:
        return []
    length_M = table.length_B[table.clip_M]
    time_E = np.concatenate([np.clip(table.start_M, 0, length_M), np.clip(table.end_M, 0, length_M)])
    clip_E = np.tile(table.clip_M, 2)
    order = np.lexsort((time_E, clip_E))
    time_E, clip_E = time_E[order], clip_E[order]
    running_E = np.cumsum(np.repeat([1, -1], len(table.clip_M))[order])
    # From each event to the next one; after the last one of a clip nothing runs.
    lasts = np.where(clip_E[1:] == clip_E[:-1], np.diff(time_E), 0.0)
    running = running_E[:-1][lasts > 0]
    seconds = np.bincount(running, weights=lasts[lasts > 0], minlength=1)
    seconds[0] = max(total - seconds[1:].sum(), 0.0)
    return (100 * seconds / total).tolist()


def _cut(table: _Table, chosen_M: Flags) -> Cut:
    clip_M = table.clip_M[chosen_M]
    start_M = table.start_M[chosen_M] <= ROUNDING
    end_M = table.end_M[chosen_M] >= (table.length_B - table.frame_B)[clip_M] - ROUNDING
    return {"start": _percent(start_M), "end": _percent(end_M), "either": _percent(start_M | end_M)}


def _beyond(clip: Clip | Truth) -> int:
    """Instances that end more than half a frame after the clip, as in the data check."""
    assert clip.duration is not None
    latest = clip.duration + 0.5 / (clip.fps if isinstance(clip, Clip) else USUAL_FPS)
    return sum(instance.end > latest for instance in clip.instances)


def _level(table: _Table, label_M: Integers, *, splits: list[str], rows: list[tuple[str, str, str]]) -> LevelStatistics:
    """Statistics of one level.

    Args:
        table: clips and instances.
        label_M: class or group of each instance.
        splits: names.
        rows: (code, name, group) of each class or group.
    """
    count, split_M = len(rows), table.split_B[table.clip_M]
    holds_BK = np.zeros((len(table.length_B), count), dtype=np.int64)
    holds_BK[table.clip_M, label_M] = 1
    counts_SK = np.array([np.bincount(label_M[split_M == s], minlength=count) for s in range(len(splits))])
    pairs_KK = np.zeros((count, count), dtype=np.int64)
    np.add.at(pairs_KK, (label_M[table.first_P], label_M[table.second_P]), 1)
    pairs_KK += pairs_KK.T - np.diag(np.diag(pairs_KK))
    totals = counts_SK.sum(axis=1)
    classes: list[Category] = []
    for label, (code, name, group) in enumerate(rows):
        mine_M = label_M == label
        counts = counts_SK[:, label].tolist()
        classes.append(
            {
                "code": code,
                "name": name,
                "group": group,
                "counts": dict(zip(splits, counts, strict=True)),
                "shares": {
                    split: 100 * number / int(total) if total else None
                    for split, number, total in zip(splits, counts, totals, strict=True)
                },
                "instances": sum(counts),
                "share": 100 * sum(counts) / len(label_M) if len(label_M) else None,
                "clips": int(holds_BK[:, label].sum()),
                "seconds": _spread((table.end_M - table.start_M)[mine_M]),
                "cut": _cut(table, mine_M),
            }
        )
    return {
        "classes": classes,
        "clips_with_both": (holds_BK.T @ holds_BK).tolist(),
        "overlapping_pairs": pairs_KK.tolist(),
    }


def _spread(values: Reals) -> Spread:
    if not len(values):
        return {key: 0 if key == "n" else None for key in Spread.__annotations__}  # type: ignore[return-value]
    low, lower, median, upper, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
    return {
        "n": len(values),
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else None,
        "low": low,
        "lower": lower,
        "median": median,
        "upper": upper,
        "high": high,
    }


def _percent(flags: Flags) -> float | None:
    return 100 * float(flags.mean()) if len(flags) else None
