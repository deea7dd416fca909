"""Decoded frames of clips, read from the file each time or once and for all."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from mmad.annotations import Clip
from mmad.data.grid import Grid
from mmad.data.video import read_frames
from mmad.timebase import Timebase


class Frames(Protocol):
    """Gives the decoded frames of a piece of a clip."""

    def __call__(self, clip: Clip, *, first: int, frames: int) -> Tensor:
        """(frames, 3, H, W) uint8: `frames` decoded frames from grid position `first`."""


class FileFrames:
    """Decodes a piece of a clip whenever it is asked for.

    Args:
        grid: which raw frames are decoded.
        short_side: pixels of the smaller side after decoding.
    """

    def __init__(self, grid: Grid, *, short_side: int) -> None:
        self.grid, self.short_side = grid, short_side

    def __call__(self, clip: Clip, *, first: int, frames: int) -> Tensor:
        """See `Frames`."""
        timebase = Timebase(fps=clip.fps, stride=self.grid.frame_step)
        return read_frames(
            clip.path,
            timebase.seconds(np.arange(first, first + frames, dtype=np.float64)),
            fps=clip.fps,
            short_side=self.short_side,
        )


class MemoryFrames:
    """Decodes every clip once, with a progress bar, and keeps the frames in memory.

    Args:
        source: where the frames come from.
        clips: the clips to keep.
        threads: clips decoded at once.
    """

    def __init__(self, source: FileFrames, clips: Sequence[Clip], *, threads: int, title: str = "decode") -> None:
        def whole(clip: Clip) -> Tensor:
            return source(clip, first=0, frames=source.grid.decoded(clip.frames))

        with ThreadPoolExecutor(threads) as pool:
            decoded = tqdm(pool.map(whole, clips), total=len(clips), desc=title, unit="clip", leave=False)
            self.frames = {clip.id: frames for clip, frames in zip(clips, decoded, strict=True)}

    def __call__(self, clip: Clip, *, first: int, frames: int) -> Tensor:
        """See `Frames`."""
        return self.frames[clip.id][first : first + frames]
