import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmad.layers import mamba as module
from mmad.layers.mamba import DecomposedBidirectionalMamba, MambaBlock


def prefix_mask(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def trained(part: torch.nn.Module) -> torch.nn.Module:
    """As after some training, in float64."""
    torch.manual_seed(0)
    for parameter in part.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return part.double().eval()


def silu(x: float) -> float:
    return x / (1 + math.exp(-x))


def along(weights: dict[str, Tensor], x: list[list[float]], gate: list[list[float]]) -> list[list[float]]:
    """One direction over the valid steps of one clip, number by number."""
    channels, states = weights["A_log"].shape
    rank = weights["dt_proj.weight"].shape[1]
    w = {name: weight.tolist() for name, weight in weights.items()}
    state = [[0.0] * states for _ in range(channels)]
    outputs = []
    for t in range(len(x)):
        u = []
        for c in range(channels):
            # The last of the four taps is the step itself.
            taps = [w["conv1d.weight"][c][0][3 - back] * x[t - back][c] for back in range(4) if t >= back]
            u.append(silu(w["conv1d.bias"][c] + sum(taps)))
        told = [sum(a * b for a, b in zip(row, u, strict=True)) for row in w["x_proj.weight"]]
        steps, B, C = told[:rank], told[rank : rank + states], told[rank + states :]
        y = []
        for c in range(channels):
            raw = w["dt_proj.bias"][c] + sum(a * b for a, b in zip(w["dt_proj.weight"][c], steps, strict=True))
            delta = math.log1p(math.exp(raw))
            for n in range(states):
                decay = math.exp(-math.exp(w["A_log"][c][n]) * delta)
                state[c][n] = decay * state[c][n] + delta * B[n] * u[c]
            read = sum(C[n] * state[c][n] for n in range(states))
            y.append((read + w["D"][c] * u[c]) * silu(gate[t][c]))
        outputs.append(y)
    return outputs


def test_equals_plain_loops_in_both_directions():
    channels = 20
    mamba = trained(DecomposedBidirectionalMamba(channels))
    assert mamba.rank == 2
    weights = {name: parameter.detach() for name, parameter in mamba.named_parameters()}
    mask = prefix_mask(7, 3, 1, steps=7)
    x = torch.randn(3, 7, channels, dtype=torch.float64) * mask[..., None]
    found = mamba(x, mask)
    for clip, valid in enumerate(mask.sum(dim=1).tolist()):
        inputs = (x[clip, :valid] @ weights["in_proj.weight"].T).split(channels, dim=1)
        forth, gate_forth, back, gate_back = (part.tolist() for part in inputs)
        forth = along(weights, forth, gate_forth)
        back = along(weights, back[::-1], gate_back[::-1])[::-1]
        joined = torch.cat([torch.tensor(y, dtype=torch.float64) for y in (forth, back)], dim=1)
        torch.testing.assert_close(found[clip, :valid], joined @ weights["out_proj.weight"].T)
        assert not found[clip, valid:].any()


def test_one_scan_serves_both_directions_in_float32(monkeypatch):
    seen = []

    def scan(*inputs: Tensor) -> Tensor:
        seen.append(inputs)
        return torch.zeros_like(inputs[0])

    monkeypatch.setattr(module, "selective_scan", scan)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        DecomposedBidirectionalMamba(16)(torch.randn(2, 8, 16), prefix_mask(8, 5, steps=8))
    ((u, delta, A, B, C),) = seen
    assert u.shape == delta.shape == (4, 8, 16)
    assert A.shape == (16, 16)
    assert B.shape == C.shape == (4, 8, 16)
    # In bfloat16, the bias of a short step would lose what tells it from others.
    assert delta.dtype == A.dtype == torch.float32


def test_initial_values():
    torch.manual_seed(0)
    mamba = DecomposedBidirectionalMamba(96)
    torch.testing.assert_close(-mamba.A_log.exp(), -torch.arange(1.0, 17).expand(96, 16))
    assert mamba.D.tolist() == [1] * 96
    assert not mamba.conv1d.bias.any()
    step = F.softplus(mamba.dt_proj.bias)
    assert 0.001 <= step.min() < 0.002
    assert 0.05 < step.max() <= 0.1
    # Even in the logarithm: half of them are below the middle of it, 0.01.
    assert 0.3 < (step < 0.01).float().mean() < 0.7
    bound = 6**-0.5
    assert 0.9 * bound < mamba.dt_proj.weight.abs().max() <= bound


def test_block_adds_the_scaled_branch_and_then_pools():
    mask = prefix_mask(8, 5, steps=8)
    x = torch.randn(2, 8, 16, dtype=torch.float64) * mask[..., None]
    block = trained(MambaBlock(16))
    normed = (x - x.mean(dim=2, keepdim=True)) / (x.var(dim=2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    normed = (normed * block.norm.weight + block.norm.bias) * mask[..., None]
    full = x + block.scale.gamma * block.mamba(normed, mask)
    torch.testing.assert_close(block(x, mask), full)
    assert not full[~mask].any()

    halving = MambaBlock(16, stride=2).double().eval()
    halving.load_state_dict(block.state_dict())
    found = halving(x, mask)
    assert found.shape == (2, 4, 16)
    for clip in range(2):
        for step in range(4):
            around = full[clip, max(2 * step - 1, 0) : 2 * step + 2].amax(dim=0)
            torch.testing.assert_close(found[clip, step], around if mask[clip, 2 * step] else torch.zeros_like(around))


def test_dropped_branch_leaves_the_input():
    x, mask = torch.randn(2, 8, 16), prefix_mask(8, 8, steps=8)
    block = MambaBlock(16, layer_scale=0.5, path_drop=1.0)
    assert block.scale.gamma.tolist() == [0.5] * 16
    assert torch.equal(block.train()(x, mask), x)
    assert not torch.equal(block.eval()(x, mask), x)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("published", [False, True])
def test_only_the_published_block_feels_the_length_of_its_padding(stride, published):
    block = trained(MambaBlock(16, stride=stride, published=published))
    x = torch.randn(1, 6, 16, dtype=torch.float64)
    alone = block(x, prefix_mask(6, steps=6))
    padded = block(F.pad(x, (0, 0, 0, 10)), prefix_mask(6, steps=16))
    assert not padded[:, 6 // stride :].any()
    difference = (padded[:, : 6 // stride] - alone).abs().max()
    assert difference > 1e-3 if published else difference < 1e-12


def test_without_padding_both_blocks_agree():
    x, mask = torch.randn(2, 6, 16, dtype=torch.float64), prefix_mask(6, 6, steps=6)
    assert torch.equal(trained(MambaBlock(16))(x, mask), trained(MambaBlock(16, published=True))(x, mask))


def test_clip_without_any_valid_step_stays_zero():
    x, mask = torch.zeros(1, 4, 16, dtype=torch.float64), prefix_mask(0, steps=4)
    assert not trained(MambaBlock(16))(x, mask).any()
