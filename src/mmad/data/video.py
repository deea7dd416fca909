"""Reading frames of a video file with decord, guarded against what it gets wrong silently.

decord is opened per call, with one thread and sorted indices, and dropped at once: an open reader keeps decoding
ahead, cannot be pickled, and random access in a long group of pictures costs about ten times a sorted read.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmad.errors import MmadError

# A damaged file makes decord retry for minutes by default.
os.environ.setdefault("DECORD_EOF_RETRY_MAX", "2048")
import decord

decord.logging.set_level(decord.logging.ERROR)


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself: number of frames, average frames per second, height and width in pixels."""

    frames: int
    fps: float
    height: int
    width: int


def _open(path: Path, *, width: int = -1, height: int = -1) -> "decord.VideoReader":
    if not path.is_file():
        raise MmadError(f"{path}: there is no such video file; check data.root and the video id in the annotations.")
    try:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), width=width, height=height, num_threads=1)
        if len(reader) == 0:
            raise RuntimeError("no frame inside")
    except (RuntimeError, decord.DECORDError) as error:
        raise MmadError(
            f"{path}: this video cannot be read ({path.stat().st_size} bytes); it is empty, damaged or in a codec that "
            f"decord does not know (AV1, for one): re-encode it to H.264 mp4 or remove its rows from the annotations."
        ) from error
    return reader


def probe(path: Path) -> VideoInfo:
    """Opens a video and reads its first frame.

    Raises:
        MmadError: the file is absent or unreadable.
    """
    reader = _open(path)
    height, width, _ = reader[0].shape
    return VideoInfo(frames=len(reader), fps=float(reader.get_avg_fps()), height=height, width=width)


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


def read_frames(path: Path, seconds: np.ndarray, *, fps: float, short_side: int) -> Tensor:
    """Decodes the frames shown at the wanted times, scaled by the decoder.

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
    info = probe(path)
    scale = short_side / min(info.height, info.width)
    reader = _open(path, width=max(round(info.width * scale), 1), height=max(round(info.height * scale), 1))
    stamps = np.asarray(reader.get_frame_timestamp(range(len(reader))))[:, 0]
    wanted, inverse = np.unique(nearest_frames(stamps, seconds, fps), return_inverse=True)
    try:
        frames = reader.get_batch(wanted.tolist()).asnumpy()
    except (RuntimeError, IndexError, decord.DECORDError) as error:
        raise MmadError(
            f"{path}: decoding breaks off before frame {wanted[-1]} of {len(reader)}; it is damaged: re-encode it "
            f"or remove its rows from the annotations."
        ) from error
    return torch.from_numpy(frames)[torch.from_numpy(inverse)].permute(0, 3, 1, 2)
