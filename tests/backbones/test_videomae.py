"""VideoMAE against transformers, its published table and sizes, and what trains in it."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from timm.layers import resample_abs_pos_embed

from mmad.adapters.standard import StandardAdapter
from mmad.adapters.tia import TIA
from mmad.backbones.checkpoints import SIZES, load_weights
from mmad.backbones.videomae import VideoMAE, interpolate_table, sincos_table
from mmad.errors import MmadError

CONF = Path(__file__).parents[2] / "conf" / "backbone"


def plain_table(tokens: int, dim: int) -> torch.Tensor:
    """The published table, entry by entry."""
    rows = []
    for p in range(tokens):
        angles = [p / 10000 ** (2 * (j // 2) / dim) for j in range(dim)]
        angle = torch.tensor(angles, dtype=torch.float64)
        rows.append(torch.where(torch.arange(dim) % 2 == 0, angle.sin(), angle.cos()))
    return torch.stack(rows).float()


def per_step_table(table: torch.Tensor, side: int, space: tuple[int, int], *, antialias: bool) -> torch.Tensor:
    """timm's interpolation of the table, one time step after the other."""
    return torch.cat(
        [
            resample_abs_pos_embed(step[None], list(space), [side, side], num_prefix_tokens=0, antialias=antialias)[0]
            for step in table.view(8, side * side, -1)
        ]
    )


def test_table_is_the_published_one() -> None:
    table = sincos_table(384, 14).view(1568, 384)
    torch.testing.assert_close(table[:50], plain_table(50, 384))
    torch.testing.assert_close(table[1, :4], torch.tensor([0.841471, 0.540302, 0.815251, 0.579108]), rtol=0, atol=1e-6)
    torch.testing.assert_close(table[1567, :2], torch.tensor([0.608948, -0.793210]), rtol=0, atol=1e-6)


def test_table_is_interpolated_as_published() -> None:
    table = interpolate_table(sincos_table(384, 14), (10, 10))
    first = torch.tensor([0.308597, 0.795707, 0.245908, 0.899278])
    last = torch.tensor([0.729326, -0.443244, -0.822786, -0.438400])
    torch.testing.assert_close(table[0, :4], first, rtol=0, atol=1e-5)
    torch.testing.assert_close(table[-1, :4], last, rtol=0, atol=1e-5)


@pytest.mark.parametrize("space", [(10, 10), (5, 9), (14, 14), (20, 10)])
def test_interpolation_has_no_antialiasing(space: tuple[int, int]) -> None:
    table = sincos_table(48, 14)
    ours = interpolate_table(table, space)
    torch.testing.assert_close(ours, per_step_table(table, 14, space, antialias=False), rtol=0, atol=1e-6)
    if min(space) < 14:
        assert (ours - per_step_table(table, 14, space, antialias=True)).abs().max() > 0.1


