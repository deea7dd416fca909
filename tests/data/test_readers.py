"""Both readers, on one list of files: which frame comes back, told by the number it shows, and with which pixels."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.data import decord_reader, pyav_reader
from mmad.data.header import header, timestamps
from mmad.data.video import decode_all, read_frames, reader_of
from mmad.errors import MmadError
from numbered import copy_packets, shown_numbers, write_numbered, write_pictures

HALF_RATE = [round(i * 1000 / 30) for i in range(30)] + [round(1000 + i * 1000 / 15) for i in range(30)]


@pytest.mark.parametrize("reader", [decord_reader, pyav_reader])
def test_red_comes_before_blue(reader: ModuleType, tmp_path: Path) -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    path = write_pictures(tmp_path / "red.mp4", [red] * 4)
    first, *others = reader.read(path, np.arange(4), height=64, width=64).mean((0, 1, 2))
    assert first > 200
    assert max(others) < 60


ORDINARY: dict[str, dict] = {
    "B-frames.mp4": {},
    "long GOP.mp4": {"frames": 120, "options": {"g": "1000", "bf": "8"}},
    "open GOP.mp4": {"options": {"g": "12", "x264-params": "open-gop=1"}},
    "short GOP.mov": {"options": {"g": "5", "bf": "0"}},
    "variable rate.mp4": {"ticks": HALF_RATE},
    "turned 90.mp4": {"degrees": 90},
    "turned 180.mp4": {"degrees": 180},
    "turned 270.mov": {"degrees": -90},
    "odd size.mp4": {"width": 641, "height": 359, "format": "yuv444p", "frames": 20},
    "odd size.mkv": {"codec": "ffv1", "width": 641, "height": 359, "format": "yuv444p", "frames": 20},
    "one frame.mp4": {"frames": 1},
    "h264.mkv": {},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"lag-in-frames": "16", "auto-alt-ref": "1", "cpu-used": "8"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mjpeg.avi": {"codec": "mjpeg", "format": "yuvj420p"},
}
"""Files that decord reads; the options are those of `write_numbered`."""

SPECIAL: dict[str, dict] = {
    "B-frames.avi": {},
    "mpeg4 B-frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "program stream.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "transport stream.ts": {},
    "transport stream.mts": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12"}},
}
"""Files that only PyAV reads, since decord would give wrong frames without a word, or none."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("files")

    def write(name: str) -> Path:
        path = folder / name
        return path if path.exists() else write_numbered(path, **(ORDINARY | SPECIAL)[name])

    return write


def numbers_of(path: Path, frames: list[int], reader: ModuleType | None = None) -> list[int]:
    known = header(path)
    pictures = (reader or reader_of(known)).read(path, np.array(frames), height=known.height, width=known.width)
    assert pictures.shape == (len(frames), known.height, known.width, 3)
    return shown_numbers(torch.from_numpy(pictures).permute(0, 3, 1, 2))


