"""Frames of a video file at wanted times, by whichever reader is exact for that file.

torch is imported only where a tensor is made: processes that merely check files do without it.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from mmad.data.header import Header, header, refuse_damaged, timestamps

if TYPE_CHECKING:
    from torch import Tensor

RESIZE = "FFmpeg's scaler, bilinear, to RGB"
"""How pictures get their size, whichever reader decodes them; a checkpoint names it."""


class Reader(Protocol):
    """A module that decodes frames by number; which one, a file's `Header.reader` tells."""

    def read(self, path: Path, frames: np.ndarray, *, height: int, width: int) -> np.ndarray:
        """Decodes and scales frames.

        Args:
            path: the video file.
            frames: (F,) numbers of displayed frames, at least one, rising.
            height, width: pixels of the result, for the picture as shown, after rotation.

        Returns:
            (F, height, width, 3) uint8, RGB.

        Raises:
            MmadError: of kind "unreadable_video": the file breaks off or is damaged.
        """

    def count(self, path: Path) -> int:
        """Decodes every frame and tells how many came.

        Raises:
            MmadError: as `read`.
        """


def reader_of(known: Header) -> Reader:
    """The reader for a file; imported only now, since decord does not exist everywhere."""
    return cast(Reader, import_module(f"mmad.data.{known.reader}_reader"))


def nearest_frames(timestamps: np.ndarray, seconds: np.ndarray, fps: float) -> np.ndarray:
    """The raw frame to show at each wanted time.

    A file of constant rate is addressed by frame number, so that an annotation in frames meets exactly its frame
    whatever the container says of the rate; a file of variable rate by the frame whose timestamp is nearest.

    Args:
        timestamps: (frames,) seconds, start of each raw frame, rising.
        seconds: (F,) wanted times from the first frame.
        fps: raw frames per second to which the wanted times refer.

    Returns:
        (F,) int64 frame numbers within the file.
    """
    last = len(timestamps) - 1
    stamps = timestamps - timestamps[0]
    step = stamps[-1] / last if last else 0.0
    if last == 0 or np.abs(stamps - step * np.arange(last + 1)).max() < step / 2:
        return np.clip(np.rint(seconds * fps).astype(np.int64), 0, last)
    right = np.clip(np.searchsorted(stamps, seconds), 1, last)
    left = right - 1
    return np.where(seconds - stamps[left] <= stamps[right] - seconds, left, right)


def scaled_size(known: Header, short_side: int) -> tuple[int, int]:
    """Height and width in pixels with the smaller one given and the aspect ratio kept."""
    scale = short_side / min(known.height, known.width)
    return max(round(known.height * scale), 1), max(round(known.width * scale), 1)


def read_frames(path: Path, seconds: np.ndarray, *, fps: float, short_side: int) -> "Tensor":
    """Decodes the frames shown at the wanted times, scaled on the way.

    Args:
        path: the video file.
        seconds: (F,) times from the first frame, in any order; times beyond the end give the last frame.
        fps: raw frames per second to which the times refer.
        short_side: height or width in pixels of the smaller side; the aspect ratio is kept.

    Returns:
        (F, 3, H, W) uint8, RGB.

    Raises:
        MmadError: the file is absent, unreadable or breaks off.
    """
    import torch

    known = header(path)
    height, width = scaled_size(known, short_side)
    wanted, inverse = np.unique(nearest_frames(timestamps(path), seconds, fps), return_inverse=True)
    frames = reader_of(known).read(path, wanted, height=height, width=width)
    return torch.from_numpy(frames)[torch.from_numpy(inverse)].permute(0, 3, 1, 2)


def decode_all(path: Path) -> int:
    """Decodes every frame of a file, as training would, and once more without letting the decoder hide any damage.

    Native code may hang on a damaged file: call this in a process that can be ended.

    Args:
        path: the video file.

    Returns:
        Number of frames that came, which is that of the header.

    Raises:
        MmadError: the file is absent, unreadable or damaged, however slightly.
    """
    from mmad.data import pyav_reader

    known = header(path)
    # First, since decord is what hangs.
    found = pyav_reader.count(path)
    if known.reader != "pyav" and (other := reader_of(known).count(path)) != found:
        refuse_damaged(path, f"{known.reader} finds {other} frames of {found}")
    return found
