"""The data module: annotated clips of three splits, dealt to ranks in batches."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import Compose
from tqdm.auto import tqdm

from mmad.annotations import Clip
from mmad.data.cache import FileFrames, Frames, MemoryFrames
from mmad.data.clips import EvaluationWindows, Item, TrainingClips, Transform, collate, shuffle_labels
from mmad.data.grid import Grid
from mmad.data.sampler import LengthBatches
from mmad.data.sources import Source, video_info
from mmad.data.transforms import CoverCrop, Size, StillChunks, height_width
from mmad.errors import MmadError
from mmad.taxonomy import Taxonomy

# Clips are decoded a little larger than the model's input, so that random crops are not blown up; OpenTAD decodes at a
# short side of 182 for 160.
READ_MARGIN = 182 / 160


class ClipDataModule(L.LightningDataModule):
    """Annotated clips of a data set.

    Args:
        root: folder of the data set.
        source: called with the root, gives its classes and clips; see `mmad.data.sources`.
        make: called with the root before first use, for data that the project draws itself.
        grid: which frames are decoded and how they make feature steps.
        augment: transform of a training clip, (F, 3, H, W) uint8 to (F, 3, height, width) uint8.
        resolution: pixels of the model's input, one number or (height, width).
        batch_size: windows per process.
        workers: decoding processes per process.
        cache: keep all decoded frames in memory.
        evaluate_split: split of `test` runs.
        seed: of order and augmentation.
        control: None, or what a detector must be better than: "still" shows one frame per chunk, so that nothing moves;
            "shuffled" deals the training labels out anew among all training instances.

    Raises:
        MmadError: the root, an annotation file or a video is absent or faulty.
    """

    def __init__(
        self,
        root: str,
        *,
        source: Callable[[Path], Source],
        make: Callable[[Path], object] | None,
        grid: Grid,
        augment: Transform,
        resolution: Size,
        batch_size: int,
        workers: int,
        cache: bool,
        evaluate_split: str,
        seed: int,
        control: str | None = None,
    ) -> None:
        super().__init__()
        self.root, self.make, self.grid, self.augment = Path(root).expanduser(), make, grid, augment
        self.resolution = height_width(resolution)
        self.batch_size, self.workers, self.cache, self.seed = batch_size, workers, cache, seed
        self.make_source, self.evaluate_split, self.control = source, evaluate_split, control
        if control not in (None, "still", "shuffled"):
            raise MmadError(f"data.control={control}: choose null, still or shuffled.")
        self.evaluated: Sequence[Clip] = ()
        self._frames: dict[str, Frames] = {}
        self._clips: dict[str, list[Clip]] = {}
        self._next_epoch = 0

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint at the end of an epoch must know of the data: the epoch to go on with."""
        return {"next_epoch": self.trainer.current_epoch + 1 if self.trainer is not None else 0}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Takes up the epoch of a checkpoint."""
        self._next_epoch = state_dict["next_epoch"]

    def prepare_data(self) -> None:
        """Draws the clips if the root is one that the project fills itself; runs once per machine."""
        if self.make is not None:
            self.make(self.root)

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

    def check(self, *splits: str) -> None:
        """Reads the annotations and opens the videos of these splits, so that faults show before long work.

        Data that the project draws itself are not checked: they may not be there yet.

        Raises:
            MmadError: a fault, with the number of unreadable videos where it is one of those.
        """
        if self.make is not None:
            return
        clips = [clip for split in dict.fromkeys(splits) for clip in self.clips(split)]
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            faults = list(tqdm(pool.map(_fault, clips), total=len(clips), desc="check", unit="clip", leave=False))
        if found := [fault for fault in faults if fault]:
            raise MmadError(found[0] + (f" ({len(found)} of {len(clips)} videos cannot be read.)" if found[1:] else ""))
        strange = [clip for clip in clips if abs(video_info(clip.path).frames - clip.frames) > 2]
        if strange:
            first = strange[0]
            warnings.warn(
                f"{len(strange)} of {len(clips)} videos have another number of frames than their annotation says, such "
                f"as {first.path} ({video_info(first.path).frames}, not {first.frames}); where a video was re-encoded "
                f"at another rate, its annotation does not fit.",
                stacklevel=2,
            )

    def check_training(self) -> None:
        """Checks what a training run needs, ground truth for every decision included.

        Raises:
            MmadError: as `check`, or a split has no instance.
        """
        self.check("train", "val", self.evaluate_split)
        if self.make is None:
            for split in ("train", "val", self.evaluate_split):
                if not any(clip.instances for clip in self.clips(split)):
                    raise MmadError(
                        f"{self.root}: split {split} has no ground truth (the released test labels are placeholders); "
                        f"use data.evaluate_split=val, or annotate it."
                    )

    def setup(self, stage: str) -> None:
        """Reads the splits of a stage."""
        for split in ("train", "val") if stage == "fit" else (self.evaluate_split,):
            self._frames_of(split)
        self.evaluated = self.clips("val" if stage == "fit" else self.evaluate_split)

    def _frames_of(self, split: str) -> Frames:
        if split not in self._frames:
            source = FileFrames(self.grid, short_side=round(min(self.resolution) * READ_MARGIN))
            if self.cache:
                threads = min(os.cpu_count() or 1, 8)
                self._frames[split] = MemoryFrames(source, self.clips(split), threads=threads, title=f"decode {split}")
            else:
                self._frames[split] = source
        return self._frames[split]

    def _rank(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "ranks": 1}
        return {"rank": self.trainer.global_rank, "ranks": self.trainer.world_size}

    def train_dataloader(self) -> DataLoader[Item]:
        """Random pieces in batches of like length."""
        clips = self.clips("train")
        if self.control == "shuffled":
            clips = shuffle_labels(clips, seed=self.seed)
        dataset = TrainingClips(
            clips,
            grid=self.grid,
            frames=self._frames_of("train"),
            transform=self._controlled(self.augment),
            seed=self.seed,
        )
        lengths = [self.grid.decoded(clip.frames) for clip in clips]
        sampler = LengthBatches(lengths, batch_size=self.batch_size, seed=self.seed, **self._rank())
        # Workers of a resumed run ask for keys before Lightning tells the sampler its epoch.
        sampler.set_epoch(self._next_epoch)
        return DataLoader(dataset, batch_sampler=sampler, **self._loading)

    def val_dataloader(self) -> DataLoader[Item]:
        """Covering windows of the val clips."""
        return self._evaluation("val")

    def test_dataloader(self) -> DataLoader[Item]:
        """Covering windows of the evaluated split's clips."""
        return self._evaluation(self.evaluate_split)

    def _evaluation(self, split: str) -> DataLoader[Item]:
        dataset = EvaluationWindows(
            self.clips(split),
            grid=self.grid,
            frames=self._frames_of(split),
            transform=self._controlled(CoverCrop(self.resolution)),
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
            "persistent_workers": self.workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }


def _fault(clip: Clip) -> str | None:
    try:
        video_info(clip.path)
    except MmadError as error:
        return str(error)
    return None
