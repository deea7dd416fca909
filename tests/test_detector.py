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
    found = detector.detections(windows, extents=[(0.0, 5.0), (0.0, 5.0)], duration=5.0)
    assert found["segments"].tolist() == [[0.0, 2.0], [4.0, 5.0], [0.0, 2.0]]  # the last lies beyond the end
    assert found["scores"].tolist() == pytest.approx([0.9, 0.5, 0.8 * torch.exp(torch.tensor(-2.0)).item()], rel=1e-4)


def test_a_long_clip_gets_what_nms_over_all_of_it_would_keep(detector: Detector) -> None:
    torch.manual_seed(0)
    # Windows of 8 s every 4 s; actions of up to 1.5 s, 5 s apart, proposed several times by each window that sees them.
    extents = [(4.0 * i, 4.0 * i + 8.0) for i in range(20)]
    middles = torch.arange(2.0, 80.0, 5.0)
    windows: list[Segments] = []
    for start, end in extents:
        seen = middles[(middles > start) & (middles < end)].repeat_interleave(4)
        middle = seen + torch.rand(len(seen)) * 0.2
        half = 0.3 + torch.rand(len(seen)) * 0.45
        windows.append(
            {
                "segments": torch.stack([middle - half, middle + half], dim=1),
                "labels": torch.randint(0, 2, (len(seen),)),
                "scores": torch.rand(len(seen)),
            }
        )
    every: Segments = {
        "segments": torch.cat([window["segments"] for window in windows]),
        "labels": torch.cat([window["labels"] for window in windows]),
        "scores": torch.cat([window["scores"] for window in windows]),
    }
    detector.nms = partial(soft_nms, max_per_class=1000, max_per_clip=1000)
    expected, found = detector.nms(every), detector.detections(windows, extents=extents, duration=100.0)
    assert len(found["scores"]) == len(expected["scores"]) > 100
    for name in ("segments", "labels", "scores"):
        torch.testing.assert_close(found[name], expected[name])  # type: ignore[literal-required]


def test_a_window_of_a_long_clip_keeps_as_many_as_a_short_clip(detector: Detector) -> None:
    extents = [(4.0 * i, 4.0 * i + 8.0) for i in range(10)]
    windows: list[Segments] = [
        {
            "segments": torch.arange(start, end, 0.5)[:, None] + torch.tensor([0.0, 0.4]),
            "labels": torch.ones(16, dtype=torch.long),
            "scores": torch.linspace(0.9, 0.5, 16),
        }
        for start, end in extents
    ]
    short = detector.detections(windows[:1], extents=extents[:1], duration=8.0)
    found = detector.detections(windows, extents=extents, duration=44.0)
    assert len(short["scores"]) == 10  # the fixture's NMS keeps no more
    assert len(found["scores"]) > 30
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)
    assert len({tuple(segment) for segment in found["segments"].tolist()}) == len(found["scores"])
