"""When the frames of a video start, and what single ones show."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmad.errors import MmadError
from mmad.viewer.frames import facts, picture
from numbered import shown_numbers, write_numbered


def test_even_frames_have_a_step_and_uneven_ones_times(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    even = facts(write_numbered(tmp_path / "even.mp4", frames=24, fps=24))
    assert (even["duration"], even["frames"], even["times"]) == (1.0, 24, None)
    assert even["step"] == pytest.approx(1 / 24, rel=1e-12)
    rounded = facts(numbered_video(frames=90, fps=30))  # in whole milliseconds
    assert rounded["times"] is None
    assert rounded["step"] == pytest.approx(1 / 30, abs=1e-5)
    ticks = [0, 40, 80, 200, 240, 500]
    uneven = facts(numbered_video(frames=6, fps=25, ticks=ticks))
    assert uneven["step"] is None
    assert uneven["times"] == pytest.approx([tick / 1000 for tick in ticks], abs=1e-6)
    assert uneven["duration"] > 0.5


@pytest.mark.parametrize(("name", "codec"), [("film.mp4", "libx264"), ("film.avi", "mpeg4"), ("film.ts", "libx264")])
def test_a_picture_is_that_of_its_number(tmp_path: Path, name: str, codec: str) -> None:
    path = write_numbered(tmp_path / name, codec=codec, frames=40, fps=25)
    for number in (0, 15, 16, 39, 1):
        image = Image.open(io.BytesIO(picture(path, number)))
        frame = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        assert shown_numbers(frame[None]) == [number]
    for number in (-1, 40):
        with pytest.raises(MmadError, match="40 frames"):
            picture(path, number)


def test_a_picture_is_no_larger_than_a_screen_needs(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "large.mp4", frames=2, width=1920, height=1080)
    assert Image.open(io.BytesIO(picture(path, 1))).size == (960, 540)
