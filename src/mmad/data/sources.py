"""Where annotated clips come from: one source per kind of annotation, all with the same clips and classes.

A source is made from the folder of a data set and knows its classes (`taxonomy`) and the clips of its splits.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

from tqdm.auto import tqdm

from mmad.annotations import Clip, Instance
from mmad.data.video import VideoInfo, probe
from mmad.errors import MmadError
from mmad.formats.annotated import Annotations
from mmad.formats.boris import read_boris
from mmad.formats.csv_marks import read_csv_marks
from mmad.formats.elan import read_elan
from mmad.formats.json_marks import read_json_marks
from mmad.formats.labels import read_taxonomy
from mmad.formats.marks import Mark, marks_of, taxonomy_of, truths_of
from mmad.formats.mma52 import annotation_files, read_mma52
from mmad.formats.splits import read_splits
from mmad.formats.videos import find_videos
from mmad.taxonomy import MMA52, Taxonomy
from mmad.timebase import frame_to_seconds

SPLITS = ("train", "val", "test")
ROUNDING = 0.000501
"""Seconds by which a time in whole milliseconds misses the frame that was meant."""
LABELS, SPLIT_TABLE = "labels.csv", "splits.csv"
"""Files that may lie in the folder of a data set: its classes, and the split of each clip."""

Read = Callable[[Path, Taxonomy | None, float | None], Annotations]
"""Reads all annotations of a folder. The taxonomy, where it is known, resolves names; frames per second are for times
in frames whose file says none."""


class Source(Protocol):
    """Annotated clips of a data set."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""

    @property
    def annotations(self) -> Annotations:
        """All marks, and what is known of their clips."""

    @property
    def split_of(self) -> Mapping[str, str]:
        """The split of each clip."""

    @property
    def videos(self) -> Mapping[str, Path]:
        """The video of each clip."""

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split.

        Raises:
            MmadError: the split, an annotation or a video is absent or faulty.
        """


class MMA52Source:
    """MMA-52 as released.

    Args:
        root: folder with `annotations/` and the videos.
        fps: raw frames per second where the annotation has none; None asks each video.
    """

    taxonomy = MMA52

    def __init__(self, root: Path, *, fps: float | None) -> None:
        self.root, self.fps = root, fps

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split; see `mmad.formats.mma52.read_mma52`."""
        return read_mma52(self.root, split, fps=self.fps or (lambda path: video_info(path).fps))

    @cached_property
    def _all(self) -> dict[str, list[Clip]]:
        if not self.root.is_dir():
            raise MmadError(f"{self.root} is not a folder; give the one that holds annotations/ and the videos")
        there = [split for split in SPLITS if any(path.is_file() for path in annotation_files(self.root, split))]
        return {split: self.clips(split) for split in there}

    @cached_property
    def annotations(self) -> Annotations:
        """The marks of all splits that are there."""
        clips = [clip for part in self._all.values() for clip in part]
        return Annotations(
            marks_of([clip.truth() for clip in clips], taxonomy=self.taxonomy),
            [clip.id for clip in clips],
            dict(self.split_of),
            {clip.id: clip.subject for clip in clips if clip.subject is not None},
            {clip.id: clip.duration for clip in clips},
        )

    @cached_property
    def split_of(self) -> Mapping[str, str]:
        """The split of each clip."""
        return {clip.id: split for split, part in self._all.items() for clip in part}

    @cached_property
    def videos(self) -> Mapping[str, Path]:
        """The video of each clip."""
        return {clip.id: clip.path for part in self._all.values() for clip in part}


