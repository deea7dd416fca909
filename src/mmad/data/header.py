"""What a video file says of itself, read without decoding more than its first frame.

The packets are counted and their times sorted, since the rates, lengths and frame counts that containers announce
are guesses where an edit list hides packets or the rate varies.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

import av
import numpy as np

from mmad.data.announced import missing_bytes
from mmad.errors import MmadError

MOV = "mov,mp4,m4a,3gp,3g2,mj2"
"""FFmpeg's name for MP4 and QuickTime files."""

# What decord was seen to read exactly. Its FFmpeg 4.1 knows neither AV1 nor newer codecs, and in MPEG streams, where it
# has to search for key frames, it returns wrong frames without a word.
_DECORD_CONTAINERS = (MOV, "matroska,webm", "avi")
_DECORD_CODECS = ("h264", "hevc", "vp8", "vp9", "mpeg4", "mjpeg", "ffv1", "prores")

_REMOVE = ", or remove its rows from the annotations"
_CHECK = "; check data.root and the video id in the annotations"


@dataclass(frozen=True)
class Header:
    """What a video file holds.

    Args:
        container: FFmpeg's name of the file format.
        codec: FFmpeg's name of the codec.
        frames: number of frames that are displayed; packets that an edit list hides do not count.
        fps: average frames per second of the displayed frames.
        height, width: pixels of the picture as shown, after rotation.
        rotation: degrees by which the stored picture is turned clockwise before it is shown: 0, 90, 180 or 270.
        first: seconds at which the first displayed frame lies on the file's own clock.
        duration: seconds from the start of the first displayed frame to the end of the last.
        variable: an interval between frames differs from the usual one by more than half of it.
        edited: an edit list hides packets, or lets the file begin before its time zero.
        timed: every frame has its own time in the file, and times rise.
        delay: seconds from where a player begins to the first displayed frame; above 0 where sound begins earlier.
    """

    container: str
    codec: str
    frames: int
    fps: float
    height: int
    width: int
    rotation: int
    first: float
    duration: float
    variable: bool
    edited: bool
    timed: bool
    delay: float = 0.0

    @property
    def reader(self) -> Literal["decord", "pyav"]:
        """The reader for this file: decord, which is faster, unless it is known or feared to go wrong."""
        suits = (
            self.container in _DECORD_CONTAINERS
            and self.codec in _DECORD_CODECS
            and self.timed
            and not self.edited
            # Elsewhere decord does not know of it.
            and (self.rotation == 0 or self.container == MOV)
        )
        return "decord" if suits and _decord_is_there() else "pyav"


def header(path: Path) -> Header:
    """What a video file holds; read once per process as long as the file does not change.

    Raises:
        MmadError: of kind "missing_video", "empty_video" (no byte, or no frame), "no_picture" (sound only) or
            "unreadable_video" (no video, cut short, damaged).
    """
    return _scanned(path).header


def timestamps(path: Path) -> np.ndarray:
    """When each displayed frame starts.

    Single precision, as decord gives them, so that a time right between two frames falls to the same one.

    Returns:
        (frames,) float32 seconds from the first displayed frame, rising.

    Raises:
        MmadError: as `header`.
    """
    return _scanned(path).seconds


def ticks(path: Path) -> np.ndarray:
    """When each displayed frame starts, in the stream's own unit, as decoded frames tell it too.

    Returns:
        (frames,) int64, rising.

    Raises:
        MmadError: as `header`.
    """
    return _scanned(path).ticks


def video_stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    """The pictures of an open file, to be decoded in one thread, since FFmpeg's would compete with the processes.

    Raises:
        MmadError: of kind "no_picture".
    """
    stream = container.streams.best("video")
    # Sound files carry their cover as a video stream.
    if not isinstance(stream, av.VideoStream) or stream.disposition & av.stream.Disposition.attached_pic:
        message = f"{path}: this file has sound but no picture; put the video here{_REMOVE}."
        raise MmadError(message, kind="no_picture")
    stream.codec_context.thread_count = 1
    return stream


def refuse_damaged(path: Path, why: str) -> NoReturn:
    """Refuses a file whose pictures cannot all be had.

    Args:
        path: the file.
        why: what was seen, a clause.

    Raises:
        MmadError: of kind "unreadable_video".
    """
    message = f"{path}: this video is damaged: {why}; copy or export it again{_REMOVE}."
    raise MmadError(message, kind="unreadable_video")


def of_no_data_set(error: MmadError) -> MmadError:
    """The error on a faulty video without what its sentence says of annotations."""
    return MmadError(str(error).replace(_REMOVE, "").replace(_CHECK, ""), kind=error.kind)


def forget() -> None:
    """Drops what is known of files, which of many long ones takes much memory."""
    _scan.cache_clear()


