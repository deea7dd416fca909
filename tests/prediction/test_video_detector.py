"""A detector of white light finds a flash where it was drawn, whatever file it lies in."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmad.data.grid import Grid
from mmad.data.transforms import CoverCrop
from mmad.detector import Detector
from mmad.errors import MmadError
from mmad.nms import soft_nms
from mmad.prediction.video_detector import VideoDetector
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy
from numbered import write_pictures

GRID = Grid(window=32, feature_stride=4, frames_per_step=2, levels=3)
RATE = 20.0
STEP = GRID.feature_stride / RATE
LIGHTS = Taxonomy.from_rows((("1", "light", "room"), ("2", "dark", "room")))


class Light(nn.Module):
    """How bright each feature step is, 0 to 1."""

    def forward(self, video_BCFHW: Tensor, mask_BT: Tensor) -> Tensor:
        bright_BF = video_BCFHW.float().mean(dim=(1, 3, 4)) / 255
        return (bright_BF.unflatten(1, (-1, GRID.frames_per_step)).mean(-1) * mask_BT)[:, None]


class Flashes(nn.Module):
    """Every run of bright steps is a flash; the first and the last step count as far as they are bright.

    Of a flash that reaches an edge of the window one cannot be sure: it may be part of a longer one.
    """

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor) -> Tensor:
        return feats_BCT[:, 0]

    def decode(self, outputs: Tensor) -> list[Segments]:
        found = []
        for bright_T in outputs:
            edges = torch.diff((bright_T > 0.25).int(), prepend=torch.zeros(1), append=torch.zeros(1))
            starts, ends = torch.nonzero(edges > 0)[:, 0].tolist(), torch.nonzero(edges < 0)[:, 0].tolist()
            runs = list(zip(starts, ends, strict=True))
            # What a step shows begins where the step does.
            segments = [
                (first + 1 - float(bright_T[first]), last - 1 + float(bright_T[last - 1])) for first, last in runs
            ]
            found.append(
                {
                    "segments": torch.tensor(segments).reshape(-1, 2),
                    "labels": torch.zeros(len(segments), dtype=torch.long),
                    "scores": torch.tensor(
                        [0.9 if first > 0 and last < len(bright_T) else 0.3 for first, last in runs]
                    ),
                }
            )
        return found  # type: ignore[return-value]


@pytest.fixture
def detector() -> VideoDetector:
    return VideoDetector(
        Detector(Light(), Flashes(), nms=partial(soft_nms, max_per_class=10)),
        taxonomy=LIGHTS,
        grid=GRID,
        rates=(RATE, RATE),
        short_side=18,
        transform=CoverCrop(16),
        thresholds=[0.5, 0.5],
    )


def film(
    times: np.ndarray, flashes: list[tuple[float, float]], size: tuple[int, int] = (48, 64)
) -> Iterator[np.ndarray]:
    """Pictures at these times: white during a flash, else black."""
    for time in times:
        light = any(start <= time < end for start, end in flashes)
        yield np.full((*size, 3), 255 if light else 0, np.uint8)


def check(found: list[tuple[float, float]], flashes: list[tuple[float, float]]) -> None:
    assert len(found) == len(flashes)
    np.testing.assert_allclose(found, flashes, atol=STEP / 2)


FILES: dict[str, dict[str, Any]] = {
    "h264 in mp4": {"name": "a.mp4", "codec": "libx264", "fps": 20},
    "hevc in mov": {"name": "a.mov", "codec": "libx265", "fps": 25, "options": {"x265-params": "log-level=none"}},
    "vp9 in webm": {"name": "a.webm", "codec": "libvpx-vp9", "fps": 30},
    "mpeg4 in avi": {"name": "a.avi", "codec": "mpeg4", "fps": 50},
    "ffv1 in mkv": {"name": "a.mkv", "codec": "ffv1", "fps": 12},
    "mpeg2 in ts": {"name": "a.ts", "codec": "mpeg2video", "fps": 25},
    "rotated": {"name": "turned.mp4", "codec": "libx264", "fps": 60, "turn": 90},
}


@pytest.mark.parametrize("kind", FILES)
def test_a_flash_is_found_where_it_was_drawn(kind: str, detector: VideoDetector, tmp_path: Path) -> None:
    told = dict(FILES[kind])
    flashes = [(0.9, 1.62), (3.13, 5.4)]
    times = (np.arange(round(7 * told["fps"])) + 0.5) / told["fps"]
    path = write_pictures(tmp_path / told.pop("name"), film(times, flashes), **told)
    found = detector(path)
    check([(row.start, row.end) for row in found], flashes)
    assert found.duration == pytest.approx(7.0, abs=0.1)
    assert len(found.frames) == 12


def test_a_variable_rate_keeps_the_clock(detector: VideoDetector, tmp_path: Path) -> None:
    ticks = np.concatenate([np.arange(0, 2000, 20), np.arange(2000, 5000, 60), np.arange(5000, 8000, 33)])
    flashes = [(0.9, 1.62), (3.13, 5.4)]
    path = write_pictures(tmp_path / "a.mp4", film(ticks / 1000 + 0.01, flashes), ticks=ticks.tolist())
    check([(row.start, row.end) for row in detector(path)], flashes)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_long_video_is_seen_through_windows(batch_size: int, detector: VideoDetector, tmp_path: Path) -> None:
    flashes = [(start + 0.3, start + 0.3 + 0.1 * (start % 19) + 0.4) for start in range(0, 117, 3)]
    times = (np.arange(2400) + 0.5) / 20
    path = write_pictures(tmp_path / "long.mp4", film(times, flashes, (16, 16)), fps=20)
    detector.batch_size = batch_size
    told: list[float] = []
    found = detector(path, progress=told.append)
    check([(row.start, row.end) for row in found], flashes)
    assert told == sorted(told)
    assert told[-1] == found.duration == 120.0
    assert len(told) > 30 / batch_size


def test_what_is_shown_and_how(detector: VideoDetector, tmp_path: Path) -> None:
    path = write_pictures(tmp_path / "clip.mp4", film((np.arange(60) + 0.5) / 20, [(0.5, 1.5)]), fps=20)
    found = detector(path)
    (row,) = found
    assert (row.action, row.body) == ("light", "room")
    assert found[0] == row
    assert str(found).splitlines() == ["clip.mp4: 1 of 1 detections in 3.0 s", "     0.50 to     1.50 s  light  0.90"]
    assert repr(found) == str(found)
    table = found.to_pandas()
    assert list(table.columns) == ["start", "end", "action", "body", "score"]
    assert table.score.tolist() == pytest.approx([0.9])
    assert len(found.at(0.95)) == 0
    assert len(found.at(0.95).to_pandas()) == 0
    assert len(found.at(0.95).at(0.0)) == 1
    lanes = found.plot().axes[1]
    assert [label.get_text() for label in lanes.get_yticklabels()] == ["1 light"]
    assert lanes.patches[0].get_width() == pytest.approx(1.0, abs=STEP / 2)


def test_a_missing_video_is_one_sentence(detector: VideoDetector) -> None:
    with pytest.raises(MmadError, match=r"absent.mp4: there is no such video file"):
        detector("absent.mp4")


def test_scores_that_are_no_numbers_are_refused(
    detector: VideoDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pictures(tmp_path / "clip.mp4", film((np.arange(60) + 0.5) / 20, [(0.5, 1.5)]), fps=20)
    decode = detector.detector.head.decode

    def broken(outputs: Tensor) -> list[Segments]:
        return [{**each, "scores": each["scores"] * torch.nan} for each in decode(outputs)]  # type: ignore[operator]

    monkeypatch.setattr(detector.detector.head, "decode", broken)
    with pytest.raises(MmadError, match="not finite"):
        detector(path)
