"""MA-52 as a source of annotated clips: each is one instance over its whole length."""

import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from mmad.annotations import Clip, Instance
from mmad.data.header import Header
from mmad.data.manifest import Manifest
from mmad.data.sources.source import (
    LABELS,
    SPLIT_TABLE,
    SPLITS,
    all_found,
    but_for,
    exclusions,
    headers,
    no_video,
    nothing_left,
)
from mmad.errors import MmadError, OnFault, of_split, refuse
from mmad.formats.annotated import Annotations
from mmad.formats.ma52 import Listed, list_file, list_files, read_list, video_places
from mmad.formats.marks import Mark
from mmad.formats.mma52 import subject_of
from mmad.formats.videos import find_videos
from mmad.taxonomy import MMA52
from mmad.timebase import frame_to_seconds

UNKNOWN = 1.0
"""Seconds of an instance whose video cannot be opened: no training sees it, but its class is known."""


class MA52Source:
    """Trimmed clips in the layout of MA-52's release, each of which shows one of the classes of MMA-52.

    Lists are `<split>_list_videos.txt` in the folder or its `annotations/`; videos lie in `videos_<split>/` or
    `<split>/`, in the folder itself, or one folder deeper.

    Args:
        root: folder of the data set.
        on_fault: told of what cannot be right.
        leave_out: whether clips of `exclude.csv` are left out.
    """

    taxonomy = MMA52

    def __init__(self, root: Path, *, on_fault: OnFault = refuse, leave_out: bool = True) -> None:
        # The root is looked at later: clips that the project draws itself may not be there yet.
        self.root, self.manifest = root, Manifest.read(root, on_fault=on_fault)
        self.excluded = exclusions(root)
        self.left_out = self.excluded if leave_out else {}
        self.on_fault = but_for(self.left_out, on_fault)
        self._torn: set[str | None] = set()

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split, in the order of its list; every video is opened for its rate and length."""
        listed = read_list(list_file(self.root, split), hidden=split == "test", exclude=self.left_out)
        if not listed:
            raise nothing_left(self.root)
        videos = all_found(find_videos(listed, video_places(self.root, split)), list(listed), self.root)
        known = headers(self.manifest, [videos[clip] for clip in listed])
        return [_clip(clip, videos[clip], said.label, known[videos[clip]]) for clip, said in listed.items()]

    @cached_property
    def _listed(self) -> dict[str, dict[str, Listed]]:
        """What the list of each split that is there says of its clips, a clip of two splits in the first one only."""
        if not self.root.is_dir():
            raise MmadError(f"{self.root} is not a folder; give the one that holds the lists and the videos")
        for name in (LABELS, SPLIT_TABLE):
            if (self.root / name).is_file():
                warnings.warn(f"{self.root / name} is not read: classes and splits are those of MA-52", stacklevel=2)
        there = [split for split in SPLITS if any(path.is_file() for path in list_files(self.root, split))]
        if not there:
            list_file(self.root, "train")  # says what is missing where
        seen: dict[str, str] = {}
        read: dict[str, dict[str, Listed]] = {}
        for split in there:
            path = list_file(self.root, split)
            listed = read_list(
                path, hidden=split == "test", exclude=self.left_out, on_fault=of_split(split, self.on_fault)
            )
            for clip in [clip for clip in listed if clip in seen]:
                line = listed.pop(clip).line
                self.on_fault(
                    MmadError(
                        f"{path}, line {line}: clip {clip!r} is in the split {seen[clip]} too, expected one split; "
                        f"remove it from one of them",
                        kind="clip_in_splits",
                        clip=clip,
                    )
                )
            seen |= dict.fromkeys(listed, split)
            read[split] = listed
        if self.left_out and not seen:
            raise nothing_left(self.root)
        return read

    @cached_property
    def annotations(self) -> Annotations:
        """One mark for each clip whose action is known, from the first frame of its video to the last."""
        made = Annotations([], list(self.split_of), dict(self.split_of))
        made.subjects.update({clip: subject for clip in made.clips if (subject := subject_of(clip)) is not None})
        known = headers(self.manifest, list(self.found.values()), on_fault=self._unreadable)
        for split, listed in self._listed.items():
            source = list_file(self.root, split)
            for clip, said in listed.items():
                end = UNKNOWN
                if clip in self.found and self.found[clip] in known:
                    header = known[self.found[clip]]
                    made.frames[clip], made.fps[clip] = header.frames, header.fps
                    made.durations[clip] = end = frame_to_seconds(header.frames, header.fps)
                elif clip not in self.found and clip not in self._torn:
                    self.on_fault(no_video(clip, self.root))
                if said.label is not None:
                    label, where = self.taxonomy.actions[said.label], f"{source}, line {said.line}"
                    made.marks.append(Mark(clip, 0.0, end, label, made.subjects.get(clip), where=where))
        return made

    def _unreadable(self, path: Path, fault: MmadError) -> None:
        fault.clip = next(clip for clip, video in self.found.items() if video == path)
        self.on_fault(fault)

    @cached_property
    def dealt(self) -> Mapping[str, str]:
        """The split of each clip."""
        return {clip: split for split, listed in self._listed.items() for clip in listed}

    @property
    def split_of(self) -> Mapping[str, str]:
        """The split of each clip."""
        return self.dealt

    @cached_property
    def found(self) -> Mapping[str, Path]:
        """The video of each clip that has one."""

        def torn(fault: MmadError) -> None:
            self._torn.add(fault.clip)
            self.on_fault(fault)

        found: dict[str, Path] = {}
        for split, listed in self._listed.items():
            found |= find_videos(listed, video_places(self.root, split), on_fault=of_split(split, torn))
        return found

    @property
    def videos(self) -> Mapping[str, Path]:
        """The video of each clip."""
        return all_found(self.found, list(self.split_of), self.root)


def _clip(clip: str, path: Path, label: int | None, header: Header) -> Clip:
    instances = () if label is None else (Instance(0.0, frame_to_seconds(header.frames, header.fps), label),)
    return Clip(clip, path, subject_of(clip), header.fps, header.frames, instances)
