import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mmad.data.grid import Grid
from mmad.errors import MmadError
from mmad.timebase import CHUNK


@st.composite
def grids(draw: DrawFn) -> Grid:
    per_step = draw(st.sampled_from([1, 2, 4, 8, 16]))
    levels = draw(st.integers(1, 6))
    multiple = Grid(3200, per_step, per_step, levels).multiple
    return Grid(multiple * draw(st.integers(1, 5)), per_step * draw(st.integers(1, 4)), per_step, levels)


@settings(deadline=None)
@given(grids(), st.integers(1, 2000))
def test_sliding_windows_cover_a_clip_once_and_end_with_it(grid: Grid, raw_frames: int) -> None:
    windows = grid.sliding(0, raw_frames=raw_frames, fps=30.0)
    covered = {frame for window in windows for frame in range(window.first, window.first + window.frames)}
    assert covered == set(range(grid.decoded(raw_frames)))
    assert len({window.first for window in windows}) == len(windows)  # no window twice
    assert {window.of for window in windows} == {len(windows)}
    assert all(window.steps <= grid.window for window in windows)


def test_a_clip_as_long_as_the_window_gives_one_window() -> None:
    """The reference's formula gives two."""
    assert len(Grid(128, 4, 2, 6).sliding(0, raw_frames=512, fps=30.0)) == 1


@settings(deadline=None)
@given(grids(), st.integers(1, 500))
def test_padding_makes_whole_chunks_and_a_whole_pyramid(grid: Grid, steps: int) -> None:
    padded = grid.padded(steps)
    assert steps <= padded < steps + grid.multiple
    assert padded * grid.frames_per_step % CHUNK == 0
    assert padded % 2 ** (grid.levels - 1) == 0


@settings(deadline=None)
@given(grids(), st.integers(0, 100), st.floats(1, 60))
def test_a_step_is_its_first_frame(grid: Grid, step: int, fps: float) -> None:
    """Step i of a window from grid position p shows raw frame (p + i * frames_per_step) * frame_step."""
    window = grid.piece(0, raw_frames=10_000, fps=fps, first=6, frames=64)
    frame = (6 + step * grid.frames_per_step) * grid.frame_step
    assert window.timebase.seconds(float(step)) == pytest.approx(frame / fps)
    assert window.timebase.steps(torch.tensor(frame / fps)).item() == pytest.approx(step, abs=1e-3)


def test_numbers_that_do_not_divide_are_refused() -> None:
    with pytest.raises(MmadError, match=r"frames_per_step=3 must divide chunks of 16 frames"):
        Grid(128, 3, 3, 1)
    with pytest.raises(MmadError, match=r"must be a multiple of grid\.frames_per_step=2"):
        Grid(128, 3, 2, 6)
    with pytest.raises(MmadError, match=r"choose grid\.window=128"):
        Grid(100, 4, 2, 6)
