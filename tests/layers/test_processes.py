"""Losses that several processes divide by what all of them count."""

import pytest
import torch

from mmad.layers import processes
from mmad.layers.processes import share


def test_losses_by_shares_have_the_loss_of_all_clips_as_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    sums, counts = [6.0, 1.0], [3, 1]

    def reduced(total: torch.Tensor) -> None:
        total.fill_(float(sum(counts)))

    monkeypatch.setattr(processes, "process", lambda: (0, 2))
    monkeypatch.setattr(torch.distributed, "all_reduce", reduced)
    losses = [sums[rank] / share(torch.tensor(counts[rank])).item() for rank in range(2)]
    assert sum(losses) / 2 == sum(sums) / sum(counts)


def test_a_share_is_not_less_than_asked() -> None:
    assert share(torch.tensor(0), least=1).item() == 1.0
    assert share(torch.tensor(3), least=1).item() == 3.0
