"""Statistics of a data set are what counting, double loops and a fine grid of times find."""

import json
import time
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmad.annotations import Clip, Instance, Truth
from mmad.dataset import describe, findings
from mmad.dataset.findings import percent
from mmad.errors import MmadError
from mmad.taxonomy import MMA52, Taxonomy

HANDS = Taxonomy.from_rows(
    (("A1", "wave", "arm"), ("A2", "point", "arm"), ("B1", "nod", "head"), ("B2", "bow", "head"))
)
WAVE, POINT, NOD, BOW = range(4)


def clip(name: str, duration: float | None, *instances: tuple[float, float, int], subject: str | None = None) -> Truth:
    return Truth(name, tuple(Instance(*instance) for instance in instances), duration, subject)


@st.composite
def whole_clips(draw: st.DrawFn, most: int = 6) -> Truth:
    """A clip with ends at quarters of seconds, so that touching and equal instances occur."""
    length = draw(st.integers(1, 40))
    spans = st.tuples(st.integers(0, length), st.integers(0, length), st.integers(0, 3)).filter(lambda s: s[0] != s[1])
    rows = draw(st.lists(spans, max_size=most))
    return clip("a", length / 4, *((min(a, b) / 4, max(a, b) / 4, label) for a, b, label in rows))


data_sets = st.fixed_dictionaries(
    {"train": st.lists(whole_clips(), min_size=1, max_size=5), "val": st.lists(whole_clips(), max_size=3)}
)


def overlap(first: Instance, second: Instance) -> bool:
    return min(first.end, second.end) > max(first.start, second.start)


def pairs_of(clips: list[Truth]) -> list[tuple[Instance, Instance]]:
    return [pair for one in clips for pair in combinations(one.instances, 2) if overlap(*pair)]


# One case by hand -----------------------------------------------------------------------------------------------------


def test_two_clips_by_hand() -> None:
    """0-4 wave, 2-6 nod, 3-4 wave in ten seconds; nothing in the other ten."""
    both = [clip("a", 10, (0, 4, WAVE), (2, 6, NOD), (3, 4, WAVE), subject="x"), clip("b", 10, subject="y")]
    part = describe({"train": both}, taxonomy=HANDS)["all"]
    assert (part["clips"], part["instances"], part["subjects"]) == (2, 3, 2)
    assert part["hours"] == pytest.approx(20 / 3600)
    assert (part["mean_clip"], part["mean_instance"]) == (10, pytest.approx(3))
    assert (part["per_clip_mean"], part["per_clip_least"], part["per_clip_most"]) == (1.5, 0, 3)
    assert part["per_clip"] == [1, 0, 0, 1]
    assert part["overlap"]["concurrency"] == pytest.approx([70, 20, 5, 5])
    assert part["overlap"]["highest"] == 3
    assert part["overlap"]["clips"] == 50
    assert part["overlap"]["any"] == 100
    assert part["overlap"]["own_class"] == part["overlap"]["own_group"] == pytest.approx(200 / 3)
    assert part["overlap"]["others"] == 2
    assert part["cut"] == {"start": pytest.approx(100 / 3), "end": 0, "either": pytest.approx(100 / 3)}


def test_pairs_by_hand() -> None:
    """Wave and nod overlap twice in the clip; both clips hold a nod, one a wave."""
    both = [clip("a", 10, (0, 4, WAVE), (2, 6, NOD), (3, 4, WAVE)), clip("b", 10, (0, 1, NOD))]
    result = describe({"train": both}, taxonomy=HANDS)
    assert result["action"]["overlapping_pairs"] == [[1, 0, 2, 0], [0] * 4, [2, 0, 0, 0], [0] * 4]
    assert result["action"]["clips_with_both"] == [[1, 0, 1, 0], [0] * 4, [1, 0, 2, 0], [0] * 4]
    assert result["body"]["overlapping_pairs"] == [[1, 2], [2, 0]]
    assert result["body"]["clips_with_both"] == [[1, 1], [1, 2]]


