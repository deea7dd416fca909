"""The data module: annotated clips of three splits, dealt to ranks in batches."""

import hashlib
import itertools
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import Compose

from mmad.annotations import Clip
from mmad.checks.examine import examine
from mmad.checks.faults import KINDS
from mmad.checks.rules import ASSIGNMENT
from mmad.data.balance import repeat_factors, repeat_share
from mmad.data.cache import DiskFrames, FileFrames, Frames, MemoryFrames
from mmad.data.clips import Batch, EvaluationWindows, Item, TrainingClips, Transform, collate, shuffle_labels
from mmad.data.feature_set import FEATURES
from mmad.data.features import FeatureFrames
from mmad.data.grid import Grid
from mmad.data.manifest import MANIFEST
from mmad.data.sampler import LengthBatches
from mmad.data.sources.features import FeatureSource
from mmad.data.sources.source import EXCLUSIONS, Source
from mmad.data.transforms import CoverCrop, Size, StillChunks, height_width, read_side
from mmad.errors import MmadError
from mmad.formats.whole_file import digest
from mmad.lit.signals import SIGNALS
from mmad.taxonomy import Taxonomy


class ClipDataModule(L.LightningDataModule):
    """Annotated clips of a data set, as videos or as features.

    Args:
        root: folder of the data set.
        source: called with the root, and for checks with `on_fault`, gives classes and clips; see `mmad.data.sources`.
        make: called with the root before first use, for data that the project draws itself.
        grid: which frames are decoded and how they make feature steps.
        augment: transform of a training clip, (F, 3, H, W) uint8 to (F, 3, height, width) uint8; None for features.
        resolution: pixels of the model's input, one number or (height, width); None if the source has features.
        batch_size: windows per process.
        workers: decoding processes per process.
        cache: None to decode frames each time; "memory" to keep all decoded frames there; or a folder to keep them in,
            for this run and others.
        evaluate_split: split of `test` runs.
        seed: of order and augmentation.
        control: None, or what a detector must be better than: "still" shows one frame per chunk, so that nothing moves;
            "shuffled" deals the training labels out anew among all training instances.
        repeat_threshold: training clips with a class that fewer than this share of them hold come more than once in an
            epoch, see `mmad.data.balance.repeat_factors`; None for once each.
        seconds_per_piece: a training clip that is longer comes once per so many seconds in an epoch on average; None
            for once each.

    Raises:
        MmadError: `control`, `cache`, `repeat_threshold` or `seconds_per_piece` is none of its values, or the root, an
            annotation file or a video is absent or faulty.
    """

    def __init__(
        self,
        root: str,
        *,
        source: Callable[..., Source],
        make: Callable[[Path], object] | None,
        grid: Grid,
        augment: Transform | None,
        resolution: Size | None,
        batch_size: int,
        workers: int,
        cache: str | bool | None,
        evaluate_split: str,
        seed: int,
        control: str | None = None,
        repeat_threshold: float | None = None,
        seconds_per_piece: float | None = None,
    ) -> None:
        super().__init__()
        self.root, self.make, self.grid = Path(root).expanduser(), make, grid
        self.augment = nn.Identity() if augment is None else augment
        self.resolution = None if resolution is None else height_width(resolution)
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.make_source, self.evaluate_split, self.control = source, evaluate_split, control
        if control not in (None, "still", "shuffled"):
            raise MmadError(f"data.control={control}: choose null, still or shuffled.")
        self.repeat_threshold = None if repeat_threshold is None else repeat_share(repeat_threshold)
        if seconds_per_piece is not None and seconds_per_piece <= 0:
            raise MmadError(f"data.seconds_per_piece={seconds_per_piece:g}: choose null, or a number above 0.")
        self.seconds_per_piece = seconds_per_piece
        self.validates = True  # False: a fit needs no val split
        if isinstance(cache, bool):
            # Checkpoints of version 0.1 carry the switch that this once was.
            cache = "memory" if cache else None
        self.cache: str | None = cache
        if resolution is None and control == "still":
            raise MmadError("data.control=still shows pictures that do not move, which features are not; leave it out.")
        if resolution is None and cache not in (None, "memory"):
            raise MmadError(f"data.cache={cache}: features are kept in memory or read each time; use memory or null.")
        self.evaluated: Sequence[Clip] = ()
        self._frames: dict[str, Frames] = {}
        self._clips: dict[str, list[Clip]] = {}
        self.batches_done = 0  # of the running epoch, when a checkpoint is written within it
        self._next_epoch, self._next_batch = 0, 0

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint must know of the data: the epoch to go on with, and how many of its batches are done."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        return {"next_epoch": epoch if self.batches_done else epoch + 1, "batches_done": self.batches_done}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Takes up the place of a checkpoint."""
        self._next_epoch = state_dict["next_epoch"]
        self._next_batch = state_dict.get("batches_done", 0)

    def fingerprint(self, *splits: str) -> dict[str, str | None]:
        """Hashes (sha256) of the clips and instances of some splits, and of the manifest of the videos.

        The manifest, which `mmad-data task=check` writes, holds the hash of each video; None without one. That of
        features is what `mmad-extract` says of them.
        """
        told = hashlib.sha256()
        for split in dict.fromkeys(splits):
            for clip in self.clips(split):
                told.update(repr((split, clip.id, clip.subject, clip.fps, clip.frames, clip.instances)).encode())
        manifest = self.root / (FEATURES if self.resolution is None else MANIFEST)
        videos = digest(manifest) if manifest.is_file() else None
        return {"annotations": told.hexdigest(), "manifest": videos}

    def prepare_data(self) -> None:
        """Draws the clips if the root is one that the project fills itself, and fills a cache on disk.

        Runs once per machine; what it leaves behind is on disk.
        """
        if self.make is not None:
            self.make(self.root)
        if self.trainer is not None and self.cache not in (None, "memory"):
            for split in self._splits(self.trainer.state.fn or "test"):
                frames = self._frames_of(split)
                assert isinstance(frames, DiskFrames)
                frames.fill()

    @cached_property
    def source(self) -> Source:
        """Where clips and classes come from, made at first use: data that the project draws may not be there before."""
        return self.make_source(self.root)

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self.source.taxonomy

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split, read once."""
        if split not in self._clips:
            clips = self.source.clips(split)
            if not clips:
                raise MmadError(f"{self.root}: split {split} holds no clip; fill annotations/{split}.csv.")
            self._clips[split] = clips
        return self._clips[split]

    @cached_property
    def taught(self) -> list[Clip]:
        """The training clips as they are shown, with other labels than their own under the control `shuffled`."""
        clips = self.clips("train")
        return shuffle_labels(clips, seed=self.seed) if self.control == "shuffled" else clips

    def check(self, *splits: str, assignment: Mapping[str, Any] | None = ASSIGNMENT) -> list[str]:
        """The quick part of the data check, so that faults show before long work: annotations, and videos' headers.

        Data that the project draws itself are not checked: they may not be there yet.

        Args:
            splits: names of the splits that are needed.
            assignment: settings of `lost` where instances are learned by assigning them to points; None where they are
                not.

        Returns:
            A sentence for each kind of fault that does not stand in the way.

        Raises:
            MmadError: the first fault that does, with the number of all.
        """
        if self.make is not None:
            return []
        if self.resolution is None:
            assert isinstance(self.source, FeatureSource)
            self.source.check_grid(self.grid)
        found = examine(
            partial(self.make_source, self.root), grid=self.grid, splits=splits, needed=splits, assignment=assignment
        )
        if blocking := [fault for fault in found.faults if fault.blocks]:
            more = f" ({len(blocking)} faults; mmad-data task=check lists all of them)" if blocking[1:] else ""
            raise MmadError(f"{blocking[0].message}{more}", kind=blocking[0].kind, clip=blocking[0].clip)
        remarks = []
        if found.excluded:
            remarks.append(f"{self.root / EXCLUSIONS} leaves out {len(found.excluded)} clips")
        for kind, group in itertools.groupby(found.faults, key=lambda fault: fault.kind):
            first, *others = group
            title = f"{KINDS[kind].title} ({len(others) + 1}), the first: " if others else ""
            remarks.append(f"{title}{first.message}")
        return remarks

    def check_training(self, *, assignment: Mapping[str, Any] | None = ASSIGNMENT, evaluated: bool = True) -> list[str]:
        """Checks what a training run needs, ground truth for every decision included.

        Args:
            assignment: as for `check`.
            evaluated: whether the run ends on `evaluate_split`.

        Returns:
            As `check`.

        Raises:
            MmadError: as `check`, or a split has no instance.
        """
        splits = dict.fromkeys(("train", "val", self.evaluate_split) if evaluated else ("train", "val"))
        remarks = self.check(*splits, assignment=assignment)
        if self.make is None:
            for split in splits:
                if not any(clip.instances for clip in self.clips(split)):
                    raise MmadError(
                        f"{self.root}: split {split} has no ground truth (the released test labels are placeholders); "
                        f"use data.evaluate_split=val, or annotate it."
                    )
        return remarks

    def setup(self, stage: str) -> None:
        """Reads the splits of a stage."""
        for split in self._splits(stage):
            self._frames_of(split)
        evaluated = self._splits(stage)[1:] if stage == "fit" else self._splits(stage)
        self.evaluated = [clip for split in evaluated for clip in self.clips(split)]

    def _splits(self, stage: str) -> tuple[str, ...]:
        if stage == "fit":
            return ("train", "val") if self.validates else ("train",)
        return ("val",) if stage == "validate" else (self.evaluate_split,)

    @property
    def short_side(self) -> int:
        """Pixels of the smaller side of decoded frames."""
        assert self.resolution is not None
        return read_side(self.resolution)

    def _frames_of(self, split: str) -> Frames:
        if split not in self._frames and self.resolution is None:
            kept = self.clips(split) if self.cache == "memory" else ()
            self._frames[split] = FeatureFrames(self.grid, kept=kept, title=f"features {split}")
        elif split not in self._frames:
            source = FileFrames(self.grid, short_side=self.short_side)
            threads = min(os.cpu_count() or 1, 8)
            if self.cache is None:
                self._frames[split] = source
            elif self.cache == "memory":
                self._frames[split] = MemoryFrames(source, self.clips(split), threads=threads, title=f"decode {split}")
            else:
                folder = Path(self.cache).expanduser()
                self._frames[split] = DiskFrames(
                    source, self.clips(split), folder, threads=threads, title=f"decode {split}"
                )
        return self._frames[split]

    def _rank(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "ranks": 1}
        return {"rank": self.trainer.global_rank, "ranks": self.trainer.world_size}

    def train_dataloader(self) -> DataLoader[Item]:
        """Random pieces in batches of like length."""
        clips = self.taught
        dataset = TrainingClips(
            clips,
            grid=self.grid,
            frames=self._frames_of("train"),
            transform=self._controlled(self.augment),
            seed=self.seed,
        )
        lengths = [self.grid.decoded(clip.frames) for clip in clips]
        threshold = self.repeat_threshold
        factors = None if threshold is None else repeat_factors(clips, threshold=threshold)
        if self.seconds_per_piece is not None:
            seconds = torch.tensor([clip.duration for clip in clips], dtype=torch.float64)
            pieces = (seconds / self.seconds_per_piece).clamp(min=1)
            factors = pieces if factors is None else factors * pieces
        sampler = LengthBatches(lengths, batch_size=self.batch_size, seed=self.seed, factors=factors, **self._rank())
        # Workers of a resumed run ask for keys before Lightning tells the sampler its epoch.
        sampler.set_epoch(self._next_epoch)
        sampler.skip(epoch=self._next_epoch, batches=self._next_batch)
        return DataLoader(dataset, batch_sampler=sampler, **self._loading)

    def val_dataloader(self) -> DataLoader[Item] | list[DataLoader[Item]]:
        """Covering windows of the val clips."""
        return self._evaluation("val") if self.validates else []

    def test_dataloader(self) -> DataLoader[Item]:
        """Covering windows of the evaluated split's clips."""
        return self._evaluation(self.evaluate_split)

    def sample(self, split: str, count: int) -> Batch:
        """A batch of so many windows, or all if there are fewer, at equal distances among those that cover a split."""
        windows = self._evaluation(split).dataset
        assert isinstance(windows, EvaluationWindows)
        chosen = torch.linspace(0, len(windows) - 1, min(count, len(windows))).round().long().tolist()
        return collate([windows[index] for index in chosen], grid=self.grid)

    def _evaluation(self, split: str) -> DataLoader[Item]:
        dataset = EvaluationWindows(
            self.clips(split),
            grid=self.grid,
            frames=self._frames_of(split),
            transform=self._controlled(nn.Identity() if self.resolution is None else CoverCrop(self.resolution)),
            **self._rank(),
        )
        return DataLoader(dataset, batch_size=self.batch_size, **self._loading)

    def _controlled(self, transform: Transform) -> Transform:
        return Compose([StillChunks(), transform]) if self.control == "still" else transform

    @property
    def _loading(self) -> dict[str, Any]:
        return {
            "collate_fn": partial(collate, grid=self.grid),
            "num_workers": self.workers,
            "worker_init_fn": outlast_signals,
            "persistent_workers": self.workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }


def outlast_signals(_: int) -> None:
    """Leaves it to the process that trains what becomes of a signal to all: a decoding one that dies would end it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
