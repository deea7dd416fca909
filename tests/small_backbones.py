"""Small backbones that look over whole clips."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mmad.backbones.i3d import I3D
from mmad.backbones.slowfast import SlowFast
from mmad.backbones.swin import Swin


def slowfast(**changes: Any) -> SlowFast:
    settings = {"embed_dim": 288, "depths": (1, 2, 2, 1), "tau": 8, "lateral_kernel": 5, "frames_per_step": 2}
    return SlowFast(**{**settings, **changes})


def swin(**changes: Any) -> Swin:
    settings = {"embed_dim": 32, "depths": (2, 2), "heads": (1, 2), "frames_per_step": 2}
    return Swin(**{**settings, **changes})


def i3d(**changes: Any) -> I3D:
    return I3D(**{"embed_dim": 128, "width": 8, "frames_per_step": 2, **changes})


def i3d_pointtad(**changes: Any) -> I3D:
    return I3D(**{"embed_dim": 8, "width": 8, "fusion": True, "frames_per_step": 4, **changes})


def re2tal_slowfast(**changes: Any) -> SlowFast:
    return slowfast(**{"rewired": True, "checkpointing": True, **changes})


def re2tal_swin(**changes: Any) -> Swin:
    return swin(**{"rewired": True, "checkpointing": True, **changes})


FAMILY: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (slowfast, swin, i3d, i3d_pointtad, re2tal_slowfast, re2tal_swin)
}


def scattered(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with norms that are no identities, and everything trainable."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    return model


def video(clips: int, frames: int, side: int = 32, seed: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (clips, 3, frames, side, side), dtype=torch.uint8, generator=generator)
