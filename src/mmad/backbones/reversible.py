"""Re2TAL: a pretrained network rewired so that its activations can be computed backwards instead of kept.

An ordinary residual network computes x <- x + R(x), one branch R after the other. Rewired, the skip connection of each
branch reaches one branch further: with two streams of full width,

    (a, b) <- (b + R(a), a),    backwards    (a, b) <- (b, a - R(b)).

The parameters are those of the ordinary network, what they compute is not. A Swin block is two branches, attention and
MLP, which is the additive coupling y1 = x1 + F(x2), y2 = x2 + G(y1) of the paper; a bottleneck of a ResNet is one. Each
stage starts with both streams equal and ends with their mean.

The published code differentiates within its backward pass by `.backward()`, which hides the parameters from the graph
(DDP needs a static graph, `torch.autograd.grad` finds nothing), and repeats the draws of drop path by seeding all of
torch with one constant for each block, at every step: what is dropped never changes, nor does any randomness after it.
Here gradients of parameters are returned, and branches must not draw: what they drop is drawn beforehand.

Source: Zhao et al., "Re2TAL: Rewiring pretrained video backbones for reversible temporal action localization" (CVPR
2023).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Branch(NamedTuple):
    """A residual branch: what it computes, without any randomness, and the parameters that it trains."""

    run: Callable[[Tensor], Tensor]
    parameters: tuple[nn.Parameter, ...]

    @classmethod
    def of(cls, run: Callable[[Tensor], Tensor], *modules: nn.Module) -> "Branch":
        """A branch that trains what is trainable in `modules`."""
        return cls(run, tuple(p for module in modules for p in module.parameters() if p.requires_grad))


def rewired(x: Tensor, branches: Sequence[Branch], *, reversible: bool) -> Tensor:
    """A rewired stage.

    Args:
        x: what both streams start with.
        branches: in their order.
        reversible: keep only what comes out, and compute the rest backwards from it; else keep all activations.

    Returns:
        The mean of both streams, in float32 at least: computing backwards in bfloat16 errs by percents.
    """
    a = b = x.to(torch.promote_types(x.dtype, torch.float32))
    if reversible and branches:
        a, b = _Reversible.apply(branches, a, b, *(p for branch in branches for p in branch.parameters))
    else:
        for branch in branches:
            a, b = b + branch.run(a), a
    return (a + b) / 2


class _Reversible(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, branches: Sequence[Branch], a: Tensor, b: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.branches = branches
        ctx.autocast = torch.is_autocast_enabled(a.device.type), torch.get_autocast_dtype(a.device.type)
        for branch in branches:
            a, b = b + branch.run(a), a
        ctx.save_for_backward(a, b)
        return a, b

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_a: Tensor, grad_b: Tensor) -> tuple[Any, ...]:
        a, b = ctx.saved_tensors
        enabled, dtype = ctx.autocast
        grads: list[list[Tensor]] = []
        for branch in reversed(ctx.branches):
            # Autocast's cache may hold copies of the weights that were made without a graph.
            casts = torch.autocast(a.device.type, dtype=dtype, enabled=enabled, cache_enabled=False)
            with torch.enable_grad(), casts:
                before = b.detach().requires_grad_()
                out = branch.run(before)
            grad_before, *of_parameters = torch.autograd.grad(out, (before, *branch.parameters), grad_a.to(out.dtype))
            grads.append(of_parameters)
            a, b = before.detach(), a - out.detach()
            grad_a, grad_b = grad_b + grad_before, grad_a
        return None, grad_a, grad_b, *(grad for each in reversed(grads) for grad in each)
