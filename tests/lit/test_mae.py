"""Masked autoencoding in Lightning: its masks, its losses and what it learns."""

from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mmad.backbones.videomae import VideoMAE
from mmad.data.clips import Item, collate
from mmad.data.grid import Grid
from mmad.errors import MmadError
from mmad.lit.mae import MaskedAutoencodingModule
from mmad.lit.optimizers import adamw, warmup_cosine
from mmad.segments import empty_segments

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")

GRID = Grid(window=32, feature_stride=2, frames_per_step=2, levels=1, overlap=0.0)


def module(**changes: Any) -> MaskedAutoencodingModule:
    torch.manual_seed(0)
    backbone = VideoMAE(
        embed_dim=24, depth=1, heads=2, resolution=(48, 32), frames_per_step=2, position="learned", pooling="grid"
    )
    settings: dict[str, Any] = {
        "mask_ratio": 0.7,
        "decoder_width": 16,
        "decoder_depth": 1,
        "decoder_heads": 2,
        "optimizer": partial(adamw, backbone_lr=5e-3, head_lr=5e-3, weight_decay=0.0),
        "scheduler": partial(warmup_cosine, warmup=0.1),
        "seed": 3,
    }
    return MaskedAutoencodingModule(backbone, **{**settings, **changes})


def items(*lengths: int) -> list[Item]:
    """Windows of so many frames; every second one brightens downwards, the others to the right, and all in time."""
    made: list[Item] = []
    for index, frames in enumerate(lengths):
        time = torch.arange(frames)[:, None, None, None]
        ground = torch.arange(48)[:, None].expand(48, 32) if index % 2 else torch.arange(32).expand(48, 32)
        video = (time + 3 * ground).expand(frames, 3, 48, 32).to(torch.uint8)
        window = GRID.piece(index, raw_frames=frames, fps=30.0, first=0, frames=frames)
        made.append({"inputs": video, "targets": empty_segments(), "window": window})
    return made


def loader(data: list[Item], batch_size: int) -> DataLoader[Item]:
    return DataLoader(data, batch_size=batch_size, collate_fn=partial(collate, grid=GRID))  # type: ignore[arg-type]


def trainer(epochs: int, **changes: Any) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **changes,
    )


def masks_of(run: MaskedAutoencodingModule, data: list[Item], *, epochs: int) -> list[Tensor]:
    """The masks of all training batches."""
    seen: list[Tensor] = []
    loss = run.model.loss

    def note(chunks: Tensor, masked: Tensor) -> Tensor:
        if run.training:
            seen.append(masked)
        return loss(chunks, masked)

    run.model.loss = note  # type: ignore[method-assign, assignment]
    trainer(epochs).fit(run, loader(data, 2), loader(data, 2))
    return seen


def test_masks_repeat_from_run_to_run_and_differ_from_batch_to_batch() -> None:
    data = items(*[64] * 6)
    first, again, other = (masks_of(module(seed=seed), data, epochs=2) for seed in (3, 3, 4))
    assert len(first) == 6  # three batches in each of two epochs
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not any(torch.equal(first[i], first[j]) for i in range(6) for j in range(i))


def test_ranks_draw_different_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    run = module()
    seeds = []
    for rank in (0, 1):
        monkeypatch.setattr(MaskedAutoencodingModule, "global_rank", rank)
        seeds.append(run._training_seed(5))
    assert seeds[0] != seeds[1]


def test_validation_does_not_depend_on_batches() -> None:
    """The mean over all chunks, a long window's counting more often and padding not at all."""
    data = items(64, 20, 33, 16, 50)
    run = module().eval()
    by_hand = []
    for item in data:
        chunks, masked = run.fixed(collate([item], grid=GRID))
        assert len(chunks) == -(-len(item["inputs"]) // 16)
        for i in range(len(chunks)):
            with torch.no_grad():
                by_hand.append(run.model.loss(chunks[i : i + 1], masked[i : i + 1]))
    expected = torch.stack(by_hand).mean().item()
    for batch_size in (1, 2, 5):
        (told,) = trainer(1).validate(run, loader(data, batch_size), verbose=False)
        assert told["val/loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_masked_patches_are_told_from_visible_ones(precision: str) -> None:
    """Zero has a loss of 1, and the best answer that is the same for all clips one of a half."""
    data = items(*[32] * 16)
    run = module(mask_ratio=0.5)
    fit = trainer(30, precision=precision)
    fit.fit(run, loader(data, 8), loader(data, 8))
    assert fit.callback_metrics["val/loss"] < 0.1
    assert fit.callback_metrics["train/loss"] < 0.1


def test_what_trains_is_optimised_and_the_pooling_map_is_not() -> None:
    run = module()
    before = {name: parameter.clone() for name, parameter in run.model.named_parameters()}
    trainer(1).fit(run, loader(items(16, 16), 1))
    unchanged = {name for name, parameter in run.model.named_parameters() if torch.equal(parameter, before[name])}
    assert unchanged == {"backbone.pool.weight", "backbone.pool.bias"}


def test_examples_are_the_first_chunks_of_windows() -> None:
    data = items(64, 20, 16)
    original, hidden, rebuilt = module().eval().examples(collate(data, grid=GRID))
    assert original.shape == hidden.shape == rebuilt.shape == (3, 16, 48, 32, 3)
    for item, video in zip(data, original, strict=True):
        assert torch.equal(item["inputs"][:16].movedim(1, -1), video)
    shown = (hidden == original).all(-1).all(1)
    assert torch.equal(rebuilt.transpose(0, 1)[:, shown], original.transpose(0, 1)[:, shown])


def test_a_ratio_that_does_not_fit_is_refused_at_once() -> None:
    with pytest.raises(MmadError, match="masks 6 of the 6 patches"):
        module(mask_ratio=1.0)
