"""Extraction of features: what a frozen backbone makes of every snippet of every clip, one file per clip."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from mmad.annotations import Clip
from mmad.data.feature_set import difference
from mmad.data.features import FeatureHeader, feature_path, read_header, video_digest, write_features
from mmad.data.snippets import Piece, SnippetPieces, Snippets
from mmad.data.sources.source import SPLITS
from mmad.data.transforms import CoverCrop
from mmad.errors import MmadError
from mmad.lit.datamodule import ClipDataModule, outlast_signals


class SnippetData(L.LightningDataModule):
    """The snippets of all clips of a data set whose features are not there yet, dealt to ranks by clip.

    Args:
        data: the clips, as training reads them.
        folder: of the feature files.
        snippets: which frames a feature sees.
        size: snippets per step.
        settings: what decides the features of a video; see `FeatureHeader`.

    Raises:
        MmadError: at its set-up, if the folder holds features that were made otherwise.
    """

    def __init__(
        self,
        data: ClipDataModule,
        *,
        folder: Path,
        snippets: Snippets,
        size: int,
        settings: Mapping[str, Any],
    ) -> None:
        super().__init__()
        # Of an extraction that goes on, one rank may have nothing left.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise MmadError(f"batch_size={size}: give a number of snippets, such as 32.")
        self.data, self.folder, self.snippets, self.size, self.settings = data, folder, snippets, size, settings
        self.clips: dict[str, list[Clip]] = {}
        self.left: list[Clip] = []

    def prepare_data(self) -> None:
        """Draws the clips if the project draws them itself; runs once per machine."""
        self.data.prepare_data()

    def setup(self, stage: str) -> None:
        """Reads all splits, and finds the clips of this rank that are left."""
        source = self.data.source
        found = {source.split_of[clip] for clip in source.annotations.clips}
        self.clips = {split: self.data.clips(split) for split in sorted(found, key=_usual_order)}
        assert self.trainer is not None
        # By place, whatever is done already: ranks look at different moments, and none may count on another's.
        every = [clip for part in self.clips.values() for clip in part]
        mine = every[self.trainer.global_rank :: self.trainer.world_size]
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            looked = tqdm(pool.map(self._is_there, mine), total=len(mine), desc="look", unit="clip", leave=False)
            there = list(looked)
        self.left = [clip for clip, done in zip(mine, there, strict=True) if not done]

    def predict_dataloader(self) -> DataLoader[Piece]:
        """The pieces of the clips that are left, in order."""
        assert self.data.resolution is not None
        pieces = SnippetPieces(
            self.left,
            snippets=self.snippets,
            size=self.size,
            short_side=self.data.short_side,
            transform=CoverCrop(self.data.resolution),
            manifest=self.data.source.manifest,
        )
        return DataLoader(
            pieces,
            batch_size=None,
            num_workers=self.data.workers,
            worker_init_fn=outlast_signals,
            pin_memory=torch.cuda.is_available(),
        )

    def _is_there(self, clip: Clip) -> bool:
        """Whether the folder holds the features of a clip.

        Raises:
            MmadError: it holds others under its name.
        """
        path = feature_path(self.folder, clip.id)
        if not path.exists():
            return False
        known = read_header(path)
        wanted = {
            "clip": clip.id,
            "fps": clip.fps,
            "frames": clip.frames,
            **self.settings,
            "video": video_digest(clip.path, self.data.source.manifest),
        }
        found = {"clip": known.clip, "fps": known.fps, "frames": known.frames, **known.settings, "video": known.sha256}
        if told := difference(found, wanted):
            raise MmadError(
                f"{path} was made otherwise ({told}), and features of two kinds are never mixed; choose another "
                f"output=..., or delete that folder"
            )
        return True


def _usual_order(split: str) -> tuple[int, str]:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS), split


class ExtractionModule(L.LightningModule):
    """Writes the features of clips: of each snippet, the mean of the backbone's output over its time steps.

    Args:
        backbone: `forward(video_BCFHW) -> feats_BCT`.
        name: by which the backbone was chosen.
        versions: of the libraries, for the files.
    """

    def __init__(self, backbone: nn.Module, *, name: str, versions: Mapping[str, str]) -> None:
        super().__init__()
        self.backbone, self.name, self.versions = backbone, name, versions
        self.faults: dict[str, str] = {}
        self._pending: list[Tensor] = []
        self._sha256 = ""

    def predict_step(self, piece: Piece, batch_index: int) -> None:
        """Computes the features of a piece; once the last one of a clip is through, writes its file."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        clip: Clip = data.left[piece["clip"]]
        if piece["first"]:
            self._pending, self._sha256 = [], piece["sha256"]
        if piece["fault"] is not None:
            self.faults.setdefault(clip.id, piece["fault"])
        if clip.id in self.faults:
            return
        snippets_NCSHW = piece["frames_FCHW"][piece["shown_NS"]].transpose(1, 2)
        feats_NC = self.backbone(snippets_NCSHW).mean(-1)
        self._pending.append(feats_NC.float().cpu())
        if piece["last"]:
            self._write(clip, torch.cat(self._pending), data)

    def _write(self, clip: Clip, feats_TC: Tensor, data: SnippetData) -> None:
        if not feats_TC.isfinite().all():
            self.faults[clip.id] = (
                f"{clip.path}: its features are not finite; use trainer.precision=32-true or bf16-mixed"
            )
            return
        steps, channels = feats_TC.shape
        header = FeatureHeader(
            clip=clip.id,
            sha256=self._sha256,
            fps=clip.fps,
            frames=clip.frames,
            stride=data.snippets.stride,
            offset=data.snippets.offset,
            settings=data.settings,
            backbone=self.name,
            versions=self.versions,
            steps=steps,
            channels=channels,
        )
        write_features(feature_path(data.folder, clip.id), feats_TC, header)
