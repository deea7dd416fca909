"""The windows of a video of any length, frame rate and size, one after the other, without holding more than one."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from mmad.data import pyav_reader
from mmad.data.clips import Item, Transform
from mmad.data.grid import Grid, Window
from mmad.data.header import header, timestamps
from mmad.data.video import nearest_frames, scaled_size
from mmad.segments import empty_segments

T = TypeVar("T")


def windows_of(path: Path, *, grid: Grid, rates: tuple[float, float]) -> list[Window]:
    """The windows that cover a video, as evaluation cuts them.

    Args:
        path: the video file.
        grid: which frames a window shows.
        rates: lowest and highest frame rate that the detector was trained on. A video within is seen frame by frame,
            as a training clip is; another one as if it had the nearest rate, frames repeated or left out, so that
            movements keep the speed that was learnt.

    Raises:
        MmadError: as `mmad.data.header.header`.
    """
    known = header(path)
    fps = min(max(known.fps, rates[0]), rates[1])
    frames = known.frames if fps == known.fps else max(round(known.duration * fps), 1)
    return grid.sliding(0, raw_frames=frames, fps=fps)


def stream(path: Path, windows: list[Window], *, grid: Grid, short_side: int, transform: Transform) -> Iterator[Item]:
    """Decodes a video once from its start to its end and hands over its windows.

    Args:
        path: the video file.
        windows: what `windows_of` gives.
        grid: the one that they are of.
        short_side: pixels of the smaller side after decoding.
        transform: of (F, 3, H, W) uint8 frames.

    Raises:
        MmadError: the video is damaged, when that place is reached.
    """
    known, last = header(path), windows[-1]
    height, width = scaled_size(known, short_side)
    seconds = np.arange(last.first + last.frames, dtype=np.float64) * grid.frame_step / last.fps
    wanted = nearest_frames(timestamps(path), seconds, known.fps)
    pictures = pyav_reader.stream(path, wanted, height=height, width=width)
    held: deque[np.ndarray] = deque()
    first = 0
    for window in windows:
        while first < window.first:
            held.popleft()
            first += 1
        while len(held) < window.frames:
            held.append(next(pictures))
        frames = torch.from_numpy(np.stack(held)).permute(0, 3, 1, 2)
        yield {"inputs": transform(frames), "targets": empty_segments(), "window": window}


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, of which the next one is made while one is at work on the last."""
    waiting = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, waiting, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, waiting, None)
            yield item
