import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmad.timebase import Timebase


@given(st.floats(1, 120), st.integers(1, 16), st.integers(0, 10_000), st.floats(0, 600))
def test_steps_and_seconds_are_inverse(fps: float, stride: int, offset: int, seconds: float) -> None:
    timebase = Timebase(fps, stride, offset)
    assert timebase.seconds(timebase.steps(seconds)) == pytest.approx(seconds, abs=1e-6)
