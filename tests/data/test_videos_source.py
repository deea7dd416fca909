"""Plain folders of videos: which are found, which split each is of, and how often a long one comes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.annotations import Clip
from mmad.checks.examine import examine
from mmad.data.grid import Grid
from mmad.data.sources import VideosSource
from mmad.data.sources.videos import _place
from mmad.data.transforms import CoverCrop
from mmad.errors import MmadError
from mmad.lit.datamodule import ClipDataModule

GRID = Grid(window=8, feature_stride=4, frames_per_step=2, levels=1, overlap=0.0)


@pytest.fixture
def folder(tmp_path: Path, numbered_video: Callable[..., Path]) -> Path:
    """Two videos of one name in two folders, an ending in capitals, and files that are none."""
    for name in ("P1/a.mp4", "P2/a.mp4", "P2/late/b.MOV"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(numbered_video(), tmp_path / name)
    (tmp_path / "notes.txt").write_text("none")
    return tmp_path


def empty(root: Path, names: list[str]) -> VideosSource:
    """A folder of empty files, which is enough as long as nobody asks for clips."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return VideosSource(root, val_share=0.1)


def test_all_videos_of_all_folders_are_clips(folder: Path) -> None:
    source = VideosSource(folder, val_share=0.02)
    clips = source.clips("train") + source.clips("val")
    assert {clip.id for clip in clips} == {"P1/a.mp4", "P2/a.mp4", "b"}
    assert len(source.clips("val")) == 1
    for clip in clips:
        assert clip.path == folder / ("P2/late/b.MOV" if clip.id == "b" else clip.id)
        assert (clip.frames, clip.instances) == (60, ())
        assert clip.fps == pytest.approx(30, abs=0.01)
    assert (source.annotations.marks, source.taxonomy.actions) == ([], ())


def test_nothing_is_wrong_with_a_folder_of_videos(folder: Path) -> None:
    found = examine(partial(VideosSource, val_share=0.02, root=folder), grid=GRID, progress=False)
    assert (found.clips, found.instances, found.faults) == (3, 0, [])


def test_a_share_goes_to_val_and_stays_there_when_videos_are_added(tmp_path: Path) -> None:
    names = [f"day {i % 7}/{i}.mp4" for i in range(600)]
    before = empty(tmp_path, names[:300]).split_of
    after = empty(tmp_path, names).split_of
    assert len(before) == 300
    assert {clip: after[clip] for clip in before} == before
    assert list(after.values()).count("val") == pytest.approx(60, abs=22)  # three standard deviations


@given(names=st.sets(st.text("abc", min_size=1, max_size=4), min_size=2, max_size=8), share=st.floats(0.001, 0.999))
@settings(max_examples=40, deadline=None)
def test_both_splits_have_a_video_and_val_has_the_smallest_hashes(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], share: float
) -> None:
    root = tmp_path_factory.mktemp("any")
    empty(root, [f"{name}.mp4" for name in names])
    split_of = VideosSource(root, val_share=share).split_of
    ordered = sorted(split_of, key=lambda name: _place(f"{name}.mp4"))
    count = list(split_of.values()).count("val")
    assert 1 <= count < len(names)
    assert all(split_of[clip] == ("val" if i < count else "train") for i, clip in enumerate(ordered))


def test_excluded_videos_are_left_out(folder: Path) -> None:
    (folder / "exclude.csv").write_text("clip,reason\nb.MOV,no consent\n")
    assert set(VideosSource(folder, val_share=0.5).videos) == {"P1/a.mp4", "P2/a.mp4"}
    assert examine(partial(VideosSource, val_share=0.02, root=folder), grid=GRID, progress=False).errors == []
    (folder / "exclude.csv").write_text("clip\nP2/a.mp4\n")
    with pytest.raises(MmadError, match="hold 1 videos"):  # tables give names, and two have this one
        _ = VideosSource(folder, val_share=0.5).videos


def test_what_is_no_use_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MmadError, match="is not a folder"):
        VideosSource(folder / "gone", val_share=0.02)
    with pytest.raises(MmadError, match="choose a share between 0 and 1"):
        VideosSource(folder, val_share=2)
    with pytest.raises(MmadError, match="no clip is of split test; there are train, val"):
        VideosSource(folder, val_share=0.02).clips("test")
    with pytest.raises(MmadError, match="hold 1 videos"):
        _ = VideosSource(folder / "P1", val_share=0.02).videos
    (folder / "P1" / "exclude.csv").write_text("clip,reason\na.mp4,no consent\n")
    with pytest.raises(MmadError, match="leaves out every clip"):
        _ = VideosSource(folder / "P1", val_share=0.02).videos


def test_a_long_video_comes_several_times_in_an_epoch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once per 10 seconds, at least once, each time with another key."""

    def data(seconds: float | None) -> ClipDataModule:
        return ClipDataModule(
            str(folder),
            source=partial(VideosSource, val_share=0.02),
            make=None,
            grid=GRID,
            augment=CoverCrop(32),
            resolution=32,
            batch_size=1,
            workers=0,
            cache=None,
            evaluate_split="val",
            seed=0,
            seconds_per_piece=seconds,
        )

    short = VideosSource(folder, val_share=0.02).clips("train")
    lengths = (60, 3000)  # 2 and 100 seconds
    clips = [replace(clip, frames=frames) for clip, frames in zip(short, lengths, strict=True)]

    def given_clips(self: VideosSource, split: str) -> list[Clip]:
        return clips

    monkeypatch.setattr(VideosSource, "clips", given_clips)
    for seconds, times in ((None, [1, 1]), (10, [1, 10]), (1000, [1, 1])):
        sampler = data(seconds).train_dataloader().batch_sampler
        keys = [key for batch in sampler for key in batch]  # type: ignore[union-attr]
        assert len(keys) == len(set(keys))
        assert [sum(place % 2 == clip for _, place in keys) for clip in (0, 1)] == times
    with pytest.raises(MmadError, match="choose null, or a number above 0"):
        data(0)
