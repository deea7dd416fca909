"""Trimmed clips in MA-52's layout as a source: where lists and videos lie, and what a check is told."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mmad.annotations import Clip, Instance
from mmad.checks.examine import Examination, examine
from mmad.data.grid import Grid
from mmad.data.sources import MA52Source
from mmad.dataset.contents import clips_by_split
from mmad.errors import MmadError

GRID = Grid(window=16, feature_stride=4, frames_per_step=2, levels=1)
LISTS = {"train": {"0003_01_0005": 8, "0004_00_0006": 0}, "val": {"val.0_[": 51}, "test": {"test0000": None}}


def write_lists(folder: Path, lists: dict[str, dict[str, int | None]] = LISTS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, labels in lists.items():
        lines = (f"{clip}.mp4" + ("" if label is None else f" {label}") for clip, label in labels.items())
        (folder / f"{split}_list_videos.txt").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(params=["code", "archive", "deeper"])
def released(request: pytest.FixtureRequest, tmp_path: Path, numbered_video: Callable[..., Path]) -> Path:
    """A data set in each layout that is known."""
    layout = {"code": "videos_{}", "archive": "{}", "deeper": "{}/batch 1"}[request.param]
    write_lists(tmp_path if request.param == "code" else tmp_path / "annotations")
    for split, labels in LISTS.items():
        folder = tmp_path / layout.format(split)
        folder.mkdir(parents=True)
        for clip in labels:
            shutil.copyfile(numbered_video(frames=60, fps=30), folder / f"{clip}.mp4")
    return tmp_path


def check(root: Path, **changes: object) -> Examination:
    settings = {"grid": GRID, "assignment": None, "progress": False, **changes}
    return examine(partial(MA52Source, root), **settings)  # type: ignore[arg-type]


def test_a_clip_is_one_instance_over_its_whole_length(released: Path) -> None:
    source = MA52Source(released)
    first, second = source.clips("train")
    path, fps = source.videos["0003_01_0005"], first.fps
    assert fps == pytest.approx(30, abs=0.01)
    assert first == Clip("0003_01_0005", path, "3", fps, 60, (Instance(0.0, 60 / fps, 8),))
    assert (second.subject, second.instances[0].label) == ("4", 0)
    assert [(clip.id, clip.subject, clip.instances[0].label) for clip in source.clips("val")] == [("val.0_[", None, 51)]
    assert source.clips("test")[0].instances == ()
    assert source.split_of == {clip: split for split, labels in LISTS.items() for clip in labels}
    assert source.annotations.clips == list(source.split_of)
    marks = [(mark.clip, mark.start, mark.end, mark.label, mark.subject) for mark in source.annotations.marks]
    assert marks[0] == ("0003_01_0005", 0.0, 60 / fps, "turning head", "3")
    assert [mark[0] for mark in marks] == ["0003_01_0005", "0004_00_0006", "val.0_["]
    assert source.annotations.marks[1].where.endswith("train_list_videos.txt, line 2")
    assert not check(released).errors


def test_statistics_need_no_more_than_the_annotations(released: Path) -> None:
    parts = clips_by_split(MA52Source(released))
    assert {split: len(clips) for split, clips in parts.items()} == {"train": 2, "val": 1, "test": 1}
    for clip in (clip for clips in parts.values() for clip in clips):
        assert clip.duration == pytest.approx(2, abs=0.001)


def test_a_check_lists_every_fault_with_its_place(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    write_lists(tmp_path, {"train": {"a": 8, "b": 52, "c": 3, "d": 4, "e": 5, "f": 6}, "val": {"a": 8, "g": 9}})
    for clip in ("a", "b", "d", "e", "f", "g"):
        shutil.copyfile(numbered_video(frames=60, fps=30), tmp_path / f"{clip}.mp4")
    (tmp_path / "d.mp4").write_bytes(b"damaged")
    shutil.copyfile(tmp_path / "e.mp4", tmp_path / "e.mkv")
    for inspect in (False, True):
        found = check(tmp_path, inspect=inspect, needed=("train", "test"))
        told = {(fault.kind, fault.clip): fault.message for fault in found.errors}
        assert told.keys() == {
            ("label", "b"),
            ("clip_in_splits", "a"),
            ("missing_video", "c"),
            ("unreadable_video", "d"),
            ("two_videos", "e"),
            ("missing_split", None),
        }
        assert len(found.errors) == len(told)
        assert "train_list_videos.txt, line 2: the index of the action is 52" in told["label", "b"]
        assert "val_list_videos.txt, line 1: clip 'a' is in the split train too" in told["clip_in_splits", "a"]
        assert "add the file that lists or annotates its clips" in told["missing_split", None]
        # All five that have a readable line count with their class, whatever their videos are.
        assert (found.clips, found.instances) == (6, 6)
        assert found.blocked.keys() == {"a", "b", "c", "d", "e"}
    assert {fault.kind for fault in check(tmp_path, videos=False).errors} == {
        "label", "clip_in_splits", "unreadable_video"
    }  # fmt: skip
    # What is only wrong with other splits is no matter for one.
    assert {fault.clip for fault in check(tmp_path, splits=("val",)).errors} == set()


def test_left_out_clips_are_not_asked_for(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    write_lists(tmp_path, {"train": {"a": 8, "b": 52}})
    shutil.copyfile(numbered_video(frames=60, fps=30), tmp_path / "a.mp4")
    with pytest.raises(MmadError, match="expected 0 to 51"):
        MA52Source(tmp_path).clips("train")
    (tmp_path / "exclude.csv").write_text("clip,reason\nb,no such class\n")
    source = MA52Source(tmp_path)
    assert [clip.id for clip in source.clips("train")] == source.annotations.clips == ["a"]
    assert check(tmp_path).excluded == {"b": "no such class"}
    (tmp_path / "exclude.csv").write_text("clip\na\nb\n")
    for asked in (lambda: MA52Source(tmp_path).clips("train"), lambda: MA52Source(tmp_path).annotations):
        with pytest.raises(MmadError, match="leaves out every clip"):
            asked()


def test_videos_of_other_splits_are_not_needed(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    write_lists(tmp_path)
    for clip in LISTS["train"]:
        shutil.copyfile(numbered_video(frames=60, fps=30), tmp_path / f"{clip}.mp4")
    source = MA52Source(tmp_path)
    assert len(source.clips("train")) == 2
    assert set(source.dealt.values()) == {"train", "val", "test"}
    with pytest.raises(MmadError, match=r"holds no video of clip 'val.0_\['"):
        _ = source.annotations


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(MmadError, match="nowhere is not a folder; give the one that holds the lists"):
        _ = MA52Source(tmp_path / "nowhere").dealt
    with pytest.raises(MmadError, match=r"train_list_videos\.txt does not exist, nor does"):
        _ = MA52Source(tmp_path).dealt
    write_lists(tmp_path)
    with pytest.raises(MmadError, match="2 of 2 clips have no video"):
        MA52Source(tmp_path).clips("train")
    (tmp_path / "splits.csv").write_text("clip,split\n")
    with pytest.warns(UserWarning, match=r"splits\.csv is not read: classes and splits are those of MA-52"):
        _ = MA52Source(tmp_path).dealt
