"""What several processes have to agree on."""

import torch
from torch import Tensor


def process() -> tuple[int, int]:
    """This process's rank and how many there are."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def share(count: Tensor, *, least: float = 0.0) -> Tensor:
    """This process's share of what all processes count.

    Losses divided by it have the loss of one process that has all clips as their mean over the processes.

    Args:
        count: scalar of this process; it gets no gradient.
        least: of all processes together.

    Returns:
        Scalar float32.
    """
    _, ranks = process()
    total = count.detach().float().clone()
    if ranks > 1:
        torch.distributed.all_reduce(total)
    return total.clamp(min=least) / ranks
