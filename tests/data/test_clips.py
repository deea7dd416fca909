from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.annotations import Clip, Instance
from mmad.data.cache import FileFrames, MemoryFrames
from mmad.data.clips import EvaluationWindows, TrainingClips, collate, cut, random_window
from mmad.data.grid import Grid
from mmad.data.transforms import ChannelGains, CoverCrop
from numbered import shown_numbers

GRID = Grid(16, 4, 2, 2)


@pytest.fixture(scope="module")
def clip(numbered_video: Callable[..., Path]) -> Clip:
    path = numbered_video(frames=120, fps=30)
    return Clip("a", path, None, 30.0, 120, (Instance(0.5, 1.5, 3), Instance(2.0, 3.9, 7)))


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_a_random_window_keeps_what_it_mostly_shows(seed: int) -> None:
    """Against a recount in raw frames."""
    clip = Clip("a", Path("none.mp4"), None, 30.0, 300, (Instance(1.0, 2.0, 1), Instance(4.0, 9.5, 2)))
    torch.manual_seed(seed)
    window, targets = random_window(clip, 0, grid=GRID)
    first, last = window.offset, window.offset + window.steps * 4
    kept = []
    for instance in clip.instances:
        start, end = instance.start * 30, instance.end * 30
        shown = min(end, last) - max(start, first)
        if shown / (end - start) >= 0.75:
            kept.append(((max(start, first) - first) / 4, (min(end, last) - first) / 4, instance.label))
    assert targets["labels"].tolist() == [label for *_, label in kept]
    assert targets["segments"].flatten().tolist() == pytest.approx([edge for *edges, _ in kept for edge in edges])
    assert window.frames <= 32


def test_a_window_far_from_every_instance_is_redrawn() -> None:
    clip = Clip("a", Path("none.mp4"), None, 30.0, 300, (Instance(1.0, 1.5, 1),))
    torch.manual_seed(0)
    assert all(len(random_window(clip, 0, grid=GRID)[1]["labels"]) == 1 for _ in range(20))


def test_a_clip_without_instances_gives_an_empty_target() -> None:
    window, targets = random_window(Clip("a", Path("none.mp4"), None, 30.0, 60, ()), 0, grid=GRID)
    assert targets["segments"].shape == (0, 2)
    assert window.steps > 0


def test_the_frames_of_a_window_are_those_of_its_timebase(clip: Clip) -> None:
    data = EvaluationWindows([clip], grid=GRID, frames=FileFrames(GRID, short_side=120), transform=lambda video: video)
    for item in data:  # type: ignore[attr-defined]
        window = item["window"]
        assert shown_numbers(item["inputs"]) == [window.offset + 2 * i for i in range(window.frames)]
        if item["window"].offset + 2 * window.frames >= 120:
            break


def test_frames_kept_in_memory_are_those_of_the_file(clip: Clip) -> None:
    source = FileFrames(GRID, short_side=60)
    kept = MemoryFrames(source, [clip], threads=1)
    assert torch.equal(kept(clip, first=7, frames=20), source(clip, first=7, frames=20))


def test_an_item_depends_on_seed_epoch_and_clip_alone(clip: Clip) -> None:
    def items(seed: int) -> TrainingClips:
        frames = FileFrames(GRID, short_side=60)
        return TrainingClips(
            [clip], grid=GRID, frames=frames, transform=ChannelGains(strength=0.3, tint=0.1), seed=seed
        )

    first = items(0)[(2, 0)]
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = items(0)[(2, 0)]
    assert torch.equal(first["inputs"], again["inputs"])
    assert torch.equal(torch.get_rng_state(), before)  # the model's own randomness is untouched
    assert items(0)[(3, 0)]["window"] != first["window"] or not torch.equal(items(0)[(3, 0)]["inputs"], first["inputs"])
    assert items(1)[(2, 0)]["window"] != first["window"] or not torch.equal(items(1)[(2, 0)]["inputs"], first["inputs"])


def test_collate_repeats_the_last_frame_and_masks_it(clip: Clip) -> None:
    short = Clip("b", clip.path, None, 30.0, 26, ())
    data = EvaluationWindows(
        [clip, short], grid=GRID, frames=FileFrames(GRID, short_side=60), transform=CoverCrop((30, 40))
    )
    batch = collate([data[0], data[len(data) - 1]], grid=GRID)
    assert batch["inputs"].shape == (2, 3, 32, 30, 40)
    assert batch["mask_BT"].sum(dim=1).tolist() == [16, 7]  # 26 raw frames: 13 decoded, 7 steps
    assert torch.equal(batch["inputs"][1, :, 13], batch["inputs"][1, :, 12])
    assert batch["targets"][1]["segments"].shape == (0, 2)


def test_cut_clips_to_the_window() -> None:
    window = GRID.piece(0, raw_frames=300, fps=30.0, first=30, frames=32)  # raw frames 60 to 124: 2 s to 4.13 s
    instances = {
        "segments": torch.tensor([[1.8, 3.0], [0.0, 2.1], [2.5, 3.5]], dtype=torch.float64),
        "labels": torch.tensor([1, 2, 3]),
    }
    found = cut(instances, window, keep=0.75)  # type: ignore[arg-type]
    assert found["labels"].tolist() == [1, 3]
    assert found["segments"].tolist() == [pytest.approx([0.0, 7.5]), pytest.approx([3.75, 11.25])]


@pytest.mark.parametrize(("height", "width"), [(60, 80), (90, 40), (31, 33)])
def test_cover_crop_fills_the_resolution_from_the_centre(height: int, width: int) -> None:
    video = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    video[:, :, height // 2 - 3 : height // 2 + 3, width // 2 - 3 : width // 2 + 3] = 255
    shown = CoverCrop((30, 40))(video)
    assert shown.shape == (2, 3, 30, 40)
    assert shown[:, :, 14:16, 19:21].float().mean() > 200
