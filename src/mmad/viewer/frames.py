"""What the page needs of a video: when its frames start, and single frames as pictures."""

import io
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mmad.data.header import header, timestamps
from mmad.data.video import reader_of, scaled_size
from mmad.errors import MmadError

_TALLEST = 540
"""Pixels of the shorter side of a picture."""
_BLOCK = 16
"""Frames that are decoded at once, so that stepping asks the decoder seldom."""

_ROUNDING = 0.0011
"""Seconds by which the time of a frame in a file of constant rate may be off."""

_lock = threading.Lock()


def facts(path: Path) -> dict[str, Any]:
    """Duration and delay in seconds, pixels, codec, and `times`: when each frame starts, or the step where all are
    equally long.

    Raises:
        MmadError: the video cannot be read.
    """
    known, stamps = header(path), timestamps(path)
    # Containers round times, most to milliseconds.
    even = bool(np.abs(stamps - np.arange(len(stamps)) / known.fps).max() < _ROUNDING)
    return {
        "duration": known.frames / known.fps if even else known.duration,
        "delay": known.delay,
        "frames": known.frames,
        "step": 1 / known.fps if even else None,
        "times": None if even else [round(float(time), 6) for time in stamps],
        "width": known.width,
        "height": known.height,
        "codec": known.codec,
    }


def picture(path: Path, number: int) -> bytes:
    """A frame as JPEG, no larger than a screen needs.

    Raises:
        MmadError: the video cannot be read, or has no such frame.
    """
    known = header(path)
    if not 0 <= number < known.frames:
        raise MmadError(f"{path} has {known.frames} frames, expected a number below that, not {number}")
    with _lock:
        return _block(path, path.stat().st_mtime_ns, number // _BLOCK)[number % _BLOCK]


@lru_cache(maxsize=16)
def _block(path: Path, mtime_ns: int, block: int) -> list[bytes]:
    """The JPEG files of a block of frames; the time of change tells one state of the file from another."""
    from PIL import Image

    known = header(path)
    height, width = scaled_size(known, min(_TALLEST, known.height, known.width))
    numbers = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, known.frames))
    made = []
    for frame in reader_of(known).read(path, numbers, height=height, width=width):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=88)
        made.append(file.getvalue())
    return made
