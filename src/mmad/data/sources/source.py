"""What every source of annotated clips offers, and what they share."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from tqdm.auto import tqdm

from mmad.annotations import Clip
from mmad.data.header import Header
from mmad.data.manifest import Manifest
from mmad.errors import MmadError, OnFault
from mmad.formats.annotated import Annotations
from mmad.formats.splits import read_exclusions
from mmad.taxonomy import Taxonomy

SPLITS = ("train", "val", "test")
LABELS, SPLIT_TABLE = "labels.csv", "splits.csv"
"""Files that may lie in the folder of a data set: its classes, and the split of each clip."""

EXCLUSIONS = "exclude.csv"
"""File that may lie there too: clips to leave out."""
OWN_TABLES = (LABELS, SPLIT_TABLE, EXCLUSIONS)


class Source(Protocol):
    """Annotated clips of a data set.

    Everything is read at first use. What cannot be right goes to the source's `on_fault`: by default the first fault
    ends it, and a check that collects them all goes on with what is left.
    """

    root: Path
    manifest: Manifest
    left_out: Mapping[str, str]

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""

    @property
    def excluded(self) -> Mapping[str, str]:
        """The table `exclude.csv` in the folder: clips to leave out, and why; `left_out` are those that are."""

    @property
    def annotations(self) -> Annotations:
        """All marks, and what is known of their clips."""

    @property
    def dealt(self) -> Mapping[str, str]:
        """The split of each clip that has one."""

    @property
    def split_of(self) -> Mapping[str, str]:
        """The split of each clip.

        Raises:
            MmadError: some clip has none.
        """

    @property
    def found(self) -> Mapping[str, Path]:
        """The video of each clip that has one."""

    @property
    def videos(self) -> Mapping[str, Path]:
        """The video of each clip.

        Raises:
            MmadError: a clip has none.
        """

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split.

        Raises:
            MmadError: the split, an annotation or a video is absent or faulty.
        """


def headers(
    manifest: Manifest, paths: Sequence[Path], *, on_fault: Callable[[Path, MmadError], None] | None = None
) -> dict[Path, Header]:
    """The header of each video, several read at once, with a bar.

    Args:
        manifest: what is known already.
        paths: of the videos.
        on_fault: told of videos that cannot be read, which are then left out; None refuses the first.
    """

    def look(path: Path) -> Header | MmadError:
        try:
            return manifest.header(path)
        except MmadError as fault:
            if on_fault is None:
                raise
            return fault

    found: dict[Path, Header] = {}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        looked = tqdm(pool.map(look, paths), total=len(paths), desc="open videos", unit="clip", leave=False)
        for path, known in zip(paths, looked, strict=True):
            if isinstance(known, Header):
                found[path] = known
            elif on_fault is not None:
                on_fault(path, known)
    return found


def exclusions(root: Path) -> Mapping[str, str]:
    """The clips that a folder's `exclude.csv` leaves out, and why."""
    path = root / EXCLUSIONS
    return read_exclusions(path) if path.is_file() else {}


def but_for(excluded: Mapping[str, str], on_fault: OnFault) -> OnFault:
    """The same, told of nothing that concerns excluded clips."""

    def told(fault: MmadError) -> None:
        if fault.clip not in excluded:
            on_fault(fault)

    return told


def all_found(found: Mapping[str, Path], clips: Sequence[str], root: Path) -> Mapping[str, Path]:
    """The same videos; raises MmadError if a clip has none."""
    absent = [clip for clip in clips if clip not in found]
    if absent:
        raise MmadError(
            f"{len(absent)} of {len(clips)} clips have no video in {root}, the first is {absent[0]!r}; put a video of "
            f"that name there, such as {absent[0]}.mp4",
            kind="missing_video",
        )
    return found


def no_such_split(root: Path, split: str, there: str) -> MmadError:
    """The fault of a split that is asked for and has no clip.

    Args:
        root: folder of the data set.
        split: what is asked for.
        there: the splits that there are.
    """
    fix = "add the file that lists or annotates its clips, or name them in splits.csv"
    if split == "test":
        fix += ", or set data.evaluate_split=val"
    return MmadError(f"{root}: no clip is of split {split}; there are {there or 'none'}: {fix}", kind="missing_split")


def nothing_left(root: Path) -> MmadError:
    """The fault of a data set all of whose clips are excluded."""
    return MmadError(f"{root / EXCLUSIONS} leaves out every clip; remove its rows, or the file", kind="data")


def no_video(clip: str, root: Path) -> MmadError:
    """The fault of a clip without a video."""
    return MmadError(
        f"{root} holds no video of clip {clip!r}; put {clip}.mp4 there, or leave the clip out",
        kind="missing_video",
        clip=clip,
    )
