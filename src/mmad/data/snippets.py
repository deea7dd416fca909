"""Snippets: short runs of consecutive frames at equal distances in a clip, each of which becomes one feature.

Shape letters: N snippets, F frames that a piece of a clip shows, S frames of a snippet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmad.annotations import Clip
from mmad.data.clips import Transform
from mmad.data.features import video_digest
from mmad.data.manifest import Manifest
from mmad.data.video import read_frames
from mmad.errors import MmadError
from mmad.timebase import CHUNK

ALIGNMENTS = ("centred", "official")


@dataclass(frozen=True)
class Snippets:
    """Which frames the features of a clip see.

    Args:
        stride: raw frames from one snippet to the next.
        align: "centred" lays a snippet around the middle of each `stride` frames and repeats the clip's first and last
            frame beyond its ends; "official" begins with the first frame and takes whole snippets only, as published
            features of VideoMAE V2 do.

    Raises:
        MmadError: there is no such stride or alignment.

    Source: "official" is `extract_tad_feature.py` of OpenGVLab/VideoMAEv2; the offset 2 of OpenTAD's own features of
        stride 4 is that of "centred".
    """

    stride: int
    align: str = "centred"

    def __post_init__(self) -> None:
        if self.align not in ALIGNMENTS:
            raise MmadError(f"snippet.align={self.align}: choose {' or '.join(ALIGNMENTS)}.")
        if isinstance(self.stride, bool) or not isinstance(self.stride, int) or self.stride < 1:
            raise MmadError(f"snippet.stride={self.stride}: give raw frames from one snippet to the next, such as 4.")

    @property
    def offset(self) -> int:
        """Raw frame for which the first feature stands: the middle of the first snippet."""
        return self.stride // 2 if self.align == "centred" else CHUNK // 2

    def count(self, frames: int) -> int:
        """Number of snippets in a clip of so many raw frames; at least one."""
        if self.align == "centred":
            return -(-frames // self.stride)
        return max((frames - CHUNK) // self.stride + 1, 1)

    def frames(self, frames: int) -> np.ndarray:
        """Numbers of the raw frames that each snippet of a clip shows.

        Args:
            frames: raw frames of the clip.

        Returns:
            (N, S) int64, S = 16, rising within a snippet; the last frame stands for all beyond it, the first for all
            before it.

        >>> Snippets(stride=4).frames(40)[[0, 1, -1], ::5].tolist()
        [[0, 0, 4, 9], [0, 3, 8, 13], [30, 35, 39, 39]]
        """
        starts = self.offset - CHUNK // 2 + self.stride * np.arange(self.count(frames), dtype=np.int64)
        return (starts[:, None] + np.arange(CHUNK)).clip(0, frames - 1)


class Piece(TypedDict):
    """Consecutive snippets of one clip.

    Keys:
        clip: place of the clip in the list of clips.
        frames_FCHW: (F, 3, H, W) uint8 RGB, each frame once.
        shown_NS: (N, S) long, the frames of each snippet as places in `frames_FCHW`.
        first, last: whether the clip's first or last snippet is among them.
        sha256: of the video file, told with the first piece.
        fault: why the video cannot be read; None if it can.
    """

    clip: int
    frames_FCHW: Tensor
    shown_NS: Tensor
    first: bool
    last: bool
    sha256: str
    fault: str | None


class SnippetPieces(Dataset[Piece]):
    """All snippets of some clips, in pieces of one clip each, so that a feature depends on its clip alone.

    A long video is never held as a whole. A video that cannot be read gives its fault instead of frames, so that the
    others are not kept waiting for it.

    Args:
        clips: the clips.
        snippets: which frames are shown.
        size: snippets in a piece at most.
        short_side: pixels of the smaller side after decoding.
        transform: of (F, 3, H, W) uint8 frames.
        manifest: what is known of the videos.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        snippets: Snippets,
        size: int,
        short_side: int,
        transform: Transform,
        manifest: Manifest,
    ) -> None:
        self.clips, self.snippets, self.size = clips, snippets, size
        self.short_side, self.transform, self.manifest = short_side, transform, manifest
        self.places = [
            (index, start) for index, clip in enumerate(clips) for start in range(0, snippets.count(clip.frames), size)
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Piece:
        index, start = self.places[number]
        clip = self.clips[index]
        shown = self.snippets.frames(clip.frames)
        wanted, places = np.unique(shown[start : start + self.size], return_inverse=True)
        frames, sha256, fault = torch.zeros(0, dtype=torch.uint8), "", None
        try:
            if start == 0:
                sha256 = video_digest(clip.path, self.manifest)
            frames = self.transform(read_frames(clip.path, wanted / clip.fps, fps=clip.fps, short_side=self.short_side))
        except MmadError as error:
            fault = str(error)
        return {
            "clip": index,
            "frames_FCHW": frames,
            "shown_NS": torch.from_numpy(places.reshape(-1, CHUNK)),
            "first": start == 0,
            "last": start + self.size >= len(shown),
            "sha256": sha256,
            "fault": fault,
        }