def test_shares_are_of_their_split() -> None:
    splits = {
        "train": [clip("a", 9, (0, 1, WAVE), (1, 3, WAVE), (2, 3, NOD), (3, 8, POINT))],
        "val": [clip("b", 9, (0, 4, NOD))],
        "test": [clip("c", 9)],
    }
    wave = describe(splits, taxonomy=HANDS)["action"]["classes"][WAVE]
    assert wave["counts"] == {"train": 2, "val": 0, "test": 0}
    assert wave["shares"] == {"train": 50, "val": 0, "test": None}
    assert (wave["instances"], wave["share"], wave["clips"]) == (2, 40, 1)
    arm = describe(splits, taxonomy=HANDS)["body"]["classes"][0]
    assert (arm["name"], arm["counts"], arm["share"]) == ("arm", {"train": 3, "val": 0, "test": 0}, 60)
    assert arm["seconds"]["mean"] == pytest.approx(8 / 3)


def test_instances_that_touch_do_not_overlap() -> None:
    part = describe({"all": [clip("a", 3, (0, 1, WAVE), (1, 2, NOD), (2, 3, BOW))]}, taxonomy=HANDS)["all"]
    assert part["overlap"]["any"] == part["overlap"]["others"] == 0
    assert (part["overlap"]["concurrency"], part["overlap"]["highest"]) == ([0, 100], 1)


def test_a_frame_before_the_end_is_the_end() -> None:
    """An annotation that names the last of 300 frames ends at 299 / 30 s; one frame earlier, it was not cut."""
    for last, cut in ((300, 100), (299, 100), (298, 0)):
        one = Clip("a", Path("a.mp4"), None, 30.0, 300, (Instance(1.0, last / 30, NOD),))
        assert describe({"train": [one]}, taxonomy=HANDS)["all"]["cut"]["end"] == cut
    for last, cut in ((290, 100), (280, 0)):
        one = Clip("a", Path("a.mp4"), None, 3.0, 30, (Instance(1.0, last / 30, NOD),))
        assert describe({"train": [one]}, taxonomy=HANDS)["all"]["cut"]["end"] == cut, "a slow video has long frames"
    for end, cut in ((9.9, 100), (9.8, 0)):
        one = clip("a", 10.0, (1.0, end, NOD))
        assert describe({"train": [one]}, taxonomy=HANDS)["all"]["cut"]["end"] == cut, "the frames are not known"


def test_a_split_without_instances_counts_as_not_annotated() -> None:
    known, bare = [clip("a", 10, (0, 5, NOD), subject="x")], [clip("b", 30, subject="y")]
    result = describe({"train": known, "test": bare}, taxonomy=HANDS)
    assert (result["all"]["clips"], result["all"]["hours"], result["all"]["subjects"]) == (2, 40 / 3600, 2)
    alone = describe({"train": known}, taxonomy=HANDS)["all"]
    for key in ("per_clip", "per_clip_mean", "overlap", "cut", "mean_instance"):
        assert result["all"][key] == alone[key] == result["splits"]["train"][key]
    test = result["splits"]["test"]
    assert (test["clips"], test["subjects"], test["per_clip"], test["overlap"]["concurrency"]) == (1, 1, [], [])
    assert (test["per_clip_mean"], test["overlap"]["any"], test["cut"]["either"]) == (None, None, None)


