"""Counts of classes, and repeat factors against plain loops."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.annotations import Clip, Instance
from mmad.data.balance import class_counts, repeat_factors
from mmad.data.clips import TrainingClips, random_window
from mmad.data.grid import Grid
from mmad.data.sources import MMA52Source
from mmad.data.transforms import CoverCrop
from mmad.errors import MmadError
from mmad.lit.datamodule import ClipDataModule

GRID = Grid(16, 4, 2, 2)


def clips_of(*labels: list[int]) -> list[Clip]:
    return [
        Clip(str(n), Path("none.mp4"), None, 30.0, 60, tuple(Instance(0.5, 1.5, label) for label in of_clip))
        for n, of_clip in enumerate(labels)
    ]


def module(root: Path, threshold: float | None) -> ClipDataModule:
    return ClipDataModule(
        str(root),
        source=partial(MMA52Source, fps=None),
        make=None,
        grid=GRID,
        augment=CoverCrop((32, 32)),
        resolution=(32, 32),
        batch_size=3,
        workers=0,
        cache=None,
        evaluate_split="test",
        seed=0,
        repeat_threshold=threshold,
    )


def test_counts_are_of_instances() -> None:
    assert class_counts(clips_of([0, 0, 2], [], [2]), classes=4).tolist() == [2, 0, 2, 0]
    assert class_counts(clips_of([]), classes=2).tolist() == [0, 0]


def test_factors_of_a_small_set_by_hand() -> None:
    """Of four clips one holds class 1: with threshold 1, sqrt(1 / (1/4)); class 0 is in three."""
    found = repeat_factors(clips_of([0], [0, 0, 1], [0], []), threshold=1.0).tolist()
    assert found == pytest.approx([math.sqrt(4 / 3), 2, math.sqrt(4 / 3), 1])


@settings(deadline=None, max_examples=60)
@given(
    labels=st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=12),
    threshold=st.floats(0.01, 1.0),
)
def test_factors_equal_plain_loops(labels: list[list[int]], threshold: float) -> None:
    expected = []
    for mine in labels:
        factor = 1.0
        for label in mine:
            share = sum(label in others for others in labels) / len(labels)
            factor = max(factor, math.sqrt(threshold / share))
        expected.append(factor)
    assert repeat_factors(clips_of(*labels), threshold=threshold).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.5, math.nan, "abc", True])
def test_a_threshold_that_is_no_share_is_refused_before_anything_is_read(threshold: float) -> None:
    with pytest.raises(MmadError, match=r"repeat_threshold=.*share of the clips in \(0, 1\]"):
        repeat_factors(clips_of([0]), threshold=threshold)
    with pytest.raises(MmadError, match=r"repeat_threshold=.*share of the clips in \(0, 1\]"):
        module(Path("nowhere"), threshold)


def test_a_repeat_shows_another_piece_and_the_first_one_the_piece_of_old() -> None:
    clip = Clip("a", Path("none.mp4"), None, 30.0, 600, (Instance(0.0, 20.0, 3),))
    data = TrainingClips(
        [clip, clip],
        grid=GRID,
        frames=lambda clip, *, first, frames: torch.full((frames, 3, 2, 2), first, dtype=torch.int32),
        transform=lambda video: video + torch.randint(1000, ()),
        seed=4,
    )
    items = [data[5, place] for place in (1, 3, 5)]
    assert {item["window"].clip for item in items} == {1}
    assert len({item["inputs"][0, 0, 0, 0].item() for item in items}) == 3
    torch.manual_seed((4 * 1_000_003 + 5) * 1_000_003 + 1)
    window, _ = random_window(clip, 1, grid=GRID)
    video = data.transform(data.frames(clip, first=window.first, frames=window.frames))
    assert items[0]["window"] == window
    assert torch.equal(items[0]["inputs"], video)


def test_the_data_module_repeats_clips_of_rare_classes(drawn: Path) -> None:
    def sampler(threshold: float | None):
        data = module(drawn, threshold)
        return data.train_dataloader().batch_sampler, data.clips("train")

    plain, clips = sampler(None)
    repeating, _ = sampler(0.5)
    assert plain.factors is None
    assert torch.equal(repeating.factors, repeat_factors(clips, threshold=0.5))
    assert len(plain) == 16 // 3 < len(repeating)
