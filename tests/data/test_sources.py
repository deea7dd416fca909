"""Folders of annotated videos: how splits, classes and videos are found, and what is said when they are not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mmad.annotations import Instance
from mmad.data.sources import MarkedSource, MMA52Source, read_boris_files, read_eaf, read_json, read_table
from mmad.data.sources.marked import on_frames
from mmad.errors import MmadError
from mmad.timebase import frame_to_seconds


@pytest.fixture
def folder(tmp_path: Path, numbered_video: Callable[..., Path]) -> Path:
    """Two videos in two folders, one of them with an ending in capitals, and a table."""
    for split, name in (("train", "a.mp4"), ("val", "b.MP4")):
        (tmp_path / "videos" / split).mkdir(parents=True)
        shutil.copyfile(numbered_video(), tmp_path / "videos" / split / name)
    (tmp_path / "annotations.csv").write_text(
        "video,start,end,label,subject\na,0.5,1,waving,P1\nb.MP4,0,2,nodding,P2\n"
    )
    return tmp_path


def table(root: Path, fps: float | None = None) -> MarkedSource:
    return MarkedSource(root, read=read_table, fps=fps)


def test_splits_are_the_folders_of_the_videos(folder: Path) -> None:
    (clip,) = table(folder).clips("train")
    assert (clip.id, clip.subject, clip.frames) == ("a", "P1", 60)
    assert clip.fps == pytest.approx(30, abs=0.01)
    (instance,) = clip.instances
    assert (instance.start, instance.end) == pytest.approx((0.5, 1), abs=0.0005)
    assert instance.label == 1
    assert table(folder).taxonomy.actions == ("nodding", "waving")
    assert [clip.id for clip in table(folder).clips("val")] == ["b"]


def test_a_table_of_splits_comes_before_folders(folder: Path) -> None:
    (folder / "splits.csv").write_text("clip,split\na,test\nb,test\n")
    assert [clip.id for clip in table(folder).clips("test")] == ["a", "b"]
    with pytest.raises(MmadError, match="no clip is of split train; there are test"):
        table(folder).clips("train")


def test_a_table_for_each_split(folder: Path) -> None:
    (folder / "annotations.csv").unlink()
    (folder / "train.csv").write_text("video,start_frame,end_frame,label\nb,15,30,waving\n")
    (folder / "test.csv").write_text("video,start_frame,end_frame,label\na,0,30,waving\n")
    (clip,) = table(folder, fps=30).clips("train")
    assert clip.id == "b"
    assert (clip.instances[0].start, clip.instances[0].end) == pytest.approx((0.5, 1), abs=0.0005)
    (folder / "test.csv").write_text("video,start_frame,end_frame,label\nb,0,30,waving\n")
    with pytest.raises(MmadError, match=r"'b' is in the tables train.csv and test.csv"):
        table(folder, fps=30).clips("train")


def test_a_table_of_classes_gives_their_order_and_groups(folder: Path) -> None:
    (folder / "labels.csv").write_text("name,body\nwaving,arm\nsitting,body\nnodding,head\n")
    source = table(folder)
    assert source.taxonomy.actions == ("waving", "sitting", "nodding")
    assert source.clips("val")[0].instances[0].label == 2
    (folder / "labels.csv").write_text("name\nwaving\n")
    with pytest.raises(MmadError, match="unknown label 'nodding'"):
        table(folder).clips("val")


def test_a_missing_video_is_named(folder: Path) -> None:
    (folder / "videos" / "val" / "b.MP4").unlink()
    with pytest.raises(MmadError, match=r"1 of 2 clips have no video in .*, the first is 'b'"):
        table(folder).clips("train")


def test_a_clip_without_a_split_is_named(folder: Path) -> None:
    (folder / "splits.csv").write_text("clip,split\na,train\n")
    with pytest.raises(MmadError, match=r"1 of 2 clips .* have no split, the first is 'b'"):
        table(folder).clips("train")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (read_table, "has neither annotations.csv nor train.csv"),
        (read_json, r"holds 0 files \*.json \(none\), expected one JSON"),
        (read_eaf, "holds no .eaf file"),
        (read_boris_files, "holds 0 tables, expected a .boris project"),
    ],
)
def test_an_empty_folder_is_told_what_belongs_there(tmp_path: Path, read: Callable, message: str) -> None:
    with pytest.raises(MmadError, match=message):
        MarkedSource(tmp_path, read=read, fps=None).clips("train")


@pytest.mark.parametrize("read", [read_json, read_eaf, read_boris_files])
def test_a_frame_rate_is_refused_where_times_are_seconds(tmp_path: Path, read: Callable) -> None:
    with pytest.raises(MmadError, match="these annotations are in seconds"):
        MarkedSource(tmp_path, read=read, fps=25).clips("train")


def test_the_release_lists_the_clips_of_the_splits_that_are_there(drawn: Path) -> None:
    source = MMA52Source(drawn, fps=None)
    assert {split: list(source.split_of.values()).count(split) for split in ("train", "val", "test")} == {
        "train": 16,
        "val": 6,
        "test": 6,
    }
    assert source.videos.keys() == source.split_of.keys() == set(source.annotations.clips)
    assert len(source.annotations.marks) == sum(
        len(c.instances) for s in ("train", "val", "test") for c in source.clips(s)
    )


@pytest.mark.parametrize("fps", [16.0, 23.976, 25.0, 29.0, 30.0, 59.94])
def test_times_in_milliseconds_find_their_frames(fps: float) -> None:
    for frame in range(0, 900, 7):
        rounded = Instance(round(frame / fps, 3), round((frame + 3) / fps, 3), 0)
        assert on_frames(rounded, fps) == Instance(frame_to_seconds(frame, fps), frame_to_seconds(frame + 3, fps), 0)
    between = Instance(10.4 / fps, 20.4 / fps, 0)
    assert on_frames(between, fps) == between
