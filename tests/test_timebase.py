import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmad.timebase import Timebase, frame_to_seconds, seconds_to_frame


@given(st.floats(1, 120), st.integers(1, 16), st.integers(0, 10_000), st.floats(0, 600))
def test_steps_and_seconds_are_inverse(fps: float, stride: int, offset: int, seconds: float) -> None:
    timebase = Timebase(fps, stride, offset)
    assert timebase.seconds(timebase.steps(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.integers(0, 100_000), st.floats(1, 120))
def test_a_frame_survives_the_way_to_seconds_and_back(frame: int, fps: float) -> None:
    assert seconds_to_frame(frame_to_seconds(frame, fps), fps) == frame
