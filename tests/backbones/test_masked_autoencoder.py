"""Masked autoencoding against transformers, and what the model sees, learns from and loads."""

from math import floor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.adapters.standard import StandardAdapter
from mmad.backbones.checkpoints import load_weights
from mmad.backbones.layouts import decoder_of, to_ours
from mmad.backbones.masked_autoencoder import DECODERS, MaskedAutoencoder, tube_masks, valid_chunks
from mmad.backbones.videomae import VideoMAE, interpolate_table, sincos_table
from mmad.errors import MmadError

SIZES = {
    "7 x 7 patches": (112, {"embed_dim": 48, "depth": 3, "heads": 4}, {"width": 24, "depth": 2, "heads": 3}),
    "4 x 4 patches": (64, {"embed_dim": 24, "depth": 1, "heads": 2}, {"width": 40, "depth": 1, "heads": 5}),
}


def masks(chunks: int, places: int, *, ratio: float = 0.9, seed: int = 0) -> torch.Tensor:
    return tube_masks(chunks, places=places, ratio=ratio, generator=torch.Generator().manual_seed(seed))


def noise(chunks: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (chunks, 3, 16, height, width), dtype=torch.uint8)


@pytest.fixture
def small(tiny: Any) -> MaskedAutoencoder:
    """Six patches per frame, each parameter drawn at random."""
    model = MaskedAutoencoder(tiny(), width=16, depth=2, heads=2)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.normal_(0, 0.2)
    return model.eval()


def reference_of(size: int, encoder: dict[str, int], decoder: dict[str, int]) -> Any:
    """transformers' model with every parameter drawn at random and the interpolated tables."""
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    torch.manual_seed(0)
    reference = VideoMAEForPreTraining(
        VideoMAEConfig(
            image_size=size,
            hidden_size=encoder["embed_dim"],
            num_hidden_layers=encoder["depth"],
            num_attention_heads=encoder["heads"],
            intermediate_size=4 * encoder["embed_dim"],
            decoder_hidden_size=decoder["width"],
            decoder_num_hidden_layers=decoder["depth"],
            decoder_num_attention_heads=decoder["heads"],
            decoder_intermediate_size=4 * decoder["width"],
            layer_norm_eps=1e-6,
            use_mean_pooling=False,
        )
    )
    reference.decoder.norm.eps = 1e-6  # of the paper's code; transformers forgot it there
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.normal_(0, 0.1)
    space = (size // 16, size // 16)
    for module, width in ((reference.videomae.embeddings, encoder["embed_dim"]), (reference, decoder["width"])):
        module.position_embeddings = interpolate_table(sincos_table(width, 14), space)[None]
    return reference


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
@pytest.mark.parametrize("name", SIZES)
def test_loss_and_gradients_equal_transformers(name: str, dtype: torch.dtype, tolerance: float, tmp_path: Path) -> None:
    """Its file of pre-training fills encoder and decoder, and the same masks give the same numbers."""
    size, encoder, decoder = SIZES[name]
    reference = reference_of(size, encoder, decoder)
    torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin")
    backbone = VideoMAE(**encoder, resolution=size, frames_per_step=2, weights=str(tmp_path / "pytorch_model.bin"))  # type: ignore[arg-type]
    model = MaskedAutoencoder(backbone, **decoder)
    assert model.load_report is not None
    assert (model.load_report.missing, model.load_report.dropped) == ((), ())
    assert model.load_report.loaded == len(model.state_dict())
    model.to(dtype)
    reference.to(dtype)
    chunks, masked = noise(2, size, size), masks(2, model.places)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=dtype)[:, None, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=dtype)[:, None, None, None]
    pixels = ((chunks.to(dtype) / 255 - mean) / std).transpose(1, 2)
    expected = reference(pixels, bool_masked_pos=masked.repeat(1, 8))
    found = model(chunks, masked)
    torch.testing.assert_close(found, expected.logits, rtol=tolerance, atol=tolerance)
    loss = model.loss(chunks, masked)
    torch.testing.assert_close(loss, expected.loss, rtol=tolerance, atol=tolerance)

    loss.backward()
    expected.loss.backward()
    theirs = {key: parameter.grad for key, parameter in reference.named_parameters()}
    _, theirs = to_ours(Path(), theirs)
    compared = {f"decoder.{key}": grad for key, grad in decoder_of(theirs).items()}
    compared |= {f"backbone.{key}": theirs[key] for key, _ in backbone.named_parameters()}
    assert compared.keys() == dict(model.named_parameters()).keys()
    torch.testing.assert_close(
        {key: parameter.grad for key, parameter in model.named_parameters()},
        compared,
        rtol=10 * tolerance,
        atol=tolerance,
    )


