"""A release in the layout of MMA-52, without videos, and faults planted in it one by one."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from mmad.taxonomy import MMA52

HEADER = ("id", "video_id", "start_frame", "end_frame", "class", "total_frames", "fps")
CLASSES = len(MMA52.actions)
SHARES = {"train": 0.7, "val": 0.22, "test": 0.08}
FIRST_SUBJECT = {"train": 1, "val": 150, "test": 190}
SUBJECTS = {"train": 140, "val": 37, "test": 26}

Row = list[str]
Found = Counter[tuple[str, str]]
"""How often a kind of fault is at a place: `train.csv:12`, or a clip, a class, a subject or a split."""


def rows_of(split: str, clips: int, rng: np.random.Generator) -> list[Row]:
    """Faultless rows; the instances of a clip are equally long, so that none takes all points of another."""
    # The rarest class is kept for a plant.
    popularity = rng.dirichlet(np.full(CLASSES - 1, 0.7))
    rows: list[Row] = []
    for number in range(clips):
        frames, fps = int(rng.integers(146, 452)), "29.0" if rng.random() < 0.2 else "30.0"
        subject = FIRST_SUBJECT[split] + number % SUBJECTS[split]
        clip = f"{subject:03}_01_{number:04}_{number % 27}"
        length = int(rng.integers(16, 140))
        count = int(rng.integers(2, 5))
        # The first clips together show every class.
        labels = {(number * count + k) % (CLASSES - 1) for k in range(count)} if number < 60 else set()
        labels |= set(rng.choice(CLASSES - 1, count, p=popularity, replace=False).tolist())
        for label in sorted(labels):
            start = int(rng.integers(0, frames - length))
            rows.append(["", clip, str(start), str(start + length), str(label), str(frames), fps])
    return rows


def write_release(root: Path, *, clips: int, seed: int = 0) -> Found:
    """Writes `annotations/{train,val,test}.csv` and returns the faults that are in them.

    Args:
        root: folder of the data set.
        clips: how many there are in all splits.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    tables = {split: rows_of(split, int(clips * share), rng) for split, share in SHARES.items()}
    placeholders = dict.fromkeys(row[1] for row in tables["test"])
    tables["test"] = [["", clip, "0", "20", str(1 + k % 51), "300", "30"] for k, clip in enumerate(placeholders)]
    expected: Found = Counter({("remark", "test"): 1, ("no_instances", "test"): 1})
    train = tables["train"]
    clips_of_train = list(dict.fromkeys(row[1] for row in train))
    victims = iter(rng.permutation(clips_of_train[60:]).tolist())

    def rows(clip: str, table: list[Row] = train) -> list[int]:
        return [place for place, row in enumerate(table) if row[1:2] == [clip]]

    def change(kind: str, **cells: str) -> None:
        """Changes the last row of a clip that nothing else is wrong with."""
        place = rows(next(victims))[-1]
        for name, value in cells.items():
            train[place][HEADER.index(name)] = value
        marked.append((kind, train[place]))

    marked: list[tuple[str, Row]] = []
    change("label", **{"class": "52"})
    change("label", **{"class": "-1"})
    change("label", **{"class": "noding"})
    change("label", **{"class": "3.5"})
    change("segment", start_frame="40", end_frame="40")
    change("segment", start_frame="60", end_frame="40")
    change("segment", start_frame="-3")
    change("beyond", end_frame="452")
    change("beyond", end_frame="100000")
    change("disagreement", total_frames="5000")
    change("disagreement", fps="25.0")
    change("row", fps="0")
    change("row", fps="nan")
    change("row", total_frames="0")
    change("row", start_frame="ten")
    change("row", end_frame="")
    change("row", video_id=" ")
    # Strictly between two frames there is none, and no point either.
    change("lost_instance", start_frame="41", end_frame="42")
    for cells in (["7"], ["7", *train[0][1:], "8"]):
        place = rows(next(victims))[-1]
        train.insert(place + 1, cells)
        marked.append(("row", train[place + 1]))
    for _ in range(3):
        place = rows(next(victims))[-1]
        train.insert(place + 1, list(train[place]))
        marked.append(("duplicate", train[place + 1]))
    # One that a slightly shorter one of another class covers wherever a window begins.
    places = rows(next(victims))
    for place in places[2:][::-1]:
        del train[place]
    inner, outer = train[places[0]], train[places[1]]
    inner[2:4], outer[2:4] = ["122", "178"], ["121", "179"]
    for row in (inner, outer):
        row[5] = "300"
    marked.append(("lost_instance", outer))

    twice = next(victims)
    tables["val"] += [list(row) for row in train if row[1:2] == [twice]]
    expected["clip_in_splits", twice] += 1
    moved = rows(next(iter(dict.fromkeys(row[1] for row in tables["val"]))), tables["val"])
    for place in moved:
        tables["val"][place][1] = "007_09_0001_A"
    expected["subject_in_splits", "7"] += 1
    tables["val"][moved[0]][4] = str(CLASSES - 1)
    expected["untrained_class", MMA52.actions[-1]] += 1

    (root / "annotations").mkdir(parents=True)
    for split, table in tables.items():
        with (root / "annotations" / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\r\n" if split == "val" else "\n")
            writer.writerow(HEADER)
            writer.writerows(table)
    for kind, row in marked:
        line = 2 + next(place for place, other in enumerate(train) if other is row)
        expected[kind, f"train.csv:{line}"] += 1
    return expected
