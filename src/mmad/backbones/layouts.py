"""The layouts in which VideoMAE weights are published, and their key maps to ours.

Ours is timm's: `patch_embed.proj`, `blocks.i.{norm1,attn.qkv,attn.proj,norm2,mlp.fc1,mlp.fc2}`, beside it
`adapters.i`, `pos_space`, `pos_time` and `pool`.
"""

import re
from pathlib import Path

import torch

from mmad.errors import MmadError

Tensors = dict[str, torch.Tensor]

# (name, pattern that one of its keys shows, prefix of the encoder), tried in this order
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
    for pattern, replacement in RENAMES:
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
