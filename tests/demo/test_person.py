import numpy as np
import pytest

from mmad.demo.person import HAIR_STYLES, SIDES, Pose, Subject, resting_hand
from mmad.demo.schedule import stream


@pytest.fixture(params=range(6))
def subject(request):
    return Subject.random(stream(0, "subject", request.param))


def test_same_stream_gives_same_person():
    people = [Subject.random(stream(3, "subject", number)) for number in (7, 7, 8)]
    assert people[0] == people[1]
    assert people[1] != people[2]


def test_people_differ_in_looks_and_habits():
    people = [Subject.random(stream(0, "subject", number)) for number in range(60)]
    assert {person.hair_style for person in people} == set(HAIR_STYLES)
    assert {person.rest for person in people} == {"arm rests", "hanging", "lap"}
    for trait in ("glasses", "beard", "stripes", "long_sleeves"):
        assert {getattr(person, trait) for person in people} == {False, True}


@pytest.mark.parametrize("standing", [False, True])
def test_body_is_symmetric_and_upright_at_rest(subject, standing):
    pose = Pose(subject, standing=standing)
    for joint in (pose.shoulder, pose.elbow, pose.knee, pose.ankle):
        assert joint(-1).real == pytest.approx(-joint(1).real)
        assert joint(-1).imag == pytest.approx(joint(1).imag)
    assert pose.head.imag < pose.shoulder(1).imag < pose.hip.imag < pose.knee(1).imag < pose.ankle(1).imag < 1


def test_arms_at_rest_do_not_stick_out(subject):
    pose = Pose(subject)
    for side in SIDES:
        widest = max(abs(pose.shoulder(side).real), abs(pose.hands[side].at.real))
        assert abs(pose.elbow(side).real) < widest + 0.07


def test_arm_bones_never_appear_longer_than_they_are(subject):
    rng = np.random.default_rng(0)
    for _ in range(200):
        pose = Pose(subject)
        target = complex(rng.uniform(-0.2, 0.2), rng.uniform(0.2, 0.6))
        pose.reach(1, target, 1.0, depth=float(rng.uniform(0, 0.2)))
        hand = pose.hands[1]
        reach = np.linalg.norm([abs(hand.at - pose.shoulder(1)), hand.depth])
        if reach <= 0.32 * subject.arms:
            assert abs(pose.elbow(1) - pose.shoulder(1)) <= 0.155 * subject.arms + 1e-9
            assert abs(pose.elbow(1) - hand.at) <= 0.165 * subject.arms + 1e-9


def test_elbow_moves_without_jumps(subject):
    start, end = resting_hand(subject, 1, standing=False), 0.14 + 0.12j
    elbows = []
    for weight in np.linspace(0, 1, 100):
        pose = Pose(subject)
        pose.reach(1, start.at + float(weight) * (end - start.at), 1.0)
        elbows.append(pose.elbow(1))
    assert np.abs(np.diff(elbows)).max() < 0.03


def test_head_turns_the_way_its_angles_say(subject):
    straight = Pose(subject).face(0, 0)
    assert Pose(subject, yaw=1.0).face(0, 0).real > straight.real + 0.05
    assert Pose(subject, pitch=1.0).face(0, 0).imag > straight.imag + 0.05
    assert Pose(subject, roll=0.4).face(0, -1).real > Pose(subject).face(0, -1).real + 0.02


def test_leaning_takes_the_head_along(subject):
    assert Pose(subject, lean=0.2).head.real > 0.05
    assert Pose(subject, lean=0.2).ankle(1) == Pose(subject).ankle(1)


def test_crossing_leg_ends_on_the_other_side(subject):
    pose = Pose(subject, crossed=1.0, crossing=1)
    assert pose.ankle(1).real < pose.ankle(-1).real
    assert pose.ankle(1).imag < pose.ankle(-1).imag - 0.1
