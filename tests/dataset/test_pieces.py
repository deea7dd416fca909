"""Pieces of recordings whose frames show their number: each has exactly its frames, at their times, upright."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from mmad.dataset.pieces import FramesDiffer, Stamps, frame_stamps, write_pieces
from mmad.errors import MmadError
from numbered import copy_packets, shown_numbers


def pictures(path: Path) -> tuple[torch.Tensor, np.ndarray]:
    """All frames (F, 3, H, W) of a video, and their time stamps in seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    shown = [torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1) for frame in frames]
    return torch.stack(shown), np.array([float(frame.pts * frame.time_base) for frame in frames])


def cut(video: Path, cuts: Sequence[int], folder: Path, **more: Stamps) -> list[Path]:
    targets = [folder / f"{number}.mp4" for number in range(len(cuts) - 1)]
    write_pieces(video, more.get("stamps") or frame_stamps(video), cuts, targets, told=lambda seconds: None)
    return targets


def drawn(path: Path, *, size: tuple[int, int] = (160, 120), pixels: str = "yuv420p", turn: int = 0) -> Path:
    """Ten frames whose quarters are red, green, blue and white in reading order."""
    width, height = size
    image = np.full((height, width, 3), 255, dtype=np.uint8)
    image[: height // 2, : width // 2] = 255, 0, 0
    image[: height // 2, width // 2 :] = 0, 255, 0
    image[height // 2 :, : width // 2] = 0, 0, 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        if turn:
            stream.set_display_rotation(turn)
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def quarters(path: Path) -> str:
    """The colours of a video's quarters in reading order."""
    picture = pictures(path)[0][0]
    height, width = picture.shape[1:]
    names = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return "".join(names[tuple((picture[:, y, x] > 127).int().tolist())] for y, x in places)  # type: ignore[index]


@pytest.mark.parametrize("ticks", [None, [33 * k + 250 * (k // 7) for k in range(120)]], ids=["constant", "variable"])
def test_a_piece_holds_exactly_its_frames(
    numbered_video: Callable[..., Path], tmp_path: Path, ticks: list[int] | None
) -> None:
    video = numbered_video(frames=120, fps=30, ticks=ticks)
    cuts = [0, 37, 38, 90, 120]
    times = np.array(ticks or [round(k * 1000 / 30) for k in range(120)]) / 1000
    for target, (first, stop) in zip(cut(video, cuts, tmp_path), pairwise(cuts), strict=True):
        frames, seconds = pictures(target)
        assert shown_numbers(frames) == list(range(first, stop))
        assert seconds[0] == 0
        assert seconds == pytest.approx(times[first:stop] - times[first], abs=1e-9)
        with av.open(str(target)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.codec.name) == (160, 120, "h264")
            if stop < 120:  # what follows tells how long the last frame is shown
                assert float(stream.duration * stream.time_base) == pytest.approx(times[stop] - times[first], abs=1e-4)


def test_packets_and_frames_give_the_same_stamps(numbered_video: Callable[..., Path]) -> None:
    for ticks in (None, [40 * k + 300 * (k // 10) for k in range(60)]):
        video = numbered_video(ticks=ticks)
        quick, certain = frame_stamps(video), frame_stamps(video, decode=True)
        assert quick.ticks.tolist() == certain.ticks.tolist()
        assert len(quick.edges) == 61
        assert quick.edges[0] == 0


def test_the_usual_length_stands_for_an_unknown_last_one(tmp_path: Path) -> None:
    """Matroska says no duration of a frame; packed at 25 frames a second, ten of them last 0.4 s."""
    source, target = drawn(tmp_path / "a.mp4"), tmp_path / "a.mkv"
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    assert frame_stamps(target).edges[-1] == pytest.approx(0.4)


def test_a_second_run_writes_only_what_is_missing(numbered_video: Callable[..., Path], tmp_path: Path) -> None:
    video, cuts = numbered_video(frames=120, fps=30), [0, 40, 80, 120]
    targets = cut(video, cuts, tmp_path)
    before = [target.stat().st_mtime_ns for target in targets]
    targets[1].unlink()
    targets[2].write_bytes(b"broken off")
    done: list[float] = []
    assert write_pieces(video, frame_stamps(video), cuts, targets, told=done.append) == 1
    assert sum(done) == pytest.approx(4, abs=1e-3)
    after = [target.stat().st_mtime_ns for target in targets]
    assert after[0] == before[0]
    assert shown_numbers(pictures(targets[1])[0]) == list(range(40, 80))
    assert shown_numbers(pictures(targets[2])[0]) == list(range(80, 120))
    # Other cuts, so all that begins or ends elsewhere is written anew.
    assert write_pieces(video, frame_stamps(video), [0, 40, 70, 120], targets, told=done.append) == 1
    assert shown_numbers(pictures(targets[2])[0]) == list(range(70, 120))
    assert sorted(tmp_path.iterdir()) == targets


def test_pieces_that_are_not_wanted_are_passed(numbered_video: Callable[..., Path], tmp_path: Path) -> None:
    video, target, done = numbered_video(frames=120, fps=30), tmp_path / "b.mp4", list[float]()
    write_pieces(video, frame_stamps(video), [0, 40, 80, 120], [None, target, None], told=done.append)
    assert shown_numbers(pictures(target)[0]) == list(range(40, 80))
    assert sum(done) == pytest.approx(4, abs=1e-3)


@pytest.mark.parametrize(
    ("turn", "seen", "size"),
    [(0, "rgbw", (160, 120)), (90, "gwrb", (120, 160)), (180, "wbgr", (160, 120)), (-90, "brwg", (120, 160))],
)
def test_a_rotation_is_carried_out(tmp_path: Path, turn: int, seen: str, size: tuple[int, int]) -> None:
    (target,) = cut(drawn(tmp_path / "turned.mp4", turn=turn), [0, 10], tmp_path)
    assert quarters(target) == seen
    with av.open(str(target)) as container:
        (frame, *_) = container.decode(video=0)
        assert (frame.width, frame.height, frame.rotation) == (*size, 0)


@pytest.mark.parametrize("turn", [0, 90])
def test_an_odd_row_and_column_are_left_out(tmp_path: Path, turn: int) -> None:
    (target,) = cut(drawn(tmp_path / "odd.mp4", size=(161, 121), pixels="yuv444p", turn=turn), [0, 10], tmp_path)
    frames, _ = pictures(target)
    assert frames.shape == (10, 3, *((160, 120) if turn else (120, 160)))
    assert quarters(target) == ("gwrb" if turn else "rgbw")


def test_the_full_range_of_colours_becomes_the_usual_one(tmp_path: Path) -> None:
    """Else white would be grey, or grey white, for readers that do not look at the range."""
    (target,) = cut(drawn(tmp_path / "full.mp4", pixels="yuvj420p"), [0, 10], tmp_path)
    with av.open(str(target)) as container:
        (frame, *_) = container.decode(video=0)
        brightness = frame.to_ndarray()[:120]
        assert frame.format.name == "yuv420p"
        assert brightness[90, 120] == pytest.approx(235, abs=2)


def test_sound_is_dropped(numbered_video: Callable[..., Path], tmp_path: Path) -> None:
    loud = tmp_path / "loud.mkv"
    with av.open(str(numbered_video())) as before, av.open(str(loud), "w") as after:
        picture = after.add_stream_from_template(before.streams.video[0])
        sound = after.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        samples.pts, samples.time_base = 0, Fraction(1, 8000)
        after.mux([*sound.encode(samples), *sound.encode(None)])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = picture
                after.mux(packet)
    for target in cut(loud, [0, 30, 60], tmp_path):
        with av.open(str(target)) as container:
            assert [stream.type for stream in container.streams] == ["video"]


def test_packets_that_show_nothing_are_noticed(numbered_video: Callable[..., Path], tmp_path: Path) -> None:
    """Without its first key frame a recording shows less than its packets announce; decoding says what."""
    broken = tmp_path / "broken.mkv"
    with av.open(str(numbered_video(frames=400, fps=30))) as before, av.open(str(broken), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for number, packet in enumerate(before.demux(video=0)):
            if packet.size and number:
                packet.stream = stream
                after.mux(packet)
    announced = frame_stamps(broken)
    with pytest.raises(FramesDiffer, match=r"broken\.mkv, frame 0: it is not shown at the time"):
        cut(broken, [0, 100, len(announced.ticks) - 1], tmp_path, stamps=announced)
    assert list(tmp_path.iterdir()) == [broken], "nothing that is half done stays"
    certain = frame_stamps(broken, decode=True)
    shown = len(certain.ticks) - 1
    assert 0 < shown < len(announced.ticks) - 1
    (target,) = cut(broken, [0, shown], tmp_path, stamps=certain)
    assert shown_numbers(pictures(target)[0]) == list(range(400 - shown, 400))


def test_a_recording_that_breaks_off_is_told(numbered_video: Callable[..., Path], tmp_path: Path) -> None:
    """Its header lies in front, so nothing else would notice that half of it is gone."""
    whole = copy_packets(numbered_video(frames=400, fps=30), tmp_path / "a.mp4", options={"movflags": "+faststart"})
    content = whole.read_bytes()
    whole.write_bytes(content[: int(0.6 * len(content))])
    with pytest.warns(
        UserWarning, match=r"a\.mp4: its picture ends after \d\.\d\d s, though the file announces 13\.33"
    ):
        assert len(frame_stamps(whole).edges) < 350


def test_a_damaged_frame_is_named(numbered_video: Callable[..., Path], tmp_path: Path) -> None:
    damaged = tmp_path / "a.mp4"
    content = bytearray(numbered_video(frames=400, fps=30).read_bytes())
    middle = content.index(b"mdat") + 8000
    content[middle : middle + 3000] = bytes(255 - byte for byte in content[middle : middle + 3000])
    damaged.write_bytes(content)
    with pytest.raises(MmadError, match=r"a\.mp4, frame \d+: .* exclude\.csv, which mmad-data task=check") as told:
        cut(damaged, [0, 400], tmp_path)
    assert told.value.kind == "unreadable_video"
    assert list(tmp_path.iterdir()) == [damaged]


@pytest.mark.parametrize("content", [b"", b"no video at all" * 50])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(MmadError, match=r"a\.mp4: this video cannot be read"):
        frame_stamps(tmp_path / "a.mp4")


def test_frames_of_29_97_hertz_do_not_drift() -> None:
    stamps = Stamps(np.arange(0, 1001 * 108_001, 1001), Fraction(1, 30_000))
    assert stamps.edges[108_000] == 1001 * 108_000 / 30_000
