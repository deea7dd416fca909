"""A detector: a backbone that turns video into features and a head that turns features into segments."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mmad.segments import Segments
from mmad.timebase import Timebase

NMS = Callable[[Segments], Segments]


class Detector(nn.Module):
    """Composes a backbone and a head; works without Lightning or Hydra.

    Args:
        backbone: `forward(inputs, mask_BT) -> feats_BCT`.
        head: `forward(feats_BCT, mask_BT) -> outputs`, `loss(outputs, targets)`, `decode(outputs)`.
        nms: removes repeated detections of one clip, in seconds.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, *, nms: NMS) -> None:
        super().__init__()
        self.backbone, self.head, self.nms = backbone, head, nms

    def forward(self, inputs: Tensor, mask_BT: Tensor) -> Any:
        """The head's outputs for B padded windows.

        Args:
            inputs: what the backbone takes: (B, 3, F, H, W) RGB 0..255, uint8 or float; or features (B, C, T).
            mask_BT: (B, T) bool, valid feature steps.
        """
        return self.head(self.backbone(inputs, mask_BT), mask_BT)

    def loss(self, outputs: Any, targets: list[Segments]) -> dict[str, Tensor]:
        """The head's weighted losses by name; targets are in feature steps."""
        return self.head.loss(outputs, targets)  # type: ignore[operator]

    def proposals(self, outputs: Any, timebases: Sequence[Timebase]) -> list[Segments]:
        """Scored segments of each window in seconds of its clip, before NMS; on the CPU."""
        return [
            {
                "segments": timebase.seconds(found["segments"]).cpu(),
                "labels": found["labels"].cpu(),
                "scores": found["scores"].cpu(),
            }
            for found, timebase in zip(self.head.decode(outputs), timebases, strict=True)  # type: ignore[operator]
        ]

    def detections(
        self, windows: Sequence[Segments], *, extents: Sequence[tuple[float, float]], duration: float
    ) -> Segments:
        """Joins the proposals of all windows of one clip and removes repeated ones.

        Where windows overlap, each decides on the detections whose middle is nearer to its own, among the proposals of
        all windows that it shares time with: so an hour costs no more than its windows do one by one, and what NMS
        keeps of a clip at most it keeps of a window.

        Args:
            windows: proposals of each window in order of time, in seconds.
            extents: start and end of each window in seconds.
            duration: length of the clip in seconds; segments are cut to it.

        Returns:
            Detections in seconds, best score first.
        """
        ends = [-torch.inf, *((first[1] + then[0]) / 2 for first, then in pairwise(extents)), torch.inf]
        found = []
        for (start, end), least, most in zip(extents, ends, ends[1:], strict=False):
            near = [window for window, (s, e) in zip(windows, extents, strict=True) if s < end and start < e]
            kept = self.nms(_joined(near, duration=duration))
            middle = kept["segments"].mean(dim=1)
            found.append(_taken(kept, (least <= middle) & (middle < most)))
        if len(found) == 1:
            return found[0]
        every = _joined(found, duration=duration)
        return _taken(every, every["scores"].argsort(descending=True, stable=True))


def _joined(windows: Sequence[Segments], *, duration: float) -> Segments:
    """The segments of several windows, cut to the clip; what is empty then is left out."""
    segments = torch.cat([window["segments"] for window in windows]).clamp(0, duration)
    joined: Segments = {
        "segments": segments,
        "labels": torch.cat([window["labels"] for window in windows]),
        "scores": torch.cat([window["scores"] for window in windows]),
    }
    return _taken(joined, segments[:, 1] > segments[:, 0])


def _taken(found: Segments, index: Tensor) -> Segments:
    return {
        "segments": found["segments"][index],
        "labels": found["labels"][index],
        "scores": found["scores"][index],
    }
