import math
import sys
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from mmad.layers import selective_scan as module
from mmad.layers.selective_scan import selective_scan


def drawn(
    clips: int, steps: int, channels: int, states: int, *, seed: int = 0, longest: float = 1.0, dtype=torch.float64
) -> list[Tensor]:
    """u, delta, A, B and C; step sizes up to `longest`."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = [
        normal(clips, steps, channels),
        longest * torch.rand(clips, steps, channels, generator=generator, dtype=torch.float64),
        -normal(channels, states).exp(),
        normal(clips, steps, states),
        normal(clips, steps, states),
    ]
    return [x.to(dtype).requires_grad_() for x in inputs]


def naive(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The recurrence as it is written, left to autograd."""
    state, outputs = torch.zeros(len(u), *A.shape, dtype=u.dtype), []
    for t in range(u.shape[1]):
        step = delta[:, t, :, None]
        state = (step * A).exp() * state + step * B[:, t, None] * u[:, t, :, None]
        outputs.append((state * C[:, t, None]).sum(dim=2))
    return torch.stack(outputs, dim=1)


def gradients(scan, inputs: list[Tensor]) -> list[Tensor]:
    y = scan(*inputs)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return list(torch.autograd.grad((y * weight.to(y)).sum(), inputs))


@given(
    clips=st.integers(1, 3),
    steps=st.integers(1, 9),
    channels=st.integers(1, 4),
    states=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_equals_plain_loops(clips, steps, channels, states, seed):
    inputs = drawn(clips, steps, channels, states, seed=seed)
    u, delta, A, B, C = (x.tolist() for x in inputs)
    found = selective_scan(*inputs)
    for b in range(clips):
        for e in range(channels):
            h = [0.0] * states
            for t in range(steps):
                for n in range(states):
                    h[n] = math.exp(delta[b][t][e] * A[e][n]) * h[n] + delta[b][t][e] * B[b][t][n] * u[b][t][e]
                y = sum(h[n] * C[b][t][n] for n in range(states))
                assert found[b, t, e].item() == pytest.approx(y, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("clips", "steps", "channels", "states"), [(2, 1, 3, 4), (3, 50, 4, 5), (1, 2304, 2, 4)])
def test_gradients_equal_those_of_the_plain_recurrence(clips, steps, channels, states):
    inputs = drawn(clips, steps, channels, states)
    torch.testing.assert_close(selective_scan(*inputs), naive(*inputs), rtol=1e-10, atol=1e-12)
    for found, expected in zip(gradients(selective_scan, inputs), gradients(naive, inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_gradients_equal_finite_differences():
    assert torch.autograd.gradcheck(selective_scan, drawn(2, 5, 2, 3))


@pytest.mark.parametrize("longest", [12.0, 1000.0])
def test_large_steps_neither_overflow_nor_lose_digits(longest):
    """Over these steps the decays multiply to less than any float, whose inverse is none."""
    inputs = drawn(1, 333, 3, 16, longest=longest, dtype=torch.float32)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    assert (inputs[1].sum(dim=1)[..., None] * inputs[2]).min().exp() == 0
    pairs = [(selective_scan(*inputs), naive(*exact))]
    pairs += zip(gradients(selective_scan, inputs), gradients(naive, exact), strict=True)
    for found, expected in pairs:
        assert found.isfinite().all()
        error = (found - expected).abs().max() / expected.abs().max()
        assert error < 1e-5


def test_steps_of_zero_keep_the_state():
    u, _, A, B, _ = drawn(1, 6, 2, 3)
    delta = torch.tensor([1.0, 0, 0, 0, 0, 0], dtype=torch.float64)[None, :, None].expand(1, 6, 2)
    y = selective_scan(u, delta, A, B, torch.ones(1, 6, 3, dtype=torch.float64))
    torch.testing.assert_close(y, y[:, :1].expand_as(y))


def test_autocast_changes_nothing_in_either_direction():
    inputs = drawn(2, 20, 3, 4, dtype=torch.float32)
    exact = gradients(selective_scan, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert selective_scan(*inputs).dtype == torch.float32
        for found, expected in zip(gradients(selective_scan, inputs), exact, strict=True):
            assert torch.equal(found, expected)


def test_half_precision_is_rounded_at_the_ends_only():
    inputs = [x.detach().bfloat16() for x in drawn(2, 200, 3, 4)]
    found = selective_scan(*inputs)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, selective_scan(*(x.float() for x in inputs)).bfloat16())


def test_no_states_are_kept_for_the_way_back():
    inputs = drawn(2, 30, 8, 16)
    kept: list[int] = []

    def pack(x: Tensor) -> Tensor:
        kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        selective_scan(*inputs)
    assert 0 < sum(kept) < 2 * 30 * 8 * 16 / 2


def selective_scan_fn(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False
):
    """What mamba_ssm documents of its function of this name, for the arguments that have no default."""
    clips, channels, steps = u.shape
    assert delta.shape == u.shape
    assert A.shape[0] == channels
    assert B.shape == C.shape == (clips, A.shape[1], steps)
    assert all(x.stride(-1) == 1 and x.dtype == u.dtype for x in (u, delta, A, B, C))
    assert (D, z, delta_bias, delta_softplus, return_last_state) == (None, None, None, False, False)
    state, outputs = torch.zeros(clips, *A.shape, dtype=u.dtype, device=u.device), []
    for t in range(steps):
        decay = torch.exp(torch.einsum("bd,dn->bdn", delta[..., t], A))
        state = decay * state + torch.einsum("bd,bn,bd->bdn", delta[..., t], B[..., t], u[..., t])
        outputs.append(torch.einsum("bdn,bn->bd", state, C[..., t]))
    return torch.stack(outputs, dim=2)


@pytest.fixture
def calls(monkeypatch):
    """An installed mamba_ssm, and the devices it was called on."""
    devices: list[str] = []

    def fake(*arguments, **options):
        devices.append(arguments[0].device.type)
        return selective_scan_fn(*arguments, **options)

    for name in ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["mamba_ssm.ops.selective_scan_interface"], "selective_scan_fn", fake, raising=False)
    module._kernel.cache_clear()
    yield devices
    module._kernel.cache_clear()


def test_an_installed_kernel_gets_its_arguments_as_documented(calls):
    inputs = drawn(2, 7, 3, 4)
    kernel = module._kernel()

    def by_kernel(*inputs: Tensor) -> Tensor:
        return module._scan_by_kernel(kernel, *inputs)

    torch.testing.assert_close(by_kernel(*inputs), selective_scan(*inputs))
    for found, expected in zip(gradients(by_kernel, inputs), gradients(selective_scan, inputs), strict=True):
        torch.testing.assert_close(found, expected)


def test_an_installed_kernel_serves_cuda_tensors_only(calls):
    selective_scan(*drawn(1, 3, 2, 4))
    assert calls == []
    with FakeTensorMode():
        u, A, B = (torch.ones(*shape, device="cuda") for shape in [(1, 3, 2), (2, 4), (1, 3, 4)])
        y = selective_scan(u.bfloat16(), u, -A, B, B)
    assert calls == ["cuda"]
    assert (y.shape, y.dtype, y.device.type) == ((1, 3, 2), torch.bfloat16, "cuda")


def test_without_the_kernel_cuda_tensors_are_scanned_in_steps(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    module._kernel.cache_clear()
    with FakeTensorMode():
        u, A, B = (torch.ones(*shape, device="cuda") for shape in [(1, 3, 2), (2, 4), (1, 3, 4)])
        assert selective_scan(u, u, -A, B, B).shape == (1, 3, 2)
    module._kernel.cache_clear()
