"""What every backbone that looks over whole clips promises."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn

from mmad.adapters.standard import StandardAdapter
from mmad.backbones.whole_clips import IMAGENET, NORMS, at_own_length, resized
from mmad.cli.entry import conf_dir, prepare_environment
from mmad.errors import MmadError
from small_backbones import FAMILY, scattered, video

NAMES = list(FAMILY)


@pytest.fixture(params=NAMES)
def build(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return FAMILY[request.param]


def masks(steps: list[int], length: int) -> torch.Tensor:
    return torch.arange(length) < torch.tensor(steps)[:, None]


@pytest.mark.parametrize(
    ("name", "first", "scale"),
    [
        ("slowfast", "fast_path.conv1", IMAGENET),
        ("i3d", "Conv3d_1a_7x7", ((127.5,) * 3, (127.5,) * 3)),
        ("i3d_pointtad", "Conv3d_1a_7x7", ((127.5,) * 3, (127.5,) * 3)),
    ],
)
def test_a_network_is_shown_red_green_blue(name: str, first: str, scale: tuple[tuple[float, ...], ...]) -> None:
    model, seen = FAMILY[name]().eval(), []
    model.get_submodule(first).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    rgb = torch.tensor([255, 51, 0], dtype=torch.uint8)
    with torch.no_grad():
        model(rgb.view(1, 3, 1, 1, 1).expand(1, 3, 16, 32, 32))
    mean, std = map(torch.tensor, scale)
    torch.testing.assert_close(seen[0][0, :, 0, 0, 0], (rgb - mean) / std)


def test_a_clip_is_seen_as_if_it_were_alone(build: Callable[..., Any]) -> None:
    """Neither neighbours nor the padded length nor what lies in the padding matter, though convolutions look there."""
    model = scattered(build()).eval()
    per_step = model.frames_per_step
    own = video(2, 32, side=16)
    steps = [16 // per_step + 1, 32 // per_step]  # the first ends within its second chunk
    longer = torch.cat([own, video(2, 32, side=16, seed=9)], dim=2)
    with torch.no_grad():
        alone = [model(clip[None], masks([n], 32 // per_step))[0] for clip, n in zip(own, steps, strict=True)]
        together = model(longer, masks(steps, 64 // per_step))
        whole = model(own[1:])
        without_end = model(longer[:, :, :48].float())
    for clip, n in enumerate(steps):
        torch.testing.assert_close(together[clip, :, :n], alone[clip][:, :n], rtol=1e-5, atol=1e-6)
        assert (together[clip, :, n:] == 0).all()
        assert (together[clip, :, :n] != 0).any(0).all()
    torch.testing.assert_close(whole[0], alone[1], rtol=1e-5, atol=1e-6)
    # The test can fail: one chunk more does reach back over the clip's end.
    assert (without_end[1, :, : steps[1]] - alone[1]).abs().max() > 1e-3


def test_a_clip_without_valid_steps_is_zero(build: Callable[..., Any]) -> None:
    model = build().eval()
    steps = 16 // model.frames_per_step
    with torch.no_grad():
        feats = model(video(2, 16), masks([0, 1], steps))
        none = model(video(1, 16), masks([0], steps))
    assert feats.shape == (2, model.embed_dim, steps)
    assert feats.dtype == torch.float32
    assert (feats[0] == 0).all()
    assert (feats[1, :, 0] != 0).any()
    assert (none == 0).all()
    assert none.shape == (1, model.embed_dim, steps)


@pytest.mark.parametrize("name", ["slowfast", "swin", "i3d"])
def test_bytes_and_floats_give_the_same_features(name: str) -> None:
    model = FAMILY[name]().eval()
    clip = video(1, 16)
    with torch.no_grad():
        assert torch.equal(model(clip), model(clip.float()))


def test_what_trains(build: Callable[..., Any]) -> None:
    of_norms = {
        f"{name}.{own}"
        for name, module in build().named_modules()
        if isinstance(module, NORMS)
        for own, _ in module.named_parameters()
    }
    full = scattered(build(trains="everything")).train()
    full(video(1, 16)).square().sum().backward()
    for name, parameter in full.named_parameters():
        assert parameter.requires_grad == (name not in of_norms), name
        assert (parameter.grad is not None) == parameter.requires_grad, name
    # Rectifiers of two channels may be shut everywhere.
    moved = [bool(p.grad.any()) for p in full.parameters() if p.requires_grad]
    assert sum(moved) > 0.8 * len(moved)
    frozen = build(trains="nothing").train()
    trained = {name for name, p in frozen.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in frozen.named_parameters() if name.startswith("pool.")}
    assert frozen(video(1, 16)).requires_grad == bool(trained)


@pytest.mark.parametrize("name", ["slowfast", "i3d"])
def test_norms_keep_their_statistics_in_training(name: str) -> None:
    model = scattered(FAMILY[name]()).train()
    assert not any(module.training for module in model.modules() if isinstance(module, nn.BatchNorm3d))
    before = {key: value.clone() for key, value in model.named_buffers()}
    with torch.no_grad():
        trained = model(video(1, 16))
        assert torch.equal(trained, model.eval()(video(1, 16)))
    assert all(torch.equal(before[key], value) for key, value in model.named_buffers())


@pytest.mark.parametrize("name", ["slowfast", "swin", "i3d"])
def test_checkpointing_changes_no_gradient(name: str) -> None:
    grads = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = FAMILY[name](checkpointing=checkpointing, **({"drop_path": 0.5} if name == "swin" else {})).train()
        torch.manual_seed(1)
        model(video(2, 32, side=16), masks([16, 3], 16)).square().mean().backward()
        grads.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(grads[1], grads[0])


def test_bfloat16_is_left_to_gpus(build: Callable[..., Any]) -> None:
    """On a CPU, torch's gradients of 3-D convolutions are wrong in bfloat16, if they do not end the process."""
    model = scattered(build()).train()
    clip = video(1, 16, side=16)
    exact = model(clip)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(clip)
    assert torch.equal(mixed, exact)
    mixed.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("name", "adapter"), [("slowfast_r50", "standard"), ("re2tal_swin_t", "tia"), ("i3d_rgb", "dsta")]
)
def test_configured_adapters_are_refused_before_anything_is_built(name: str, adapter: str) -> None:
    prepare_environment()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"backbone={name}", f"adapter={adapter}", "backbone.weights=absent.pth"])
    with pytest.raises(Exception, match=r"use adapter=frozen, adapter=full, or a vmae backbone\."):
        instantiate(cfg.backbone, _convert_="all")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        *((name, {"adapter": StandardAdapter}, r"this backbone has none; use adapter=frozen") for name in NAMES),
        ("slowfast", {"trains": "adapters"}, r"this backbone has none"),
        ("slowfast", {"frames_per_step": 3}, r"frames_per_step=3; choose one of 1, 2, 4, 8, 16"),
        ("slowfast", {"embed_dim": 300}, r"embed_dim=300 does not divide into two pathways; take a multiple of 288"),
        ("slowfast", {"tau": 5}, r"tau=5 does not divide 16 frames"),
        ("swin", {"embed_dim": 33}, r"embed_dim=33 does not divide into 2 stages"),
        ("swin", {"heads": (3, 2)}, r"heads=\[3, 2\]"),
        ("i3d", {"embed_dim": 1000}, r"embed_dim=1000 is not what Mixed_5c gives; set it to 128"),
        ("i3d", {"width": 10}, r"width=10 divides no branch evenly; choose one of 8, 16, 32, 64"),
    ],
)
def test_construction_errors(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        FAMILY[name](**settings)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 20, 8, 8), r"chunks of 16 frames but got 20 frames"),
        ((1, 3, 0, 8, 8), r"chunks of 16 frames but got 0 frames"),
        ((1, 1, 16, 8, 8), r"got 1 channels"),
    ],
)
def test_input_errors(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        at_own_length(lambda x, _: x, torch.zeros(shape), None, embed_dim=3, frames_per_step=1)


def test_clips_of_equal_length_run_together_and_no_frame_of_the_padding_is_seen() -> None:
    seen = []

    def network(part: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        seen.append((rows.tolist(), part.shape[2]))
        return part.mean((3, 4))

    clips = torch.arange(4 * 48.0).view(4, 1, 48, 1, 1).expand(4, 3, 48, 2, 2)
    feats = at_own_length(network, clips, masks([3, 30, 16, 33], 48), embed_dim=3, frames_per_step=1)
    assert seen == [([0, 2], 16), ([1], 32), ([3], 48)]
    for clip, steps in enumerate([3, 30, 16, 33]):
        assert feats[clip, 1, :steps].tolist() == [48.0 * clip + step for step in range(steps)]


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 12, 24, 48, 192])
def test_resizing_keeps_the_mean(steps: int) -> None:
    feats = torch.rand(2, 3, 12)
    torch.testing.assert_close(resized(feats, steps).mean(-1), feats.mean(-1))


