"""The reversible backward pass against plain autograd."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mmad.backbones.reversible import Branch, rewired


def chain(branches: int, *, width: int = 5, seed: int = 0) -> list[Branch]:
    torch.manual_seed(seed)
    modules = [nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width)) for _ in range(branches)]
    return [Branch.of(module, module) for module in modules]


def in_float64(branches: list[Branch]) -> list[Branch]:
    for branch in branches:
        branch.run.double()  # type: ignore[attr-defined]
    return branches


def by_hand(x: Tensor, branches: list[Branch]) -> Tensor:
    """Two streams in a list, the newest last: each new value is the one before the last plus a branch of the last."""
    values = [x, x]
    for branch in branches:
        values.append(values[-2] + branch.run(values[-1]))
    return 0.5 * values[-1] + 0.5 * values[-2]


def parameters(branches: list[Branch]) -> list[nn.Parameter]:
    return [p for branch in branches for p in branch.parameters]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 6), st.integers(0, 100))
def test_values_and_gradients_are_those_of_plain_autograd(count: int, seed: int) -> None:
    branches = in_float64(chain(count, seed=seed))
    x = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    found = []
    for out in (
        by_hand(x, branches),
        rewired(x, branches, reversible=False),
        rewired(x, branches, reversible=True),
    ):
        grads = torch.autograd.grad(out.sin().sum(), [x, *parameters(branches)])
        found.append((out.detach(), *grads))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-12)


def test_only_what_comes_out_is_kept() -> None:
    def kept(branches: int, *, reversible: bool) -> int:
        seen: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            if not isinstance(tensor, nn.Parameter):
                seen[tensor.data_ptr()] = tensor.numel()
            return tensor

        x = torch.randn(64, 5, requires_grad=True)
        modules = chain(branches)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            out = rewired(x, modules, reversible=reversible)
        assert out.requires_grad
        return sum(seen.values())

    assert kept(2, reversible=True) == kept(10, reversible=True) == 2 * 64 * 5
    assert kept(10, reversible=False) > 4 * kept(2, reversible=False)


def test_gradients_reach_parameters_though_the_input_has_none() -> None:
    """A frozen patch embedding gives such an input; the published code has no backward pass then."""
    branches = chain(3)
    rewired(torch.randn(2, 5), branches, reversible=True).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in parameters(branches))


def test_frozen_parameters_have_no_gradient() -> None:
    module = nn.Linear(5, 5)
    module.bias.requires_grad_(False)
    branch = Branch.of(module, module)
    assert branch.parameters == (module.weight,)
    x = torch.randn(2, 5, requires_grad=True)
    rewired(x, [branch], reversible=True).sum().backward()
    assert module.bias.grad is None
    assert module.weight.grad is not None
    # One branch: (x + R(x) + x) / 2
    torch.testing.assert_close(x.grad, 1 + 0.5 * module.weight.detach().sum(0).expand(2, 5))


def test_nothing_is_kept_without_gradients() -> None:
    branches = chain(2)
    with torch.no_grad():
        out = rewired(torch.randn(2, 5), branches, reversible=True)
    assert not out.requires_grad


def test_streams_stay_in_float32_under_autocast_and_weights_learn_within_it() -> None:
    """In bfloat16, computing backwards would err by percents; and autocast's cache holds copies without a graph."""
    branches = chain(12, width=32)
    x = torch.randn(16, 32)
    grads = []
    for reversible in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = rewired(x.bfloat16(), branches, reversible=reversible)
            assert out.dtype == torch.float32
            grads.append(torch.autograd.grad(out.square().mean(), parameters(branches)))
    for reference, grad in zip(*grads, strict=True):
        assert (grad - reference).norm() < 0.03 * reference.norm()
