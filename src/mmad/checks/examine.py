"""All checks of a data set, one after another."""

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mmad.annotations import Clip
from mmad.checks import rules
from mmad.checks.faults import Fault, sorted_faults
from mmad.checks.videos import headers_of, inspect_all, oddities
from mmad.data.grid import Grid
from mmad.data.header import Header
from mmad.data.manifest import Manifest, Video
from mmad.data.sources.mma52 import USUAL_FPS
from mmad.data.sources.source import EXCLUSIONS, SPLIT_TABLE, Source, no_such_split, no_video
from mmad.errors import MmadError, OnFault
from mmad.formats.fields import label_index
from mmad.formats.marks import Mark, truths_of
from mmad.formats.videos import SUFFIXES, all_folders
from mmad.taxonomy import Taxonomy


@dataclass(frozen=True)
class Examination:
    """What was found.

    Args:
        faults: the gravest kinds first.
        clips: number of clips with at least one readable row.
        instances: number of readable rows.
        manifest: of the videos that could be read.
        excluded: clips that the data set leaves out, and why.
    """

    faults: list[Fault]
    clips: int
    instances: int
    manifest: Manifest
    excluded: Mapping[str, str]

    @property
    def errors(self) -> list[Fault]:
        """Faults that make results wrong or training impossible."""
        return [fault for fault in self.faults if fault.severity == "error"]

    @property
    def blocked(self) -> dict[str, str]:
        """Clips that training refuses, and why."""
        return {fault.clip: fault.message for fault in reversed(self.faults) if fault.blocks and fault.clip is not None}

    @property
    def obstacles(self) -> list[Fault]:
        """Faults for which training refuses the data, and which no clip can be left out for."""
        return [fault for fault in self.faults if fault.blocks and fault.clip is None]


def examine(
    make: Callable[..., Source],
    *,
    grid: Grid,
    splits: Collection[str] | None = None,
    needed: Collection[str] = (),
    assignment: Mapping[str, Any] | None = rules.ASSIGNMENT,
    videos: bool = True,
    inspect: bool = False,
    deep: bool = False,
    limit: float = 60.0,
    progress: bool = True,
) -> Examination:
    """Everything that is wrong with a data set.

    Args:
        make: makes the source; called with `on_fault`, which is to be told of each fault, and `leave_out`.
        grid: frames per feature step, longest window and pyramid levels, for the check of label assignment.
        splits: names of the splits that count; None: all, and excluded clips are looked at too.
        needed: splits that must have clips.
        assignment: settings of `lost` where instances are learned by assigning them to points; None where they are not.
        videos: whether videos are asked for; without, the annotations alone are checked.
        inspect: whether each video is opened in a child process and hashed for the manifest; otherwise its header is
            read here.
        deep: whether every frame is decoded there.
        limit: seconds after which a video counts as hanging.
        progress: whether to show bars.
    """
    faults: list[Fault] = []
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        try:
            look = partial(
                _examined,
                grid=grid,
                assignment=assignment,
                videos=videos,
                inspect=inspect or deep,
                deep=deep,
                limit=limit,
                progress=progress,
            )
            source = make(on_fault=lambda error: faults.append(Fault.of(error)), leave_out=True)
            if splits is None and source.excluded:
                faults += _of_excluded(make, source, look)
            found = look(source, faults, splits=splits, needed=needed)
        except MmadError as error:
            # Without annotations or classes there is nothing to go on with.
            fault = Fault.of(error)
            faults.append(Fault("data", fault.message, fault.clip) if fault.kind == "row" else fault)
            found = Examination([], 0, 0, Manifest(Path(), {}), {})
    faults += [Fault("remark", str(remark.message)) for remark in remarks]
    return Examination(sorted_faults(faults), found.clips, found.instances, found.manifest, found.excluded)


