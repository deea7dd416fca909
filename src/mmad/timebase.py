"""Seconds, raw frames and feature steps: the one place that converts between them.

Feature step i stands for raw frame `offset + i * stride` of its clip, so a step is `stride / fps` seconds long. The
offset is where the step's window starts, plus OpenTAD's `offset_frames`, which is 0 unless features come from a file.
Nothing is floored: a boundary keeps its sub-step position.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

CHUNK = 16
"""Decoded frames that a VideoMAE backbone sees at once; windows are padded to whole chunks."""

Number = TypeVar("Number", float, torch.Tensor, np.ndarray)


@dataclass(frozen=True)
class Timebase:
    """How one window of features lies in its clip.

    Args:
        fps: raw frames per second of the clip.
        stride: raw frames per feature step.
        offset: raw frame for which step 0 stands.
    """

    fps: float
    stride: int
    offset: int = 0

    def steps(self, seconds: Number) -> Number:
        """Feature steps, counted from the window's start, of a time in seconds.

        >>> Timebase(fps=30, stride=4).steps(2.0)
        15.0
        """
        return (seconds * self.fps - self.offset) / self.stride

    def seconds(self, steps: Number) -> Number:
        """Time in seconds, counted from the clip's start, of a position in feature steps.

        >>> Timebase(fps=30, stride=4, offset=60).seconds(15.0)
        4.0
        """
        return (steps * self.stride + self.offset) / self.fps


def frame_to_seconds(frame: int, fps: float) -> float:
    """Time in seconds at which a raw frame is shown.

    >>> frame_to_seconds(45, 30.0)
    1.5
    """
    return frame / fps
