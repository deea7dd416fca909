"""Times survive every conversion between seconds, frames, feature steps and windows, at all usual frame rates."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mmad.annotations import Instance, as_segments
from mmad.data.clips import cut
from mmad.data.grid import Grid, Window
from mmad.data.sources.marked import ROUNDING, on_frames
from mmad.timebase import CHUNK, Timebase, frame_to_seconds

RATES = (23.976, 24000 / 1001, 24.0, 25.0, 29.0, 29.97, 30000 / 1001, 30.0, 50.0, 59.94, 60000 / 1001, 60.0)
HOUR = 60 * 60 * 60
"""Frames of an hour at the highest rate."""

rates = st.one_of(st.sampled_from(RATES), st.floats(23.976, 60))


@st.composite
def windows(draw: DrawFn) -> Window:
    """A window anywhere in a clip of up to an hour, on a grid of any stride from 1 to 16 raw frames and any offset."""
    per_step = draw(st.sampled_from([1, 2]))
    stride = per_step * draw(st.integers(1, 16 // per_step))
    grid = Grid(64 * CHUNK, stride, per_step, levels=1, offset=draw(st.sampled_from([0, stride // 2, CHUNK // 2])))
    raw, fps = draw(st.integers(16, HOUR)), draw(rates)
    total = grid.decoded(raw)
    frames = draw(st.integers(1, min(total, 64 * CHUNK * per_step)))
    first = draw(st.integers(0, total - frames))
    return grid.piece(0, raw_frames=raw, fps=fps, first=first, frames=frames)


@given(st.floats(1, 120), st.integers(1, 16), st.integers(0, 10_000), st.floats(0, 600))
def test_steps_and_seconds_are_inverse(fps: float, stride: int, offset: int, seconds: float) -> None:
    timebase = Timebase(fps, stride, offset)
    assert timebase.seconds(timebase.steps(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(rates, st.integers(1, 16), st.integers(0, HOUR), st.integers(0, HOUR))
def test_a_frame_comes_back_from_seconds_and_steps(fps: float, stride: int, offset: int, frame: int) -> None:
    seconds = frame_to_seconds(frame, fps)
    assert round(seconds * fps) == frame
    timebase = Timebase(fps, stride, offset)
    steps = timebase.steps(seconds)
    assert steps == pytest.approx((frame - offset) / stride, abs=1e-6), "step i stands for frame offset + i * stride"
    assert round(timebase.seconds(steps) * fps) == frame


@given(rates, st.integers(1, 16), st.integers(0, HOUR), st.floats(0, 3600))
def test_the_nearest_whole_step_is_half_a_step_off_at_most(
    fps: float, stride: int, offset: int, seconds: float
) -> None:
    """For stride 1, a step is a frame: rounding to it costs half a frame."""
    timebase = Timebase(fps, stride, offset)
    back = timebase.seconds(float(round(timebase.steps(seconds))))
    assert abs(back - seconds) <= stride / fps / 2 + 1e-9


@given(windows())
def test_a_window_begins_at_its_first_frame(window: Window) -> None:
    """A step stands for the frame that lies the grid's offset behind its first one."""
    assert window.timebase.seconds(0.0) == frame_to_seconds(window.offset + window.centre, window.fps)
    start, stop = window.span
    assert window.timebase.steps(frame_to_seconds(window.offset, window.fps)) == pytest.approx(start, abs=1e-6)
    last = window.offset + window.steps * window.stride
    assert window.timebase.steps(frame_to_seconds(last, window.fps)) == pytest.approx(stop, abs=1e-6)
    assert window.offset < round(window.duration * window.fps)


@given(windows(), st.floats(0, 1), st.floats(0, 1))
def test_an_instance_inside_a_window_comes_back(window: Window, one: float, other: float) -> None:
    """The targets are float32: exact in float64 before they are stored, half a frame at most after."""
    low, high = (window.timebase.seconds(step) for step in window.span)
    start, end = (low + (high - low) * share for share in sorted((one, other)))
    if end - start < 0.01:
        return
    found = cut(as_segments([Instance(start, end, 3)]), window, keep=0.75)
    assert found["labels"].tolist() == [3]
    back = window.timebase.seconds(found["segments"].double())[0].tolist()
    assert back == pytest.approx([start, end], abs=0.5 / window.fps)
    exact = window.timebase.seconds(window.timebase.steps(as_segments([Instance(start, end, 3)])["segments"]))
    assert exact[0].tolist() == pytest.approx([start, end], abs=1e-6)


@given(windows(), st.data())
def test_frames_inside_a_window_come_back_as_frames(window: Window, data: st.DataObject) -> None:
    """Targets and predictions pass through float32; whole frames are found again by rounding."""
    last = window.offset + window.steps * window.stride
    first = data.draw(st.integers(window.offset, last - 1))
    stop = data.draw(st.integers(first + 1, last))
    instance = Instance(frame_to_seconds(first, window.fps), frame_to_seconds(stop, window.fps), 0)
    segments = cut(as_segments([instance]), window, keep=0.75)["segments"]
    assert segments.dtype == torch.float32
    seconds = window.timebase.seconds(segments.double())[0]
    assert [round(time * window.fps) for time in seconds.tolist()] == [first, stop]


@given(windows(), st.floats(0.01, 20), st.floats(-20, 20))
def test_an_instance_at_the_rim_is_clipped_to_the_window(window: Window, length: float, shift: float) -> None:
    low, high = (window.timebase.seconds(step) for step in window.span)
    start = max(low + shift, 0.0)
    end = start + length
    inside = min(end, high) - max(start, low)
    share = inside / length
    found = cut(as_segments([Instance(start, end, 0)]), window, keep=0.75)
    if share > 0.751:
        back = window.timebase.seconds(found["segments"].double())[0].tolist()
        assert back == pytest.approx([max(start, low), min(end, high)], abs=0.5 / window.fps)
    elif share < 0.749:
        assert len(found["labels"]) == 0


@given(rates, st.integers(0, HOUR - 1), st.integers(1, 3000))
def test_milliseconds_are_moved_onto_the_frame_that_was_meant(fps: float, first: int, length: int) -> None:
    """ELAN and BORIS round to milliseconds; a frame lasts 16 ms at least, so only one can have been meant."""
    exact = Instance(frame_to_seconds(first, fps), frame_to_seconds(first + length, fps), 5, "A")
    rounded = Instance(round(exact.start, 3), round(exact.end, 3), 5, "A")
    assert on_frames(rounded, fps) == exact
    assert on_frames(exact, fps) == exact


@given(rates, st.floats(0, 3600), st.floats(0.002, 60))
def test_snapping_moves_half_a_millisecond_at_most_and_once(fps: float, start: float, length: float) -> None:
    instance = Instance(start, start + length, 0)
    moved = on_frames(instance, fps)
    for before, after in ((instance.start, moved.start), (instance.end, moved.end)):
        assert abs(after - before) <= ROUNDING
        assert after == before or round(after * fps) / fps == after
    assert on_frames(moved, fps) == moved
    assert moved.start < moved.end


@given(rates, st.integers(0, HOUR), st.floats(-0.0004, 0.0004), st.floats(1e-5, 0.0003))
def test_what_lasts_less_than_a_millisecond_is_left_as_it_is(
    fps: float, frame: int, shift: float, length: float
) -> None:
    start = max(frame_to_seconds(frame, fps) + shift, 0.0)
    instance = Instance(start, start + length, 0)
    assert on_frames(instance, fps).start < on_frames(instance, fps).end
