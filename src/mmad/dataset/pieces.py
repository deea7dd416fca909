"""Writing a long recording as several short videos, each with exactly its frames."""

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mmad.errors import MmadError

# Without B-frames each frame is stored in its turn, so that the first is at time 0 for every reader; a key frame a
# second at least makes reading from the middle cheap. At this quality eyes see no loss; slower presets would make files
# a little smaller.
_ENCODER = {"preset": "veryfast", "crf": "18", "bf": "0", "g": "30"}
_LEAVE_OUT = "leave it out by a row in the data's exclude.csv, which mmad-data task=check deep=true writes for all such"
_MEND = f"re-encode it to H.264 mp4, or {_LEAVE_OUT}"
_LOST = 1.0
"""Seconds that may be missing at the end before it is worth a word; sound often lasts a little longer."""
_TURNS: tuple[tuple[tuple[str, str | None], ...], ...] = (
    (),
    (("transpose", "cclock"),),
    (("hflip", None), ("vflip", None)),
    (("transpose", "clock"),),
)
"""Filters that turn a picture anticlockwise by so many right angles."""


class FramesDiffer(MmadError):
    """The frames that a video decodes to are not those that were announced."""


@dataclass(frozen=True)
class Stamps:
    """When the frames of a video are shown.

    Args:
        ticks: (N + 1,) the time stamp of each of N frames, rising, and the end of the last.
        unit: seconds of a tick.
    """

    ticks: NDArray[np.int64]
    unit: Fraction

    @property
    def edges(self) -> NDArray[np.float64]:
        """(N + 1,) seconds from the first frame."""
        return (self.ticks - self.ticks[0]) * self.unit.numerator / self.unit.denominator


def frame_stamps(video: Path, *, decode: bool = False) -> Stamps:
    """The time stamps of all frames.

    Args:
        video: the file.
        decode: asks the decoded frames, which is slow but certain; else the packets, unless they do not tell.

    Raises:
        MmadError: the file cannot be read, holds no video, or its time stamps do not rise.
    """
    with _opened(video) as (container, stream):
        unit = stream.time_base
        rate = stream.average_rate
        announced, start = _announced(container, stream), stream.start_time or 0
        shown: list[tuple[int | None, int | None]]
        if decode:
            shown = [(frame.pts, frame.duration) for frame in container.decode(stream)]
        else:
            packets = (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)
            shown = [(packet.pts, packet.duration) for packet in packets]
    known = [(pts, duration) for pts, duration in shown if pts is not None]
    if not decode:
        known.sort(key=lambda each: each[0])
    ticks = np.array([pts for pts, _ in known] if len(known) == len(shown) else [], dtype=np.int64)
    if len(ticks) == 0 or unit is None or (np.diff(ticks) <= 0).any():
        if not decode:
            return frame_stamps(video, decode=True)
        raise MmadError(
            f"{video}: {'it holds no frame' if not shown else 'the time stamps of its frames do not rise'}; {_MEND}",
            kind="unreadable_video" if shown else "empty_video",
        )
    usual = np.median(np.diff(ticks)) if len(ticks) > 1 else 1 / (unit * (rate or 30))
    last = known[-1][1] or max(round(usual), 1)
    stamps = Stamps(np.append(ticks, ticks[-1] + last), unit)
    ends = float((int(stamps.ticks[-1]) - start) * unit)
    if announced - ends > _LOST:
        warnings.warn(
            f"{video}: its picture ends after {ends:.2f} s, though the file announces {announced:.2f} s; copy it again "
            f"if it was not copied to its end",
            stacklevel=2,
        )
    return stamps


def _announced(container: InputContainer, stream: VideoStream) -> float:
    """Seconds that a video lasts by its header; 0 if it says nothing."""
    of_stream = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else math.inf
    of_file = container.duration / av.time_base if container.duration else math.inf
    shorter = min(of_stream, of_file)
    return shorter if shorter < math.inf else 0.0


def write_pieces(
    video: Path,
    stamps: Stamps,
    cuts: Sequence[int],
    targets: Sequence[Path | None],
    *,
    told: Callable[[float], object],
) -> int:
    """Writes the pieces of a recording as H.264 in one pass; pieces that an earlier call finished are kept.

    Size and time stamps stay; a rotation is carried out, an odd last row or column left out, and sound too.

    Args:
        video: the recording.
        stamps: of its frames.
        cuts: (pieces + 1) rising frame numbers, from 0 to the number of frames.
        targets: (pieces) the file of each, or None for a piece that is not wanted.
        told: is called with seconds of the recording that are done.

    Returns:
        Number of pieces that were there already.

    Raises:
        MmadError: the recording cannot be decoded to its end, or changes its size.
        FramesDiffer: it has other frames than `stamps` says.
    """
    spans = list(pairwise(cuts))
    notes = [f"{video.name} ({video.stat().st_size} bytes), frames {first} to {stop - 1}" for first, stop in spans]
    wanted = {
        piece: target
        for piece, (target, note) in enumerate(zip(targets, notes, strict=True))
        if target is not None and not (target.is_file() and _note(target) == note)
    }
    edges = stamps.edges
    last = max(wanted, default=-1)
    if wanted:
        with _opened(video) as (container, stream):
            decoded = container.decode(stream)
            for piece, (first, stop) in enumerate(spans[: last + 1]):
                frames = _frames(decoded, stamps, range(first, stop), video=video, told=told)
                if piece in wanted:
                    _encode(frames, wanted[piece], stream, stamps, first, note=notes[piece])
                else:
                    for _ in frames:
                        pass
    told(float(edges[-1] - edges[cuts[last + 1]]))
    return sum(target is not None for target in targets) - len(wanted)


