"""Videos with annotations of any other kind as a source of annotated clips."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mmad.annotations import Clip, Instance
from mmad.data.manifest import Manifest
from mmad.data.sources.source import LABELS, SPLIT_TABLE, SPLITS, all_found, but_for, exclusions, headers
from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.annotated import Annotations
from mmad.formats.labels import read_taxonomy
from mmad.formats.marks import taxonomy_of, truths_of
from mmad.formats.splits import read_splits
from mmad.formats.videos import find_videos
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

    Raises:
        MmadError: the root is not a folder.
    """

    def __init__(self, root: Path, *, read: Read, fps: float | None, on_fault: OnFault = refuse) -> None:
        if not root.is_dir():
            raise MmadError(f"{root} is not a folder; give the one that holds the annotations and the videos")
        self.root, self.read, self.fps, self.manifest = root, read, fps, Manifest.read(root)
        self.excluded = exclusions(root)
        self.on_fault = but_for(self.excluded, on_fault)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self._told or taxonomy_of(self.annotations.marks)

    @cached_property
    def annotations(self) -> Annotations:
        """All marks, and what is known of their clips."""
        found = self.read(self.root, self._told, self.fps, self.on_fault).without(self.excluded)
        if not found.clips:
            raise MmadError(f"{self.root}: the annotations name no clip; check the file")
        return found

    @cached_property
    def _told(self) -> Taxonomy | None:
        path = self.root / LABELS
        return read_taxonomy(path) if path.is_file() else None

    @cached_property
    def found(self) -> Mapping[str, Path]:
        """The video of each clip that has one."""
        folders = [self.root, *sorted(path for path in self.root.rglob("*") if path.is_dir())]
        return find_videos(self.annotations.clips, [folders], on_fault=self.on_fault)

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

        Times that lie within half a millisecond of a frame are moved onto it: tools that keep milliseconds round what
        was marked by frames.
        """
        known = set(self.annotations.clips)
        chosen = [clip for clip, part in self.split_of.items() if part == split and clip in known]
        if not chosen:
            there = ", ".join(sorted(set(self.split_of.values())))
            raise MmadError(f"{self.root}: no clip is of split {split}; there are {there}")
        inside = set(chosen)
        marks = [mark for mark in self.annotations.marks if mark.clip in inside]
        found = headers(self.manifest, [self.videos[clip] for clip in chosen])
        return [
            Clip(
                truth.id,
                self.videos[truth.id],
                truth.subject or self.annotations.subjects.get(truth.id),
                found[self.videos[truth.id]].fps,
                found[self.videos[truth.id]].frames,
                tuple(on_frames(instance, found[self.videos[truth.id]].fps) for instance in truth.instances),
            )
            for truth in truths_of(marks, taxonomy=self.taxonomy, clips=chosen)
        ]


def on_frames(instance: Instance, fps: float) -> Instance:
    """The instance with times that lie next to a frame moved onto it."""
    start, end = (
        frame_to_seconds(round(time * fps), fps) if abs(round(time * fps) / fps - time) <= ROUNDING else time
        for time in (instance.start, instance.end)
    )
    return replace(instance, start=start, end=end) if start < end else instance