def test_resizing_takes_means_or_interpolates() -> None:
    feats = torch.rand(2, 3, 8)
    assert torch.equal(resized(feats, 8), feats)
    torch.testing.assert_close(resized(feats, 2)[..., 1], sum(feats[..., t] for t in (4, 5, 6, 7)) / 4)
    for steps in (16, 64):
        torch.testing.assert_close(resized(feats, steps), F.interpolate(feats, size=steps, mode="linear"))


def test_resizing_is_in_float32_at_least() -> None:
    feats = torch.rand(2, 3, 4)
    for steps in (1, 4, 8):
        assert resized(feats.bfloat16(), steps).dtype == torch.float32
        assert resized(feats.double(), steps).dtype == torch.float64
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = resized(feats, steps)
        assert torch.equal(mixed, resized(feats, steps))


def test_the_mean_over_time_is_the_same_at_any_rate_of_steps(build: Callable[..., Any]) -> None:
    """Which extraction relies on: features of a snippet do not tell `frames_per_step`."""
    means = []
    for per_step in (1, 2, 4, 8, 16):
        torch.manual_seed(0)
        with torch.no_grad():
            means.append(scattered(build(frames_per_step=per_step)).eval()(video(2, 32)).mean(-1))
    for mean in means[1:]:
        torch.testing.assert_close(mean, means[0], rtol=1e-4, atol=1e-5)
