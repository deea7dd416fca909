"""What is told of a video file, and what is said of a file that is none."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.data.announced import missing_bytes
from mmad.data.header import header, timestamps
from mmad.errors import MmadError
from numbered import copy_packets, write_numbered


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("headers")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    return write_numbered(folder / "whole.mp4")


def test_an_ordinary_file(whole: Path) -> None:
    known = header(whole)
    assert (known.codec, known.frames, known.fps) == ("h264", 60, 30)
    assert (known.height, known.width, known.rotation) == (120, 160, 0)
    assert (known.first, known.duration) == (0, 2)
    assert (known.variable, known.edited, known.reader) == (False, False, "decord")


@pytest.mark.parametrize(("degrees", "clockwise"), [(90, 270), (180, 180), (-90, 90)])
def test_size_is_told_as_shown(folder: Path, degrees: int, clockwise: int) -> None:
    known = header(write_numbered(folder / f"turned{degrees}.mp4", degrees=degrees))
    assert known.rotation == clockwise
    assert (known.height, known.width) == ((120, 160) if degrees == 180 else (160, 120))


def test_the_rate_is_that_of_displayed_frames(folder: Path) -> None:
    """2 s at 30 fps, then 2 s at 10: 80 frames, of which the last starts at 3.9 s; containers tell other averages."""
    ticks = [round(i * 1000 / 30) for i in range(60)] + [2000 + 100 * i for i in range(20)]
    known = header(write_numbered(folder / "variable.mp4", frames=80, ticks=ticks))
    assert known.variable
    assert known.fps == pytest.approx(79 / 3.9, rel=1e-3)


@pytest.mark.parametrize("fps", [24, 30])
def test_a_rate_is_told_exactly_where_times_are_rounded(folder: Path, fps: int) -> None:
    """Matroska rounds times to milliseconds."""
    known = header(write_numbered(folder / f"rounded{fps}.mkv", fps=fps, frames=50))
    assert (known.fps, known.variable) == (fps, False)


def test_one_dropped_frame_makes_the_rate_variable(folder: Path) -> None:
    ticks = [100 * i for i in range(60) if i != 20]
    path = write_numbered(folder / "dropped.mp4", frames=59, ticks=ticks)
    assert header(path).variable
    np.testing.assert_allclose(timestamps(path), np.array(ticks) / 1000, atol=1e-4)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "video.mp4", frames=10)
    assert header(path).frames == 10
    write_numbered(path, frames=20)
    assert header(path).frames == 20


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def no_frame(path: Path) -> Path:
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
        container.start_encoding()
    return path


def text(path: Path) -> Path:
    path.write_text("video,start,end,label\n" * 50)
    return path


def nothing(path: Path) -> Path:
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("make", "name", "kind", "message"),
    [
        (lambda path: path, "nowhere.mp4", "missing_video", "there is no such video file"),
        (nothing, "nothing.mp4", "empty_video", r"is empty \(0 bytes\)"),
        (no_frame, "header.mkv", "empty_video", "has no frame"),
        (text, "table.mp4", "unreadable_video", "cannot be read .*no video"),
        (sound, "sound.mp4", "no_picture", "sound but no picture"),
    ],
)
def test_what_is_no_video_is_named(
    tmp_path: Path, make: Callable[[Path], Path], name: str, kind: str, message: str
) -> None:
    with pytest.raises(MmadError, match=rf"{name}: .*{message}.*; ") as caught:
        header(make(tmp_path / name))
    assert caught.value.kind == kind


@pytest.fixture(scope="module")
def containers(folder: Path, whole: Path) -> dict[str, Path]:
    return {
        "index last.mp4": whole,
        "index first.mp4": copy_packets(whole, folder / "first.mp4", options={"movflags": "faststart"}),
        "matroska.mkv": copy_packets(whole, folder / "matroska.mkv"),
        "avi.avi": write_numbered(folder / "avi.avi", codec="mpeg4"),
    }


@pytest.mark.parametrize("name", ["index last.mp4", "index first.mp4", "matroska.mkv", "avi.avi"])
@settings(deadline=None, max_examples=20)
@given(share=st.floats(0.02, 0.95))
def test_a_file_cut_anywhere_is_refused(
    containers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, name: str, share: float
) -> None:
    """Demuxers take most of these for shorter videos, and one whose index alone is left for an empty one."""
    content = containers[name].read_bytes()
    path = tmp_path_factory.mktemp("cut") / name
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(MmadError, match=name) as caught:
        header(path)
    assert caught.value.kind in ("unreadable_video", "empty_video")


@pytest.mark.parametrize("name", ["index first.mp4", "matroska.mkv", "avi.avi"])
def test_missing_bytes_are_counted(containers: dict[str, Path], tmp_path: Path, name: str) -> None:
    content = containers[name].read_bytes()
    assert missing_bytes(containers[name]) == 0
    for lost in (1, 77, len(content) // 2):
        path = tmp_path / name
        path.write_bytes(content[:-lost])
        assert missing_bytes(path) == lost


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fragments.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("live.mkv", {"live": "1"}),
        ("stream.ts", {}),
    ],
)
def test_a_recording_that_does_not_know_its_length_is_whole(
    whole: Path, tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = copy_packets(whole, tmp_path / name, options=options)
    assert missing_bytes(path) == 0
    assert header(path).frames == 60


def test_bytes_that_a_camera_appended_do_no_harm(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "appended.mp4"
    path.write_bytes(whole.read_bytes() + bytes(100))
    assert header(path).frames == 60


def test_a_cut_transport_stream_is_read_as_far_as_it_goes(whole: Path, tmp_path: Path) -> None:
    """It announces no length, so nobody can tell; the manifest of a data set's durations does."""
    content = copy_packets(whole, tmp_path / "stream.ts").read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(content[: len(content) * 6 // 10])
    assert 20 < header(path).frames < 40
