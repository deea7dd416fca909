"""Videos with annotations of any other kind as a source of annotated clips."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mmad.annotations import Clip, Instance
from mmad.data.manifest import Manifest
from mmad.data.sources.source import (
    LABELS,
    SPLIT_TABLE,
    SPLITS,
    all_found,
    but_for,
    exclusions,
    headers,
    no_such_split,
    nothing_left,
)
from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.annotated import Annotations
from mmad.formats.labels import read_taxonomy
from mmad.formats.marks import taxonomy_of, truths_of
from mmad.formats.splits import read_splits
from mmad.formats.videos import all_folders, find_videos
from mmad.taxonomy import Taxonomy
from mmad.timebase import frame_to_seconds

ROUNDING = 0.000501
"""Seconds by which a time in whole milliseconds misses the frame that was meant."""

Read = Callable[[Path, Taxonomy | None, float | None, OnFault], Annotations]
"""Reads all annotations of a folder. The taxonomy, where it is known, resolves names; frames per second are for times
in frames whose file says none; the last is told of rows that cannot be right."""


class MarkedSource:
    """Videos with annotations from a table, a JSON file, ELAN or BORIS.

    Videos lie anywhere in the folder, named after their clips. Classes are those of `labels.csv` (columns `name` and
    optionally `code` and `body`), or else the labels that occur. Splits are those of the annotations, of `splits.csv`
    (columns `clip` and `split`), or the folders `train`, `val` and `test` in which the videos lie, in this order.

    Args:
        root: folder of the data set.
        read: gives the folder's annotations.
        fps: frames per second of annotations in frames that say none.
        on_fault: told of what cannot be right.
        leave_out: whether clips of `exclude.csv` are left out.

    Raises:
        MmadError: the root is not a folder.
    """

    def __init__(
        self, root: Path, *, read: Read, fps: float | None, on_fault: OnFault = refuse, leave_out: bool = True
    ) -> None:
        if not root.is_dir():
            raise MmadError(f"{root} is not a folder; give the one that holds the annotations and the videos")
        self.root, self.read, self.fps, self.manifest = root, read, fps, Manifest.read(root, on_fault=on_fault)
        self.excluded = exclusions(root)
        self.left_out = self.excluded if leave_out else {}
        self.on_fault = but_for(self.left_out, on_fault)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self._told or taxonomy_of(self.annotations.marks)

    @cached_property
    def annotations(self) -> Annotations:
        """All marks, and what is known of their clips."""
        read = self.read(self.root, self._told, self.fps, self.on_fault)
        found = read.without(self.left_out)
        if not found.clips:
            if read.clips:
                raise nothing_left(self.root)
            raise MmadError(f"{self.root}: the annotations name no clip; check the file")
        return found

    @cached_property
    def _told(self) -> Taxonomy | None:
        path = self.root / LABELS
        return read_taxonomy(path) if path.is_file() else None

    @cached_property
    def found(self) -> Mapping[str, Path]:
        """The video of each clip that has one."""
        return find_videos(self.annotations.clips, [all_folders(self.root)], on_fault=self.on_fault)

    @property
    def videos(self) -> Mapping[str, Path]:
        """The video of each clip.

        Raises:
            MmadError: a clip has none, or two.
        """
        return all_found(self.found, self.annotations.clips, self.root)

    @cached_property
    def dealt(self) -> Mapping[str, str]:
        """The split of each clip that has one."""
        table = self.root / SPLIT_TABLE
        if table.is_file():
            return read_splits(table, on_fault=self.on_fault)
        if self.annotations.split_of:
            return self.annotations.split_of
        return {
            clip: part
            for clip, path in self.found.items()
            for part in path.relative_to(self.root).parts[:-1]
            if part in SPLITS
        }

    @property
    def split_of(self) -> Mapping[str, str]:
        """The split of each clip.

        Raises:
            MmadError: some clip has none.
        """
        clips = self.annotations.clips
        without = [clip for clip in clips if clip not in self.dealt]
        if without:
            all_found(self.found, clips, self.root)  # the folder of a video may be what is missing
            raise MmadError(
                f"{len(without)} of {len(clips)} clips of {self.root} have no split, the first is {without[0]!r}; name "
                f"it in {self.root / SPLIT_TABLE} (columns clip and split), or put the videos into folders train, val "
                f"and test",
                kind="no_split",
            )
        return self.dealt

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split, in the order of its table; every video is opened for its rate and length.

        The rate is that of annotations in frames where there are such, so that a frame stays the frame that was marked.
        Times that lie within half a millisecond of a frame are moved onto it: tools that keep milliseconds round what
        was marked by frames.
        """
        annotated = set(self.annotations.clips)
        chosen = [clip for clip, part in self.split_of.items() if part == split and clip in annotated]
        if not chosen:
            there = ", ".join(sorted(set(self.split_of.values())))
            raise no_such_split(self.root, split, there)
        inside = set(chosen)
        marks = [mark for mark in self.annotations.marks if mark.clip in inside]
        videos = all_found(self.found, chosen, self.root)
        known = headers(self.manifest, [videos[clip] for clip in chosen])
        clips = []
        for truth in truths_of(marks, taxonomy=self.taxonomy, clips=chosen):
            header = known[videos[truth.id]]
            fps = self.annotations.fps.get(truth.id, header.fps)
            subject = truth.subject or self.annotations.subjects.get(truth.id)
            instances = tuple(on_frames(instance, fps) for instance in truth.instances)
            clips.append(Clip(truth.id, videos[truth.id], subject, fps, header.frames, instances))
        return clips


def on_frames(instance: Instance, fps: float) -> Instance:
    """The instance with times that lie next to a frame moved onto it."""
    start, end = (
        frame_to_seconds(round(time * fps), fps) if abs(round(time * fps) / fps - time) <= ROUNDING else time
        for time in (instance.start, instance.end)
    )
    return replace(instance, start=start, end=end) if start < end else instance
