"""The recurrence of selective state space models, by the kernel of mamba_ssm or in plain PyTorch.

Shape letters: B sequences, T steps, E channels, N states of a channel.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""From u and delta (B, E, T), A (E, N), B and C (B, N, T) to y (B, E, T); on CUDA devices only."""


def selective_scan(u_BTE: Tensor, delta_BTE: Tensor, A_EN: Tensor, B_BTN: Tensor, C_BTN: Tensor) -> Tensor:
    """A linear system whose step size, input and output follow the sequence.

    In every channel h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t, from h = 0, and y_t is the sum of C_t h_t over the
    N states. It is computed in float32, whatever the precision of the model: errors of a state stay in it.

    Args:
        u_BTE: (B, T, E) input.
        delta_BTE: (B, T, E) step sizes, positive.
        A_EN: (E, N) rates of decay, negative.
        B_BTN: (B, T, N) weights from the input to the states, the same for all channels.
        C_BTN: (B, T, N) weights from the states to the output, the same for all channels.

    Returns:
        (B, T, E), of the type of `u_BTE`.

    Source: Gu and Dao, "Mamba: linear-time sequence modeling with selective state spaces" (2023), section 3.2; the
        kernel is `selective_scan_fn` of state-spaces/mamba.

    >>> one = torch.ones(1, 3, 1)
    >>> selective_scan(one, one, -torch.ones(1, 1), one, one).flatten()
    tensor([1.0000, 1.3679, 1.5032])
    """
    inputs = [x.to(torch.promote_types(x.dtype, torch.float32)) for x in (u_BTE, delta_BTE, A_EN, B_BTN, C_BTN)]
    if torch.compiler.is_exporting():
        return _scan_by_doubling(*inputs).to(u_BTE.dtype)
    kernel = _kernel() if u_BTE.is_cuda else None
    with torch.autocast(u_BTE.device.type, enabled=False):
        y_BTE = _scan_by_kernel(kernel, *inputs) if kernel else _scan_by_steps(*inputs)
    return y_BTE.to(u_BTE.dtype)


@cache
def _kernel() -> Kernel | None:
    # Not before a tensor needs it: without a device, this import can fail.
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError:
        return None
    return selective_scan_fn


def _scan_by_kernel(
    kernel: Kernel, u_BTE: Tensor, delta_BTE: Tensor, A_EN: Tensor, B_BTN: Tensor, C_BTN: Tensor
) -> Tensor:
    u_BET, delta_BET, B_BNT, C_BNT = (x.transpose(1, 2).contiguous() for x in (u_BTE, delta_BTE, B_BTN, C_BTN))
    return kernel(u_BET, delta_BET, A_EN, B_BNT, C_BNT).transpose(1, 2)


def _scan_by_steps(u_BTE: Tensor, delta_BTE: Tensor, A_EN: Tensor, B_BTN: Tensor, C_BTN: Tensor) -> Tensor:
    # Time first, so that the states of one step lie side by side in memory.
    u_TBE, delta_TBE, B_TBN, C_TBN = (x.transpose(0, 1).contiguous() for x in (u_BTE, delta_BTE, B_BTN, C_BTN))
    return _Scan.apply(u_TBE, delta_TBE, A_EN, B_TBN, C_TBN).transpose(0, 1)


class _Scan(torch.autograd.Function):
    """The scan with the states of all steps in memory only while it runs, forwards or backwards."""

    @staticmethod
    def forward(ctx: Any, u_TBE: Tensor, delta_TBE: Tensor, A_EN: Tensor, B_TBN: Tensor, C_TBN: Tensor) -> Tensor:
        ctx.save_for_backward(u_TBE, delta_TBE, A_EN, B_TBN, C_TBN)
        _, state_TBEN = _states(u_TBE, delta_TBE, A_EN, B_TBN)
        return torch.einsum("tben,tbn->tbe", state_TBEN, C_TBN)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y_TBE: Tensor) -> tuple[Tensor, ...]:
        u_TBE, delta_TBE, A_EN, B_TBN, C_TBN = ctx.saved_tensors
        with torch.autocast(u_TBE.device.type, enabled=False):
            decay_TBEN, state_TBEN = _states(u_TBE, delta_TBE, A_EN, B_TBN)
            grad_C_TBN = torch.einsum("tben,tbe->tbn", state_TBEN, grad_y_TBE)
            # What the loss gains by a state: through its own output, and through the state of the next step.
            grad_TBEN = grad_y_TBE[..., None] * C_TBN[:, :, None]
            steps = list(zip(grad_TBEN, grad_TBEN[1:], decay_TBEN[1:], strict=False))
            for grad_BEN, next_BEN, decay_BEN in reversed(steps):
                grad_BEN.addcmul_(decay_BEN, next_BEN)
            grad_input_TBE = torch.einsum("tben,tbn->tbe", grad_TBEN, B_TBN)
            grad_B_TBN = torch.einsum("tben,tbe->tbn", grad_TBEN, delta_TBE * u_TBE)
            # By the exponent delta A; nothing decays into the first step.
            grad_exponent_TBEN = decay_TBEN
            grad_exponent_TBEN[0] = 0
            grad_exponent_TBEN[1:] *= grad_TBEN[1:] * state_TBEN[:-1]
            grad_delta_TBE = u_TBE * grad_input_TBE + torch.einsum("tben,en->tbe", grad_exponent_TBEN, A_EN)
            grad_A_EN = torch.einsum("tben,tbe->en", grad_exponent_TBEN, delta_TBE)
        return delta_TBE * grad_input_TBE, grad_delta_TBE, grad_A_EN, grad_B_TBN, grad_C_TBN


def _states(u_TBE: Tensor, delta_TBE: Tensor, A_EN: Tensor, B_TBN: Tensor) -> tuple[Tensor, Tensor]:
    """(T, B, E, N) decay into every step, and the state after it."""
    decay_TBEN = (delta_TBE[..., None] * A_EN).exp_()
    state_TBEN = (delta_TBE * u_TBE)[..., None] * B_TBN[:, :, None]
    for before_BEN, now_BEN, decay_BEN in zip(state_TBEN, state_TBEN[1:], decay_TBEN[1:], strict=False):
        now_BEN.addcmul_(decay_BEN, before_BEN)
    return decay_TBEN, state_TBEN


def _scan_by_doubling(u_BTE: Tensor, delta_BTE: Tensor, A_EN: Tensor, B_BTN: Tensor, C_BTN: Tensor) -> Tensor:
    """The scan in log2(T) rounds without a loop over steps, which would be written into an exported graph step by step.

    Before a round of reach r, a state knows the inputs of the last r steps and `decay` how they fade over these; what
    the state r steps earlier knows is then added.

    Source: Hillis and Steele, "Data parallel algorithms" (Communications of the ACM, 1986).
    """
    steps, reach = u_BTE.shape[1], 1
    decay_BTEN = (delta_BTE[..., None] * A_EN).exp()
    state_BTEN = (delta_BTE * u_BTE)[..., None] * B_BTN[:, :, None]
    while reach < steps:
        earlier = (0, 0, 0, 0, reach, -reach)
        state_BTEN = state_BTEN + decay_BTEN * F.pad(state_BTEN, earlier)
        decay_BTEN = decay_BTEN * F.pad(decay_BTEN, earlier)
        reach *= 2
    return torch.einsum("bten,btn->bte", state_BTEN, C_BTN)
