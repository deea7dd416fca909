"""What a detector finds in one video, to be printed, tabulated and drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mmad.segments import Segments
from mmad.taxonomy import Taxonomy

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

PRINTED = 20
"""Detections that the text of a result names."""


class Detection(NamedTuple):
    """One micro-action: start and end in seconds of the video, action, its body group, and score in [0, 1]."""

    start: float
    end: float
    action: str
    body: str
    score: float


@dataclass(frozen=True, eq=False)
class Detections(Sequence[Detection]):
    """The micro-actions of one video, in order of time: those whose score reaches the threshold of their class.

    Args:
        video: the file.
        duration: its length in seconds.
        found: everything that NMS keeps, in seconds, best score first.
        taxonomy: the K classes.
        thresholds: K scores from which on a detection is shown.
        frames: (n, H, W, 3) uint8 pictures at equal distances over the video.
    """

    video: Path
    duration: float
    found: Segments = field(repr=False)
    taxonomy: Taxonomy = field(repr=False)
    thresholds: tuple[float, ...] = field(repr=False)
    frames: np.ndarray = field(repr=False)

    def at(self, score: float) -> "Detections":
        """The same with one threshold for all classes; `at(0)` shows everything."""
        return replace(self, thresholds=(score,) * len(self.thresholds))

    @cached_property
    def shown(self) -> Segments:
        """What reaches the thresholds, by start."""
        least_Q = torch.tensor(self.thresholds, dtype=torch.float64)[self.found["labels"]]
        shown = torch.nonzero(self.found["scores"].double() >= least_Q)[:, 0]
        shown = shown[self.found["segments"][shown, 0].argsort(stable=True)]
        return {
            "segments": self.found["segments"][shown],
            "labels": self.found["labels"][shown],
            "scores": self.found["scores"][shown],
        }

    @cached_property
    def _rows(self) -> tuple[Detection, ...]:
        names, bodies, body_of = self.taxonomy.actions, self.taxonomy.bodies, self.taxonomy.body_of
        return tuple(
            Detection(start, end, names[label], bodies[body_of[label]], score)
            for (start, end), label, score in zip(
                self.shown["segments"].tolist(),
                self.shown["labels"].tolist(),
                self.shown["scores"].tolist(),
                strict=True,
            )
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __iter__(self) -> Iterator[Detection]:
        return iter(self._rows)

    def __str__(self) -> str:
        head = f"{self.video.name}: {len(self)} of {len(self.found['labels'])} detections in {self.duration:.1f} s"
        width = max((len(row.action) for row in self._rows[:PRINTED]), default=0)
        lines = [
            f"{row.start:9.2f} to {row.end:8.2f} s  {row.action:<{width}}  {row.score:.2f}"
            for row in self._rows[:PRINTED]
        ]
        more = [f"... and {len(self) - PRINTED} more"] if len(self) > PRINTED else []
        return "\n".join([head, *lines, *more])

    __repr__ = __str__

    def to_pandas(self) -> "DataFrame":
        """A row for each detection, as `Detection`; needs pandas."""
        from pandas import DataFrame

        return DataFrame(list(self), columns=list(Detection._fields))

    def plot(self) -> "Figure":
        """Pictures of the video above a lane for each class found; see `mmad.plots.lanes`."""
        from mmad.plots.lanes import draw_lanes

        return draw_lanes(
            self.shown, taxonomy=self.taxonomy, duration=self.duration, frames=self.frames, title=self.video.name
        )