def official(model: MaskedAutoencoder) -> dict[str, torch.Tensor]:
    """The names of the VideoMAE repository's files of pre-training."""
    state = {f"encoder.{name}": tensor for name, tensor in model.backbone.state_dict().items()}
    for name, tensor in model.decoder.state_dict().items():
        name = {"mask_token": name, "embed.weight": "encoder_to_decoder.weight"}.get(name, f"decoder.{name}")
        state[name.replace("decoder.embed_norm.", "encoder.norm.")] = tensor
    for name in [name for name in state if name.endswith("qkv.bias")]:
        q, _, v = state.pop(name).chunk(3)
        state[name.replace("qkv.bias", "q_bias")], state[name.replace("qkv.bias", "v_bias")] = q, v
    return state


def loaded(tiny: Any, path: Path) -> VideoMAE:
    """Another backbone, filled after its parameters were drawn at random."""
    backbone: VideoMAE = tiny(seed=1)
    backbone.load_report = load_weights(backbone, path)
    return backbone


def test_a_published_file_of_pretraining_is_taken_up_whole(small: MaskedAutoencoder, tiny: Any, tmp_path: Path) -> None:
    torch.save({"model": official(small), "epoch": 1600}, tmp_path / "pre.pth")
    again = MaskedAutoencoder(loaded(tiny, tmp_path / "pre.pth"), width=16, depth=2, heads=2)
    assert again.load_report is not None
    assert again.load_report.format == "official pre-training"
    assert (again.load_report.missing, again.load_report.dropped) == ((), ())
    chunks, masked = noise(2, 48, 32), masks(2, 6)
    # Of the biases, that of the key has no effect and is in no such file.
    torch.testing.assert_close(again(chunks, masked), small(chunks, masked), rtol=0, atol=1e-5)


def test_a_decoder_of_another_size_starts_at_random_and_is_reported(
    small: MaskedAutoencoder, tiny: Any, tmp_path: Path
) -> None:
    torch.save({"model": official(small)}, tmp_path / "pre.pth")
    again = MaskedAutoencoder(loaded(tiny, tmp_path / "pre.pth"), width=16, depth=1, heads=2)
    assert again.load_report is not None
    theirs = small.backbone.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in again.backbone.state_dict().items())
    assert not torch.equal(again.decoder.head.weight, small.decoder.head.weight)
    assert set(again.load_report.missing) == {f"decoder.{name}" for name in again.decoder.state_dict()}
    assert f"left as initialised: decoder ({len(again.load_report.missing)})" in str(again.load_report)


