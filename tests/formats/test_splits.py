"""Splits by subject: nobody in two, shares and classes as wanted; and their files."""

import itertools

import numpy as np
import pytest

from mmad.errors import MmadError
from mmad.formats.splits import read_splits, split_by_subject, write_splits

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def drawn(seed: int, *, subjects: int, classes: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Subject and labels of clips: people differ in how many clips they have and in what they do in them."""
    random = np.random.default_rng(seed)
    common = random.dirichlet(np.full(classes, 0.5))
    subject_of, labels_of = {}, {}
    for subject in range(subjects):
        habits = random.dirichlet(40 * common + 1e-3)
        for number in range(random.integers(3, 25)):
            clip = f"{subject}_{number}"
            subject_of[clip] = f"P{subject}"
            labels_of[clip] = [f"class {label}" for label in random.choice(classes, random.integers(0, 5), p=habits)]
    return subject_of, labels_of


def classes_in(split: str, split_of: dict[str, str], labels_of: dict[str, list[str]]) -> set[str]:
    return {label for clip, labels in labels_of.items() if split_of[clip] == split for label in labels}


def imbalance(split_of: dict[str, str], labels_of: dict[str, list[str]]) -> float:
    """Mean distance of the shares of classes from the wanted ones, counted one instance at a time."""
    instances = [(label, split_of[clip]) for clip, labels in labels_of.items() for label in labels]
    total = {label: sum(each == label for each, _ in instances) for label, _ in instances}
    return float(
        np.mean(
            [
                abs(sum(each == (label, split) for each in instances) / count - share)
                for label, count in total.items()
                for split, share in SHARES.items()
            ]
        )
    )


@pytest.mark.parametrize("seed", range(4))
def test_nobody_in_two_splits_shares_met_and_classes_balanced(seed):
    subject_of, labels_of = drawn(seed, subjects=60, classes=20)
    split_of = split_by_subject(subject_of, labels_of, SHARES, seed=seed)
    assert list(split_of) == list(subject_of)
    assert len({(subject_of[clip], split) for clip, split in split_of.items()}) == 60
    for split, share in SHARES.items():
        assert sum(each == split for each in split_of.values()) / len(split_of) == pytest.approx(share, abs=0.02)
    learned = classes_in("train", split_of, labels_of)
    assert classes_in("val", split_of, labels_of) | classes_in("test", split_of, labels_of) <= learned
    random = np.random.default_rng(seed)
    chances = []
    for _ in range(10):
        lot = dict(
            zip(sorted(set(subject_of.values())), random.choice(list(SHARES), 60, p=[0.7, 0.1, 0.2]), strict=True)
        )
        chances.append(imbalance({clip: lot[subject] for clip, subject in subject_of.items()}, labels_of))
    assert imbalance(split_of, labels_of) < 0.7 * min(chances)


def test_equal_input_gives_an_equal_split_in_any_order():
    subject_of, labels_of = drawn(0, subjects=12, classes=5)
    first = split_by_subject(subject_of, labels_of, SHARES, seed=1)
    turned = [dict(reversed(each.items())) for each in (subject_of, labels_of)]
    assert split_by_subject(*turned, SHARES, seed=1) == first


def test_the_seed_decides_between_people_who_are_alike():
    subject_of = {f"clip {number}": f"P{number}" for number in range(10)}
    labels_of = {clip: ["nodding"] for clip in subject_of}
    splits = [split_by_subject(subject_of, labels_of, SHARES, seed=seed) for seed in range(5)]
    assert len({tuple(split.values()) for split in splits}) > 1
    for split in splits:
        assert sorted(split.values()) == ["test"] * 2 + ["train"] * 7 + ["val"]


def test_a_class_that_one_person_shows_is_learned():
    """By shares alone the one person with many clips would go to test."""
    subject_of = {
        f"{subject}{number}": subject for subject, count in (("a", 6), ("b", 2), ("c", 2)) for number in range(count)
    }
    labels_of = {clip: ["nodding"] for clip in subject_of} | {"b0": ["rare", "nodding"], "c0": ["scarce"]}
    split_of = split_by_subject(subject_of, labels_of, {"train": 0.4, "test": 0.6}, seed=0)
    assert classes_in("train", split_of, labels_of) == {"nodding", "rare", "scarce"}
    assert split_of["a0"] == "test"


def test_classes_are_learned_wherever_that_is_possible():
    """Against all divisions of few people; exchanges of two may miss one in hundreds of such tight cases."""
    random = np.random.default_rng(0)
    missed = 0
    for seed in range(150):
        labels_of = {
            f"P{number}": [str(label) for label in random.integers(0, 6, size=random.integers(0, 4))]
            for number in range(random.integers(3, 7))
        }
        split_of = split_by_subject({person: person for person in labels_of}, labels_of, SHARES, seed=seed)
        assert set(split_of.values()) == set(SHARES)
        possible = max(
            len(classes_in("train", dict(zip(labels_of, splits, strict=True)), labels_of))
            for splits in itertools.product(SHARES, repeat=len(labels_of))
            if set(splits) == set(SHARES)
        )
        missed += len(classes_in("train", split_of, labels_of)) < possible
    assert missed <= 1


def test_clips_without_labels_and_a_single_split():
    subject_of = {"a": "P1", "b": "P1", "c": "P2", "d": "P3"}
    assert split_by_subject(subject_of, {}, {"all": 1.0}, seed=0) == dict.fromkeys(subject_of, "all")
    split_of = split_by_subject(subject_of, {"a": []}, {"one": 0.5, "two": 0.5}, seed=0)
    assert split_of["a"] == split_of["b"] != split_of["c"] == split_of["d"]


@pytest.mark.parametrize(
    ("subject_of", "labels_of", "shares", "message"),
    [
        ({"a": "P1"}, {}, {}, "shares are none, expected numbers above 0 that add up to 1"),
        ({"a": "P1"}, {}, {"train": 0.7, "val": 0.2}, r"shares are train 0\.7, val 0\.2, expected"),
        ({"a": "P1"}, {}, {"train": 1.0, "val": 0.0}, r"shares are train 1\.0, val 0\.0"),
        ({"a": "P1"}, {}, {"train": float("nan")}, "shares are train nan"),
        ({"a": "P1", "b": "P1"}, {}, SHARES, r"1 subjects cannot be in 3 splits \(train, val, test\)"),
        ({"a": "P1"}, {"b": [], "c": []}, {"train": 1.0}, "2 of 2 clips have no subject, the first is 'b'"),
    ],
)
def test_what_cannot_be_divided(subject_of, labels_of, shares, message):
    with pytest.raises(MmadError, match=message):
        split_by_subject(subject_of, labels_of, shares, seed=0)


def test_written_splits_come_back(tmp_path):
    path = tmp_path / "new" / "splits.csv"
    write_splits(path, {"b, c": "train", "a": "fold 1"})
    assert path.read_text() == 'clip,split\n"b, c",train\na,fold 1\n'
    assert read_splits(path) == {"b, c": "train", "a": "fold 1"}
    write_splits(path, {"b": "train", "a": "val"}, subjects={"a": "P1"})
    assert path.read_text() == "clip,split,subject\nb,train,\na,val,P1\n"
    assert read_splits(path) == {"b": "train", "a": "val"}
    for split_of, message in (({"x/a.mp4": "train"}, "is a file name or a path"), ({"a": " "}, "split is ' '")):
        with pytest.raises(MmadError, match=message):
            write_splits(path, split_of)


def test_splits_as_people_write_them(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text("Video;Subset\nP1/a.mp4;Training\nb;validation\na;train\n")
    assert read_splits(path) == {"a": "train", "b": "val"}


def test_people_in_two_splits_are_told(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text("clip,split,subject\na,train,P1\nb,val,P1\nc,val,P2\n")
    with pytest.warns(UserWarning, match=r"1 of 2 subjects are in several splits, the first is 'P1' in train, val"):
        assert read_splits(path) == {"a": "train", "b": "val", "c": "val"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,fold\na,1\n", r"no column for the split \(split, subset\), .*nearest, 'fold'"),
        ("clip,split\na,train\na.mp4,val\n", "line 3: split of clip 'a' is 'val', elsewhere it is 'train'"),
        ("clip,split\na,\n", "line 2: clip is 'a' and split '', expected both"),
        ("clip,split\n,val\n", "line 2: clip is '' and split 'val', expected both"),
        ("clip,split\na\n", "line 2: 1 fields, the header has 2"),
        ("clip,split,subject\na,val,P1\na,val,P2\n", "line 3: subject of clip 'a' is 'P2'"),
    ],
)
def test_files_that_cannot_be_right(tmp_path, text, message):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(MmadError, match=message):
        read_splits(path)
