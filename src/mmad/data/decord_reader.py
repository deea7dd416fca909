"""Reads frames with decord, guarded against what it gets wrong silently.

decord is opened per call, with one thread and sorted indices, and dropped at once: an open reader keeps decoding
ahead, cannot be pickled, and random access in a long group of pictures costs about ten times a sorted read. It turns
rotated pictures by itself, before it scales them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mmad.data.header import header, refuse_damaged

# A damaged file makes decord retry for minutes by default.
os.environ.setdefault("DECORD_EOF_RETRY_MAX", "2048")
import decord

decord.logging.set_level(decord.logging.ERROR)

# Share of frames for which decord may give a neighbour instead without a word: not one.
_REPEATED = 1e-9

_SMALL = 32


def read(path: Path, frames: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Decodes frames by number and scales them; see `mmad.data.video.Reader`."""
    with _opened(path, height=height, width=width, last=int(frames[-1])) as reader:
        return reader.get_batch(frames.tolist()).asnumpy()


def count(path: Path) -> int:
    """Decodes every frame, small, and tells how many came; see `mmad.data.video.Reader`."""
    with _opened(path, height=_SMALL, width=_SMALL, last=header(path).frames - 1) as reader:
        return sum(reader.next().shape[2] == 3 for _ in range(len(reader)))


@contextmanager
def _opened(path: Path, *, height: int, width: int, last: int) -> Iterator["decord.VideoReader"]:
    """An open reader, whose errors become sentences."""
    total = header(path).frames
    try:
        reader = decord.VideoReader(
            str(path), ctx=decord.cpu(0), width=width, height=height, num_threads=1, fault_tol=_REPEATED
        )
        if len(reader) != total:
            refuse_damaged(path, f"it holds {total} frames, of which decord finds {len(reader)}")
        yield reader
    # DECORDLimitReachedError, which tells of a repeated frame, is not one of the others.
    except (RuntimeError, IndexError, StopIteration, decord.DECORDError, decord.DECORDLimitReachedError):
        refuse_damaged(path, f"decoding breaks off at or before frame {last} of {total}")