def test_subjects_are_counted_only_if_all_are_known() -> None:
    known = [clip("a", 1, subject="x"), clip("b", 1, subject="x"), clip("c", 1, subject="y")]
    result = describe({"train": known, "val": [clip("d", 1)]}, taxonomy=HANDS)
    assert [result["splits"]["train"]["subjects"], result["splits"]["val"]["subjects"]] == [2, None]
    assert result["all"]["subjects"] is None


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({}, "no clip to describe"),
        ({"train": []}, "no clip to describe"),
        ({"train": [clip("a", None, (0, 1, NOD))]}, "clip 'a': its length is not known"),
        ({"train": [clip("a", 1.0, (0, 1, 4))]}, "clip 'a': label is 4, expected 0 to 3"),
    ],
)
def test_what_cannot_be_described_is_refused(splits: dict[str, list[Truth]], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        describe(splits, taxonomy=HANDS)


# Against loops and a grid of times ------------------------------------------------------------------------------------


@given(data_sets)
def test_overlaps_are_those_of_a_double_loop(splits: dict[str, list[Truth]]) -> None:
    result = describe(splits, taxonomy=HANDS)
    every = [one for part in splits.values() for one in part]
    for level, group in (("action", lambda label: label), ("body", lambda label: HANDS.body_of[label])):
        size = len(result[level]["classes"])
        pairs, both = np.zeros((size, size), int), np.zeros((size, size), int)
        for first, second in pairs_of(every):
            for a, b in {(group(first.label), group(second.label)), (group(second.label), group(first.label))}:
                pairs[a, b] += 1
        for one in every:
            there = {group(i.label) for i in one.instances}
            for a, b in product(there, there):
                both[a, b] += 1
        assert result[level]["overlapping_pairs"] == pairs.tolist()
        assert result[level]["clips_with_both"] == both.tolist()
    for name, clips in splits.items():
        instances = [i for one in clips for i in one.instances]
        if not instances:
            continue
        found = result["splits"][name]["overlap"]
        pairs = pairs_of(clips)
        for key, same in (
            ("any", lambda a, b: True),
            ("own_group", lambda a, b: HANDS.body_of[a.label] == HANDS.body_of[b.label]),
            ("own_class", lambda a, b: a.label == b.label),
        ):
            meets = {id(i) for a, b in pairs if same(a, b) for i in (a, b)}
            assert found[key] == pytest.approx(100 * len(meets) / len(instances))
        assert found["others"] == pytest.approx(2 * len(pairs) / len(instances))
        assert found["clips"] == pytest.approx(100 * sum(bool(pairs_of([one])) for one in clips) / len(clips))


@given(data_sets)
def test_concurrency_is_that_of_a_grid_of_times(splits: dict[str, list[Truth]]) -> None:
    result = describe(splits, taxonomy=HANDS)
    for name, clips in splits.items():
        if not any(one.instances for one in clips):
            continue
        counts = [
            sum(i.start < moment < i.end for i in one.instances)
            for one in clips
            for moment in np.arange(0.125, one.duration, 0.25)
        ]
        found = result["splits"][name]["overlap"]
        assert found["concurrency"] == pytest.approx(100 * np.bincount(counts) / len(counts))
        assert found["highest"] == max(counts)


@given(data_sets)
def test_durations_are_those_of_their_class(splits: dict[str, list[Truth]]) -> None:
    result = describe(splits, taxonomy=HANDS)
    for label, row in enumerate(result["action"]["classes"]):
        mine = [i.end - i.start for part in splits.values() for one in part for i in one.instances if i.label == label]
        seconds = row["seconds"]
        assert seconds["n"] == row["instances"] == len(mine)
        if mine:
            assert seconds["mean"] == pytest.approx(np.mean(mine))
            expected = np.percentile(mine, [5, 25, 50, 75, 95])
            assert [seconds[k] for k in ("low", "lower", "median", "upper", "high")] == pytest.approx(expected)
        assert (seconds["std"] is None) == (len(mine) < 2)
        if len(mine) > 1:
            assert seconds["std"] == pytest.approx(np.std(mine, ddof=1))


@given(data_sets, st.randoms(use_true_random=False))
def test_order_does_not_matter(splits: dict[str, list[Truth]], random) -> None:
    mixed = {name: random.sample(clips, len(clips)) for name, clips in splits.items()}
    for clips in mixed.values():
        for number, one in enumerate(clips):
            clips[number] = Truth(one.id, tuple(random.sample(one.instances, len(one.instances))), one.duration)
    first, second = (describe(each, taxonomy=HANDS) for each in (splits, mixed))
    assert flat(second) == pytest.approx(flat(first))


def flat(record: object) -> list[float]:
    """All numbers of a record in its order."""
    if isinstance(record, dict | list):
        return [n for value in (record.values() if isinstance(record, dict) else record) for n in flat(value)]
    return [record] if isinstance(record, int | float) else []


@given(data_sets)
def test_the_record_is_plain_json_and_has_sentences(splits: dict[str, list[Truth]]) -> None:
    result = describe(splits, taxonomy=HANDS)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for sentences in findings(result).values():
        assert all(each.endswith(".") and "None" not in each and "nan" not in each for each in sentences)


def test_thousands_of_clips_take_about_a_second() -> None:
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 8, (6500, 3))
    clips = [
        clip(str(n), 10.0, *((s, s + 1.7, int(label)) for s, label in zip(row, rng.integers(0, 52, 3), strict=True)))
        for n, row in enumerate(starts.tolist())
    ]
    began = time.process_time()
    describe({"train": clips}, taxonomy=MMA52)
    assert time.process_time() - began < 2


