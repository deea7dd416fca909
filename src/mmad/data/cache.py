"""Decoded frames of clips: read from the file each time, or once and for all into memory or onto a disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mmad.annotations import Clip
from mmad.data.grid import Grid
from mmad.data.header import Header, header
from mmad.data.video import RESIZE, read_frames, scaled_size
from mmad.errors import MmadError
from mmad.formats.whole_file import digest
from mmad.timebase import Timebase

VERSION = 1
"""Part of the names of cached files: another number lets them be made again, when this code would give other pixels."""

Done = TypeVar("Done")


class Frames(Protocol):
    """Gives the decoded frames of a piece of a clip."""

    def __call__(self, clip: Clip, *, first: int, frames: int) -> Tensor:
        """(frames, 3, H, W) uint8: `frames` decoded frames from grid position `first`."""


class FileFrames:
    """Decodes a piece of a clip whenever it is asked for.

    Args:
        grid: which raw frames are decoded.
        short_side: pixels of the smaller side after decoding.
    """

    def __init__(self, grid: Grid, *, short_side: int) -> None:
        self.grid, self.short_side = grid, short_side

    def __call__(self, clip: Clip, *, first: int, frames: int) -> Tensor:
        """See `Frames`."""
        timebase = Timebase(fps=clip.fps, stride=self.grid.frame_step)
        return read_frames(
            clip.path,
            timebase.seconds(np.arange(first, first + frames, dtype=np.float64)),
            fps=clip.fps,
            short_side=self.short_side,
        )

    def whole(self, clip: Clip) -> Tensor:
        """(F, 3, H, W) uint8: all decoded frames of a clip."""
        return self(clip, first=0, frames=self.grid.decoded(clip.frames))


class MemoryFrames:
    """Decodes every clip once, with a progress bar, and keeps the frames in memory.

    Args:
        source: where the frames come from.
        clips: the clips to keep.
        threads: clips decoded at once.
    """

    def __init__(self, source: FileFrames, clips: Sequence[Clip], *, threads: int, title: str = "decode") -> None:
        decoded = _each(source.whole, clips, threads=threads, title=title)
        self.frames = {clip.id: frames for clip, frames in zip(clips, decoded, strict=True)}

    def __call__(self, clip: Clip, *, first: int, frames: int) -> Tensor:
        """See `Frames`."""
        return self.frames[clip.id][first : first + frames]


@dataclass(frozen=True)
class _Kept:
    """Where the frames of a clip lie, and the (F, H, W, 3) that they must have."""

    path: Path
    shape: tuple[int, int, int, int]

    def frames(self) -> np.ndarray | None:
        """The frames, mapped into memory; None if there is no whole file."""
        try:
            found = np.load(self.path, mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return None
        return found if found.shape == self.shape and found.dtype == np.uint8 else None


class DiskFrames:
    """Keeps the decoded frames of every clip in a folder, one file each, for all runs that want the same pixels.

    A file's name is the digest of the video's content and of whatever decides the pixels, so that nothing stale is ever
    read. Files appear whole or not at all: any number of processes may fill one folder.

    Args:
        source: where the frames come from.
        clips: the clips to keep.
        folder: where to; may hold other clips.
        threads: clips read or decoded at once.
        title: what the progress bar says.
    """

    def __init__(
        self, source: FileFrames, clips: Sequence[Clip], folder: Path, *, threads: int, title: str = "decode"
    ) -> None:
        self.source, self.clips, self.folder, self.threads, self.title = source, clips, folder, threads, title
        paths = list(dict.fromkeys(clip.path for clip in clips))
        headers = dict(zip(paths, _each(header, paths, threads=threads, title="open videos"), strict=True))
        contents = _contents(paths, folder, threads=threads)
        self.kept = {clip.id: self._kept(clip, headers[clip.path], contents[clip.path]) for clip in clips}

    def fill(self) -> None:
        """Decodes whatever is not there yet, with a progress bar, and tells before how much room it takes.

        Raises:
            MmadError: the disk has not that much room.
        """
        missing = [clip for clip in self.clips if self.kept[clip.id].frames() is None]
        if not missing:
            return
        needed = sum(int(np.prod(self.kept[clip.id].shape, dtype=np.int64)) for clip in missing)
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        size = f"{len(missing):,} clips, {needed / 1e9:,.1f} GB into {self.folder} ({free / 1e9:,.1f} GB free)"
        if needed > free:
            raise MmadError(f"cache: {size} do not fit; set data.cache to a folder on a larger disk, or to null.")
        tqdm.write(f"cache: {size}")

        def keep(clip: Clip) -> None:
            self._keep(clip)  # what it returns would be held for all clips

        _each(keep, missing, threads=self.threads, title=self.title)

    def __call__(self, clip: Clip, *, first: int, frames: int) -> Tensor:
        """See `Frames`; a file that is missing or damaged is made again."""
        found = self.kept[clip.id].frames()
        if found is None:
            found = self._keep(clip)
        # A copy, since the file is mapped for reading only.
        return torch.from_numpy(np.array(found[first : first + frames])).permute(0, 3, 1, 2)

    def _keep(self, clip: Clip) -> np.ndarray:
        kept = self.kept[clip.id]
        pictures = self.source.whole(clip).permute(0, 2, 3, 1).numpy()
        _write(kept.path, partial(np.save, arr=pictures))
        return pictures

    def _kept(self, clip: Clip, known: Header, content: str) -> _Kept:
        pixels = {
            "content": content,
            "reader": known.reader,
            "resize": RESIZE,
            "frame_step": self.source.grid.frame_step,
            "fps": clip.fps,
            "frames": clip.frames,
            "short_side": self.source.short_side,
            "version": VERSION,
        }
        name = hashlib.sha256(json.dumps(pixels, sort_keys=True).encode()).hexdigest()[:32]
        shape = (self.source.grid.decoded(clip.frames), *scaled_size(known, self.source.short_side), 3)
        return _Kept(self.folder / f"{name}.npy", shape)


def _contents(paths: Sequence[Path], folder: Path, *, threads: int) -> dict[Path, str]:
    """The SHA-256 of each file, from the folder's index where size and times of change have stayed."""
    index = folder / "index.json"
    before = _index(index)
    names = {path: str(path.resolve()) for path in paths}
    states = {path: _state(path) for path in paths}
    unknown = [path for path in paths if before.get(names[path], [])[:-1] != states[path]]
    if unknown:
        digests = _each(digest, unknown, threads=threads, title="digest")
        added = {names[path]: [*states[path], digest] for path, digest in zip(unknown, digests, strict=True)}
        before |= added
        # Read again, since another job may have added to it; one that did so a moment later loses nothing but time.
        known = _index(index) | added
        _write(index, lambda file: file.write(json.dumps(known).encode()))
    return {path: before[names[path]][-1] for path in paths}


def _state(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _index(path: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    entries = known.items() if isinstance(known, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, list)}


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file whole or not at all, under a name of its own at first, since others may be writing the same one."""
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            write(file)
        os.replace(unfinished, path)
    except OSError as error:
        raise MmadError(f"{path}: cannot be written ({error.strerror}); set data.cache to another folder.") from error
    finally:
        with suppress(OSError):
            unfinished.unlink()


def _each(work: Callable[[Any], Done], items: Sequence[Any], *, threads: int, title: str) -> list[Done]:
    with ThreadPoolExecutor(threads) as pool:
        return list(tqdm(pool.map(work, items), total=len(items), desc=title, unit="clip", leave=False))
