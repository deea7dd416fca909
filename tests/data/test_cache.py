"""Cached frames are those of the file, whatever happens to the file, the cache or the process in between."""

import json
import os
import shutil
import weakref
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

from mmad.annotations import Clip
from mmad.data import cache
from mmad.data.cache import DiskFrames, FileFrames, MemoryFrames
from mmad.data.grid import Grid
from mmad.data.sources import MMA52Source
from mmad.data.transforms import CoverCrop
from mmad.errors import MmadError
from mmad.lit.datamodule import ClipDataModule
from numbered import shown_numbers, write_numbered

GRID = Grid(16, 4, 2, 2)
SOURCE = FileFrames(GRID, short_side=60)


@pytest.fixture
def clips(numbered_video: Callable[..., Path], tmp_path: Path) -> list[Clip]:
    """Copies, since a test may change them."""
    found = []
    for name, frames in (("a", 60), ("b", 90)):
        path = Path(shutil.copy(numbered_video(frames=frames), tmp_path / f"{name}.mp4"))
        found.append(Clip(name, path, None, 30.0, frames, ()))
    return found


def kept(clips: list[Clip], folder: Path, source: FileFrames = SOURCE) -> DiskFrames:
    frames = DiskFrames(source, clips, folder, threads=2)
    frames.fill()
    return frames


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npy")}


def test_every_cache_gives_what_decoding_gives(clips: list[Clip], tmp_path: Path) -> None:
    memory = MemoryFrames(SOURCE, clips, threads=2)
    disk = kept(clips, tmp_path / "cache")
    for clip in clips:
        for first, frames in ((0, GRID.decoded(clip.frames)), (7, 5)):
            expected = SOURCE(clip, first=first, frames=frames)
            assert torch.equal(memory(clip, first=first, frames=frames), expected)
            found = disk(clip, first=first, frames=frames)
            assert torch.equal(found, expected)
            found += 1  # which must not reach the file
    assert torch.equal(disk(clips[0], first=0, frames=3), SOURCE(clips[0], first=0, frames=3))


def test_another_run_decodes_nothing(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept(clips, tmp_path / "cache")
    written = files(tmp_path / "cache")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded or digested again")

    monkeypatch.setattr(cache, "read_frames", refuse)
    monkeypatch.setattr(cache, "digest", refuse)
    again = kept(clips, tmp_path / "cache")
    assert again.kept == before.kept
    assert again(clips[1], first=0, frames=1).shape == (1, 3, 60, 80)
    assert files(tmp_path / "cache") == written


def test_a_changed_video_is_decoded_anew(clips: list[Clip], tmp_path: Path) -> None:
    """Of the same name, size and time of change, as synchronising tools leave it; only its content differs."""
    kept(clips, tmp_path / "cache")
    path, state = clips[0].path, clips[0].path.stat()
    shutil.copy(clips[1].path, path)
    with path.open("ab") as file:
        file.truncate(max(state.st_size, path.stat().st_size))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    changed = replace(clips[0], frames=90)
    disk = kept([changed, clips[1]], tmp_path / "cache")
    assert shown_numbers(disk(changed, first=40, frames=1)) == [80]


def test_content_alone_tells_a_changed_video(clips: list[Clip], tmp_path: Path) -> None:
    """Same frames, size and rate, other pictures."""
    kept(clips, tmp_path / "cache")
    write_numbered(clips[0].path, ticks=[round(i * 1000 / 30) for i in range(60)], options={"crf": "40"})
    disk = kept(clips, tmp_path / "cache")
    everything = GRID.decoded(60)
    expected = SOURCE(clips[0], first=0, frames=everything)
    assert torch.equal(disk(clips[0], first=0, frames=everything), expected)
    assert len(files(tmp_path / "cache")) == 3


def test_a_moved_video_is_still_known(clips: list[Clip], tmp_path: Path) -> None:
    kept(clips, tmp_path / "cache")
    written = files(tmp_path / "cache")
    moved = [replace(clip, path=clip.path.rename(tmp_path / f"moved {clip.id}.mp4")) for clip in clips]
    kept(moved, tmp_path / "cache")
    assert files(tmp_path / "cache") == written


@pytest.mark.parametrize(
    "source",
    [
        FileFrames(GRID, short_side=50),
        FileFrames(Grid(16, 4, 1, 2), short_side=60),
    ],
)
def test_other_pixels_have_other_files(clips: list[Clip], tmp_path: Path, source: FileFrames) -> None:
    kept(clips, tmp_path / "cache")
    disk = kept(clips, tmp_path / "cache", source)
    assert len(files(tmp_path / "cache")) == 4
    assert torch.equal(disk(clips[0], first=2, frames=3), source(clips[0], first=2, frames=3))


def test_another_rate_of_the_annotation_has_another_file(clips: list[Clip], tmp_path: Path) -> None:
    kept(clips, tmp_path / "cache")
    slower = [replace(clip, fps=25.0) for clip in clips]
    kept(slower, tmp_path / "cache")
    assert len(files(tmp_path / "cache")) == 4


def cut_short(content: bytes) -> bytes:
    return content[:-1]


def emptied(content: bytes) -> bytes:
    return b""


def other_shape(content: bytes) -> bytes:
    return content.replace(b"(30, 60,", b"(20, 60,")


@pytest.mark.parametrize("harm", [cut_short, emptied, other_shape])
@pytest.mark.parametrize("when", ["filling", "reading"])
def test_a_damaged_file_is_made_again(
    clips: list[Clip], tmp_path: Path, harm: Callable[[bytes], bytes], when: str
) -> None:
    disk = kept(clips, tmp_path / "cache")
    path = disk.kept["a"].path
    whole = path.read_bytes()
    assert harm(whole) != whole
    path.write_bytes(harm(whole))
    if when == "filling":
        disk.fill()
    else:
        assert shown_numbers(disk(clips[0], first=3, frames=2)) == [6, 8]
    assert path.read_bytes() == whole


def test_the_room_is_told_and_asked_for(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = namedtuple("usage", "total used free")
    needed = (30 + 45) * 60 * 80 * 3
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 0, needed - 1))
    disk = DiskFrames(SOURCE, clips, tmp_path / "cache", threads=2)
    with pytest.raises(MmadError, match=r"cache: 2 clips, 0\.0 GB into .*cache \(0\.0 GB free\) do not fit"):
        disk.fill()
    assert not files(tmp_path / "cache")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 0, 45 * 10**9))
    disk.fill()
    assert f"cache: 2 clips, 0.0 GB into {tmp_path / 'cache'} (45.0 GB free)" in capsys.readouterr().out
    sizes = [path.stat().st_size - 128 for path in (tmp_path / "cache").glob("*.npy")]
    assert sum(sizes) == needed


