"""Video frames that show their number as ten black or white bars."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

BITS = 10


def shown_numbers(video_FCHW: torch.Tensor) -> list[int]:
    """The numbers that the frames of a numbered video show."""
    width = video_FCHW.shape[-1]
    middles = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    bars = video_FCHW.float().mean(dim=(1, 2))[:, middles] > 127
    return [sum(int(on) << bit for bit, on in enumerate(row)) for row in bars]


def picture(number: int, *, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: the bars of a number."""
    on = [(number >> bit) & 1 for bit in range(BITS)]
    bars = np.array(on, dtype=np.uint8)[np.arange(width) * BITS // width] * 255
    return np.ascontiguousarray(np.broadcast_to(bars[None, :, None], (height, width, 3)))


def write_numbered(
    path: Path,
    *,
    codec: str = "libx264",
    frames: int = 60,
    fps: int = 30,
    width: int = 160,
    height: int = 120,
    format: str = "yuv420p",
    options: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    degrees: int = 0,
) -> Path:
    """Writes a numbered video.

    Args:
        path: where to; its ending chooses the container.
        codec, format, options: of FFmpeg's encoder and its pixels.
        frames, fps, width, height: of the video as stored.
        ticks: milliseconds at which the frames start; at the rate without.
        degrees: what a player is told to turn the picture by, counter-clockwise; the stored one is turned the other
            way, so that the bars stand upright when shown.
    """
    turned = degrees % 180 != 0
    shown = {"width": height, "height": width} if turned else {"width": width, "height": height}
    images = (np.ascontiguousarray(np.rot90(picture(i, **shown), -degrees // 90)) for i in range(frames))
    return write_pictures(path, images, codec=codec, fps=fps, format=format, options=options, ticks=ticks, turn=degrees)


def write_pictures(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    fps: int = 30,
    format: str = "yuv420p",
    options: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    turn: int = 0,
    colours: tuple[int, int] = (2, 0),
) -> Path:
    """Writes (height, width, 3) uint8 pictures as a video; `colours` are FFmpeg's numbers of matrix and range."""
    unit = Fraction(1, 1000 if ticks else fps)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.pix_fmt = format
        stream.codec_context.time_base = unit
        stream.codec_context.colorspace, stream.codec_context.color_range = colours
        if turn:
            stream.set_display_rotation(turn)
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = ticks[number] if ticks else number, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_packets(source: Path, target: Path, *, shift: int = 0, options: dict[str, str] | None = None) -> Path:
    """Writes a video's packets into another container without encoding them anew.

    Args:
        source, target: the files.
        shift: frames by which the packets are moved to earlier times; an MP4 file hides what comes to lie before 0.
        options: of the container.
    """
    with av.open(str(source)) as before, av.open(str(target), "w", options=options or {}) as after:
        stream = before.streams.video[0]
        copy = after.add_stream_from_template(stream)
        ticks = round(shift / stream.average_rate / stream.time_base)
        for packet in before.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, copy
                after.mux(packet)
    return target