def _examined(
    source: Source,
    faults: list[Fault],
    *,
    grid: Grid,
    assignment: Mapping[str, Any] | None,
    videos: bool,
    inspect: bool,
    deep: bool,
    limit: float,
    progress: bool,
    splits: Collection[str] | None = None,
    needed: Collection[str] = (),
    only: Collection[str] | None = None,
) -> Examination:
    """What is wrong with the clips of some splits, or with `only` some clips; faults are appended."""

    def note(error: MmadError) -> None:
        faults.append(Fault.of(error))

    dealt = source.dealt
    wanted = {
        clip
        for clip in source.annotations.clips
        if (splits is None or dealt.get(clip) in splits) and (only is None or clip in only)
    }
    if splits is not None:
        # What was read of other splits is no matter here.
        faults[:] = [f for f in faults if (f.split or dealt.get(f.clip or "", next(iter(splits)))) in splits]
    there = ", ".join(sorted(set(dealt.values())))
    present = {dealt.get(clip) for clip in source.annotations.clips}
    faults += [Fault.of(no_such_split(source.root, split, there)) for split in needed if split not in present]
    annotations = source.annotations.without(set(source.annotations.clips) - wanted)
    taxonomy = source.taxonomy
    marks = list(_named(annotations.marks, taxonomy, note))
    truths = truths_of(marks, taxonomy=taxonomy, clips=annotations.clips, on_fault=note)
    split_of = {clip: split for clip, split in dealt.items() if clip in wanted}
    faults += [
        Fault(
            "no_split",
            f"clip {clip!r} has no split; name it in {source.root / SPLIT_TABLE} (columns clip and split), or put its "
            f"video into a folder train, val or test",
            clip,
        )
        for clip in annotations.clips
        if clip not in dealt
    ]
    faults += rules.duplicates(marks)
    faults += rules.several_annotators(marks)
    faults += rules.people(split_of, annotations.subjects | _subjects(marks))
    faults += rules.classes(marks, split_of, taxonomy)
    if splits is None:
        faults += rules.unused(marks, taxonomy)
        faults += rules.similar_labels(taxonomy)

    headers: dict[str, Header] = {}
    inspected: dict[str, Video] = {}
    if videos:
        found = {clip: source.found[clip] for clip in annotations.clips if clip in source.found}
        known = {fault.clip for fault in faults if fault.kind in ("two_videos", "missing_video")}
        absent = (clip for clip in annotations.clips if clip not in found and clip not in known)
        faults += [Fault.of(no_video(clip, source.root)) for clip in absent]
        if inspect:
            inspected, broken = inspect_all(found, source.manifest, deep=deep, limit=limit, progress=progress)
            headers = {clip: video.header for clip, video in inspected.items()}
        else:
            headers, broken = headers_of(found, source.manifest)
        faults += broken
        faults += oddities(found, headers)
        lengths = {clip: (header.frames, header.fps) for clip, header in headers.items()}
        faults += rules.contradictions(annotations, lengths)
        if splits is None and only is None:
            faults += _strays(source)
    else:
        faults[:] = [fault for fault in faults if fault.kind not in ("missing_video", "two_videos")]

    rates = {clip: header.fps for clip, header in headers.items()}
    seconds = annotations.durations | {clip: h.frames / h.fps for clip, h in headers.items()}
    # Frames and seconds of an annotation in frames belong together, whatever rate the video has.
    seconds |= {c: headers[c].frames / annotations.fps[c] for c in headers if c in annotations.fps}
    rates |= annotations.fps
    faults += rules.beyond(marks, {clip: (length, rates.get(clip, USUAL_FPS)) for clip, length in seconds.items()})
    clips: list[Clip] = []
    marks_of: dict[str, list[Mark]] = {}
    for truth in truths:
        # Points are assigned in training only.
        if truth.id in seconds and truth.id in rates and split_of.get(truth.id, "train") == "train":
            fps = rates[truth.id]
            clips.append(Clip(truth.id, Path(), truth.subject, fps, round(seconds[truth.id] * fps), truth.instances))
            marks_of[truth.id] = []
    for mark in marks:
        if mark.clip in marks_of:
            marks_of[mark.clip].append(mark)
    if assignment is not None:
        faults += rules.unassigned(clips, marks_of, grid, assignment)
    return Examination(
        [],
        len(annotations.clips),
        len(marks),
        Manifest.of(source.root, {source.found[clip]: video for clip, video in inspected.items()}),
        source.excluded,
    )


def _of_excluded(make: Callable[..., Source], source: Source, look: Callable[..., Examination]) -> list[Fault]:
    """Rows of `exclude.csv` that name no clip, or one with which nothing is wrong (any more)."""
    faults: list[Fault] = []
    everything = make(on_fault=lambda error: faults.append(Fault.of(error)), leave_out=False)
    look(everything, faults, only=source.excluded)
    wrong = {fault.clip for fault in faults if fault.blocks}
    table = source.root / EXCLUSIONS
    told = []
    for clip in source.excluded:
        if clip in wrong:
            continue
        if clip in everything.annotations.clips:
            why = f"{table}: nothing is wrong with clip {clip!r}; remove its row, unless it is to stay out"
        else:
            why = f"{table}: there is no clip {clip!r} in the annotations; correct or remove its row"
        told.append(Fault("exclusion", why))
    return told


def _named(marks: Iterable[Mark], taxonomy: Taxonomy, on_fault: OnFault) -> Iterator[Mark]:
    """The marks with the names of their classes as the taxonomy writes them; those of no class are faults."""
    for mark in marks:
        try:
            label = label_index(mark.label, taxonomy=taxonomy, where=mark.where)
        except MmadError as error:
            error.clip = mark.clip
            on_fault(error)
            continue
        name = taxonomy.actions[label]
        yield mark if mark.label == name else replace(mark, label=name)


def _subjects(marks: Collection[Mark]) -> dict[str, str]:
    return {mark.clip: mark.subject for mark in marks if mark.subject is not None}


def _strays(source: Source) -> list[Fault]:
    """Videos of the folder that no annotation names."""
    used = set(source.found.values())
    strays = [
        path
        for folder in all_folders(source.root)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and path not in used and path.stem not in source.excluded
    ]
    if not strays:
        return []
    return [
        Fault(
            "unused",
            f"{len(strays)} videos in {source.root} are not annotated, such as {strays[0].name}; if clips lack a "
            f"video, compare the names",
        )
    ]
