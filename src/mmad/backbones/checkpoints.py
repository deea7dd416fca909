"""Read published weights of backbones, write our own, and say which weights a run stands on."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from mmad.backbones.layouts import Layout, Tensors, block_indices, decoder_of, renamed, to_ours
from mmad.errors import MmadError
from mmad.formats.weights_file import LoadReport, WeightsFile, read_weights

if TYPE_CHECKING:
    from mmad.backbones.videomae import VideoMAE

# (width, blocks, patch) of the models under conf/backbone
SIZES = {
    (96, 2, 16): "vmae_tiny",
    (384, 12, 16): "vmae_s",
    (768, 12, 16): "vmae_b",
    (1024, 24, 16): "vmae_l",
    (1280, 32, 16): "vmae_h",
    (1408, 40, 14): "vmae_g",
}

POSITION = ("pos_space", "pos_time")
POOL = ("pool.weight", "pool.bias")
COMPUTED = ("num_batches_tracked", "relative_position_index")
"""Ends of the names of buffers that no weights are needed for."""


def load_weights(model: "VideoMAE", source: str | Path) -> LoadReport:
    """Fill a VideoMAE from a file in any published layout.

    The layout is found by the names inside: official pre-training or fine-tuning files (v1 and v2), mmaction2
    recognisers, OpenTAD detectors (with their TIA adapters where the model has them), Hugging Face
    repositories' `model.safetensors` or `pytorch_model.bin`, and our own. The separate query and value biases
    of most layouts become one, with zeros for the key, which has no effect. A learned position table of
    another grid is resampled; a grid pooling map of another grid stays as initialised.

    Args:
        model: changed in place.
        source: a .safetensors file, a file that `torch.load` reads, or `builtin:NAME` for one that ships with
            mmad.

    Returns:
        What was loaded, missing and dropped.

    Raises:
        MmadError: when the file is missing, unreadable, of an unknown layout or for another model.
    """
    path, tensors, metadata, sha256 = _read(source)
    layout, tensors = to_ours(path, tensors)
    _check_sizes(path, tensors, model)
    wanted = model.state_dict()
    target = tuple(wanted)
    if _adapter_shapes(tensors) != _adapter_shapes(wanted):  # else a DSTA would take half of a TIA
        wanted = {name: tensor for name, tensor in wanted.items() if not name.startswith("adapters.")}
    grid = _grid(metadata.get("grid"))
    if grid is not None and grid != model.space:
        if "pos_space" in tensors:
            tensors["pos_space"] = _resample(tensors["pos_space"], grid, model.space)
        wanted = {name: tensor for name, tensor in wanted.items() if name not in POOL}
    for name, tensor in wanted.items():
        if name not in tensors and name not in POSITION + POOL:
            raise MmadError(f"{path} ({layout} layout) lacks {name}; the file is cut short or not a VideoMAE encoder.")
        if name in tensors and tensors[name].shape != tensor.shape:
            raise MmadError(
                f"{path} ({layout} layout) has {name} of shape {tuple(tensors[name].shape)}, but the "
                f"backbone needs {tuple(tensor.shape)}; pass the file that matches the backbone."
            )
    foreign = [name for name in tensors if name.startswith("blocks.") and name not in wanted]
    if foreign:
        raise MmadError(
            f"{path} ({layout} layout) has {foreign[0]}, a part that this ViT lacks and whose loss would "
            "change its features; pass weights of a plain VideoMAE."
        )
    filled = {name: tensors[name] for name in wanted if name in tensors}
    model.load_state_dict(filled, strict=False)
    return LoadReport(
        source=str(source),
        format=layout,
        loaded=len(filled),
        missing=tuple(name for name in target if name not in filled),
        dropped=tuple(sorted(set(tensors) - set(filled))),
        sha256=sha256,
    )


def fill(model: nn.Module, source: str | Path, layouts: tuple[Layout, ...], *, name: str) -> LoadReport:
    """Fill a backbone other than a VideoMAE from a file in a published layout.

    All of the network has to be in the file; only a map called `pool`, which is no part of the published network, may
    stay as initialised.

    Args:
        model: changed in place.
        source: a .safetensors file, or one that `torch.load` reads.
        layouts: those that the network is published in.
        name: of the network, for error messages.

    Returns:
        What was loaded, missing and dropped.

    Raises:
        MmadError: when the file is missing, unreadable, of an unknown layout or for another model.
    """
    path, tensors, _, sha256 = read_weights(source, option="backbone.weights")
    layout, tensors = renamed(path, tensors, layouts, name=name)
    tensors = {key: tensor for key, tensor in tensors.items() if not key.endswith(COMPUTED)}
    wanted = {key: tensor for key, tensor in model.state_dict().items() if not key.endswith(COMPUTED)}
    for key, tensor in wanted.items():
        if key not in tensors:
            if key.startswith("pool."):
                continue
            raise MmadError(f"{path} ({layout} layout) lacks {key}; pass the weights of the same {name}.")
        # A linear map may be stored as a convolution of one place.
        if [n for n in tensors[key].shape if n > 1] != [n for n in tensor.shape if n > 1]:
            raise MmadError(
                f"{path} ({layout} layout) has {key} of shape {tuple(tensors[key].shape)}, but the backbone needs "
                f"{tuple(tensor.shape)}; pass the weights of the same {name}."
            )
    parts = tuple(f"{part}." for part, _ in model.named_children())
    if foreign := [key for key in tensors if key.startswith(parts) and key not in wanted]:
        raise MmadError(
            f"{path} ({layout} layout) has {foreign[0]}, which this network lacks; pass the weights of the same {name}."
        )
    filled = {key: tensors[key].reshape(tensor.shape) for key, tensor in wanted.items() if key in tensors}
    model.load_state_dict(filled, strict=False)
    return LoadReport(
        source=str(source),
        format=layout,
        loaded=len(filled),
        missing=tuple(key for key in wanted if key not in filled),
        dropped=tuple(sorted(set(tensors) - set(filled))),
        sha256=sha256,
    )


def load_decoder(decoder: nn.Module, encoder: LoadReport) -> LoadReport:
    """Fill the decoder of a masked autoencoder from the file that filled its encoder, if that is one of pre-training.

    Args:
        decoder: changed in place; a file whose decoder has other sizes, or none, leaves it as it is.
        encoder: what was loaded of the file before.

    Returns:
        What was loaded, missing and dropped of both.
    """
    path, tensors, _, _ = _read(encoder.source)
    _, tensors = to_ours(path, tensors)
    found, wanted = decoder_of(tensors), decoder.state_dict()
    own = tuple(f"decoder.{name}" for name in wanted)
    if {name: t.shape for name, t in found.items()} != {name: t.shape for name, t in wanted.items()}:
        return replace(encoder, missing=encoder.missing + own)
    decoder.load_state_dict(found)
    of_decoder = ("norm.", "layernorm.", "encoder_to_decoder.", "mask_token", "decoder.")
    return replace(
        encoder,
        loaded=encoder.loaded + len(own),
        dropped=tuple(name for name in encoder.dropped if not name.startswith(of_decoder)),
    )


def save_weights(model: "VideoMAE", path: str | Path, metadata: Mapping[str, str]) -> None:
    """Write a backbone without its adapters as float16 safetensors that `load_weights` reads.

    Args:
        model: the backbone.
        path: file to write; its folder must exist.
        metadata: where the weights come from, kept in the file's header beside the token grid.
    """
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if not name.startswith("adapters.")
    }
    save_file(tensors, path, metadata={**metadata, "grid": "x".join(map(str, model.space))})


def frozen_names(module: nn.Module) -> frozenset[str]:
    """Names of the parameters that do not train, which a run's checkpoints may leave out."""
    return frozenset(name for name, parameter in module.named_parameters() if not parameter.requires_grad)


