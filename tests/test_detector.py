"""Windows, seconds and NMS, on a backbone and a head whose output is known."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from mmad.detector import Detector
from mmad.nms import soft_nms
from mmad.segments import Segments
from mmad.timebase import Timebase


class OneSegment(nn.Module):
    """A head that always finds steps 2 to 6 of class 1."""

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor) -> int:
        return len(feats_BCT)

    def loss(self, outputs: int, targets: list[Segments]) -> dict[str, Tensor]:
        return {"cls": torch.tensor(1.0)}

    def decode(self, outputs: int) -> list[Segments]:
        one: Segments = {
            "segments": torch.tensor([[2.0, 6.0]]),
            "labels": torch.tensor([1]),
            "scores": torch.tensor([0.9]),
        }
        return [one] * outputs


class Brightness(nn.Module):
    def forward(self, video_BCFHW: Tensor, mask_BT: Tensor) -> Tensor:
        return video_BCFHW.float().mean(dim=(3, 4))


@pytest.fixture
def detector() -> Detector:
    return Detector(Brightness(), OneSegment(), nms=partial(soft_nms, max_per_class=10))


def test_proposals_are_in_seconds_of_the_clip(detector: Detector) -> None:
    outputs = detector(torch.zeros(2, 3, 16, 4, 4), torch.ones(2, 16, dtype=torch.bool))
    first, second = detector.proposals(outputs, [Timebase(30, 4), Timebase(15, 4, offset=60)])
    assert first["segments"].tolist() == [pytest.approx([8 / 30, 24 / 30])]
    assert second["segments"].tolist() == [pytest.approx([68 / 15, 84 / 15])]


def test_windows_are_joined_before_nms_and_cut_to_the_clip(detector: Detector) -> None:
    windows: list[Segments] = [
        {"segments": torch.tensor([[0.0, 2.0]]), "labels": torch.tensor([1]), "scores": torch.tensor([0.9])},
        {
            "segments": torch.tensor([[0.0, 2.0], [4.0, 7.0], [5.5, 6.0]]),
            "labels": torch.tensor([1, 1, 2]),
            "scores": torch.tensor([0.8, 0.5, 0.4]),
        },
    ]
    found = detector.detections(windows, duration=5.0)
    assert found["segments"].tolist() == [[0.0, 2.0], [4.0, 5.0], [0.0, 2.0]]  # the last lies beyond the end
    assert found["scores"].tolist() == pytest.approx([0.9, 0.5, 0.8 * torch.exp(torch.tensor(-2.0)).item()], rel=1e-4)
