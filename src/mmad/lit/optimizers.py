"""Optimisers with the parameter groups of the recipes, and the learning-rate schedule."""

from collections.abc import Callable
from math import cos, pi

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from timm.optim import Muon, param_groups_weight_decay
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that receive gradients."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def adamw(
    backbone: nn.Module, head: nn.Module, *, backbone_lr: float, head_lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW with one group for what trains in the backbone and two for the head.

    Args:
        backbone, head: their trainable parameters are optimised.
        backbone_lr: of adapters, or of the whole backbone where that is tuned.
        head_lr: of the head, and of the backbone's pooling map, which trains with it.
        weight_decay: of backbone and head weights; the head's biases, norms and scales have none.

    Source: AdaTAD's recipe in OpenTAD (betas 0.9, 0.999; eps 1e-8).
    """
    groups: list[dict] = [
        {**group, "lr": head_lr} for group in param_groups_weight_decay(head, weight_decay=weight_decay)
    ]
    named = [(name, p) for name, p in backbone.named_parameters() if p.requires_grad]
    for lr, is_pool in ((backbone_lr, False), (head_lr, True)):
        parameters = [p for name, p in named if name.startswith("pool.") == is_pool]
        groups.append({"params": parameters, "lr": lr, "weight_decay": weight_decay})
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=head_lr)


def muon(
    backbone: nn.Module, head: nn.Module, *, lr: float, vector_lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Muon for the weights of linear maps and flattened convolutions, NAdamW for everything else.

    Args:
        backbone, head: their trainable parameters are optimised.
        lr: of matrices; the update is scaled to AdamW's size (0.2 sqrt of the larger side).
        vector_lr: of biases, norms, tables, narrow kernels and those of depth-wise convolutions.
        weight_decay: of matrices only.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), in timm's implementation.
    """
    # The rows of other matrices, such as one kernel per channel, are no directions of a common space.
    maps = {
        id(module.weight)
        for module in (*backbone.modules(), *head.modules())
        if isinstance(module, nn.Linear) or (isinstance(module, nn.modules.conv._ConvNd) and module.groups == 1)
    }
    parameters = trainable(backbone) + trainable(head)
    # Orthogonalising a matrix with a side of a few numbers says nothing about its directions.
    wide = [id(p) in maps and min(p.shape[0], p[0].numel()) >= 8 for p in parameters]
    matrices = [p for p, is_wide in zip(parameters, wide, strict=True) if is_wide]
    vectors = [p for p, is_wide in zip(parameters, wide, strict=True) if not is_wide]
    groups = [
        {"params": matrices, "lr": lr, "weight_decay": weight_decay, "use_muon": True},
        {"params": vectors, "lr": vector_lr, "weight_decay": 0.0, "use_fallback": True},
    ]
    return Muon([g for g in groups if g["params"]], lr=lr, momentum=0.95, nesterov=True, betas=(0.9, 0.98))


def warmup_cosine(optimizer: torch.optim.Optimizer, *, steps: int, warmup: float) -> LambdaLR:
    """Linear warm-up from 0, then half a cosine to 0, per optimiser step.

    Args:
        optimizer: whose groups' learning rates are scaled.
        steps: optimiser steps of the whole run.
        warmup: share of the run spent warming up.

    Source: OpenTAD's `LinearWarmupCosineAnnealingLR`, whose floor of 1e-8 is 0 here.
    """
    rise = min(max(round(steps * warmup), 2), steps)

    def factor(step: int) -> float:
        if step < rise:
            return step / max(rise - 1, 1)
        return 0.5 * (1 + cos(pi * min((step - rise) / max(steps - rise, 1), 1.0)))

    return LambdaLR(optimizer, factor)


def per_step(
    optimizer: torch.optim.Optimizer, make_scheduler: Callable[..., LRScheduler], trainer: L.Trainer
) -> OptimizerLRScheduler:
    """What Lightning's `configure_optimizers` returns for one optimiser whose schedule advances at every step."""
    scheduler = make_scheduler(optimizer, steps=int(trainer.estimated_stepping_batches))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
