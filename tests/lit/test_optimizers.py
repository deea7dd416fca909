import itertools
from math import cos, pi

import pytest
import torch
from torch import nn

from mmad.lit.optimizers import adamw, muon, warmup_cosine


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(16, 16)
        self.frozen.requires_grad_(False)
        self.adapter = nn.Linear(16, 16)
        self.pos = nn.Parameter(torch.zeros(1, 12, 16))


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(16, 16, 3)
        self.depthwise = nn.Conv1d(16, 16, 11, groups=16)
        self.rates = nn.Parameter(torch.zeros(16, 16))
        self.norm = nn.LayerNorm(16)
        self.offsets = nn.Conv1d(16, 2, 3)


def groups(optimizer: torch.optim.Optimizer) -> dict[int, dict]:
    return {id(p): group for group in optimizer.param_groups for p in group["params"]}


def test_adamw_groups_follow_the_recipe() -> None:
    backbone, head = Backbone(), Head()
    found = groups(adamw(backbone, head, backbone_lr=4e-4, head_lr=1e-4, weight_decay=0.05))
    told = {name: found.get(id(p)) for name, p in [*backbone.named_parameters(), *head.named_parameters()]}
    assert told["frozen.weight"] is None  # no optimiser state for what is frozen
    for name in ("adapter.weight", "adapter.bias", "pos"):
        assert (told[name]["lr"], told[name]["weight_decay"]) == (4e-4, 0.05)
    for name in ("conv.weight", "offsets.weight"):
        assert (told[name]["lr"], told[name]["weight_decay"]) == (1e-4, 0.05)
    for name in ("conv.bias", "norm.weight", "norm.bias"):
        assert (told[name]["lr"], told[name]["weight_decay"]) == (1e-4, 0.0)


def test_muon_takes_matrices_and_wide_convolutions_only() -> None:
    backbone, head = Backbone(), Head()
    optimizer = muon(backbone, head, lr=3e-3, vector_lr=2e-3, weight_decay=0.3)
    found = groups(optimizer)
    told = {name: found.get(id(p)) for name, p in [*backbone.named_parameters(), *head.named_parameters()]}
    assert told["frozen.weight"] is None
    for name in ("adapter.weight", "conv.weight"):
        assert (told[name]["lr"], told[name]["weight_decay"]) == (3e-3, 0.3)
    for name in ("adapter.bias", "pos", "norm.weight", "offsets.weight", "depthwise.weight", "rates"):
        assert (told[name]["lr"], told[name]["weight_decay"]) == (2e-3, 0.0)


def test_muon_update_of_a_matrix_is_orthogonal() -> None:
    """All singular values of the step are alike: 0.2 sqrt(larger side) x lr, as far as five iterations get."""
    torch.manual_seed(0)
    backbone, head = Backbone(), Head()
    optimizer = muon(backbone, head, lr=1e-2, vector_lr=2e-3, weight_decay=0.0)
    before = backbone.adapter.weight.detach().clone()
    backbone.adapter(torch.randn(8, 16)).square().sum().backward()
    for p in head.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    values = torch.linalg.svdvals((backbone.adapter.weight - before) / (1e-2 * 0.2 * 16**0.5))
    strong = values[:8]  # eight samples span eight directions
    assert strong.min() > 0.6
    assert strong.max() < 1.3


def schedule(steps: int, warmup: float) -> list[float]:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    scheduler = warmup_cosine(optimizer, steps=steps, warmup=warmup)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_warm_up_rises_from_nothing_and_the_cosine_falls() -> None:
    """AdaTAD's schedule: 5 of 100 epochs of warm-up; at epoch 80 a share of 0.1054 is left."""
    rates = schedule(1000, 0.05)
    assert rates[0] == 0.0
    assert rates[49] == pytest.approx(2.0)
    assert rates[800] == pytest.approx(2.0 * 0.1054, rel=1e-3)
    assert rates[525] == pytest.approx(0.5 * (1 + cos(pi * 475 / 950)) * 2.0)
    assert all(a >= b for a, b in itertools.pairwise(rates[50:]))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_run_of_few_steps_has_a_schedule(steps: int) -> None:
    assert all(0 <= rate <= 2.0 for rate in schedule(steps, 0.05))
