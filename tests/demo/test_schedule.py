from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.demo.actions import ACTIONS
from mmad.demo.schedule import Performance, plan_split, plan_trimmed
from mmad.taxonomy import MMA52

PRODUCT = {"train": (560, range(1, 141)), "val": (48, range(141, 153)), "test": (96, range(153, 177))}


@pytest.fixture(scope="module")
def product():
    return {
        name: plan_split(name, clips=clips, subjects=subjects, seed=0) for name, (clips, subjects) in PRODUCT.items()
    }


def performance(label, start, end, side=1):
    return Performance(label=label, start=start, end=end, size=1.0, tempo=1.0, side=side, sign=1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), clips=st.integers(1, 12))
def test_plans_are_possible_for_a_body(seed, clips):
    plans = plan_split("train", clips=clips, subjects=range(5), seed=seed)
    assert len({plan.video_id for plan in plans}) == clips
    for plan in plans:
        assert (plan.frames + 0.5) / plan.fps >= 5.0
        assert (plan.frames - 0.5) / plan.fps <= 15.0
        assert len(plan.performances) >= 1
        for number, first in enumerate(plan.performances):
            assert 0 <= first.start < first.end <= (plan.frames - 1) / plan.fps
            assert first.start * plan.fps == pytest.approx(round(first.start * plan.fps))
            assert not (plan.standing and first.action.needs_chair)
            for second in plan.performances[number + 1 :]:
                between = max(first.start, second.start) - min(first.end, second.end)
                shared = first.action.occupies(first.side) & second.action.occupies(second.side)
                assert between >= 0.25 or not shared
                assert between >= 0.5 or first.label != second.label


def test_planning_is_deterministic_and_depends_on_seed_and_split():
    plans = plan_split("train", clips=5, subjects=range(3), seed=1)
    assert plans == plan_split("train", clips=5, subjects=range(3), seed=1)
    assert plans != plan_split("train", clips=5, subjects=range(3), seed=2)
    assert plans[0].frames != plan_split("val", clips=5, subjects=range(3), seed=1)[0].frames


def test_more_clips_leave_streams_of_earlier_ones_alone():
    few = plan_split("train", clips=5, subjects=range(3), seed=1)
    many = plan_split("train", clips=9, subjects=range(3), seed=1)
    assert [plan.frames for plan in few] == [plan.frames for plan in many[:5]]


def test_every_class_has_enough_instances(product):
    counts = {
        name: Counter(each.label for plan in plans for each in plan.performances) for name, plans in product.items()
    }
    for label in ACTIONS:
        assert counts["train"][label] >= 25
        assert counts["val"][label] >= 4
        assert counts["test"][label] >= 6
    assert counts["train"].most_common(1)[0][0] == 8  # turning head leads, as in MMA-52
    assert counts["train"][8] > 5 * min(counts["train"].values())


def test_statistics_resemble_mma52(product):
    plans = product["train"]
    lengths = [each.end - each.start for plan in plans for each in plan.performances]
    overlapping = [
        any(
            other is not each and max(each.start, other.start) < min(each.end, other.end) for other in plan.performances
        )
        for plan in plans
        for each in plan.performances
    ]
    assert sum(plan.frames / plan.fps for plan in plans) / len(plans) == pytest.approx(10.3, abs=0.4)
    assert len(lengths) / len(plans) == pytest.approx(3.03, abs=0.15)
    assert min(len(plan.performances) for plan in plans) == 2
    assert sum(overlapping) / len(overlapping) == pytest.approx(0.9, abs=0.06)
    assert sum(length < 1.5 for length in lengths) > 0.1 * len(lengths)
    assert sum(length > 5 for length in lengths) > 0.1 * len(lengths)
    assert 0.1 < sum(plan.standing for plan in plans) / len(plans) < 0.3
    assert {plan.fps for plan in plans} == {15, 16}
    assert sum(plan.fps == 15 for plan in plans) == len(plans) // 5