class _Scan(NamedTuple):
    header: Header
    ticks: np.ndarray
    seconds: np.ndarray


def _scanned(path: Path) -> _Scan:
    if not path.is_file():
        message = f"{path}: there is no such video file{_CHECK}."
        raise MmadError(message, kind="missing_video")
    state = path.stat()
    if not state.st_size:
        raise MmadError(f"{path}: this video is empty (0 bytes); copy or export it again{_REMOVE}.", kind="empty_video")
    return _scan(path, state.st_size, state.st_mtime_ns)


# A scan takes milliseconds, and its times 12 bytes a frame.
@lru_cache(maxsize=16384)
def _scan(path: Path, size: int, mtime_ns: int) -> _Scan:
    """The packets of a file, whose size in bytes and time of change are there to tell one state of it from another."""
    if missing := missing_bytes(path):
        refuse_damaged(path, f"it is cut short, {missing:,} of {size + missing:,} bytes are missing")
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if container.format.name == "concat":
                refuse_damaged(path, "it is a list of other files")
            return _read(path, container)
    except av.error.EOFError:
        _refuse_empty(path)
    except av.error.FFmpegError as error:
        raise MmadError(
            f"{path}: this video cannot be read ({error.strerror}): it is no video, damaged, or in a format that "
            f"FFmpeg does not know; re-encode it to H.264 mp4{_REMOVE}.",
            kind="unreadable_video",
        ) from error


def _read(path: Path, container: av.container.InputContainer) -> _Scan:
    stream = video_stream(path, container)
    picture: av.VideoFrame | None = None
    shown: list[tuple[int | None, int]] = []
    packets = 0
    for packet in container.demux(stream):
        # The last packet is empty and asks for what the decoder still holds.
        if picture is None and (packet.size or shown):
            picture = next((frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)), None)
        if packet.size:
            packets += 1
            if packet.is_corrupt:
                refuse_damaged(path, f"packet {packets} is incomplete")
            if not packet.is_discard:
                shown.append((packet.pts, packet.duration or 0))
    if not shown:
        _refuse_empty(path)
    if picture is None:
        refuse_damaged(path, f"none of its {len(shown)} frames can be decoded")

    unit = stream.time_base or Fraction(1, 1000)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    # AVI keeps no times; where pictures are stored out of order, FFmpeg's guesses are those of the packets.
    guessed = container.format.name == "avi" and stream.codec_context.has_b_frames
    timed = not guessed and all(pts is not None for pts, _ in shown)
    if timed:
        places = np.array(sorted((pts, length) for pts, length in shown), dtype=np.int64)
    else:
        step = 1 / (rate * unit)
        places = np.array([(round(i * step), round(step)) for i in range(len(shown))], dtype=np.int64)
    stamps, gaps = places[:, 0], np.diff(places[:, 0])
    span = int(stamps[-1] - stamps[0]) * unit
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    fps = _fps(rate, frames=len(shown), span=span)
    last = int(places[-1, 1]) * unit or Fraction(1) / rate
    # A cut without re-encoding leaves away whole groups of pictures, hides single ones, or both.
    edited = packets > len(shown) or (container.format.name == MOV and stream.frames > packets)
    first = float(stamps[0] * unit)
    # Counter-clockwise in FFmpeg, and to the degree.
    rotation = round(-picture.rotation / 90) * 90 % 360
    turned = rotation in (90, 270)
    found = Header(
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        frames=len(shown),
        fps=fps,
        height=picture.width if turned else picture.height,
        width=picture.height if turned else picture.width,
        rotation=rotation,
        first=first,
        duration=float(span + last),
        variable=bool(len(gaps) and np.abs(gaps - usual).max() > usual / 2),
        edited=edited or first < -0.5 / fps,
        timed=timed and bool((gaps > 0).all()),
        delay=max(first - container.start_time / av.time_base, 0.0) if container.start_time is not None else 0.0,
    )
    seconds = ((stamps - stamps[0]) * float(unit)).astype(np.float32)
    for array in (stamps, seconds):
        array.flags.writeable = False
    return _Scan(found, stamps, seconds)


def _refuse_empty(path: Path) -> NoReturn:
    message = f"{path}: this video has no frame; copy or export it again{_REMOVE}."
    raise MmadError(message, kind="empty_video")


def _fps(rate: Fraction, *, frames: int, span: Fraction) -> float:
    """Average frames per second: the container's number where it fits, since times are rounded, else measured.

    Args:
        rate: frames per second that the container tells.
        frames: number of displayed frames.
        span: seconds from the start of the first to the start of the last.
    """
    fits = abs(rate * span - (frames - 1)) < Fraction(1, 2)
    return float(rate if fits or not span else (frames - 1) / span)


@cache
def _decord_is_there() -> bool:
    return find_spec("decord") is not None
