"""What backbones that look over whole clips share: each clip runs at its own length, and norms never learn.

Convolutions and shifted windows over time see what follows a clip's end, be it zeros or repeated frames. So clips are
cut to their own length before the network, where they end in its own padding, as the windows of published training do.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmad.errors import MmadError
from mmad.layers.interpolation import enlarged
from mmad.timebase import CHUNK

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # mean and standard deviation, RGB, 0..255
NORMS = (nn.BatchNorm3d, nn.LayerNorm)

Network = Callable[[Tensor, Tensor], Tensor]
"""From video of b clips (b, 3, f, H, W) and their b places in the batch to features (b, C, f / frames_per_step)."""


def at_own_length(
    network: Network, video_BCFHW: Tensor, mask_BT: Tensor | None, *, embed_dim: int, frames_per_step: int
) -> Tensor:
    """Features of the clips of a batch, those of each as if it were alone.

    Clips with equally many chunks of 16 frames run together. A clip's last valid chunk counts as a whole, whatever
    fills it up.

    Args:
        network: of clips without padding.
        video_BCFHW: (B, 3, F, H, W) RGB in 0..255; F is a multiple of 16 frames.
        mask_BT: (B, F / frames_per_step) bool, True for valid feature steps, which come first; None for all.
        embed_dim: C of the features.
        frames_per_step: video frames per feature step.

    Returns:
        (B, C, F / frames_per_step) features, zero where `mask_BT` is False.

    Raises:
        MmadError: the video is not RGB, or its length is not a multiple of 16.
    """
    clips, channels, frames = video_BCFHW.shape[:3]
    if channels != 3:
        raise MmadError(f"The backbone sees RGB video but got {channels} channels; give it three.")
    if frames == 0 or frames % CHUNK:
        raise MmadError(
            f"The backbone reads chunks of {CHUNK} frames but got {frames} frames; pad the window to a multiple of "
            f"{CHUNK}."
        )
    # Weights of 3-D convolutions get wrong gradients in bfloat16 on a CPU, or memory is overwritten (torch 2.15).
    if video_BCFHW.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return at_own_length(network, video_BCFHW, mask_BT, embed_dim=embed_dim, frames_per_step=frames_per_step)
    if mask_BT is None:
        return network(video_BCFHW, torch.arange(clips, device=video_BCFHW.device))
    chunks_B = -(-mask_BT.sum(1) * frames_per_step // CHUNK)
    feats_BCT = torch.zeros(clips, embed_dim, mask_BT.shape[1], device=video_BCFHW.device)
    for chunks in sorted(set(chunks_B.tolist()) - {0}):
        (rows,) = torch.where(chunks_B == chunks)
        part = network(video_BCFHW[rows, :, : chunks * CHUNK], rows)
        feats_BCT = feats_BCT.to(part.dtype)
        feats_BCT[rows, :, : part.shape[-1]] = part
    return feats_BCT.masked_fill(~mask_BT[:, None], 0.0)


def resized(feats_BCT: Tensor, steps: int) -> Tensor:
    """Features at another number of steps, in float32 at least, with the same mean over time.

    Args:
        feats_BCT: (B, C, T).
        steps: new length, a whole multiple of T or T of a whole multiple of it.

    Returns:
        (B, C, steps): means of equally many steps each, or what lies between steps by linear interpolation.
    """
    feats_BCT = feats_BCT.to(torch.promote_types(feats_BCT.dtype, torch.float32))
    if feats_BCT.shape[-1] % steps == 0:
        return feats_BCT.unflatten(-1, (steps, -1)).mean(-1)
    return enlarged(feats_BCT, factor=steps // feats_BCT.shape[-1])


def check_settings(adapter: object, trains: str, frames_per_step: int) -> None:
    """Refuses what a backbone without adapters cannot do.

    Raises:
        MmadError: an adapter is asked for, or an unknown way to train, or steps that no chunk holds a whole number of.
    """
    if adapter is not None or trains not in ("nothing", "everything"):
        raise MmadError(
            "Adapters are for the blocks of a VideoMAE, and this backbone has none; use adapter=frozen, adapter=full, "
            "or a vmae backbone."
        )
    if frames_per_step < 1 or CHUNK % frames_per_step:
        raise MmadError(f"The backbone has frames_per_step={frames_per_step}; choose one of 1, 2, 4, 8, 16.")


def settle(network: nn.Module, trains: str) -> None:
    """Trains everything but the norms, or nothing; a map called `pool` trains with the head in any case."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(trains == "everything" or name.startswith("pool."))
    for module in network.modules():
        if isinstance(module, NORMS):
            module.eval().requires_grad_(False)


def keep_norms(network: nn.Module) -> None:
    """Norms over a batch use their published statistics in training too: a batch of a few clips has no good ones."""
    for module in network.modules():
        if isinstance(module, NORMS):
            module.eval()


class Pixels(nn.Module):
    """Normalises RGB video in 0..255.

    Args:
        mean, std: of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1, 1), persistent=False)

    def forward(self, video_BCFHW: Tensor) -> Tensor:
        """The video as floating point."""
        return (video_BCFHW.to(self.mean.dtype) - self.mean).div_(self.std)
