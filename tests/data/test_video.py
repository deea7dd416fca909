"""Which frame comes back, told by the number that each frame shows."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.data.header import header
from mmad.data.video import nearest_frames, read_frames
from mmad.errors import MmadError
from numbered import shown_numbers


def test_the_header_tells_what_the_file_holds(numbered_video: Callable[..., Path]) -> None:
    info = header(numbered_video(frames=60, fps=30))
    assert (info.frames, info.height, info.width) == (60, 120, 160)
    assert info.fps == pytest.approx(30, abs=0.01)  # the container counts milliseconds


def test_frames_come_back_in_the_order_asked_for(numbered_video: Callable[..., Path]) -> None:
    wanted = [40, 3, 3, 59, 0, 17]
    video = read_frames(numbered_video(), np.array(wanted) / 30, fps=30, short_side=120)
    assert shown_numbers(video) == wanted
    assert video.shape == (6, 3, 120, 160)


def test_times_beyond_the_end_give_the_last_frame(numbered_video: Callable[..., Path]) -> None:
    video = read_frames(numbered_video(), np.array([1.9, 2.0, 7.0]), fps=30, short_side=120)
    assert shown_numbers(video) == [57, 59, 59]


def test_the_short_side_is_scaled_and_the_aspect_kept(numbered_video: Callable[..., Path]) -> None:
    video = read_frames(numbered_video(), np.array([0.5]), fps=30, short_side=60)
    assert video.shape == (1, 3, 60, 80)
    assert shown_numbers(video) == [15]


def test_annotated_frames_are_met_whatever_rate_the_container_tells(
    numbered_video: Callable[..., Path],
) -> None:
    """An annotation at 29 fps on a 30 fps file counts frames; so must the reader."""
    video = read_frames(numbered_video(), np.arange(0, 60, 7) / 29, fps=29, short_side=120)
    assert shown_numbers(video) == list(range(0, 60, 7))


def test_a_variable_rate_is_read_by_time(numbered_video: Callable[..., Path]) -> None:
    """First half at 30 fps, second half at 15."""
    ticks = [round(i * 1000 / 30) for i in range(30)] + [round(1000 + i * 1000 / 15) for i in range(30)]
    video = read_frames(numbered_video(ticks=ticks), np.array([0.5, 1.0, 2.0, 2.5]), fps=20, short_side=120)
    assert shown_numbers(video) == [15, 30, 45, 52]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(0.01, 1.0), min_size=3, max_size=20),
    st.lists(st.floats(0, 20), min_size=1, max_size=10),
)
def test_nearest_frame_of_a_variable_rate_is_the_nearest(gaps: list[float], times: list[float]) -> None:
    stamps = np.concatenate([[0.0], np.cumsum([*gaps, 3.0])])  # the last gap breaks any constant rate
    found = nearest_frames(stamps, np.array(times), fps=10)
    for time, frame in zip(times, found, strict=True):
        assert abs(stamps[frame] - time) == pytest.approx(np.abs(stamps - time).min())


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MmadError, match=r"nowhere\.mp4: there is no such video file"):
        header(tmp_path / "nowhere.mp4")


def test_a_file_cut_short_is_named(numbered_video: Callable[..., Path], tmp_path: Path) -> None:
    whole = numbered_video().read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MmadError, match=r"cut\.mp4: this video is damaged: it is cut short, [\d,]+ of"):
        read_frames(path, np.arange(60) / 30, fps=30, short_side=120)


def test_a_check_needs_no_torch() -> None:
    """Child processes that check files start in a fraction of a second."""
    code = "import sys, mmad.data.video, mmad.data.decord_reader, mmad.data.pyav_reader; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