@contextmanager
def _opened(video: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video and its main stream; faults of the file are told as such."""
    try:
        with av.open(str(video)) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise MmadError(f"{video} holds no video; put the right file there, or {_LEAVE_OUT}", kind="no_picture")
            stream.thread_type = "AUTO"
            yield container, stream
    except av.FFmpegError as error:
        raise MmadError(
            f"{video}: this video cannot be read ({error.strerror}), it is damaged or no video; {_MEND}",
            kind="unreadable_video",
        ) from error


def _note(piece: Path) -> str | None:
    """What a finished piece says of its origin."""
    try:
        with av.open(str(piece)) as container:
            return container.metadata.get("comment")
    except av.FFmpegError:
        return None


def _frames(
    decoded: Iterator[VideoFrame], stamps: Stamps, numbers: range, *, video: Path, told: Callable[[float], object]
) -> Iterator[VideoFrame]:
    """The next frames of a recording, if they are the expected ones."""
    edges, size = stamps.edges[numbers.start : numbers.stop + 1], None
    for number, seconds in zip(numbers, np.diff(edges), strict=True):
        try:
            frame = next(decoded, None)
        except av.FFmpegError as error:
            raise MmadError(
                f"{video}, frame {number}: decoding breaks off ({error.strerror}); {_MEND}",
                kind="unreadable_video",
            ) from error
        if frame is None or frame.pts != stamps.ticks[number]:
            raise FramesDiffer(
                f"{video}, frame {number}: it is not shown at the time that the file announces; {_MEND}",
                kind="unreadable_video",
            )
        if size not in (None, (frame.width, frame.height)):
            raise MmadError(
                f"{video}, frame {number}: the size changes to {frame.width} x {frame.height}, expected one size; "
                f"{_MEND}",
                kind="unreadable_video",
            )
        size = frame.width, frame.height
        yield frame
        told(float(seconds))


def _encode(
    frames: Iterator[VideoFrame], target: Path, source: VideoStream, stamps: Stamps, first: int, *, note: str
) -> None:
    """Writes one piece, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    try:
        with av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            container.metadata["comment"] = note
            stream = None
            for number, picture in enumerate(_upright(frames), start=first):
                if stream is None:
                    stream = container.add_stream("libx264", rate=source.average_rate or 30, options=_ENCODER)
                    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
                    stream.codec_context.time_base = stamps.unit
                    for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
                        setattr(stream.codec_context, name, getattr(picture, name))
                picture.time_base = stamps.unit
                picture.pts = int(stamps.ticks[number] - stamps.ticks[first])
                # Else the encoder would repeat the recording's kinds of frames.
                picture.pict_type = 0
                container.mux(_lasting(stream.encode(picture), stamps, first))
            assert stream is not None
            container.mux(_lasting(stream.encode(None), stamps, first))
        os.replace(partial, target)
    except av.FFmpegError as error:
        raise MmadError(f"{target}: writing fails ({error.strerror}); make room, and run the command again") from error
    finally:
        partial.unlink(missing_ok=True)


def _lasting(packets: list[Packet], stamps: Stamps, first: int) -> list[Packet]:
    """The packets of a piece with the durations of their frames: the encoder would give each the average."""
    for packet in packets:
        number = int(np.searchsorted(stamps.ticks, stamps.ticks[first] + packet.pts))
        packet.duration = int(stamps.ticks[number + 1] - stamps.ticks[number])
    return packets


def _upright(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Frames as they are meant to be seen, with an even width and height."""
    graph = None
    for frame in frames:
        # Many readers take the full range of phones and webcams for the usual one.
        picture = frame.reformat(format="yuv420p", dst_color_range=1 if frame.color_range == 2 else None)
        filters = _TURNS[round(frame.rotation / 90) % 4]
        if frame.width % 2 or frame.height % 2:
            filters = (*filters, ("crop", "trunc(iw/2)*2:trunc(ih/2)*2:0:0"))
        if not filters:
            yield picture
            continue
        if graph is None:
            graph = av.filter.Graph()
            nodes = [
                graph.add_buffer(
                    width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
                )
            ]
            nodes += [graph.add(name, arguments) for name, arguments in (*filters, ("buffersink", None))]
            graph.link_nodes(*nodes).configure()
        graph.vpush(picture)
        yield graph.vpull()