def fingerprint(module: nn.Module) -> str:
    """Hex sha256 over names and float32 values of what does not train: the weights a run stands on.

    Statistics of batch norms are part of it, as they change what the network sees; tables that are computed are not.
    """
    digest = hashlib.sha256()
    state = module.state_dict()
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    for name in sorted(state.keys() - trained):
        if state[name].is_floating_point():
            digest.update(name.encode())
            digest.update(state[name].to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(source: str | Path) -> WeightsFile:
    """What a file of weights holds, or one that ships with mmad."""
    name = str(source)
    if not name.startswith("builtin:"):
        return read_weights(source, option="backbone.weights")
    with as_file(files("mmad.backbones") / "weights" / f"{name.removeprefix('builtin:')}.safetensors") as path:
        if not path.is_file():
            raise MmadError(f"weights={name} does not ship with mmad; the one that does is builtin:vmae_tiny.")
        return read_weights(path, option="backbone.weights")


def _check_sizes(path: Path, tensors: Tensors, model: "VideoMAE") -> None:
    """Refuse the weights of a ViT of another size in one sentence, before any single tensor is looked at."""
    projection = tensors.get("patch_embed.proj.weight")
    if projection is None or projection.ndim != 5:
        raise MmadError(f"{path} has no patch embedding of video tubelets, so it is not a VideoMAE encoder.")
    found = (projection.shape[0], len(block_indices(tensors)), projection.shape[3])
    needed = (model.embed_dim, len(model.blocks), model.patch)
    if found != needed:
        ours = SIZES.get(needed)
        theirs = SIZES.get(found)
        raise MmadError(
            f"{path} holds a ViT with width {found[0]}, {found[1]} blocks and patch {found[2]}, but "
            f"{f'backbone={ours}' if ours else 'the backbone'} needs width {needed[0]}, {needed[1]} blocks "
            f"and patch {needed[2]}; pass the matching file{f' or backbone={theirs}' if theirs else ''}."
        )


def _adapter_shapes(tensors: Tensors) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items() if name.startswith("adapters.")}


def _grid(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, width = map(int, text.split("x"))
    return height, width


def _resample(pos_space: torch.Tensor, grid: tuple[int, int], space: tuple[int, int]) -> torch.Tensor:
    """A learned (1, h*w, C) table on another grid, by bilinear interpolation."""
    image = pos_space.float().unflatten(1, grid).permute(0, 3, 1, 2)
    image = F.interpolate(image, size=space, mode="bilinear", align_corners=False)
    return image.permute(0, 2, 3, 1).flatten(1, 2)
