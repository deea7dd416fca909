"""Features of clips in files: our own, which say what they were made from, and arrays of other projects.

Shape letters: T feature steps, C channels.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm.auto import tqdm

from mmad.annotations import Clip
from mmad.data.grid import Grid
from mmad.data.manifest import Manifest
from mmad.errors import MmadError
from mmad.formats.whole_file import write_whole

SUFFIXES = (".safetensors", ".npy", ".npz", ".pt")
"""Endings of feature files, the first that of our own."""

TENSOR = "feats"
"""Name of the array in files that can hold several."""

_HEADER = "mmad"
_VERSION = 1


@dataclass(frozen=True)
class FeatureHeader:
    """What one of our feature files says of itself.

    Args:
        clip: id of the clip.
        sha256: of the video file.
        fps, frames: raw frames per second of the clip, and how many there are.
        stride: raw frames from one feature to the next.
        offset: raw frame for which the first feature stands.
        settings: what decides the features of a video: snippets, pixels, precision and backbone.
        backbone: the name by which the backbone was chosen.
        versions: of the libraries.
        steps, channels: T and C.
    """

    clip: str
    sha256: str
    fps: float
    frames: int
    stride: int
    offset: int
    settings: Mapping[str, Any]
    backbone: str
    versions: Mapping[str, str]
    steps: int
    channels: int


def feature_path(folder: Path, clip: str) -> Path:
    """Where the features of a clip lie; an id with slashes gives folders.

    Raises:
        MmadError: the id leads out of the folder.
    """
    if PurePosixPath(clip).is_absolute() or ".." in PurePosixPath(clip).parts:
        raise MmadError(f"clip {clip!r}: this id leads out of the folder of features; rename the clip", clip=clip)
    return folder / f"{clip}{SUFFIXES[0]}"


def write_features(path: Path, feats_TC: Tensor, header: FeatureHeader) -> None:
    """Writes the features of a clip, whole or not at all; the same features and header give the same bytes.

    Args:
        path: the .safetensors file; its folder is made.
        feats_TC: (T, C), written as float32.
        header: what it says of itself; its steps and channels are those of the array.
    """
    told = {name: value for name, value in asdict(header).items() if name not in ("steps", "channels")}
    # One entry, since safetensors writes several in an order that differs each time.
    metadata = {_HEADER: json.dumps({"version": _VERSION, **told})}
    write_whole(path, save({TENSOR: feats_TC.float().contiguous()}, metadata=metadata))


def read_header(path: Path) -> FeatureHeader:
    """What one of our feature files says of itself; its array is not read.

    Raises:
        MmadError: it is damaged, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})[_HEADER])
            steps, channels = file.get_slice(TENSOR).get_shape()
        if told.pop("version") != _VERSION:
            raise ValueError("another version")
        return FeatureHeader(**told, steps=steps, channels=channels)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise MmadError(
            f"{path} is no feature file of this version of mmad ({error}); delete it and run mmad-extract again",
            kind="missing_video",
        ) from error


def read_features(path: Path) -> Tensor:
    """The features in a file of any kind.

    Args:
        path: .safetensors or .npz with the array `feats`, or .npy or .pt with nothing but the array.

    Returns:
        (T, C) float32.

    Raises:
        MmadError: the file is damaged or holds something else, or a value that is not finite.
    """
    found = _array(path)
    if found.ndim != 2 or 0 in found.shape or not torch.is_floating_point(found):
        raise MmadError(
            f"{path} holds an array of shape {tuple(found.shape)} and type {found.dtype}, expected features of shape "
            f"(steps, channels) as floating-point numbers; save them so",
            kind="missing_video",
        )
    found = found.float()
    if not found.isfinite().all():
        raise MmadError(f"{path} holds numbers that are not finite; extract it again, in full precision")
    return found


def shape_of(path: Path) -> tuple[int, int]:
    """T and C of a feature file of any kind.

    Raises:
        MmadError: as `read_features`.
    """
    if path.suffix == ".npy":
        try:
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        except (OSError, ValueError, EOFError):
            shape = ()
        if len(shape) == 2 and all(shape):
            return int(shape[0]), int(shape[1])
    steps, channels = read_features(path).shape
    return steps, channels


def fitted(feats_TC: Tensor, steps: int) -> Tensor:
    """Features with the last one repeated, or with the last ones left out, so that there are `steps`."""
    return feats_TC[torch.arange(steps).clamp(max=len(feats_TC) - 1)]


class FeatureFrames:
    """Gives the features of a piece of a clip, as `mmad.data.cache.Frames` gives its frames.

    Args:
        grid: of one step per feature.
        kept: clips whose features are read now and kept in memory.
        title: what the progress bar of that says.
    """

    def __init__(self, grid: Grid, *, kept: Sequence[Clip] = (), title: str = "features") -> None:
        self.grid = grid
        with tqdm(kept, desc=title, unit="clip", leave=False) as bar:
            self.kept = {clip.id: self.whole(clip) for clip in bar}

    def __call__(self, clip: Clip, *, first: int, frames: int) -> Tensor:
        """(frames, C) float32: so many features from the grid position `first`."""
        found = self.kept[clip.id] if clip.id in self.kept else self.whole(clip)
        return found[first : first + frames]

    def whole(self, clip: Clip) -> Tensor:
        """(T, C) float32: a feature for each step of a clip."""
        return fitted(read_features(clip.path), self.grid.decoded(clip.frames))


def video_digest(path: Path, manifest: Manifest) -> str:
    """The hash (sha256) of a video, from the manifest while the file has its size and date."""
    known = manifest.get(path)
    if known is not None:
        return known.sha256
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MmadError(f"{path} cannot be read ({error.strerror}); put the video there") from error


def _array(path: Path) -> Tensor:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)[TENSOR]
        if path.suffix == ".pt":
            found = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(found, Tensor):
                raise ValueError(f"a {type(found).__name__}, expected a tensor")
            return found
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return torch.from_numpy(arrays[TENSOR])
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except KeyError as error:
        raise MmadError(f"{path} holds no array {TENSOR!r}; save the features by that name") from error
    except Exception as error:  # whatever a damaged or foreign file brings about
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MmadError(f"{path} is no feature file ({why}); save the array alone", kind="missing_video") from error
