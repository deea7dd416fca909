"""Clips and the instances annotated in them: what every reader in `formats/` gives."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from mmad.segments import Segments


@dataclass(frozen=True)
class Instance:
    """One performed action.

    Args:
        start, end: seconds from the clip's first frame.
        label: action class index.
        annotator: who marked it, where that is known.
    """

    start: float
    end: float
    label: int
    annotator: str | None = None


@dataclass(frozen=True)
class Truth:
    """What predictions for a clip are judged by; no video or frame rate is needed.

    Args:
        id: name of the clip, unique in its split.
        instances: the actions in it; may be empty.
        duration: length of the clip in seconds, where that is known.
        subject: the person shown, where that is known.
        video: the video file, where there is one.
    """

    id: str
    instances: tuple[Instance, ...]
    duration: float | None = None
    subject: str | None = None
    video: Path | None = None

    def segments(self) -> Segments:
        """The instances as tensors; see `as_segments`."""
        return as_segments(self.instances)


@dataclass(frozen=True)
class Clip:
    """One video and its annotation.

    Args:
        id: name of the clip, unique in its split.
        path: the video file.
        subject: the person shown, where that is known.
        fps: raw frames per second to which the annotation refers.
        frames: number of raw frames.
        instances: the actions in it; may be empty.
    """

    id: str
    path: Path
    subject: str | None
    fps: float
    frames: int
    instances: tuple[Instance, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.fps

    def segments(self) -> Segments:
        """The instances as tensors; see `as_segments`."""
        return as_segments(self.instances)

    def truth(self) -> Truth:
        """What predictions for this clip are judged by."""
        return Truth(self.id, self.instances, self.duration, self.subject, self.path)


def as_segments(instances: Iterable[Instance]) -> Segments:
    """Instances as tensors: segments (M, 2) in seconds, labels (M,) long.

    Times are float64, so that no tIoU moves across a threshold by rounding.
    """
    instances = tuple(instances)
    times = [(instance.start, instance.end) for instance in instances]
    return {
        "segments": torch.tensor(times, dtype=torch.float64).reshape(-1, 2),
        "labels": torch.tensor([instance.label for instance in instances], dtype=torch.long),
    }
