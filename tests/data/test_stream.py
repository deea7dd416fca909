"""A video's windows, decoded in one pass, are those that evaluation reads piece by piece."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmad.annotations import Clip
from mmad.data.cache import FileFrames
from mmad.data.clips import EvaluationWindows
from mmad.data.grid import Grid
from mmad.data.header import header
from mmad.data.stream import ahead, stream, windows_of
from mmad.errors import MmadError
from numbered import shown_numbers, write_numbered

GRID = Grid(window=32, feature_stride=4, frames_per_step=2, levels=3)
ANY = (0.0, float("inf"))


def shown(path: Path, rates: tuple[float, float]) -> list[list[int]]:
    windows = windows_of(path, grid=GRID, rates=rates)
    items = stream(path, windows, grid=GRID, short_side=120, transform=nn.Identity())
    return [shown_numbers(item["inputs"]) for item in items]


@pytest.mark.parametrize("frames", [1, 60, 128, 129, 700])
def test_it_shows_what_evaluation_shows(frames: int, numbered_video: Callable[..., Path]) -> None:
    path = numbered_video(frames=frames)
    clip = Clip("clip", path, None, fps=header(path).fps, frames=header(path).frames)
    expected = EvaluationWindows([clip], grid=GRID, frames=FileFrames(GRID, short_side=40), transform=nn.Identity())
    windows = windows_of(path, grid=GRID, rates=ANY)
    found = list(stream(path, windows, grid=GRID, short_side=40, transform=nn.Identity()))
    assert [item["window"] for item in found] == expected.windows
    for index, item in enumerate(found):
        assert torch.equal(item["inputs"], expected[index]["inputs"])


def test_another_rate_is_seen_at_that_of_the_training(numbered_video: Callable[..., Path]) -> None:
    fast = numbered_video(frames=120, fps=60)  # two seconds; every second decoded frame is one of 15 per second
    assert shown(fast, (30.0, 30.0)) == [list(range(0, 120, 4))]
    slow = numbered_video(frames=20, fps=10)
    assert shown(slow, (30.0, 30.0)) == [np.minimum(np.rint(np.arange(30) * 10 / 15), 19).astype(int).tolist()]
    assert shown(slow, (5.0, 30.0)) == [list(range(0, 20, 2))]  # a rate within the training's is left alone


def test_a_variable_rate_is_seen_by_the_clock(numbered_video: Callable[..., Path]) -> None:
    ticks = [*range(0, 1000, 20), *range(1000, 3000, 100)]
    path = numbered_video(frames=len(ticks), ticks=ticks)
    found = np.array(shown(path, (25.0, 25.0))[0])
    wanted = np.arange(len(found)) * 2 / 25 * 1000
    nearest = np.abs(np.array(ticks)[None] - wanted[:, None]).argmin(axis=1)
    assert np.abs(np.array(ticks)[found] - np.array(ticks)[nearest]).max() == 0


def test_damage_is_told_when_it_is_reached(tmp_path: Path) -> None:
    whole = write_numbered(tmp_path / "whole.mp4", frames=600, options={"g": "25"})
    content = bytearray(whole.read_bytes())
    place = len(content) * 3 // 4
    content[place : place + 400] = bytes(400)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    with pytest.raises(MmadError, match=r"broken\.mp4: this video is damaged"):
        shown(broken, ANY)


def test_the_next_item_is_made_while_one_is_at_work() -> None:
    made: list[int] = []
    two = threading.Event()

    def items() -> list[int]:
        for number in range(3):
            made.append(number)
            if number == 1:
                two.set()
            yield number

    coming = ahead(items())  # type: ignore[arg-type]
    assert next(coming) == 0
    assert two.wait(5.0)
    assert list(coming) == [1, 2]

    def failing() -> list[int]:
        yield 0
        raise MmadError("broken")

    failing_ahead = ahead(failing())  # type: ignore[arg-type]
    assert next(failing_ahead) == 0
    with pytest.raises(MmadError, match="broken"):
        next(failing_ahead)