@given(places=st.integers(2, 300), ratio=st.floats(0.05, 0.98), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_each_chunk_has_the_same_number_of_masked_places(places: int, ratio: float, seed: int) -> None:
    if not 0 < floor(ratio * places) < places:
        return
    drawn = masks(7, places, ratio=ratio, seed=seed)
    assert drawn.shape == (7, places)
    assert (drawn.sum(1) - ratio * places).abs().max() <= 1
    assert len(drawn.sum(1).unique()) == 1
    assert torch.equal(drawn, masks(7, places, ratio=ratio, seed=seed))


@pytest.mark.parametrize(
    ("ratio", "places", "count"), [(0.7, 10, 7), (0.9, 10, 9), (0.29, 100, 29), (0.9, 196, 176), (0.9, 12, 10)]
)
def test_masked_places_are_rounded_down_but_not_by_floating_point(ratio: float, places: int, count: int) -> None:
    assert int(masks(1, places, ratio=ratio).sum()) == count


def test_every_place_is_masked_as_often() -> None:
    share = masks(4000, 12, ratio=0.75).float().mean(0)
    assert (share - 0.75).abs().max() < 0.035  # five standard deviations


@pytest.mark.parametrize("ratio", [0.0, 0.1, 1.0, 1.5, -0.5])
def test_a_ratio_that_leaves_nothing_to_do_is_refused(ratio: float) -> None:
    with pytest.raises(MmadError, match="of the 6 patches of a frame, expected some but not all"):
        masks(1, 6, ratio=ratio)


def test_padded_chunks_are_left_out() -> None:
    video = torch.arange(3 * 48).view(3, 1, 48, 1, 1).expand(3, 3, 48, 2, 2)
    steps = torch.tensor([24, 9, 8])  # of 24, 8 to a chunk
    chunks = valid_chunks(video, torch.arange(24) < steps[:, None])
    first = [int(chunk[0, 0, 0, 0]) for chunk in chunks]
    assert first == [0, 16, 32, 48, 64, 96]
    assert chunks.shape == (6, 3, 16, 2, 2)
    assert torch.equal(chunks[4], video[1, :, 16:32])


def test_masked_pixels_are_unseen_and_visible_ones_are_not(small: MaskedAutoencoder) -> None:
    chunks, masked = noise(1, 48, 32), masks(1, 6, ratio=0.5)
    before = small(chunks, masked)
    for place in range(6):
        row, column = divmod(place, 2)
        other = chunks.clone()
        other[..., 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] ^= 255
        assert torch.equal(small(other, masked), before) == bool(masked[0, place])


def test_a_chunk_does_not_depend_on_its_neighbours(small: MaskedAutoencoder) -> None:
    chunks, masked = noise(3, 48, 32), masks(3, 6, ratio=0.7)
    together = small(chunks, masked)
    for i in range(3):
        torch.testing.assert_close(small(chunks[i : i + 1], masked[i : i + 1])[0], together[i], rtol=1e-5, atol=1e-5)


def test_targets_are_the_pixels_of_each_token_standardised(small: MaskedAutoencoder, monkeypatch: Any) -> None:
    """Token by token: a model that says zero has the loss of the standardised pixels' mean square."""
    chunks, masked = noise(2, 48, 32), masks(2, 6, ratio=0.5)
    squares = []
    for i in range(2):
        for t in range(8):
            for place in masked[i].nonzero()[:, 0].tolist():
                row, column = divmod(place, 2)
                cut = chunks[i, :, 2 * t : 2 * t + 2, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                colours = (cut.double() / 255).unbind()
                squares += [((colour - colour.mean()) / (colour.std() + 1e-6)).square() for colour in colours]
    monkeypatch.setattr(small, "forward", lambda *_: torch.zeros(2, 24, 1536))
    torch.testing.assert_close(small.loss(chunks, masked).double(), torch.stack(squares).mean(), rtol=1e-5, atol=0)


def test_a_perfect_model_rebuilds_the_video(small: MaskedAutoencoder, monkeypatch: Any) -> None:
    """The inverse of the targets, put in token by token, and pixels that fill no patch left out."""
    chunks, masked = noise(2, 48, 32), masks(2, 6, ratio=0.5)

    def perfect(*_: Any) -> torch.Tensor:
        rows = []
        for i in range(2):
            for t in range(8):
                for place in masked[i].nonzero()[:, 0].tolist():
                    row, column = divmod(place, 2)
                    cut = chunks[i, :, 2 * t : 2 * t + 2, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                    flat = cut.float().flatten(1).T
                    rows.append(((flat - flat.mean(0)) / flat.std(0)).flatten())
        return torch.stack(rows).view(2, 24, 1536)

    monkeypatch.setattr(small, "forward", perfect)
    hidden, rebuilt = small.rebuild(chunks, masked)
    assert torch.equal(rebuilt, chunks)
    shown = masked.view(2, 1, 1, 3, 2).repeat_interleave(16, 3).repeat_interleave(16, 4)
    assert torch.equal(hidden, torch.where(shown, 128, chunks))


@pytest.mark.parametrize("changes", [{}, {"position": "learned", "pooling": "grid"}, {"checkpointing": True}])
def test_everything_that_trains_gets_a_gradient(tiny: Any, changes: dict[str, Any]) -> None:
    """Else processes that share gradients would wait for it for ever."""
    model = MaskedAutoencoder(tiny(**changes), width=16, depth=1, heads=2)
    model.loss(noise(2, 48, 32), masks(2, 6)).backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_checkpointing_changes_no_gradient(tiny: Any) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(1)
        model = MaskedAutoencoder(tiny(checkpointing=checkpointing), width=16, depth=1, heads=2)
        torch.manual_seed(2)
        model.loss(noise(2, 48, 32), masks(2, 6)).backward()
        gradients.append(model.backbone.patch_embed.proj.weight.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)


def test_half_precision_loses_little(small: MaskedAutoencoder) -> None:
    chunks, masked = noise(2, 48, 32), masks(2, 6)
    exact = small.loss(chunks, masked)
    with torch.autocast("cpu", torch.bfloat16):
        rough = small.loss(chunks, masked)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0)


def test_adapters_and_frozen_backbones_are_refused(tiny: Any) -> None:
    for changes in ({"trains": "nothing"}, {"adapter": StandardAdapter, "trains": "adapters"}):
        with pytest.raises(MmadError, match="use adapter=full"):
            MaskedAutoencoder(tiny(**changes))
    with pytest.raises(MmadError, match="decoder_width=16 cannot be split"):
        MaskedAutoencoder(tiny(), width=16, depth=1, heads=3)


def test_published_sizes_have_the_published_number_of_parameters() -> None:
    """Of the base model of pre-training, which transformers builds by default; counted on no memory."""
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    with torch.device("meta"):
        reference = VideoMAEForPreTraining(VideoMAEConfig(use_mean_pooling=False))
    theirs = sum(p.numel() for name, p in reference.named_parameters() if not name.startswith("videomae.encoder"))
    backbone = VideoMAE(embed_dim=768, depth=0, heads=12, resolution=224, frames_per_step=2)
    ours = sum(p.numel() for p in MaskedAutoencoder(backbone).parameters())
    keys = DECODERS[768][0] * DECODERS[768][1]  # the bias of the key, of no effect
    assert ours - keys == theirs