# In words -------------------------------------------------------------------------------------------------------------


def test_sentences_hold_the_numbers() -> None:
    splits = {
        "train": [clip("a", 10, (0, 4, WAVE), (2, 6, NOD), (3, 4, WAVE), subject="x")],
        "test": [clip("b", 10, subject="y")],
    }
    said = findings(describe(splits, taxonomy=HANDS))
    assert said["size"] == [
        "2 clips of 2 subjects, 0.3 minutes in all, with 3 instances of 2 of the 4 classes in 2 body groups.",
        "A clip lasts 10.0 s on average and holds 3.0 instances; the fewest are 3, the most 3.",
        "No instance is in test, so what is said of instances leaves it out.",
    ]
    assert said["balance"][:2] == [
        "The most frequent class is wave with 67 % of the instances; the rarest that occurs is nod with 1 instance.",
        "The most frequent body group is arm with 67 % of the instances.",
    ]
    assert "2 classes of 4 have no instance in train: point and bow." in said["balance"]
    assert said["overlap"] == [
        "100 % of the instances overlap another one, 67 % one of their own body group and 67 % one of their own class; "
        "this happens in 100 % of the clips.",
        "Nothing happens in 40 % of the time, one instance runs in 40 %, and two or more in 20 %; at most 3 at once.",
        "The two classes that overlap most often are wave and nod (2 pairs of instances).",
    ]
    assert said["ends"] == [
        "33 % of the instances are cut by an end of their clip, or seem to be: 33 % start with it, 0 % end with it."
    ]


def test_a_data_set_without_instances_has_only_a_size() -> None:
    assert list(findings(describe({"test": [clip("a", 10)]}, taxonomy=HANDS))) == ["size"]


def test_an_instance_beyond_its_clip_takes_no_time_of_it() -> None:
    result = describe({"train": [clip("a", 10, (11, 12, NOD))]}, taxonomy=HANDS)
    assert result["all"]["overlap"]["concurrency"] == [100]
    assert "Nothing happens in 100 % of the time" in findings(result)["overlap"][1]


def test_instances_that_end_after_their_clip_are_counted_and_told() -> None:
    """More than half a frame after it, as in the data check; nobody knows by how much where frames are unknown."""
    half = [Clip("a", Path("a.mp4"), None, 10.0, 100, (Instance(1, end, NOD),)) for end in (10.04, 10.06)]
    result = describe({"train": half, "val": [clip("b", 5, (1, 5.01, NOD), (1, 5.02, NOD))]}, taxonomy=HANDS)
    assert result["beyond"] == 2
    assert "2 instances end after the clip does; mmad-data task=check says where." in findings(result)["ends"]
    one = describe({"train": half}, taxonomy=HANDS)
    assert "1 instance ends after the clip does; mmad-data task=check says where." in findings(one)["ends"]
    none = describe({"train": half[:1]}, taxonomy=HANDS)
    assert none["beyond"] == 0
    assert not any("task=check" in sentence for sentence in findings(none)["ends"])


@given(st.floats(0, 100))
def test_a_share_reads_as_none_or_all_only_if_it_is(value: float) -> None:
    said = percent(value)
    assert (said == "0 %") == (value == 0)
    assert not (said in ("100 %", "100.0 %") and value < 99.95)
