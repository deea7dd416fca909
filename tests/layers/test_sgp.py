import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmad.errors import MmadError
from mmad.layers import sgp
from mmad.layers.sgp import InputNoise, MaskedGroupNorm, SGPBlock, SGPPyramid

DEPTHWISE = ("fc", "global_fc", "psi", "conv_w", "conv_kw")


def prefix_mask(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Float64, and no parameter at a value that hides a mistake."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.double().eval()


def built(**options) -> SGPBlock:
    sizes = {"window": 3, "window_factor": 1.2, "mlp_channels": 5, "layer_scale": 0.5, **options}
    return randomised(SGPBlock(32, **sizes))


def pyramid(**options) -> SGPPyramid:
    torch.manual_seed(0)
    sizes = {
        "in_channels": 6,
        "channels": 32,
        "convs": 1,
        "stem": 1,
        "levels": 3,
        "window": 3,
        "window_factor": 1.2,
        "mlp_channels": 8,
        "init_std": 0.3,
        "layer_scale": 0.5,
        "path_drop": 0.0,
        "input_noise": 0.0,
        "window_relu": False,
        "published": False,
        **options,
    }
    return SGPPyramid(**sizes)


@pytest.mark.parametrize("channels", [32, 48])
def test_group_norm_is_torchs_on_the_valid_steps(channels: int) -> None:
    norm = randomised(MaskedGroupNorm(16, channels))
    mask = prefix_mask(8, 5, 1, steps=8)
    x = 3 + 2 * torch.randn(3, 8, channels, dtype=torch.float64)
    found = norm(x, mask)
    for clip, steps in enumerate((8, 5, 1)):
        cut_out = x[clip, :steps].T[None]
        expected = F.group_norm(cut_out, 16, norm.weight, norm.bias, norm.eps)[0].T
        torch.testing.assert_close(found[clip, :steps], expected)


def test_group_norm_of_a_clip_without_valid_steps_is_finite() -> None:
    norm = MaskedGroupNorm(16, 16)
    x = torch.randn(1, 4, 16, requires_grad=True)
    norm(x, prefix_mask(0, steps=4)).sum().backward()
    assert x.grad.isfinite().all()


def naive_sgp(block: SGPBlock, x: list[Tensor], *, valid: int, seen: int) -> list[Tensor]:
    """One clip by the formulas, step by step.

    Args:
        block: its parameters are used.
        x: features (C,) of each step, after pooling.
        valid: steps of the clip.
        seen: steps that norms, means and windows run over.
    """
    p = dict(block.named_parameters())
    channels, size = len(x[0]), len(x[0]) // 16

    def normalised(v: Tensor) -> Tensor:
        return (v - v.mean()) / (v.var(unbiased=False) + 1e-5).sqrt() * p["norm.weight"] + p["norm.bias"]

    o = [normalised(v) for v in x[:seen]]

    def window(name: str, t: int) -> Tensor:
        weight = p[f"{name}.weight"]
        total = p[f"{name}.bias"].clone()
        for tap in range(weight.shape[2]):
            source = t + tap - weight.shape[2] // 2
            if 0 <= source < seen:
                total += weight[:, 0, tap] * o[source]
        return total

    phi = (p["global_fc.weight"][:, 0, 0] * sum(o) / seen + p["global_fc.bias"]).clamp(min=0)
    z = []
    for t in range(seen):
        both = window("conv_w", t) + window("conv_kw", t)
        if block.window_relu:
            both = both.clamp(min=0)
        y = phi * window("fc", t) + window("psi", t) * both + o[t]
        z.append((x[t] if t < valid else 0) + p["sgp_scale.gamma"] * y)
    out = []
    for t in range(seen):
        normed = torch.empty(channels, dtype=torch.float64)
        for group in range(16):
            own = slice(group * size, (group + 1) * size)
            values = torch.cat([v[own] for v in z])
            normed[own] = (z[t][own] - values.mean()) / (values.var(unbiased=False) + 1e-5).sqrt()
        hidden = p["mlp.0.weight"] @ (normed * p["group_norm.weight"] + p["group_norm.bias"]) + p["mlp.0.bias"]
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        out.append(z[t] + p["mlp_scale.gamma"] * (p["mlp.2.weight"] @ hidden + p["mlp.2.bias"]))
    return out + [torch.zeros(channels)] * (len(x) - seen)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("window_relu", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_block_equals_plain_loops(stride: int, window_relu: bool, published: bool) -> None:
    block = built(stride=stride, window_relu=window_relu, published=published)
    mask = prefix_mask(8, 5, steps=8)
    x = torch.randn(2, 8, 32, dtype=torch.float64)
    if not published:
        x *= mask[..., None]
    found = block(x, mask)
    for clip, valid in enumerate((8, 5)):
        steps = list(x[clip])
        if stride == 2:
            steps = [x[clip, max(2 * t - 1, 0) : 2 * t + 2].amax(dim=0) for t in range(4)]
            valid = (valid + 1) // 2
        if not published:
            steps = [step if t < valid else torch.zeros_like(step) for t, step in enumerate(steps)]
        expected = naive_sgp(block, steps, valid=valid, seen=len(steps) if published else valid)
        torch.testing.assert_close(found[clip], torch.stack(expected), check_dtype=False)


@pytest.mark.parametrize("stride", [1, 2])
def test_only_the_published_block_depends_on_the_length_of_the_padding(stride: int) -> None:
    mask = prefix_mask(8, 5, steps=8)
    x = torch.randn(2, 8, 32, dtype=torch.float64) * mask[..., None]
    change = {}
    for published in (False, True):
        block = built(stride=stride, published=published)
        short, long = block(x, mask), block(F.pad(x, (0, 0, 0, 8)), F.pad(mask, (0, 8)))
        kept = mask[:, ::stride]
        change[published] = (long[:, : len(kept[0])] - short)[kept].norm() / short[kept].norm()
    assert change[False] < 1e-12
    assert change[True] > 0.01
    # Without padding there is nothing to read.
    whole = [built(stride=stride, published=published)(x[:1], mask[:1]) for published in (False, True)]
    torch.testing.assert_close(*whole, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("window", "factor", "wide"), [(1, 5.0, 11), (15, 1.3, 21), (15, 1.2, 19), (3, 1.5, 7), (1, 1.5, 3)]
)
def test_wide_windows_of_the_published_settings(window: int, factor: float, wide: int) -> None:
    block = SGPBlock(16, window=window, window_factor=factor, mlp_channels=1)
    assert block.conv_kw.kernel_size == (wide,)
    assert block.psi.kernel_size == block.conv_w.kernel_size == (window,)
    assert block.fc.kernel_size == block.global_fc.kernel_size == (1,)


@pytest.mark.parametrize("window_relu", [False, True])
def test_depthwise_convolutions_learn_unless_they_start_at_0(window_relu: bool) -> None:
    """All products have two factors of 0 then, so that nothing but a spread gets them going."""
    x, mask = torch.randn(2, 8, 16), prefix_mask(8, 5, steps=8)
    for std, moves in ((0.1, True), (0.0, False)):
        torch.manual_seed(0)
        block = SGPBlock(16, init_std=std, window_relu=window_relu)
        block(x * mask[..., None], mask).square().sum().backward()
        for name in DEPTHWISE:
            assert getattr(block, name).weight.grad.any() == moves
        assert block.mlp[0].weight.grad.any()


def test_initial_values() -> None:
    torch.manual_seed(0)
    block = SGPBlock(512, window=3, init_std=0.2, mlp_channels=1)
    for name in DEPTHWISE:
        assert getattr(block, name).weight.std().item() == pytest.approx(0.2, rel=0.15)
        assert not getattr(block, name).bias.any()
    levels = pyramid(layer_scale=0.25)
    assert isinstance(levels.stem[0].sgp_scale, torch.nn.Identity)
    assert isinstance(levels.stem[0].mlp_scale, torch.nn.Identity)
    assert levels.stem[0].psi.kernel_size == (1,)
    for block in levels.branch:
        assert block.sgp_scale.gamma.tolist() == block.mlp_scale.gamma.tolist() == [0.25] * 32
        assert block.psi.kernel_size == (3,)
        assert not block.mlp[0].bias.any()


def test_path_drop_leaves_out_whole_clips_in_training_only() -> None:
    block = built(path_drop=0.5)
    x, mask = torch.randn(1, 4, 32, dtype=torch.float64).expand(64, 4, 32), torch.ones(64, 4, dtype=torch.bool)
    assert torch.equal(block(x, mask)[0], block(x, mask)[1])
    outcomes = block.train()(x, mask)
    assert len({tuple(clip.flatten().tolist()) for clip in outcomes.round(decimals=3)}) == 4


@torch.no_grad()
def test_published_pyramid_normalises_padding_and_depends_on_it() -> None:
    """Of 75 steps, those of a longer window come out otherwise; by default they do not."""
    feats, mask = torch.randn(1, 6, 75), prefix_mask(75, steps=96)
    change = {}
    for published in (False, True):
        levels = pyramid(published=published).eval()
        short = levels(F.pad(feats, (0, 21)), mask)
        long = levels(F.pad(feats, (0, 181)), F.pad(mask, (0, 160)))
        for level, (one, other) in enumerate(zip(short, long, strict=True)):
            valid = mask[0, :: 2**level].sum()
            difference = one[:, :valid] - other[:, :valid]
            change[published, level] = (difference.norm() / one[:, :valid].norm()).item()
            assert one[:, valid:].any() == published
    assert max(change[False, level] for level in range(3)) < 1e-5
    assert min(change[True, level] for level in range(3)) > 1e-2
    whole = [pyramid(published=published).eval()(feats[..., :64], mask[:, :64]) for published in (False, True)]
    for default, published_level in zip(*whole, strict=True):
        torch.testing.assert_close(default, published_level, rtol=0, atol=0)


@torch.no_grad()
def test_published_pyramid_is_its_blocks_one_after_the_other() -> None:
    levels = pyramid(published=True).eval()
    feats, mask = torch.randn(2, 6, 8), prefix_mask(8, 5, steps=8)
    x = levels.stem[0](levels.embed[0]((feats * mask[:, None]).mT, mask), mask)
    expected = [levels.neck[0](x)]
    for level, stride in ((0, 1), (1, 2)):
        x = levels.branch[level](x, mask[:, ::stride])
        expected.append(levels.neck[level + 1](x))
    torch.testing.assert_close(levels(feats, mask), expected)


def test_sizes_that_do_not_fit_name_the_fix() -> None:
    with pytest.raises(MmadError, match=r"head.window=2: .*odd"):
        pyramid(window=2)
    with pytest.raises(MmadError, match=r"head.channels=40: .*multiple of 16"):
        pyramid(channels=40)
    with pytest.raises(MmadError, match=r"50 feature steps cannot be halved 2 times"):
        pyramid()(torch.zeros(1, 6, 50), torch.ones(1, 50, dtype=torch.bool))


def drawn(std: float, mask: Tensor, *, published: bool = False) -> Tensor:
    torch.manual_seed(1)
    return InputNoise(std, published=published).train()(torch.ones(*mask.shape, 5), mask) - 1


def test_noise_lies_on_valid_steps_and_published_noise_everywhere() -> None:
    mask = prefix_mask(400, 100, steps=400)
    noise = drawn(0.3, mask)
    assert noise[mask].std().item() == pytest.approx(0.3, rel=0.05)
    assert noise[mask].mean().item() == pytest.approx(0.0, abs=0.03)
    assert not noise[~mask].any()
    everywhere = drawn(0.3, mask, published=True)
    assert everywhere[~mask].std().item() == pytest.approx(0.3, rel=0.1)
    x = torch.ones(2, 400, 5)
    assert InputNoise(0.3).eval()(x, mask) is x
    assert InputNoise(0.0).train()(x, mask) is x


def test_noise_does_not_depend_on_padding_or_on_the_spread_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = prefix_mask(8, 5, 3, 7, steps=8)
    whole, then = drawn(0.3, mask), torch.rand(2)
    torch.testing.assert_close(drawn(0.3, F.pad(mask, (0, 8)))[:, :8], whole, rtol=0, atol=0)
    for rank in range(2):
        monkeypatch.setattr(sgp, "process", lambda rank=rank: (rank, 2))
        torch.testing.assert_close(drawn(0.3, mask[rank::2]), whole[rank::2], rtol=0, atol=0)
        torch.testing.assert_close(torch.rand(2), then, rtol=0, atol=0)
