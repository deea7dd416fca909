"""What must hold of annotations, whatever file they are from."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmad.annotations import Clip
from mmad.assignment import lost, pyramid_points
from mmad.checks.faults import Fault
from mmad.data.clips import SHORTEST, cut
from mmad.data.grid import Grid, Window
from mmad.formats.annotated import Annotations
from mmad.formats.marks import Mark
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy

_BATCH = 256

ASSIGNMENT: Mapping[str, Any] = {}
"""Settings of `lost` where no head is known: its own."""


def duplicates(marks: Sequence[Mark]) -> Iterator[Fault]:
    """Marks that repeat an earlier one: they would count twice in training and as ground truth."""
    first: dict[Mark, Mark] = {}
    for mark in marks:
        before = first.setdefault(mark, mark)
        if before is not mark:
            yield Fault(
                "duplicate",
                f"{mark.where}: the same segment [{mark.start:g}, {mark.end:g}] s of {mark.label!r} in clip "
                f"{mark.clip!r} as in {_short(before.where, mark.where)}; remove one of them",
                mark.clip,
            )


def beyond(marks: Sequence[Mark], lengths: Mapping[str, tuple[float, float]]) -> Iterator[Fault]:
    """Marks that end more than half a frame after their clip.

    Args:
        marks: in seconds.
        lengths: seconds and frames per second of clips, where known.
    """
    for mark in marks:
        if mark.clip not in lengths:
            continue
        seconds, fps = lengths[mark.clip]
        if mark.end > seconds + 0.5 / fps:
            yield Fault(
                "beyond",
                f"{mark.where}: {mark.label!r} ends at {mark.end:.3f} s, clip {mark.clip!r} after {seconds:.3f} s "
                f"({round(seconds * fps)} frames); correct the row, or fetch the video again",
                mark.clip,
            )


def several_annotators(marks: Sequence[Mark]) -> Iterator[Fault]:
    """Clips in which two annotators marked the same class at the same time: both would be ground truth."""
    marked: dict[tuple[str, str], list[Mark]] = {}
    for mark in marks:
        marked.setdefault((mark.clip, mark.label), []).append(mark)
    told: set[str] = set()
    for (clip, label), group in marked.items():
        for first, second in itertools.combinations(sorted(group, key=lambda mark: mark.start), 2):
            shared = min(first.end, second.end) - second.start
            joined = max(first.end, second.end) - first.start
            if clip not in told and first.annotator != second.annotator and shared > joined / 2:
                told.add(clip)
                yield Fault(
                    "two_annotators",
                    f"{second.where}: {first.annotator!r} and {second.annotator!r} both marked {label!r} of clip "
                    f"{clip!r}, and both would count; keep one of them, or the consensus of mmad-data task=agreement",
                    clip,
                )


def people(split_of: Mapping[str, str], subjects: Mapping[str, str]) -> Iterator[Fault]:
    """Subjects who are in two splits: results would not be those of unseen people."""
    seen: dict[str, dict[str, str]] = {}
    for clip, split in split_of.items():
        if clip in subjects:
            seen.setdefault(subjects[clip], {}).setdefault(split, clip)
    for subject, clips in seen.items():
        if len(clips) > 1:
            named = " and ".join(f"{split} (clip {clip!r})" for split, clip in clips.items())
            yield Fault(
                "subject_in_splits",
                f"subject {subject!r} is in {named}, expected one split; move the clips of that person, or deal all "
                f"clips anew with mmad-data task=split",
            )


def classes(marks: Sequence[Mark], split_of: Mapping[str, str], taxonomy: Taxonomy) -> Iterator[Fault]:
    """Classes that are asked for and never taught, and splits without any."""
    counts: dict[str, Counter[int]] = {split: Counter() for split in split_of.values()}
    for mark in marks:
        if mark.clip in split_of:
            counts[split_of[mark.clip]][taxonomy.index_of[mark.label]] += 1
    if not counts or not taxonomy.actions:
        return  # nothing is asked of videos without classes
    for split, found in counts.items():
        if not found:
            yield Fault("no_instances", f"split {split} has no instance; annotate it, or do not train or test on it")
    if "train" in counts:
        for label, split in itertools.product(range(len(taxonomy.actions)), counts):
            asked = counts[split][label]
            if asked and not counts["train"][label]:
                yield Fault(
                    "untrained_class",
                    f"class {taxonomy.actions[label]!r} has {asked} instances in split {split} and none in train; it "
                    f"cannot be learned: add clips of it to train",
                )


def unused(marks: Sequence[Mark], taxonomy: Taxonomy) -> Iterator[Fault]:
    """Classes that do not occur."""
    names = {mark.label for mark in marks}
    if absent := [name for name in taxonomy.actions if name not in names]:
        yield Fault(
            "unused",
            f"{len(absent)} of {len(taxonomy.actions)} classes do not occur ({', '.join(absent[:3])}"
            f"{', ...' if len(absent) > 3 else ''}); the detector will have outputs for them all the same",
        )


def similar_labels(taxonomy: Taxonomy) -> Iterator[Fault]:
    """Labels that differ by letter case or spaces alone."""
    seen: dict[str, str] = {}
    for name in taxonomy.actions:
        before = seen.setdefault("".join(name.casefold().split()), name)
        if before != name:
            yield Fault(
                "similar_labels",
                f"the labels {before!r} and {name!r} are two classes; if they are meant to be one, write them alike",
            )


def contradictions(annotations: Annotations, lengths: Mapping[str, tuple[int, float]]) -> Iterator[Fault]:
    """Clips whose video is longer or faster than their annotation says.

    Args:
        annotations: what the files say.
        lengths: frames and frames per second of each video.
    """
    for clip, (frames, fps) in lengths.items():
        said, rate, seconds = (
            known.get(clip) for known in (annotations.frames, annotations.fps, annotations.durations)
        )
        if said is not None and abs(said - frames) > 2:
            yield Fault(
                "frame_count",
                f"clip {clip!r} has {frames} frames, its annotation says {said}; the video's number counts: make sure "
                f"that it is the video which was annotated",
                clip,
            )
        elif said is None and seconds is not None and abs(seconds - frames / fps) > 2 / fps:
            yield Fault(
                "frame_count",
                f"clip {clip!r} lasts {frames / fps:.3f} s, its annotation says {seconds:.3f} s; make sure that it is "
                f"the video which was annotated",
                clip,
            )
        # By the end of the clip, the two count more than two frames apart.
        if rate is not None and abs(frames / rate - frames / fps) > 2 / fps:
            yield Fault(
                "fps",
                f"clip {clip!r} has {fps:.3f} frames per second, its annotation says {rate:g}; times in seconds "
                f"follow the annotation: correct it unless it is meant",
                clip,
            )


def unassigned(
    clips: Sequence[Clip],
    marks_of: Mapping[str, Sequence[Mark]],
    grid: Grid,
    assignment: Mapping[str, Any] = ASSIGNMENT,
) -> Iterator[Fault]:
    """Instances to which label assignment gives no point, wherever a training window begins.

    Args:
        clips: with frames, frames per second and instances.
        marks_of: the marks of each clip, in the order of its instances.
        grid: frames per feature step, longest window and pyramid levels.
        assignment: settings of `lost`.
    """
    suspects: list[tuple[Clip, list[int]]] = []
    # Most are served in the windows of evaluation; only the others are tried in all windows.
    batch = [(clip, grid.sliding(0, raw_frames=clip.frames, fps=clip.fps)) for clip in clips if clip.instances]
    for start in range(0, len(batch), _BATCH):
        suspects += _never_served(batch[start : start + _BATCH], grid, assignment)
    for clip, numbers in suspects:
        windows = list(_training_windows(clip, grid))
        for number in sorted(set(numbers) & set(_unserved(clip, windows, grid, assignment))):
            mark = marks_of[clip.id][number]
            alone = replace(clip, instances=(clip.instances[number],))
            longest = grid.window * grid.feature_stride / clip.fps
            if mark.end - mark.start > longest:
                why = f"it is longer than a window of {longest:.0f} s: make grid.window larger"
            elif _unserved(alone, windows, grid, assignment):
                why = f"it is too short: {grid.feature_stride} frames make a feature step; grid=dense is finer"
            else:
                why = "shorter instances cover it: shorten it, or share points with head.filter_similar=false"
            yield Fault(
                "lost_instance",
                f"{mark.where}: no point of the pyramid answers for {mark.label!r} [{mark.start:g}, {mark.end:g}] s of "
                f"clip {clip.id!r} ({(mark.end - mark.start) * clip.fps:.0f} frames), so it is not learned; {why}",
                clip.id,
            )


def _unserved(clip: Clip, windows: list[Window], grid: Grid, assignment: Mapping[str, Any]) -> list[int]:
    """Numbers of the instances that have no point in any of the windows."""
    return [number for _, numbers in _never_served([(clip, windows)], grid, assignment) for number in numbers]


def _never_served(
    batch: Sequence[tuple[Clip, list[Window]]], grid: Grid, assignment: Mapping[str, Any]
) -> list[tuple[Clip, list[int]]]:
    """The clips of which some instance has no point in any of their windows, and which instances those are."""
    shown: dict[int, list[tuple[int, Segments]]] = {}
    for place, (clip, windows) in enumerate(batch):
        instances = clip.segments()
        # In place of its class, each instance bears its number.
        instances["labels"] = instances["labels"].new_tensor(range(len(instances["labels"])))
        for window in windows:
            shown.setdefault(grid.padded(window.steps), []).append((place, cut(instances, window, keep=0.75)))
    served: list[set[int]] = [set() for _ in batch]
    for steps, pieces in shown.items():
        points = pyramid_points(steps, grid.levels)
        lost_in = lost(points, [piece for _, piece in pieces], **assignment)
        for (place, piece), gone in zip(pieces, lost_in, strict=True):
            served[place].update(piece["labels"][~gone].tolist())
    found = [
        (clip, [number for number in range(len(clip.instances)) if number not in served[place]])
        for place, (clip, _) in enumerate(batch)
    ]
    return [(clip, numbers) for clip, numbers in found if numbers]


def _training_windows(clip: Clip, grid: Grid) -> Iterator[Window]:
    """A window of training for each place where one can begin, relative to the coarsest level of the pyramid."""
    total, longest = grid.decoded(clip.frames), grid.window * grid.frames_per_step
    if total <= longest:
        for first in range(total - max(int(SHORTEST * total), 1) + 1):
            yield grid.piece(0, raw_frames=clip.frames, fps=clip.fps, first=first, frames=total - first)
        return
    period = grid.frames_per_step * 2 ** (grid.levels - 1)
    for window in grid.sliding(0, raw_frames=clip.frames, fps=clip.fps):
        for first in range(window.first, min(window.first + period, total - longest + 1)):
            yield grid.piece(0, raw_frames=clip.frames, fps=clip.fps, first=first, frames=longest)


def _short(place: str, other: str) -> str:
    """A place in the same file without the file's name."""
    file, _, line = place.rpartition(", ")
    return line if file and other.startswith(file) else place
