"""The seed of what a model draws in a training step."""

import torch


def seed_step(seed: int, step: int) -> None:
    """Seeds torch by the run's seed and the optimiser step alone.

    A resumed run then repeats an unbroken one, and all ranks draw alike; see `mmad.layers.drop`.
    """
    torch.manual_seed((seed * 1_000_003 + step) * 1_003 % 2**63)
