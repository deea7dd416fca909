"""Clips as items of a torch data set: random pieces for training, covering windows for evaluation, and their batch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmad.annotations import Clip
from mmad.data.cache import Frames
from mmad.data.grid import Grid, Window
from mmad.segments import Segments, empty_segments

Transform = Callable[[Tensor], Tensor]

SHORTEST = 0.9
"""Smallest share of a clip that a random piece of it has."""


class Item(TypedDict):
    """One window: video (F, 3, H, W) uint8 or features (T, C), its ground truth in steps, and where it lies."""

    inputs: Tensor
    targets: Segments
    window: Window


class Batch(TypedDict):
    """B windows padded to one length of T feature steps.

    Keys:
        inputs: (B, 3, F, H, W) uint8 RGB, where beyond a window's end its last frame is repeated; or features (B, C, T)
            float32, zero there.
        mask_BT: (B, T) bool, True where a feature step lies in the window.
        targets: ground truth of each window in feature steps.
        windows: where each lies in its clip.
    """

    inputs: Tensor
    mask_BT: Tensor
    targets: list[Segments]
    windows: list[Window]


def cut(instances: Segments, window: Window, *, keep: float) -> Segments:
    """The ground truth of a window, in feature steps from its start.

    Args:
        instances: of the whole clip, in seconds.
        window: the piece that is shown.
        keep: an instance stays, clipped, if at least this share of it lies in the window.
    """
    steps = window.timebase.steps(instances["segments"])
    clipped = steps.clamp(*window.span)
    share = (clipped[:, 1] - clipped[:, 0]) / (steps[:, 1] - steps[:, 0])
    stays = (share >= keep) & (clipped[:, 1] > clipped[:, 0])
    return {"segments": clipped[stays].float(), "labels": instances["labels"][stays]}


def random_window(
    clip: Clip,
    index: int,
    *,
    grid: Grid,
    shortest: float = SHORTEST,
    keep: float = 0.75,
    tries: int = 50,
) -> tuple[Window, Segments]:
    """A random piece of a clip for training, drawn from torch's generator.

    Args:
        clip: the clip; `index` is its place in the split.
        grid: the grid over the clip.
        shortest: smallest share of the clip that a piece has; a clip longer than the window gives a full window.
        keep: see `cut`.
        tries: pieces drawn until one holds an instance; a clip without any is cut once.

    Returns:
        The window and its ground truth in feature steps.

    Source: OpenTAD's `random_trunc` frame sampling.
    """
    total = grid.decoded(clip.frames)
    longest = min(total, grid.window * grid.frames_per_step)
    instances = clip.segments()
    for _ in range(tries if clip.instances else 1):
        frames = longest
        if total == longest:
            frames = int(torch.randint(max(int(shortest * total), 1), total + 1, ()))
        first = int(torch.randint(0, total - frames + 1, ()))
        window = grid.piece(index, raw_frames=clip.frames, fps=clip.fps, first=first, frames=frames)
        targets = cut(instances, window, keep=keep)
        if len(targets["labels"]):
            break
    return window, targets


def shuffle_labels(clips: Sequence[Clip], *, seed: int) -> list[Clip]:
    """The clips with the labels of all their instances dealt out anew; times and class counts stay."""
    labels = torch.tensor([instance.label for clip in clips for instance in clip.instances])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    dealt = iter(labels[order].tolist())
    return [
        replace(clip, instances=tuple(replace(instance, label=next(dealt)) for instance in clip.instances))
        for clip in clips
    ]


class TrainingClips(Dataset[Item]):
    """A random, augmented piece of each clip, as frames or as features.

    An item is asked for by (epoch, place): the place is the clip's index, plus a multiple of the number of clips where
    an epoch repeats the clip. Its randomness comes from (seed, epoch, place) alone: the same on every run, for any
    number of workers or ranks, and after a resume.

    Args:
        clips: the training clips.
        grid: the grid over each.
        frames: source of decoded frames, or of features.
        transform: augmentation of a (F, 3, H, W) uint8 clip, or of features (T, C), drawn from torch's generator.
        seed: of the augmentation.
    """

    def __init__(self, clips: Sequence[Clip], *, grid: Grid, frames: Frames, transform: Transform, seed: int) -> None:
        self.clips, self.grid, self.frames, self.transform, self.seed = clips, grid, frames, transform, seed

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, place = key
        index = place % len(self.clips)
        clip = self.clips[index]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(((self.seed * 1_000_003 + epoch) * 1_000_003 + place) % 2**63)
            window, targets = random_window(clip, index, grid=self.grid)
            inputs = self.transform(self.frames(clip, first=window.first, frames=window.frames))
        return {"inputs": inputs, "targets": targets, "window": window}


class EvaluationWindows(Dataset[Item]):
    """The windows that cover each clip, in the order of the clips.

    Args:
        clips: the clips of one split.
        grid: the grid over each.
        frames: source of decoded frames, or of features.
        transform: the fixed transform of a (F, 3, H, W) uint8 clip, or of features (T, C).
        rank, ranks: this process takes every `ranks`-th clip; all windows of a clip stay together.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        grid: Grid,
        frames: Frames,
        transform: Transform,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.clips, self.frames, self.transform = clips, frames, transform
        self.windows = [
            window
            for index in range(rank, len(clips), ranks)
            for window in grid.sliding(index, raw_frames=clips[index].frames, fps=clips[index].fps)
        ]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Item:
        window = self.windows[index]
        clip = self.clips[window.clip]
        inputs = self.transform(self.frames(clip, first=window.first, frames=window.frames))
        targets = cut(clip.segments(), window, keep=0.75) if clip.instances else empty_segments()
        return {"inputs": inputs, "targets": targets, "window": window}


def collate(items: list[Item], *, grid: Grid) -> Batch:
    """Pads windows to the smallest common length that the grid allows."""
    steps = grid.padded(max(item["window"].steps for item in items))
    inputs = [_padded(item["inputs"], steps * grid.frames_per_step) for item in items]
    valid = torch.tensor([item["window"].steps for item in items])
    return {
        "inputs": torch.stack(inputs).transpose(1, 2).contiguous(),
        "mask_BT": torch.arange(steps) < valid[:, None],
        "targets": [item["targets"] for item in items],
        "windows": [item["window"] for item in items],
    }


def _padded(inputs: Tensor, length: int) -> Tensor:
    """Frames with the last one repeated, or features (two axes) with zeros, up to a length."""
    last = inputs[-1:] if inputs.ndim > 2 else torch.zeros_like(inputs[-1:])
    return torch.cat([inputs, last.expand(length - len(inputs), *inputs.shape[1:])])