class MarkedSource:
    """Videos with annotations from a table, a JSON file, ELAN or BORIS.

    Videos lie anywhere in the folder, named after their clips. Classes are those of `labels.csv` (columns `name` and
    optionally `code` and `body`), or else the labels that occur. Splits are those of the annotations, of `splits.csv`
    (columns `clip` and `split`), or the folders `train`, `val` and `test` in which the videos lie, in this order.

    Args:
        root: folder of the data set.
        read: gives the folder's annotations.
        fps: frames per second of annotations in frames that say none.
    """

    def __init__(self, root: Path, *, read: Read, fps: float | None) -> None:
        if not root.is_dir():
            raise MmadError(f"{root} is not a folder; give the one that holds the annotations and the videos")
        self.root, self.read, self.fps = root, read, fps

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self._told or taxonomy_of(self.annotations.marks)

    @cached_property
    def annotations(self) -> Annotations:
        """All marks, and what is known of their clips."""
        found = self.read(self.root, self._told, self.fps)
        if not found.clips:
            raise MmadError(f"{self.root}: the annotations name no clip; check the file")
        return found

    @cached_property
    def _told(self) -> Taxonomy | None:
        path = self.root / LABELS
        return read_taxonomy(path) if path.is_file() else None

    @cached_property
    def videos(self) -> dict[str, Path]:
        """The video of each clip.

        Raises:
            MmadError: a clip has none, or two.
        """
        folders = [self.root, *sorted(path for path in self.root.rglob("*") if path.is_dir())]
        found = find_videos(self.annotations.clips, [folders])
        absent = [clip for clip in self.annotations.clips if clip not in found]
        if absent:
            raise MmadError(
                f"{len(absent)} of {len(self.annotations.clips)} clips have no video in {self.root}, the first is "
                f"{absent[0]!r}; put a video of that name there, such as {absent[0]}.mp4"
            )
        return found

    @cached_property
    def split_of(self) -> Mapping[str, str]:
        """The split of each clip.

        Raises:
            MmadError: some clip has none.
        """
        clips, table = self.annotations.clips, self.root / SPLIT_TABLE
        if table.is_file():
            split_of: Mapping[str, str] = read_splits(table)
        elif self.annotations.split_of:
            split_of = self.annotations.split_of
        else:
            split_of = {
                clip: part
                for clip, path in self.videos.items()
                for part in path.relative_to(self.root).parts[:-1]
                if part in SPLITS
            }
        without = [clip for clip in clips if clip not in split_of]
        if without:
            raise MmadError(
                f"{len(without)} of {len(clips)} clips of {self.root} have no split, the first is {without[0]!r}; name "
                f"it in {table} (columns clip and split), or put the videos into folders train, val and test"
            )
        return split_of

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
        infos = _probed([self.videos[clip] for clip in chosen])
        return [
            Clip(
                truth.id,
                self.videos[truth.id],
                truth.subject or self.annotations.subjects.get(truth.id),
                infos[self.videos[truth.id]].fps,
                infos[self.videos[truth.id]].frames,
                tuple(_on_frames(instance, infos[self.videos[truth.id]].fps) for instance in truth.instances),
            )
            for truth in truths_of(marks, taxonomy=self.taxonomy, clips=chosen)
        ]


def read_table(root: Path, taxonomy: Taxonomy | None, fps: float | None) -> Annotations:
    """`annotations.csv`, or the tables `train.csv`, `val.csv` and `test.csv`, of a folder.

    Args:
        root: the folder.
        taxonomy: not needed.
        fps: frames per second, where times are in frames and the table has no such column.
    """
    whole = root / "annotations.csv"
    if whole.is_file():
        return read_csv_marks(whole, fps=fps)
    parts = {split: root / f"{split}.csv" for split in SPLITS if (root / f"{split}.csv").is_file()}
    if not parts:
        raise MmadError(f"{root} has neither annotations.csv nor train.csv, val.csv and test.csv; write one of these")
    return _joined({split: read_csv_marks(path, fps=fps) for split, path in parts.items()})


def read_json(root: Path, taxonomy: Taxonomy | None, fps: float | None) -> Annotations:
    """The one JSON file of a folder, in ActivityNet's layout; times are in seconds."""
    _need_no(fps)
    return read_json_marks(_only(root, "*.json", what="JSON file in ActivityNet's layout"))


