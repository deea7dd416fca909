"""The grid of decoded frames and feature steps that is laid over a clip, and the windows cut from it."""

from dataclasses import dataclass
from math import ceil, lcm
from typing import NamedTuple

from mmad.errors import MmadError
from mmad.timebase import CHUNK, Timebase


class Window(NamedTuple):
    """One piece of a clip, in the units of its grid.

    Args:
        clip: index of the clip in its split.
        of: number of windows of that clip; their detections are merged before NMS.
        first: position of the first decoded frame in the clip's grid.
        frames: number of decoded frames that lie inside the clip.
        steps: number of valid feature steps.
        fps: raw frames per second of the clip.
        stride: raw frames per feature step.
        offset: raw frame at which the window starts.
        duration: length of the whole clip in seconds.
        centre: raw frames from where a step starts to what its feature stands for.
    """

    clip: int
    of: int
    first: int
    frames: int
    steps: int
    fps: float
    stride: int
    offset: int
    duration: float
    centre: int = 0

    @property
    def timebase(self) -> Timebase:
        """Conversion between this window's feature steps and the clip's seconds."""
        return Timebase(fps=self.fps, stride=self.stride, offset=self.offset + self.centre)

    @property
    def span(self) -> tuple[float, float]:
        """Where the frames of the window start and end, in its feature steps."""
        start = -self.centre / self.stride
        return start, start + self.steps

    @property
    def extent(self) -> tuple[float, float]:
        """Where the frames of the window start and end, in seconds of the clip."""
        return self.offset / self.fps, (self.offset + self.steps * self.stride) / self.fps


@dataclass(frozen=True)
class Grid:
    """Which raw frames are decoded, and how many make a feature step.

    Args:
        window: longest window in feature steps; longer clips are cut.
        feature_stride: raw frames per feature step.
        frames_per_step: decoded frames per feature step; chunks of 16 hold a whole number of steps.
        levels: pyramid levels of the head; the padded length is divisible by 2**(levels - 1).
        overlap: share of a window that the next one repeats, in evaluation.
        offset: raw frames from where a step starts to what its feature stands for.

    Raises:
        MmadError: numbers that do not divide.
    """

    window: int
    feature_stride: int
    frames_per_step: int
    levels: int
    overlap: float = 0.5
    offset: int = 0

    def __post_init__(self) -> None:
        if self.frames_per_step < 1 or CHUNK % self.frames_per_step:
            raise MmadError(
                f"grid.frames_per_step={self.frames_per_step} must divide chunks of {CHUNK} frames: choose 1, 2, 4, 8 "
                f"or 16."
            )
        if self.feature_stride % self.frames_per_step:
            raise MmadError(
                f"grid.feature_stride={self.feature_stride} must be a multiple of "
                f"grid.frames_per_step={self.frames_per_step}: choose, for example, grid.frames_per_step=1."
            )
        if self.window % self.multiple:
            raise MmadError(
                f"grid.window={self.window} must be a multiple of {self.multiple} feature steps for "
                f"grid.levels={self.levels} and {CHUNK}-frame chunks: choose "
                f"grid.window={ceil(self.window / self.multiple) * self.multiple}."
            )

    @property
    def frame_step(self) -> int:
        """Raw frames from one decoded frame to the next."""
        return self.feature_stride // self.frames_per_step

    @property
    def multiple(self) -> int:
        """Every padded window is a multiple of this many feature steps: whole chunks, whole pyramid."""
        return lcm(2 ** (self.levels - 1), CHUNK // self.frames_per_step)

    def decoded(self, raw_frames: int) -> int:
        """Number of decoded frames of a clip of so many raw frames."""
        return ceil(raw_frames / self.frame_step)

    def padded(self, steps: int) -> int:
        """Smallest padded length in feature steps that holds `steps`."""
        return ceil(steps / self.multiple) * self.multiple

    def piece(self, clip: int, *, raw_frames: int, fps: float, first: int, frames: int, of: int = 1) -> Window:
        """The window of `frames` decoded frames that starts at grid position `first` of a clip."""
        return Window(
            clip=clip,
            of=of,
            first=first,
            frames=frames,
            steps=ceil(frames / self.frames_per_step),
            fps=fps,
            stride=self.feature_stride,
            offset=first * self.frame_step,
            duration=raw_frames / fps,
            centre=self.offset,
        )

    def sliding(self, clip: int, *, raw_frames: int, fps: float) -> list[Window]:
        """The windows that cover a clip, each full length unless the clip is shorter; the last ends with the clip."""
        total, longest = self.decoded(raw_frames), self.window * self.frames_per_step
        hop = max(int(longest * (1 - self.overlap)), 1)
        starts = [*range(0, max(total - longest, 0), hop), max(total - longest, 0)]
        return [
            self.piece(
                clip,
                raw_frames=raw_frames,
                fps=fps,
                first=first,
                frames=min(longest, total),
                of=len(starts),
            )
            for first in starts
        ]
