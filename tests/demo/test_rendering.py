import dataclasses

import numpy as np
import pytest

pytest.importorskip("skia")
av = pytest.importorskip("av")

from mmad.demo.actions import ACTIONS
from mmad.demo.drawing import HEIGHT, WIDTH
from mmad.demo.person import Subject
from mmad.demo.rendering import Idle, draw_clip, pose_at, write_video
from mmad.demo.schedule import ClipPlan, Performance, stream
from mmad.taxonomy import MMA52

FRAMES = 24
# Rows of the picture, as fractions of its height, in which a body group moves.
REGIONS = {
    "body": (0.05, 0.65),
    "head": (0.02, 0.40),
    "upper limb": (0.0, 0.70),
    "lower limb": (0.55, 1.0),
    "body-hand": (0.2, 0.75),
    "head-hand": (0.02, 0.55),
    "leg-hand": (0.45, 0.85),
}


def plan(*performances, subject=2, standing=False, index=0):
    return ClipPlan("train", index, 0, subject, 16, FRAMES, standing, performances)


def frames(clip):
    return np.stack([frame[..., :3] for frame in draw_clip(clip)]).astype(int)


@pytest.fixture(scope="module")
def idle():
    return frames(plan())


def test_frames_are_full_size_and_opaque():
    drawn = [frame.copy() for frame in draw_clip(plan())]
    assert len(drawn) == FRAMES
    assert {frame.shape for frame in drawn} == {(HEIGHT, WIDTH, 4)}
    assert all((frame[..., 3] == 255).all() for frame in drawn)


def test_noise_does_not_overflow(idle):
    steps = np.abs(np.diff(idle, axis=0))
    assert np.median(steps) <= 4
    assert (steps > 240).sum() == 0


def test_idle_person_moves_a_little(idle):
    blurred = idle.reshape(FRAMES, HEIGHT // 4, 4, WIDTH // 4, 4, 3).mean((2, 4))
    change = np.abs(blurred[-1] - blurred[0]).max(-1)
    assert change.max() > 3
    assert (change > 8).mean() < 0.1


@pytest.mark.parametrize("label", ACTIONS, ids=lambda label: MMA52.actions[label])
def test_action_changes_its_region(idle, label):
    act = Performance(label=label, start=0.25, end=1.25, size=1.0, tempo=1.0, side=1, sign=1)
    performed = frames(plan(act))
    np.testing.assert_array_equal(performed[:4], idle[:4])  # before the start
    np.testing.assert_array_equal(performed[21:], idle[21:])  # after the end
    changed = np.abs(performed - idle).max(-1).max(0) > 30
    top, bottom = REGIONS[MMA52.bodies[MMA52.body_of[label]]]
    inside = changed[int(top * HEIGHT) : int(bottom * HEIGHT)].sum()
    assert inside > 0.008 * HEIGHT * WIDTH
    assert inside > 0.8 * changed.sum()


def test_hand_follows_the_head():
    nose = Performance(label=43, start=0.0, end=1.4, size=1.0, tempo=1.0, side=1, sign=1)
    tilt = dataclasses.replace(nose, label=7)
    alone, both = frames(plan(nose)), frames(plan(nose, tilt))
    assert (np.abs(alone - both).max(-1).max(0) > 30).sum() > 400


def test_people_have_a_tempo_and_an_amplitude_of_their_own():
    nod = Performance(label=9, start=0.0, end=1.4, size=1.0, tempo=1.0, side=1, sign=1)
    calm = Subject.random(stream(0, "subject", 2))
    quick = dataclasses.replace(calm, tempo=2 * calm.tempo)
    big = dataclasses.replace(calm, amplitude=2 * calm.amplitude)

    def nodding(subject, time):
        moved, still = (pose_at(clip, subject, Idle(stream(0)), time) for clip in (plan(nod), plan()))
        return moved.pitch - still.pitch

    assert nodding(quick, 0.1) == pytest.approx(nodding(calm, 0.2))
    assert nodding(big, 0.2) == pytest.approx(2 * nodding(calm, 0.2))


def test_subjects_and_clips_look_different(idle):
    assert np.abs(frames(plan(subject=3)) - idle).mean() > 5
    assert np.abs(frames(plan(index=1)) - idle).mean() > 5
    assert np.abs(frames(plan(standing=True)) - idle).mean() > 5


def test_video_holds_the_drawn_frames(tmp_path, idle):
    path = tmp_path / "clip.mp4"
    write_video(path, draw_clip(plan()), fps=15)
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.codec_context.name == "h264"
        assert video.average_rate == 15
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video)])
    assert decoded.shape == idle.shape
    assert np.abs(decoded.astype(int) - idle).mean() < 6