@pytest.mark.parametrize("reader", [decord_reader, pyav_reader])
@pytest.mark.parametrize("name", ORDINARY)
def test_every_frame_is_the_one_asked_for(file: Callable[[str], Path], name: str, reader: ModuleType) -> None:
    path = file(name)
    total = header(path).frames
    assert total == ORDINARY[name].get("frames", 60)
    assert header(path).reader == "decord"
    everything = list(range(total))
    assert numbers_of(path, everything, reader) == everything
    few = [*range(total // 3, total, 7), total - 1]
    few = sorted(set(few))
    assert numbers_of(path, few, reader) == few
    assert reader.count(path) == total


@pytest.mark.parametrize("name", SPECIAL)
def test_what_decord_reads_wrongly_is_left_to_pyav(file: Callable[[str], Path], name: str) -> None:
    path = file(name)
    assert (header(path).reader, header(path).frames, header(path).fps) == ("pyav", 60, 30)
    assert numbers_of(path, list(range(60))) == list(range(60))
    wanted = list(range(5, 60, 6))
    shown = read_frames(path, np.array(wanted) / 30, fps=30, short_side=60)
    assert shown_numbers(shown) == wanted
    assert decode_all(path) == 60


@settings(deadline=None, max_examples=30)
@given(frames=st.lists(st.integers(0, 119), min_size=1, max_size=12, unique=True).map(sorted))
def test_any_choice_of_frames_comes_back(file: Callable[[str], Path], frames: list[int]) -> None:
    for reader in (decord_reader, pyav_reader):
        assert numbers_of(file("long GOP.mp4"), frames, reader) == frames


@pytest.mark.parametrize("name", ORDINARY)
def test_times_are_those_that_decord_finds(file: Callable[[str], Path], name: str) -> None:
    """Bit by bit: a time right between two frames must fall to the same one as ever."""
    import decord

    found = decord.VideoReader(str(file(name)), num_threads=1)
    stamps = np.asarray(found.get_frame_timestamp(range(len(found))))[:, 0]
    np.testing.assert_array_equal(timestamps(file(name)), stamps - stamps[0])
    if name != "variable rate.mp4":
        assert header(file(name)).fps == found.get_avg_fps()


def moving_pictures(*, frames: int, height: int, width: int) -> list[np.ndarray]:
    """A picture whose contrast falls with spatial frequency, as that of nature does, shifted from frame to frame."""
    rng = np.random.default_rng(0)
    rows, columns = height + 3 * frames, width + 5 * frames
    distance = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns))
    distance[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.normal(size=(3, rows, columns))) / distance**1.2
    image = np.fft.ifft2(spectrum).real.transpose(1, 2, 0)
    image = (255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    return [np.ascontiguousarray(image[3 * i : 3 * i + height, 5 * i : 5 * i + width]) for i in range(frames)]


ENCODINGS: dict[str, dict] = {
    "untagged": {},
    "BT.601": {"colours": (5, 1)},
    "BT.709": {"colours": (1, 1)},
    "full range": {"colours": (1, 2)},
    "4:4:4": {"format": "yuv444p"},
    "10 bit": {"format": "yuv420p10le"},
    "turned": {"turn": 90},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_both_readers_give_the_same_pixels(tmp_path: Path, encoding: str) -> None:
    """Not one grey level apart: a result does not depend on the reader."""
    pictures = moving_pictures(frames=6, height=180, width=320)
    path = write_pictures(tmp_path / "natural.mp4", pictures, options={"crf": "18"}, **ENCODINGS[encoding])
    for height, width in ((91, 161), (161, 91), (45, 45), (200, 400)):
        one, other = (
            reader.read(path, np.arange(6), height=height, width=width) for reader in (decord_reader, pyav_reader)
        )
        assert np.abs(one.astype(int) - other).mean() == 0
    assert one.std() > 20, "there is something in the picture"


def test_a_turned_picture_keeps_its_proportions(file: Callable[[str], Path]) -> None:
    """Stored 160 wide and 120 high, shown 120 wide and 160 high."""
    turned = read_frames(file("turned 90.mp4"), np.array([0.3]), fps=30, short_side=60)
    assert turned.shape == (1, 3, 80, 60)
    assert shown_numbers(turned) == [9]


@pytest.mark.parametrize("shift", [31, 24])
@pytest.mark.parametrize("group", ["12", "250"])
def test_a_cut_without_encoding_shows_what_players_show(tmp_path: Path, shift: int, group: str) -> None:
    """The edit list hides frames before the cut; decord would count them and repeat the last frame instead."""
    source = write_numbered(tmp_path / "whole.mp4", options={"g": group})
    path = copy_packets(source, tmp_path / "cut.mp4", shift=shift)
    known = header(path)
    assert (known.frames, known.edited, known.reader) == (60 - shift, True, "pyav")
    assert known.duration == pytest.approx((60 - shift) / 30, abs=0.001)
    assert numbers_of(path, list(range(60 - shift))) == list(range(shift, 60))
    assert decode_all(path) == 60 - shift


def test_a_late_start_moves_no_frame(tmp_path: Path, file: Callable[[str], Path]) -> None:
    path = copy_packets(file("B-frames.mp4"), tmp_path / "late.mp4", shift=-31)
    assert header(path).first == pytest.approx(31 / 30, abs=0.001)
    for reader in (decord_reader, pyav_reader):
        assert numbers_of(path, list(range(60)), reader) == list(range(60))


def damaged(path: Path, target: Path, *, start: float, length: int) -> Path:
    content = bytearray(path.read_bytes())
    first = int(len(content) * start)
    content[first : first + length] = np.random.default_rng(0).bytes(length)
    target.write_bytes(content)
    return target


def test_damage_that_a_decoder_patches_up_is_found(tmp_path: Path) -> None:
    """decord returns all frames as if nothing were wrong; decoding strictly tells."""
    pictures = moving_pictures(frames=30, height=180, width=320)
    whole = write_pictures(tmp_path / "whole.mp4", pictures, options={"crf": "18"})
    assert decode_all(whole) == 30
    path = damaged(whole, tmp_path / "damaged.mp4", start=0.25, length=200)
    assert len(decord_reader.read(path, np.arange(30), height=90, width=160)) == 30
    with pytest.raises(MmadError, match=r"damaged\.mp4: .*frame \d+ of 30") as caught:
        decode_all(path)
    assert caught.value.kind == "unreadable_video"


@pytest.mark.parametrize("reader", [decord_reader, pyav_reader])
def test_a_file_that_breaks_off_names_the_frame(tmp_path: Path, reader: ModuleType) -> None:
    pictures = moving_pictures(frames=30, height=180, width=320)
    whole = write_pictures(tmp_path / "whole.mp4", pictures, options={"crf": "18", "g": "10"})
    path = damaged(whole, tmp_path / "damaged.mp4", start=0.6, length=len(whole.read_bytes()) // 3)
    with pytest.raises(MmadError, match=r"damaged\.mp4: .*frame \d+ of 30") as caught:
        reader.read(path, np.arange(30), height=90, width=160)
    assert caught.value.kind == "unreadable_video"


def test_without_decord_pyav_reads_everything(
    file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = Path(shutil.copy(file("B-frames.mp4"), tmp_path))
    monkeypatch.setattr("mmad.data.header._decord_is_there", lambda: False)
    assert header(path).reader == "pyav"
    assert numbers_of(path, [3, 40]) == [3, 40]
