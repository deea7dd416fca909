"""MMA-52 as a source of annotated clips."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mmad.annotations import Clip
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
from mmad.formats.marks import Mark
from mmad.formats.mma52 import (
    AnnotatedClip,
    annotation_file,
    annotation_files,
    read_annotation_csv,
    read_mma52,
    subject_of,
    video_places,
)
from mmad.formats.videos import find_videos
from mmad.taxonomy import MMA52

USUAL_FPS = 30.0
"""Frames per second of most clips of MMA-52."""


class MMA52Source:
    """MMA-52 as released.

    Args:
        root: folder with `annotations/` and the videos.
        fps: raw frames per second where the annotation has none; None asks each video.
        on_fault: told of what cannot be right.
        leave_out: whether clips of `exclude.csv` are left out.
    """

    taxonomy = MMA52

    def __init__(self, root: Path, *, fps: float | None, on_fault: OnFault = refuse, leave_out: bool = True) -> None:
        # The root is looked at later: clips that the project draws itself may not be there yet.
        self.root, self.fps, self.manifest = root, fps, Manifest.read(root, on_fault=on_fault)
        self.excluded = exclusions(root)
        self.left_out = self.excluded if leave_out else {}
        self.on_fault = but_for(self.left_out, on_fault)

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split; see `mmad.formats.mma52.read_mma52`.

        The number of frames is the video's: that of the annotation is wrong for some clips of the first release.
        """

        def rate(path: Path) -> float:
            return self.manifest.header(path).fps

        clips = read_mma52(self.root, split, fps=self.fps or rate, exclude=self.left_out)
        found = headers(self.manifest, [clip.path for clip in clips])
        return [_of_length(clip, found[clip.path].frames) for clip in clips]

    @cached_property
    def _annotated(self) -> dict[str, dict[str, AnnotatedClip]]:
        """What the file of each split says of its clips."""
        if not self.root.is_dir():
            raise MmadError(f"{self.root} is not a folder; give the one that holds annotations/ and the videos")
        for name in (LABELS, SPLIT_TABLE):
            if (self.root / name).is_file():
                warnings.warn(f"{self.root / name} is not read: classes and splits are those of MMA-52", stacklevel=2)
        there = [split for split in SPLITS if any(path.is_file() for path in annotation_files(self.root, split))]
        if not there:
            annotation_file(self.root, "train")  # says what is missing where
        read = {
            split: read_annotation_csv(
                annotation_file(self.root, split),
                taxonomy=self.taxonomy,
                exclude=self.left_out,
                on_fault=of_split(split, self.on_fault),
            )
            for split in there
        }
        if self.left_out and not any(read.values()):
            raise nothing_left(self.root)
        return read

    @cached_property
    def annotations(self) -> Annotations:
        """The marks of all splits that are there."""
        made = Annotations([], [])
        for split, clips in self._annotated.items():
            source = annotation_file(self.root, split)
            for clip, known in clips.items():
                if clip in made.split_of:
                    self.on_fault(
                        MmadError(
                            f"{source}: clip {clip!r} is in the split {made.split_of[clip]} too, expected one split; "
                            f"remove it from one of them",
                            kind="clip_in_splits",
                            clip=clip,
                        )
                    )
                    continue
                rate, subject = self._rate(clip, known), subject_of(clip)
                made.clips.append(clip)
                made.split_of[clip] = split
                made.durations[clip] = known.frames / rate
                made.frames[clip], made.fps[clip] = known.frames, rate
                if subject is not None:
                    made.subjects[clip] = subject
                for instance, line in zip(known.instances(rate, end_inclusive=False), known.lines, strict=True):
                    label = self.taxonomy.actions[instance.label]
                    where = f"{source}, line {line}"
                    made.marks.append(Mark(clip, instance.start, instance.end, label, subject, where=where))
        return made

    def _rate(self, clip: str, known: AnnotatedClip) -> float:
        """Frames per second of a clip; those of most clips where nothing tells, which is a fault."""
        if known.fps or self.fps:
            return float(known.fps or self.fps or 0)
        try:
            if clip not in self.found:
                raise no_video(clip, self.root)
            return self.manifest.header(self.found[clip]).fps
        except MmadError as fault:
            self.on_fault(fault)
            return USUAL_FPS

    @property
    def dealt(self) -> Mapping[str, str]:
        """The split of each clip."""
        return self.annotations.split_of

    @property
    def split_of(self) -> Mapping[str, str]:
        """The split of each clip."""
        return self.annotations.split_of

    @cached_property
    def found(self) -> Mapping[str, Path]:
        """The video of each clip that has one."""
        found: dict[str, Path] = {}
        for split, clips in self._annotated.items():
            found |= find_videos(clips, video_places(self.root, split), on_fault=of_split(split, self.on_fault))
        return found

    @property
    def videos(self) -> Mapping[str, Path]:
        """The video of each clip."""
        return all_found(self.found, list(self.split_of), self.root)


def _of_length(clip: Clip, frames: int) -> Clip:
    """The clip with the number of frames that its video has.

    Raises:
        MmadError: an instance ends beyond them.
    """
    late = [instance for instance in clip.instances if round(instance.end * clip.fps) > frames]
    if late:
        raise MmadError(
            f"{clip.path} has {frames} frames, but an instance of clip {clip.id!r} ends at frame "
            f"{round(late[0].end * clip.fps)}; correct the annotation, or fetch the video again",
            kind="beyond",
            clip=clip.id,
        )
    return replace(clip, frames=frames)
