from pathlib import Path

import numpy as np
import pytest
import torch

from mmad.annotations import Clip, Instance
from mmad.plots.timeline import Strip, plot_timelines, same_class_tiou
from mmad.segments import Segments, empty_segments
from mmad.taxonomy import MMA52


def found(*rows: tuple[float, float, int, float]) -> Segments:
    return {
        "segments": torch.tensor([row[:2] for row in rows]),
        "labels": torch.tensor([row[2] for row in rows]),
        "scores": torch.tensor([row[3] for row in rows]),
    }


def test_colour_is_the_best_tiou_with_the_same_class() -> None:
    truth = found((0.0, 2.0, 3, 1.0), (1.0, 3.0, 3, 1.0), (0.0, 2.0, 5, 1.0))
    tiou = same_class_tiou(found((0.0, 1.0, 3, 0.9), (1.0, 3.0, 3, 0.8), (0.0, 2.0, 7, 0.7)), truth)
    assert tiou[:2].tolist() == pytest.approx([0.5, 1.0])
    assert torch.isnan(tiou[2])


def test_without_ground_truth_there_is_no_tiou() -> None:
    assert torch.isnan(same_class_tiou(found((0.0, 1.0, 3, 0.9)), empty_segments())).all()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_is_drawn_for_any_clip(tmp_path: Path, suffix: str) -> None:
    """With and without ground truth, and with no, few and more predictions than are shown."""
    frames = np.zeros((6, 20, 16, 3), dtype=np.uint8)
    clip = Clip("a", Path("a.mp4"), None, 30.0, 300, (Instance(1.0, 2.0, 8), Instance(1.5, 9.0, 24)))
    bare = Clip("b", Path("b.mp4"), None, 30.0, 300, ())
    many = found(*[(i * 0.5, i * 0.5 + 1, i % 52, 1 / (i + 1)) for i in range(15)])
    strips = [Strip(clip, many, frames), Strip(bare, found((0.0, 1.0, 3, 0.9)), frames)]
    strips += [Strip(clip, empty_segments(scored=True), frames), Strip(bare, empty_segments(scored=True), frames)]
    path = plot_timelines(tmp_path / f"timeline.{suffix}", strips, taxonomy=MMA52)
    assert path.stat().st_size > 5_000
    if suffix == "svg":
        assert "clip" in path.read_text()