def test_a_broken_index_costs_a_digest_only(clips: list[Clip], tmp_path: Path) -> None:
    kept(clips, tmp_path / "cache")
    written = files(tmp_path / "cache")
    for text in ('{"a": [1,', "[1]", '{"a": 3}'):
        (tmp_path / "cache/index.json").write_text(text)
        kept(clips, tmp_path / "cache")
        assert files(tmp_path / "cache") == written


def test_an_index_that_another_job_writes_over_does_no_harm(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two looks into the index, a job with other clips has put its own in place of what was there."""
    kept(clips, tmp_path / "cache")
    told = iter([json.loads((tmp_path / "cache/index.json").read_text()), {}])
    shutil.copy(clips[1].path, tmp_path / "c.mp4")
    monkeypatch.setattr(cache, "_index", lambda path: next(told))
    more = [*clips, replace(clips[1], id="c", path=tmp_path / "c.mp4")]
    assert len(DiskFrames(SOURCE, more, tmp_path / "cache", threads=2).kept) == 3


def test_filling_holds_the_frames_of_few_clips(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays: list[weakref.ref] = []
    most = 0

    def keep(self: DiskFrames, clip: Clip) -> np.ndarray:
        nonlocal most
        made = np.zeros(3)
        arrays.append(weakref.ref(made))
        most = max(most, sum(array() is not None for array in arrays))
        return made

    monkeypatch.setattr(DiskFrames, "_keep", keep)
    many = [replace(clips[0], id=str(number), fps=30.0 + number) for number in range(20)]
    DiskFrames(SOURCE, many, tmp_path / "cache", threads=1).fill()
    assert most < 4


def test_many_may_fill_one_folder_at_once(clips: list[Clip], tmp_path: Path) -> None:
    """Ranks and jobs share nothing but the folder, so threads that do the same stand for them."""

    def fill(clips: list[Clip]) -> list[int]:
        return shown_numbers(kept(clips, tmp_path / "cache")(clips[0], first=0, frames=30))

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(fill, [clips, clips[:1]] * 3))
    assert results == [list(range(0, 60, 2))] * 6
    assert len(files(tmp_path / "cache")) == 2
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".npy", ".json"}


def data(root: Path, *, cache: str | bool | None, workers: int = 0) -> ClipDataModule:
    return ClipDataModule(
        str(root),
        source=partial(MMA52Source, fps=None),
        make=None,
        grid=GRID,
        augment=CoverCrop((32, 32)),
        resolution=(32, 32),
        batch_size=4,
        workers=workers,
        cache=cache,
        evaluate_split="test",
        seed=0,
    )


class Watcher(L.LightningModule):
    """Keeps the sum of all pixels it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: list[int] = []

    def test_step(self, batch: dict, index: int) -> None:
        self.sums.append(int(batch["inputs"].long().sum()))


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_the_data_module_fills_the_cache_before_workers_read_it(drawn: Path, tmp_path: Path) -> None:
    seen = {}
    for place, workers in ((None, 0), ("memory", 0), (str(tmp_path / "frames"), 2)):
        watcher = Watcher()
        trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
        trainer.test(watcher, data(drawn, cache=place, workers=workers), verbose=False)
        seen[place] = watcher.sums
    assert len({tuple(sums) for sums in seen.values()}) == 1
    assert len(files(tmp_path / "frames")) == 6


@pytest.mark.parametrize(("switch", "meant"), [(True, "memory"), (False, None)])
def test_a_switch_of_an_old_checkpoint_is_understood(drawn: Path, switch: bool, meant: str | None) -> None:
    assert data(drawn, cache=switch).cache == meant


def test_numbers_of_a_clip_are_those_of_the_grid(clips: list[Clip], tmp_path: Path) -> None:
    disk = kept(clips, tmp_path / "cache")
    assert shown_numbers(disk(clips[0], first=0, frames=30)) == list(range(0, 60, 2))
    assert np.load(disk.kept["b"].path).shape == (45, 60, 80, 3)
