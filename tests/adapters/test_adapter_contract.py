"""What every adapter keeps, by itself and inside a backbone: one list, the same tests for each."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from mmad.adapters.dsta import DSTA
from mmad.adapters.standard import StandardAdapter
from mmad.adapters.tia import TIA
from mmad.backbones.videomae import VideoMAE

ADAPTERS: dict[str, Callable[[int], nn.Module]] = {
    "standard": StandardAdapter,
    "tia": TIA,
    "dsta": DSTA,
    "dsta_as_printed": partial(DSTA, down="shared", temporal_pointwise=False, conv_bias=True),
    "dsta_wide": partial(DSTA, spatial_kernel=3, temporal_kernel=5, conv_bias=True),
    "dsta_wo_beta": partial(DSTA, beta="removed"),
    "dsta_wo_gamma": partial(DSTA, gamma="removed"),
    "dsta_fixed": partial(DSTA, beta="one", gamma="one", alpha="one"),
}
MIXES_TIME = sorted(set(ADAPTERS) - {"standard", "dsta_wo_gamma"})
GRID = (10, 2, 3)

each_adapter = pytest.mark.parametrize("name", ADAPTERS)


def randomise(module: nn.Module) -> nn.Module:
    """Away from the identity, so that a test can see what an adapter does."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.2, 0.2)
    return module


def built(name: str, dim: int = 16) -> nn.Module:
    torch.manual_seed(0)
    return randomise(ADAPTERS[name](dim)).double()


def tokens(batch: int = 2, t: int = GRID[0]) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, t * 6, 16, dtype=torch.float64)


def backbone(name: str, **changes: object) -> VideoMAE:
    torch.manual_seed(0)
    settings = {"embed_dim": 16, "depth": 2, "heads": 2, "resolution": (32, 48), "frames_per_step": 2}
    model = VideoMAE(**{**settings, "adapter": ADAPTERS[name], "trains": "adapters", **changes})  # type: ignore[arg-type]
    randomise(model.adapters)
    return model.eval()


def video(batch: int = 2, frames: int = 48) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.randint(0, 256, (batch, 3, frames, 32, 48), dtype=torch.uint8)


@each_adapter
def test_a_new_adapter_is_the_identity(name: str) -> None:
    x_BNC = tokens().float()
    assert torch.equal(ADAPTERS[name](16)(x_BNC, GRID), x_BNC)


@each_adapter
def test_training_starts_at_the_up_projection_and_reaches_everything(name: str) -> None:
    torch.manual_seed(0)
    adapter = ADAPTERS[name](16).double()
    start = {key: parameter.detach().clone() for key, parameter in adapter.named_parameters()}
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        (adapter(tokens(), GRID) - tokens().roll(1, 0)).square().mean().backward()
        if step == 0:
            moved = {key for key, parameter in adapter.named_parameters() if parameter.grad.abs().max() > 0}
            assert moved == {"up_proj.weight", "up_proj.bias"}
        optimizer.step()
    assert all((parameter != start[key]).any() for key, parameter in adapter.named_parameters())


@each_adapter
def test_clips_of_a_batch_do_not_mix(name: str) -> None:
    adapter = built(name)
    together = adapter(tokens(), GRID)
    for row in range(2):
        torch.testing.assert_close(together[row : row + 1], adapter(tokens()[row : row + 1], GRID))


@each_adapter
def test_padding_acts_like_the_end_of_the_window(name: str) -> None:
    adapter = built(name)
    mask_BT = torch.arange(GRID[0]) < torch.tensor([[7], [10]])
    padded = adapter(tokens(), GRID, mask_BT)
    alone = adapter(tokens()[:1, : 7 * 6], (7, 2, 3))
    torch.testing.assert_close(padded[:1, : 7 * 6], alone)


@each_adapter
def test_reach_of_one_token(name: str) -> None:
    """Time mixes at one place, space at one time, nothing else."""
    adapter = built(name)
    x_BNC = tokens(1).requires_grad_()
    adapter(x_BNC, GRID)[0, 5 * 6 + 1].sum().backward()
    seen = x_BNC.grad[0].abs().sum(-1).view(10, 6) > 0
    expected = torch.zeros_like(seen)
    expected[5, 1] = True
    if name in MIXES_TIME:
        reach = 2 if name == "dsta_wide" else 1
        expected[5 - reach : 5 + reach + 1, 1] = True
    if name == "dsta_wide":
        expected[5] = True  # all of a 2 x 3 grid lies within a 3 x 3 kernel around its middle column
    assert torch.equal(seen, expected)


@each_adapter
@pytest.mark.parametrize(("frames_per_step", "pooling"), [(1, "mean"), (2, "mean"), (1, "grid")])
def test_features_do_not_depend_on_batch_or_padding(name: str, frames_per_step: int, pooling: str) -> None:
    model = backbone(name, frames_per_step=frames_per_step, pooling=pooling)
    valid_frames = (48, 32, 20)  # the second ends where interpolation would look into the padding
    steps = 48 // frames_per_step
    mask_BT = torch.arange(steps) < torch.tensor(valid_frames)[:, None] // frames_per_step
    with torch.no_grad():
        together = model(video(3), mask_BT)
        assert together.shape == (3, 16, steps)
        for row, frames in enumerate(valid_frames):
            chunked = -(-frames // 16) * 16
            alone = model(video(3)[row : row + 1, :, :chunked], mask_BT[row : row + 1, : chunked // frames_per_step])
            valid = frames // frames_per_step
            torch.testing.assert_close(together[row, :, :valid], alone[0, :, :valid], rtol=0, atol=1e-5)
            assert (together[row, :, valid:] == 0).all()


@each_adapter
def test_only_temporal_convolutions_cross_chunks(name: str) -> None:
    model = backbone(name)
    changed = video(1)
    changed[:, :, 16:32] = 255 - changed[:, :, 16:32]
    with torch.no_grad():
        difference = (model(video(1)) - model(changed)).abs().amax((0, 1)).view(3, 8).amax(1)
    assert difference[1] > 0
    assert (difference[[0, 2]] > 0).all() == (name in MIXES_TIME)
    assert (difference[[0, 2]] == 0).all() == (name not in MIXES_TIME)


@each_adapter
def test_checkpointing_changes_no_gradient(name: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = backbone(name, checkpointing=checkpointing).train()
        model(video()).square().sum().backward()
        gradients.append({key: p.grad for key, p in model.named_parameters() if p.requires_grad})
    plain, recomputed = gradients
    assert plain.keys() == {key for key in plain if key.startswith("adapters.")}
    for key, gradient in plain.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(recomputed[key], gradient)


@each_adapter
def test_half_precision_ends_in_float32(name: str) -> None:
    model = backbone(name)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = model(video())
    assert half.dtype == torch.float32
    with torch.no_grad():
        full = model(video())
    assert (half - full).norm() < 0.05 * full.norm()
