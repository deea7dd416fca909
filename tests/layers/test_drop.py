"""Dropped paths, channels and values: those of timm and torch, and the same on any number of processes."""

import pytest
import timm.layers
import torch
from torch import Tensor, nn

from mmad.layers import drop
from mmad.layers.drop import DropChannels, Dropout, DropPath, TemporalDropout

CLIPS, ROWS = 6, 3


def drawn(layer: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch, *, ranks: int) -> list[Tensor]:
    """What each rank makes of its share of the clips, and then a further draw."""
    shares = []
    for rank in range(ranks):
        monkeypatch.setattr(drop, "process", lambda rank=rank: (rank, ranks))
        torch.manual_seed(1)
        own = x.unflatten(0, (CLIPS, -1))[rank::ranks].flatten(0, 1)
        shares.append(layer(own).unflatten(0, (CLIPS // ranks, -1)))
        shares.append(torch.rand(2))
    return shares


@pytest.mark.parametrize("rate", [0.1, 0.7])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(DropPath, timm.layers.DropPath), (DropChannels, nn.Dropout1d)], ids=["path", "channels"]
)
def test_one_process_draws_as_the_libraries_do(ours: type, theirs: type, rate: float) -> None:
    x = torch.randn(5, 8, 4)
    torch.manual_seed(2)
    expected, then = theirs(rate)(x), torch.rand(3)
    torch.manual_seed(2)
    torch.testing.assert_close(ours(rate)(x), expected, rtol=0, atol=0)
    torch.testing.assert_close(torch.rand(3), then, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["path", "rows", "channels"])
@pytest.mark.parametrize("ranks", [2, 3])
def test_several_processes_draw_what_one_draws(kind: str, ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = DropChannels(0.5) if kind == "channels" else DropPath(0.5)
    rows = ROWS if kind == "rows" else 1
    if isinstance(layer, DropPath):
        layer.rows = rows
    x = torch.randn(CLIPS * rows, 5, 2)
    whole, then = drawn(layer, x, monkeypatch, ranks=1)
    parts = drawn(layer, x, monkeypatch, ranks=ranks)
    together = torch.stack(parts[::2], dim=1).flatten(0, 1)
    torch.testing.assert_close(together, whole, rtol=0, atol=0)
    assert (whole == 0).any()
    assert (whole != 0).any()
    # What is drawn later must not shift either.
    for part in parts[1::2]:
        torch.testing.assert_close(part, then, rtol=0, atol=0)


def test_a_chunk_is_dropped_or_not_whatever_padding_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = DropPath(0.5)
    results = []
    for rows in (ROWS, ROWS + 2):
        layer.rows = rows
        torch.manual_seed(3)
        results.append(layer(torch.ones(CLIPS * rows, 1)).view(CLIPS, rows)[:, :ROWS])
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_rows_are_dropped_at_the_rate_and_the_mean_stays() -> None:
    layer = DropPath(0.25)
    layer.rows = 100
    torch.manual_seed(0)
    out = layer(torch.ones(40 * 100, 1))
    assert (out == 0).double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert out.mean().item() == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("layer", [DropPath(0.9), DropChannels(0.9)])
def test_evaluation_drops_nothing(layer: nn.Module) -> None:
    x = torch.randn(4, 3, 2)
    assert layer.eval()(x) is x


# Single values.


def test_one_process_drops_values_as_torch_does() -> None:
    x = torch.randn(5, 8, 4)
    torch.manual_seed(2)
    expected = nn.Dropout(0.3)(x)
    torch.manual_seed(2)
    torch.testing.assert_close(Dropout(0.3)(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("layer", [Dropout(0.5), TemporalDropout(0.5)])
@pytest.mark.parametrize("ranks", [2, 3])
def test_several_processes_drop_the_values_that_one_drops(
    layer: nn.Module, ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.ones(6, 5, 4)
    torch.manual_seed(1)
    whole, then = layer(x), torch.rand(2)
    assert (whole == 0).any()
    assert (whole != 0).any()
    for rank in range(ranks):
        monkeypatch.setattr(drop, "process", lambda rank=rank: (rank, ranks))
        torch.manual_seed(1)
        torch.testing.assert_close(layer(x[rank::ranks]), whole[rank::ranks], rtol=0, atol=0)
        # What is drawn later must not shift either.
        torch.testing.assert_close(torch.rand(2), then, rtol=0, atol=0)


def test_padding_changes_no_value_along_time() -> None:
    results = []
    for steps in (4, 9):
        torch.manual_seed(3)
        results.append((TemporalDropout(0.5)(torch.ones(3, steps, 6))[:, :4], torch.rand(2)))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [Dropout, TemporalDropout])
def test_values_are_dropped_at_the_rate_and_the_mean_stays(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    out = kind(0.25)(torch.ones(4, 100, 30))
    assert (out == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert out.mean().item() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("layer", [Dropout(0.9), TemporalDropout(0.9)])
def test_evaluation_drops_no_value(layer: nn.Module) -> None:
    x = torch.randn(4, 3, 2)
    assert layer.eval()(x) is x
