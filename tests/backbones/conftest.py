from collections.abc import Callable
from typing import Any

import pytest
import torch

from mmad.backbones.videomae import VideoMAE

Tiny = Callable[..., VideoMAE]


@pytest.fixture
def tiny() -> Tiny:
    """Builds a small ViT with every parameter drawn at random, biases too."""

    def build(seed: int = 0, **changes: Any) -> VideoMAE:
        torch.manual_seed(seed)
        settings = {"embed_dim": 24, "depth": 2, "heads": 2, "resolution": (48, 32), "frames_per_step": 2}
        model = VideoMAE(**{**settings, **changes})
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.startswith(("patch_embed", "blocks", "pool")):
                    parameter.normal_(1.0 if "norm" in name and "weight" in name else 0.0, 0.15)
                if name.endswith("qkv.bias"):
                    parameter[24:48] = 0  # the key's, which published layouts do not have
        return model.eval()

    return build


@pytest.fixture
def clip() -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randint(0, 256, (2, 3, 32, 48, 32), dtype=torch.uint8)