def read_eaf(root: Path, taxonomy: Taxonomy | None, fps: float | None, *, labels: str = "auto") -> Annotations:
    """All ELAN files of a folder, one per clip.

    Args:
        root: the folder; files may lie deeper.
        taxonomy: resolves the names of tiers.
        fps: must be None, since ELAN's times are in milliseconds.
        labels: as in `mmad.formats.elan.read_elan`.
    """
    _need_no(fps)
    files = sorted(root.rglob("*.eaf"))
    if not files:
        raise MmadError(f"{root} holds no .eaf file; save one for each clip in ELAN")
    marks: list[Mark] = []
    clips: list[str] = []
    for path in files:
        found = read_elan(path, labels=labels, taxonomy=taxonomy)
        if found.clips[0] in clips:
            raise MmadError(f"{path}: another .eaf file annotates the clip {found.clips[0]!r} too; keep one of them")
        clips += found.clips
        marks += found.marks
    return Annotations(marks, clips)


def read_boris_files(root: Path, taxonomy: Taxonomy | None, fps: float | None) -> Annotations:
    """The one BORIS project of a folder, or else its one table of aggregated events; times are in seconds."""
    _need_no(fps)
    projects = sorted(root.glob("*.boris"))
    if projects:
        path = _only(root, "*.boris", what="BORIS project")
    else:
        tables = [
            p for p in sorted(root.glob("*.csv")) + sorted(root.glob("*.tsv")) if p.name not in (LABELS, SPLIT_TABLE)
        ]
        if len(tables) != 1:
            raise MmadError(f"{root} holds {len(tables)} tables, expected a .boris project or one exported table")
        path = tables[0]
    marks = read_boris(path)
    return Annotations(marks, list(dict.fromkeys(mark.clip for mark in marks)))


@cache
def video_info(path: Path) -> VideoInfo:
    """What a video says of itself, asked once."""
    return probe(path)


def _probed(paths: list[Path]) -> dict[Path, VideoInfo]:
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        found = tqdm(pool.map(video_info, paths), total=len(paths), desc="open videos", unit="clip", leave=False)
        return dict(zip(paths, found, strict=True))


def _need_no(fps: float | None) -> None:
    if fps is not None:
        raise MmadError(f"data.source.fps={fps:g}: these annotations are in seconds; leave it out")


def _on_frames(instance: Instance, fps: float) -> Instance:
    """The instance with times that lie next to a frame moved onto it."""
    start, end = (
        frame_to_seconds(round(time * fps), fps) if abs(round(time * fps) / fps - time) <= ROUNDING else time
        for time in (instance.start, instance.end)
    )
    return replace(instance, start=start, end=end) if start < end else instance


def _only(root: Path, pattern: str, *, what: str) -> Path:
    files = sorted(root.glob(pattern))
    if len(files) != 1:
        named = ", ".join(path.name for path in files[:3]) or "none"
        raise MmadError(f"{root} holds {len(files)} files {pattern} ({named}), expected one {what}")
    return files[0]


def _joined(parts: Mapping[str, Annotations]) -> Annotations:
    """Annotations of several splits as one."""
    split_of: dict[str, str] = {}
    for split, part in parts.items():
        for clip in part.clips:
            if clip in split_of:
                raise MmadError(f"clip {clip!r} is in the tables {split_of[clip]}.csv and {split}.csv, expected one")
            split_of[clip] = split

    def every(name: str) -> Iterable:
        return (value for part in parts.values() for value in getattr(part, name))

    subjects = {clip: subject for part in parts.values() for clip, subject in part.subjects.items()}
    durations = {clip: seconds for part in parts.values() for clip, seconds in part.durations.items()}
    return Annotations(list(every("marks")), list(every("clips")), split_of, subjects, durations)
