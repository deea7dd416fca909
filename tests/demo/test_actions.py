import math

import numpy as np
import pytest

from mmad.demo.actions import ACTIONS, Beat
from mmad.demo.person import Pose, Subject
from mmad.demo.schedule import stream
from mmad.taxonomy import MMA52

# A model of the demo sees 64 rows.
PIXEL = 1 / 64


def names(*labels):
    return {MMA52.actions[label] for label in labels}


def places(label, *, time, weight=1.0):
    """Where everything is, in picture heights."""
    pose = Pose(Subject.random(stream(0, "subject", 1)))
    ACTIONS[label].move(pose, Beat(weight=weight, time=time))
    points = [pose.face(0, 0), pose.face(0, -1), pose.head, pose.shoulder(-1), pose.shoulder(1)]
    points += [joint(side) for joint in (pose.knee, pose.ankle, pose.elbow) for side in (-1, 1)]
    points += [pose.hands[side].at for side in (-1, 1)]
    return np.array(points)


def test_about_twenty_classes_in_all_seven_body_groups():
    assert 20 <= len(ACTIONS) <= 22
    assert {MMA52.body_of[label] for label in ACTIONS} == set(range(7))
    assert all(label == action.label for label, action in ACTIONS.items())


@pytest.mark.parametrize("label", ACTIONS)
def test_tracks_are_known(label):
    for side, hand in ((-1, "left hand"), (1, "right hand")):
        occupied = ACTIONS[label].occupies(side)
        assert occupied <= {"pitch", "yaw", "roll", "torso", "left hand", "right hand", "legs"}
        if "hand" in ACTIONS[label].tracks:
            assert occupied == {hand}


def test_lengths_span_short_and_long():
    lengths = [action.seconds for action in ACTIONS.values()]
    assert min(lengths) <= 1.5
    assert max(lengths) >= 6


@pytest.mark.parametrize("label", ACTIONS)
def test_weight_zero_leaves_the_body_alone(label):
    np.testing.assert_allclose(places(label, time=0.4, weight=0.0), places(9, time=0.0, weight=0.0), atol=1e-12)


@pytest.mark.parametrize("label", ACTIONS)
def test_every_action_moves_something_by_three_pixels_of_the_input(label):
    rest = places(label, time=0.0, weight=0.0)
    furthest = max(np.abs(places(label, time=time) - rest).max() for time in np.arange(0, 2, 0.125))
    assert furthest > 3 * PIXEL


@pytest.mark.parametrize("label", [0, 9, 10, 12, 14, 19, 23, 24, 32, 38, 43, 48, 49])
def test_repeated_movements_stay_visible_at_eight_frames_a_second(label):
    frames = np.array([places(label, time=time) for time in np.arange(0, 4, 1 / 8)])
    swing = np.abs(frames - frames.mean(0)).max() * 2
    assert swing > 2 * PIXEL
    spectrum = np.abs(np.fft.rfft(frames.imag - frames.imag.mean(0), axis=0)) ** 2
    spectrum += np.abs(np.fft.rfft(frames.real - frames.real.mean(0), axis=0)) ** 2
    hertz = np.fft.rfftfreq(len(frames), 1 / 8)
    slow = spectrum[hertz <= 0.3 * 8].sum() / spectrum.sum()
    assert slow > 0.9


def test_held_poses_do_not_swing():
    for label in (2, 5, 6, 7, 8, 20, 28, 37):
        assert np.abs(places(label, time=0.3) - places(label, time=0.9)).max() < PIXEL / 2, MMA52.actions[label]


def test_some_frames_of_different_actions_are_alike():
    nod_down = max((places(9, time=time) for time in np.arange(0, 1, 1 / 32)), key=lambda points: points[0].imag)
    assert np.abs(nod_down - places(5, time=0.0)).max() < PIXEL
    shake_right = max((places(10, time=time) for time in np.arange(0, 1, 1 / 32)), key=lambda points: points[0].real)
    assert np.abs(shake_right - places(8, time=0.0)).max() < PIXEL


def test_leg_actions_need_a_chair():
    assert {MMA52.actions[label] for label, action in ACTIONS.items() if action.needs_chair} == names(24, 28, 48, 49)


def test_wave_follows_the_tempo():
    assert Beat(weight=1, time=0.25).wave(1.0) == pytest.approx(1.0)
    assert Beat(weight=1, time=0.25, tempo=2.0).wave(1.0) == pytest.approx(0.0, abs=1e-12)
    assert Beat(weight=1, time=0.125).wave(1.0, 0.25) == pytest.approx(math.sqrt(0.5))
    assert Beat(weight=1, time=0.0).bounce(1.0) == 0
    assert Beat(weight=1, time=0.5).bounce(1.0) == pytest.approx(1.0)