def test_subjects_appear_equally_often(product):
    assert set(Counter(plan.subject for plan in product["train"]).values()) == {4}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (performance(9, 1, 2), performance(5, 2.2, 3), True),  # both move the head up and down, 0.2 s apart
        (performance(9, 1, 2), performance(5, 2.3, 3), False),
        (performance(9, 1, 2), performance(10, 1, 2), False),  # nodding while shaking the head
        (performance(19, 1, 2, side=-1), performance(43, 1, 2, side=1), False),  # one hand each
        (performance(19, 1, 2, side=1), performance(43, 1, 2, side=1), True),
        (performance(19, 1, 2, side=-1), performance(19, 1.5, 3, side=1), True),  # one class
        (performance(19, 1, 2, side=-1), performance(14, 1, 2), True),  # rubbing takes both hands
    ],
)
def test_conflicts(first, second, expected):
    assert first.conflicts(second) is expected
    assert second.conflicts(first) is expected


def test_beat_ramps_inside_the_segment_but_not_at_the_clip_borders():
    inner = performance(9, 1.0, 3.0)
    weights = [inner.beat(time, last=9.0).weight for time in (1.0, 1.2, 1.4, 2.0, 2.8, 3.0)]
    assert weights == pytest.approx([0, 0.5, 1, 1, 0.5, 0])
    assert inner.beat(0.99, last=9.0) is None
    assert inner.beat(3.01, last=9.0) is None
    assert performance(9, 0.0, 3.0).beat(0.0, last=9.0).weight == 1
    assert performance(9, 1.0, 9.0).beat(9.0, last=9.0).weight == 1


def test_decoys_change_no_instance_and_conflict_with_none() -> None:
    plain = plan_split("train", clips=60, subjects=range(1, 11), seed=0)
    made = plan_split("train", clips=60, subjects=range(1, 11), seed=0, decoys=2.0)
    assert [plan.performances for plan in made] == [plan.performances for plan in plain]
    assert sum(len(plan.decoys) for plan in made) > 60
    for plan in made:
        for number, decoy in enumerate(plan.decoys):
            assert decoy.decoy
            assert not any(decoy.conflicts(other) for other in [*plan.performances, *plan.decoys[:number]])
            assert not (plan.standing and decoy.action.needs_chair)


def test_a_decoy_holds_still_between_its_ramps() -> None:
    plans = plan_split("train", clips=60, subjects=range(1, 11), seed=0, decoys=2.0)
    decoy = next(decoy for plan in plans for decoy in plan.decoys if decoy.end - decoy.start > 2.0)
    middle = (decoy.start + decoy.end) / 2
    beats = [decoy.beat(middle + shift, last=100.0) for shift in (-0.1, 0.0, 0.1)]
    assert len({(beat.weight, beat.time) for beat in beats if beat is not None}) == 1


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), clips=st.integers(1, 30))
def test_trimmed_clips_show_one_action_from_before_it_begins_until_after_it_ends(seed, clips):
    plans = plan_trimmed("train", clips=clips, subjects=range(500, 505), seed=seed)
    assert len({plan.video_id for plan in plans}) == clips
    for plan in plans:
        assert (plan.frames + 0.5) / plan.fps >= 1.0
        assert (plan.frames - 0.5) / plan.fps <= 4.0
        (only,) = plan.performances
        assert plan.decoys == ()
        assert not (plan.standing and only.action.needs_chair)
        before, after = only.start * plan.fps, plan.frames - 1 - only.end * plan.fps
        for margin in (before, after):
            assert margin == pytest.approx(round(margin), abs=1e-6)
            assert 1 <= round(margin) <= 3
        # It rises and falls inside the clip, so that motion tells it, not posture alone.
        last = (plan.frames - 1) / plan.fps
        assert only.beat(only.start, last=last).weight == only.beat(only.end, last=last).weight == 0


def test_classes_of_trimmed_clips_have_a_long_tail_and_people_do_not_tell_them():
    plans = plan_trimmed("train", clips=1200, subjects=range(500, 900), seed=3000)
    counts = Counter(plan.performances[0].label for plan in plans)
    assert counts.keys() == ACTIONS.keys()
    assert counts.most_common(1)[0][0] == 8
    assert min(counts.values()) >= 15
    assert counts[8] > 3 * min(counts.values())
    assert len({plan.subject for plan in plans}) > 300
    assert len({plan.subject for plan in plans if plan.performances[0].label == 8}) > 80


def test_trimmed_clips_are_named_after_person_and_body_group():
    plans = plan_trimmed("val", clips=30, subjects=range(900, 916), seed=0)
    for plan in plans:
        subject, group, number = plan.video_id.split("_")
        assert (len(subject), int(subject), int(number)) == (4, plan.subject, plan.index)
        assert int(group) == MMA52.body_of[plan.performances[0].label]
