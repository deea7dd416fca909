"""Linear interpolation along time in operations that have one gradient on every device."""

import torch
from torch import Tensor


def hats(position: Tensor, steps: int) -> Tensor:
    """How much each step counts in the linear interpolation at a position.

    The product of these weights with a sequence is its value at the positions; those before the first and after the
    last step have weights that do not sum to 1. That is `interpolate` of `mmad.layers.deformable_attention` as a matrix
    of all steps: right where all channels are read at the same places, whose weights can be summed up before the
    product. There, each head reads places of its own, so that most of a matrix for each would be zeros.

    Args:
        position: (...) float, feature steps.
        steps: T of the sequence.

    Returns:
        (..., T) in [0, 1], of which two at most are not 0.

    >>> hats(torch.tensor([0.0, 1.25]), 3)
    tensor([[1.0000, 0.0000, 0.0000],
            [0.0000, 0.7500, 0.2500]])
    """
    step_T = torch.arange(steps, device=position.device, dtype=position.dtype)
    return (1 - (position[..., None] - step_T).abs()).clamp(min=0)


def upsampled(x_BTC: Tensor, mask_BT: Tensor, *, factor: int, steps: int) -> Tensor:
    """A sequence of which a step spans several new ones; its last valid step goes on into the padding.

    Args:
        x_BTC: (B, T, C), finite where the mask is False.
        mask_BT: (B, T) bool, True = valid step; valid steps come first, and each clip has one.
        factor: new steps that a step spans.
        steps: new length.

    Returns:
        (B, steps, C), at valid steps as by `F.interpolate` of the valid steps alone, `scale_factor=factor` and
        `align_corners=False`.
    """
    new_T = torch.arange(steps, device=x_BTC.device, dtype=torch.float32)
    last_B1 = mask_BT.sum(dim=1, keepdim=True).float() - 1
    position_BT = torch.minimum(((new_T + 0.5) / factor - 0.5).clamp(min=0), last_B1)
    return hats(position_BT, x_BTC.shape[1]).to(x_BTC.dtype) @ x_BTC


def enlarged(x_BCT: Tensor, *, factor: int) -> Tensor:
    """A sequence of which each step becomes several, with the same mean.

    Unlike a product with a matrix, this keeps its precision under autocast.

    Args:
        x_BCT: (B, C, T).
        factor: new steps for each.

    Returns:
        (B, C, T * factor), as by `F.interpolate` with `scale_factor=factor` and `align_corners=False`.
    """
    before_BCT = torch.cat([x_BCT[..., :1], x_BCT[..., :-1]], dim=-1)
    after_BCT = torch.cat([x_BCT[..., 1:], x_BCT[..., -1:]], dim=-1)
    # From the middle of a step to those of its new ones, in steps.
    shift = (torch.arange(factor, device=x_BCT.device, dtype=x_BCT.dtype) + 0.5) / factor - 0.5
    neighbour = torch.where(shift < 0, before_BCT[..., None], after_BCT[..., None])
    return x_BCT[..., None].lerp(neighbour, shift.abs()).flatten(-2)