@pytest.mark.parametrize("size", [224, 112])
def test_equals_transformers(size: int, tmp_path: Path) -> None:
    """At the published size, and at another one with the interpolated table put into the reference."""
    from transformers import VideoMAEConfig, VideoMAEModel

    torch.manual_seed(0)
    reference = VideoMAEModel(
        VideoMAEConfig(
            image_size=size,
            hidden_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=192,
            layer_norm_eps=1e-6,
            initializer_range=0.05,
        )
    ).eval()
    table = plain_table(1568, 48)
    if size != 224:
        table = per_step_table(table, 14, (size // 16, size // 16), antialias=False)
    if size == 224:
        torch.testing.assert_close(reference.embeddings.position_embeddings[0], table)
    reference.embeddings.position_embeddings = table[None]
    torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin")

    model = VideoMAE(embed_dim=48, depth=3, heads=4, resolution=size, frames_per_step=2)
    load_weights(model, tmp_path / "pytorch_model.bin")
    chunks_PCFHW = torch.randint(0, 256, (1, 3, 16, size, size), dtype=torch.uint8)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None, None]
    normalised = (chunks_PCFHW / 255 - mean) / std
    with torch.no_grad():
        expected = reference(normalised.transpose(1, 2)).last_hidden_state
        torch.testing.assert_close(model.eval().tokens(chunks_PCFHW), expected, rtol=1e-5, atol=1e-5)


def test_patch_embedding_is_a_3d_convolution(tiny: Any) -> None:
    embed = tiny().patch_embed.double()
    video = torch.rand(2, 3, 4, 40, 56, dtype=torch.float64) * 255  # 8 pixels of both sides fill no patch
    expected = embed.proj((video - embed.mean[..., None, None]) / embed.std[..., None, None])
    torch.testing.assert_close(embed(video), expected.flatten(2).transpose(1, 2))


def test_bytes_and_floats_give_the_same_features(tiny: Any, clip: torch.Tensor) -> None:
    model = tiny()
    with torch.no_grad():
        assert torch.equal(model(clip), model(clip.float()))


def test_key_bias_has_no_effect(tiny: Any, clip: torch.Tensor) -> None:
    model = tiny()
    with torch.no_grad():
        before = model(clip)
        model.blocks[0].attn.qkv.bias[24:48] = 3.0
        torch.testing.assert_close(model(clip), before, rtol=0, atol=1e-5)


def test_features_are_the_mean_over_space_of_the_residual_stream(tiny: Any, clip: torch.Tensor) -> None:
    model = tiny()
    with torch.no_grad():
        tokens = model.tokens(clip).view(2, 16, 6, 24)
        torch.testing.assert_close(model(clip), tokens.mean(2).transpose(1, 2))


def test_grid_pooling_maps_all_places_of_a_step(tiny: Any, clip: torch.Tensor) -> None:
    model = tiny(pooling="grid")
    with torch.no_grad():
        tokens = model.tokens(clip).view(2, 16, 6 * 24)
        expected = tokens @ model.pool.weight.T + model.pool.bias
        torch.testing.assert_close(model(clip), expected.transpose(1, 2), rtol=1e-5, atol=1e-5)


def test_one_frame_per_step_interpolates_between_tokens(tiny: Any, clip: torch.Tensor) -> None:
    with torch.no_grad():
        coarse = tiny(frames_per_step=2)(clip)
        fine = tiny(frames_per_step=1)(clip)
    assert fine.shape == (2, 24, 32)
    torch.testing.assert_close(fine[..., 0], coarse[..., 0])
    torch.testing.assert_close(fine[..., 1:-1:2], 0.75 * coarse[..., :-1] + 0.25 * coarse[..., 1:])
    torch.testing.assert_close(fine[..., 2::2], 0.25 * coarse[..., :-1] + 0.75 * coarse[..., 1:])
    torch.testing.assert_close(fine[..., -1], coarse[..., -1])


def test_learned_position_is_a_place_plus_a_time(tiny: Any, clip: torch.Tensor) -> None:
    model = tiny(position="learned", depth=0)
    assert model.pos_space.shape == (1, 6, 24)
    assert model.pos_time.shape == (1, 8, 24)
    assert VideoMAE(
        embed_dim=96, depth=0, heads=3, resolution=160, frames_per_step=2, position="learned"
    ).pos_space.std().item() == pytest.approx(0.5, rel=0.1)
    with torch.no_grad():
        bare = model.patch_embed(clip).view(2, 16, 6, 24)
        tokens = model.tokens(clip).view(2, 16, 6, 24)
        expected = model.pos_time[0, 3] + model.pos_space[0, 4]
        for chunk in range(2):
            difference = tokens[1, chunk * 8 + 3, 4] - bare[1, chunk * 8 + 3, 4]
            torch.testing.assert_close(difference, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("frames_per_step", [1, 2])
def test_a_clip_without_valid_steps_is_zero(tiny: Any, clip: torch.Tensor, frames_per_step: int) -> None:
    mask_BT = torch.zeros(2, 32 // frames_per_step, dtype=torch.bool)
    mask_BT[0, :3] = True
    with torch.no_grad():
        feats = tiny(frames_per_step=frames_per_step)(clip, mask_BT)
    assert (feats[0, :, :3] != 0).all()
    assert (feats[0, :, 3:] == 0).all()
    assert (feats[1] == 0).all()


@pytest.mark.parametrize(
    ("trains", "trainable"),
    [
        ("nothing", {"pool"}),
        ("adapters", {"pool", "adapters"}),
        ("everything", {"pool", "adapters", "patch_embed", "blocks", "pos_space", "pos_time"}),
    ],
)
def test_what_trains(tiny: Any, clip: torch.Tensor, trains: str, trainable: set[str]) -> None:
    model = tiny(trains=trains, adapter=TIA, pooling="grid", position="learned").train()
    for adapter in model.adapters:
        torch.nn.init.ones_(adapter.up_proj.weight)
    model(clip).square().sum().backward()
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == trainable
    for parameter in model.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad


def test_nothing_trains_means_no_graph(tiny: Any, clip: torch.Tensor) -> None:
    assert not tiny(trains="nothing")(clip).requires_grad


def test_full_training_with_checkpointing_has_the_same_gradients(tiny: Any, clip: torch.Tensor) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = tiny(checkpointing=checkpointing, drop_path=0.5).train()
        torch.manual_seed(7)  # drop path draws the same branches
        model(clip).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize(("trains", "same"), [("nothing", True), ("adapters", False), ("everything", False)])
def test_drop_path_works_wherever_something_trains(tiny: Any, clip: torch.Tensor, trains: str, same: bool) -> None:
    model = tiny(trains=trains, drop_path=0.5, adapter=StandardAdapter).train()
    outputs = [model(clip) for _ in range(4)]
    assert all(torch.equal(outputs[0], other) for other in outputs[1:]) == same


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # without the final norm, which these features skip
        ("vmae_s", 21_879_168),
        ("vmae_b", 86_225_664),
        ("vmae_l", 303_858_688),
        ("vmae_h", 631_604_480),
        ("vmae_g", 1_011_607_936),
    ],
)
def test_configured_models_have_the_published_size(name: str, published: int) -> None:
    settings = OmegaConf.load(CONF / f"{name}.yaml")
    for key in ("_target_", "adapter", "trains", "resolution", "frames_per_step"):
        del settings[key]
    with torch.device("meta"):
        model = VideoMAE(**settings, resolution=224, frames_per_step=2)
    count = sum(p.numel() for p in model.parameters())
    assert count - len(model.blocks) * model.embed_dim == published  # our key biases are not in the count


def test_known_sizes_are_those_of_the_configuration() -> None:
    configured = {}
    for path in CONF.glob("vmae_*.yaml"):
        settings = OmegaConf.load(path)
        configured[(settings.embed_dim, settings.depth, settings.patch)] = path.stem
    assert configured == SIZES


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames_per_step": 4}, r"frames_per_step=4; choose one of 1, 2"),
        ({"position": "rotary"}, r"position=rotary; choose one of sincos, learned"),
        ({"pooling": "max"}, r"pooling=max; choose one of mean, grid"),
        ({"trains": "head"}, r"trains=head; choose one of nothing, adapters, everything"),
        ({"trains": "adapters"}, r"trains=adapters but adapter=null"),
        ({"heads": 5}, r"embed_dim=24 cannot be split into heads=5"),
        ({"resolution": 12}, r"resolution=12x12 is smaller than one patch of 16"),
    ],
)
def test_construction_errors(tiny: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        tiny(**settings)


def test_what_no_patch_sees_is_told(tiny: Any) -> None:
    with pytest.warns(UserWarning, match=r"48x40 cannot be cut into patches of 16 pixels.* to multiples of 16"):
        model = tiny(resolution=(48, 40))
    assert model.space == (3, 2)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 20, 48, 32), r"chunks of 16 frames but got 20 frames"),
        ((1, 3, 0, 48, 32), r"chunks of 16 frames but got 0 frames"),
        ((1, 3, 16, 32, 48), r"built for RGB video of 48x32 pixels .* got 3 channels of 32x48"),
        ((1, 1, 16, 48, 32), r"got 1 channels"),
    ],
)
def test_input_errors(tiny: Any, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        tiny()(torch.zeros(shape, dtype=torch.uint8))


def test_resizing_matches_interpolate(tiny: Any, clip: torch.Tensor) -> None:
    with torch.no_grad():
        coarse, fine = tiny()(clip), tiny(frames_per_step=1)(clip)
    torch.testing.assert_close(fine, F.interpolate(coarse, size=32, mode="linear", align_corners=False))
