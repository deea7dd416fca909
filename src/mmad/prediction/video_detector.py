"""A trained detector with all that it takes to run on a video file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from mmad.data.clips import Item, Transform, collate
from mmad.data.grid import Grid
from mmad.data.header import of_no_data_set
from mmad.data.stream import ahead, stream, windows_of
from mmad.detector import Detector
from mmad.errors import MmadError
from mmad.prediction.detections import Detections
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy

PICTURES = 12
"""Frames of a video that its result keeps to be shown."""


class VideoDetector:
    """Finds the micro-actions in a video file of any length, frame rate and size.

    A long video is seen through the overlapping windows that evaluation uses; never more than two batches of them are
    in memory.

    Args:
        detector: is set to evaluation and moved to the device.
        taxonomy: its K classes.
        grid: which frames a window shows.
        rates: lowest and highest frames per second of the clips it was trained on, see `mmad.data.stream.windows_of`.
        short_side: pixels of the smaller side after decoding.
        transform: of (F, 3, H, W) uint8 frames.
        thresholds: K scores from which on a detection is shown.
        device: that it runs on.
        precision: context in which the model runs.
        batch_size: windows that the model sees at once.

    >>> from mmad import load_detector  # doctest: +SKIP
    >>> detector = load_detector("runs/train/RUN/checkpoints/best.ckpt")  # doctest: +SKIP
    >>> detector("clip.mp4")  # doctest: +SKIP
    clip.mp4: 2 of 200 detections in 9.5 s
         0.72 to     2.31 s  nodding            0.81
         4.05 to     9.44 s  shaking legs       0.67
    """

    def __init__(
        self,
        detector: Detector,
        *,
        taxonomy: Taxonomy,
        grid: Grid,
        rates: tuple[float, float],
        short_side: int,
        transform: Transform,
        thresholds: Sequence[float],
        device: torch.device | str = "cpu",
        precision: Callable[[], AbstractContextManager] = nullcontext,
        batch_size: int = 1,
    ) -> None:
        self.device = torch.device(device)
        self.detector = detector.eval().to(self.device)
        self.taxonomy, self.grid, self.rates, self.thresholds = taxonomy, grid, rates, tuple(thresholds)
        self.short_side, self.transform = short_side, transform
        self.precision, self.batch_size = precision, batch_size

    def __call__(self, video: str | Path, *, progress: Callable[[float], object] | None = None) -> Detections:
        """Finds the micro-actions of one video.

        Args:
            video: the file.
            progress: told how many seconds of the video are done.

        Raises:
            MmadError: the file is absent, damaged or no video.
        """
        try:
            return self._detections(Path(video).expanduser(), progress)
        except MmadError as error:
            raise of_no_data_set(error) from None

    def _detections(self, path: Path, progress: Callable[[float], object] | None) -> Detections:
        windows = windows_of(path, grid=self.grid, rates=self.rates)
        duration = windows[0].duration
        total = windows[-1].first + windows[-1].frames
        shown = ((np.arange(PICTURES) + 0.5) / PICTURES * total).astype(int).tolist()
        pictures: list[np.ndarray] = []
        items = stream(path, windows, grid=self.grid, short_side=self.short_side, transform=self.transform)
        proposals: list[Segments] = []
        for batch in _batches(ahead(items), self.batch_size):
            proposals += self._proposals(batch)
            for item in batch:
                window = item["window"]
                while len(pictures) < PICTURES and (place := shown[len(pictures)]) < window.first + window.frames:
                    pictures.append(item["inputs"][place - window.first].permute(1, 2, 0).numpy().copy())
            if progress is not None:
                progress(min(batch[-1]["window"].extent[1], duration))
        found = self.detector.detections(proposals, extents=[window.extent for window in windows], duration=duration)
        return Detections(path, duration, found, self.taxonomy, self.thresholds, np.stack(pictures))

    @torch.inference_mode()
    def _proposals(self, items: list[Item]) -> list[Segments]:
        batch = collate(items, grid=self.grid)
        with self.precision():
            outputs = self.detector(batch["inputs"].to(self.device), batch["mask_BT"].to(self.device))
        found = self.detector.proposals(outputs, [window.timebase for window in batch["windows"]])
        if not all(each["scores"].isfinite().all() for each in found):
            raise MmadError(
                f"the detector's scores are not finite at {batch['windows'][0].extent[0]:.0f} s; use precision "
                f"32-true or bf16-mixed"
            )
        return found


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(islice(items, size)):
        yield batch
