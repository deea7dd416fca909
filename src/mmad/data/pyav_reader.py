"""Reads frames with PyAV, one after the other from the start: exact for every file that FFmpeg plays.

Scaling is that of decord: the same filters of FFmpeg in the same order, so that both readers give the same pixels.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import av
import numpy as np

from mmad.data.header import header, refuse_damaged, ticks, video_stream

# Turns by 0, 90, 180 and 270 degrees, clockwise.
_TURNS = {0: [], 90: ["1"], 180: ["1", "1"], 270: ["2"]}


def read(path: Path, frames: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Decodes frames by number and scales them; see `mmad.data.video.Reader`."""
    pictures = np.empty((len(frames), height, width, 3), np.uint8)
    for place, picture in enumerate(stream(path, frames, height=height, width=width)):
        pictures[place] = picture
    return pictures


def stream(path: Path, frames: np.ndarray, *, height: int, width: int) -> Iterator[np.ndarray]:
    """Decodes frames by number, scales them, and hands over one after the other, so that none has to be kept.

    Args:
        path: the video file.
        frames: (F,) numbers of displayed frames, none smaller than the one before it.
        height, width: as for `read`.

    Returns:
        (height, width, 3) uint8 RGB of each.

    Raises:
        MmadError: as `read`; when the damaged place is reached.
    """
    graph, done = None, 0
    with closing(decoded(path)) as shown:
        for number, frame in enumerate(shown):
            if number != frames[done]:
                continue
            if graph is None:
                graph = _scaler(frame, rotation=header(path).rotation, height=height, width=width)
            graph.vpush(frame)
            picture = graph.vpull().to_ndarray()
            while number == frames[done]:
                yield picture
                done += 1
                if done == len(frames):
                    return
    raise AssertionError(f"{path} has no frame {frames[done]}")


def count(path: Path) -> int:
    """Decodes every frame without patching up any; see `mmad.data.video.Reader`."""
    return sum(1 for _ in decoded(path, strict=True))


def decoded(path: Path, *, strict: bool = False) -> Generator[av.VideoFrame]:
    """The displayed frames of a file in order, each checked to be the one that its place in the file tells.

    Args:
        path: the file.
        strict: let the decoder refuse what it would otherwise patch up from neighbouring pictures.

    Raises:
        MmadError: of kind "unreadable_video": a frame is missing, out of place or damaged.
    """
    expected = ticks(path)
    timed = header(path).timed
    number = 0
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = video_stream(path, container)
            if strict:
                stream.codec_context.options = {"err_detect": "explode"}
            for frame in container.decode(stream):
                assert isinstance(frame, av.VideoFrame)
                if frame.is_corrupt:
                    refuse_damaged(path, f"frame {number} of {len(expected)} decodes with errors")
                if number == len(expected) or (timed and frame.pts != expected[number]):
                    refuse_damaged(path, f"frame {number} of {len(expected)} is missing or out of place")
                yield frame
                number += 1
    except av.error.FFmpegError as error:
        refuse_damaged(path, f"decoding breaks off at frame {number} of {len(expected)} ({error.strerror})")
    if number < len(expected):
        refuse_damaged(path, f"decoding breaks off at frame {number} of {len(expected)}")


def _scaler(frame: av.VideoFrame, *, rotation: int, height: int, width: int) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1
    graph.link_nodes(
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base),
        *(graph.add("transpose", turn) for turn in _TURNS[rotation]),
        graph.add("scale", f"{width}:{height}:flags=bilinear"),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ).configure()
    return graph
