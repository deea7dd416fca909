import inspect
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor

from mmad.errors import MmadError
from mmad.heads.anchor_free import in_one_sequence
from mmad.heads.dyfadet import OPENTAD_KEYS, DyFADet, DynamicAggregation, DynamicScale, GatedAggregation, gate
from mmad.nms import soft_nms
from mmad.segments import Segments
from opentad import check_file_fills


def small(**options) -> DyFADet:
    torch.manual_seed(0)
    sizes = {"in_channels": 6, "classes": 3, "channels": 32, "convs": 1, "stem": 1, "levels": 3, **options}
    return DyFADet(mlp_channels=16, **sizes)


def randomised(module: torch.nn.Module, *, std: float = 0.3) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(std * torch.randn_like(parameter))
    return module.eval()


def prefix_mask(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]),
        "labels": torch.tensor([label for *_, label in instances]),
    }


def test_parameters_of_the_published_size() -> None:
    """27,634,504 in OpenTAD, of which 55,296 are constants that shift channels by a step."""
    with torch.device("meta"):
        head = DyFADet(in_channels=1408, classes=52)
    assert sum(parameter.numel() for parameter in head.parameters()) == 27_634_504 - 55_296


def test_initial_values() -> None:
    head = small(reg_bias=1.0)
    torch.testing.assert_close(head.dense.cls_head.conv.bias, torch.full((3,), -4.5951), rtol=0, atol=1e-4)
    assert head.dense.reg_head.conv.bias.tolist() == [1.0, 1.0]
    for layer in (*head.cls_layers, *head.reg_layers):
        assert (layer.scale_weight.item(), layer.output_weight.item()) == (0.0, 1.0)
    blocks = [*head.pyramid.stem, *head.pyramid.branch]
    assert all(block.window_relu for block in blocks)


def test_a_single_level_names_the_fix() -> None:
    with pytest.raises(MmadError, match=r"head.levels=1: .*at least"):
        small(levels=1)


def naive_gate(value: float) -> float:
    low = math.tanh(1.5)
    return max(0.0, (math.tanh(value - 1.5) + low) / (1 + low))


def test_gate_equals_the_plain_formula() -> None:
    values = [-3.0, -0.1, 0.0, 0.1, 1.5, 2.0, 20.0]
    found = gate(torch.tensor(values, dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([naive_gate(value) for value in values], dtype=torch.float64))
    assert found[2] == 0 < found[3]
    assert found[-1].item() == pytest.approx(1.0)


def normalised(norm: torch.nn.LayerNorm, v: Tensor) -> Tensor:
    return (v - v.mean()) / (v.var(unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias


def at(x: list[Tensor], t: int) -> Tensor:
    """The features of a step, zero beyond the ends."""
    return x[t] if 0 <= t < len(x) else torch.zeros_like(x[0])


def naive_gated(module: GatedAggregation, x: list[Tensor], *, valid: int) -> list[Tensor]:
    """(C,) of each of the T steps of one clip."""
    channels = len(x[0])
    weight = module.conv.weight.view(-1, channels, 3)
    found = []
    for t in range(len(x)):
        y = module.conv.bias.clone()
        for c in range(channels):
            own = module.gate_conv.bias[c] + sum(
                module.gate_conv.weight[c, 0, tap] * at(x, t + tap - 1)[c] for tap in range(3)
            )
            for tap in range(3):
                value = at(x, t + tap - 1)[c]
                y = y + weight[:, c, tap] * value * naive_gate(own.item()) * (value if module.published else 1.0)
        found.append(normalised(module.norm, y) if t < valid else torch.zeros_like(y))
    return found


def naive_dynamic(module: DynamicAggregation, x: list[Tensor], *, valid: int, seen: int) -> list[Tensor]:
    """(C,) of each of the T steps of one clip; the windows of its first `seen` steps are read."""
    channels = len(x[0])
    weight = module.conv.weight.view(-1, channels, 3)
    windows = [torch.stack([at(x, t - 1), at(x, t), at(x, t + 1)], dim=1).flatten() for t in range(seen)]
    found = []
    for t in range(len(x)):
        if t >= valid:
            found.append(torch.zeros(channels, dtype=x[0].dtype))
            continue
        kernel, own = module.kernel_conv.bias.clone(), module.gate_conv.bias.clone()
        for tap in range(3):
            kernel += module.kernel_conv.weight[:, :, tap] @ at(windows, t + tap - 1)
            own += module.gate_conv.weight[:, :, tap] @ at(windows, t + tap - 1)
        kernel = normalised(module.kernel_norm, kernel) * naive_gate(own.item())
        y = module.conv.bias.clone()
        for tap in range(3):
            y += weight[:, :, tap] @ (at(x, t + tap - 1) * kernel)
        found.append(normalised(module.norm, y))
    return found


@pytest.mark.parametrize("published", [False, True])
@torch.no_grad()
def test_gated_aggregation_equals_plain_loops(published: bool) -> None:
    torch.manual_seed(0)
    module = randomised(GatedAggregation(4, published=published).double())
    mask = prefix_mask(7, 4, steps=7)
    x = torch.randn(2, 7, 4, dtype=torch.float64)
    # The gates start nearly closed; here some are open and some are not.
    module.gate_conv.bias += 1.0
    found = module(x, mask)
    for clip, valid in enumerate((7, 4)):
        expected = naive_gated(module, list(x[clip]), valid=valid)
        torch.testing.assert_close(found[clip], torch.stack(expected))


@pytest.mark.parametrize("seen", [4, 7])
@torch.no_grad()
def test_dynamic_aggregation_equals_plain_loops(seen: int) -> None:
    """What lies behind the valid steps is read by the last of them, or is not."""
    torch.manual_seed(0)
    module = randomised(DynamicAggregation(4).double())
    module.gate_conv.bias += 1.0
    seen_mask = prefix_mask(7, seen, steps=7)
    x = torch.randn(2, 7, 4, dtype=torch.float64) * seen_mask[..., None]
    found = module(x, prefix_mask(7, 4, steps=7), seen_mask)
    for clip, (valid, read) in enumerate(((7, 7), (4, seen))):
        expected = naive_dynamic(module, list(x[clip]), valid=valid, seen=read)
        torch.testing.assert_close(found[clip], torch.stack(expected))


def naive_scale(
    layer: DynamicScale, pyramid: list[list[Tensor]], valid: list[int], seen: list[int]
) -> list[list[Tensor]]:
    """One clip, each level by itself; a level is a list of steps."""
    found = []
    for level, x in enumerate(pyramid):
        total = [layer.output_weight * step for step in x]
        for module, other in ((layer.from_finer, level - 1), (layer.from_coarser, level + 1)):
            if 0 <= other < len(pyramid):
                said = naive_gated(module, pyramid[other], valid=valid[other])
                for t in range(len(x)):
                    total[t] = total[t] + layer.scale_weight * said[t * len(said) // len(x)]
        total = [step if t < seen[level] else torch.zeros_like(step) for t, step in enumerate(total)]
        steps = naive_dynamic(layer.aggregate, total, valid=valid[level], seen=seen[level])
        found.append([step.clamp(min=0) for step in steps])
    return found


@pytest.mark.parametrize("published", [False, True])
@torch.no_grad()
def test_dynamic_scale_equals_plain_loops_on_separate_levels(published: bool) -> None:
    torch.manual_seed(0)
    layer = randomised(DynamicScale(4, published=published).double())
    for module in (layer.from_finer, layer.from_coarser, layer.aggregate):
        module.gate_conv.bias += 1.0
    mask = prefix_mask(8, 5, steps=8)
    seen = torch.ones_like(mask) if published else mask
    pyramid = [torch.randn(2, 8 >> level, 4, dtype=torch.float64) for level in range(3)]
    pyramid = [x * seen[:, :: 2**level, None] for level, x in enumerate(pyramid)]
    sequence, mask_BS = in_one_sequence(pyramid, mask)
    _, seen_BS = in_one_sequence(pyramid, seen)
    found = layer(sequence, mask_BS, seen_BS, [9, 5, 3]).split([9, 5, 3], dim=1)
    for clip, valid in enumerate(([8, 4, 2], [5, 3, 2])):
        read = [8, 4, 2] if published else valid
        expected = naive_scale(layer, [list(x[clip]) for x in pyramid], valid, read)
        for level in range(3):
            torch.testing.assert_close(found[level][clip, :-1], torch.stack(expected[level]))
            assert not found[level][clip, -1].any()
    assert all(x.any() for x in found)


def test_layers_look_at_other_levels_once_the_scale_has_left_0() -> None:
    """The gates learn nothing in the first step, and something in the second."""
    head = small(layer_scale=0.5, reg_bias=1.0)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    feats, mask = torch.randn(2, 6, 16), prefix_mask(16, 9, steps=16)
    target = [truth((1.0, 4.0, 0)), truth((2.0, 8.0, 1))]
    for learns in (False, True):
        optimizer.zero_grad()
        torch.stack(list(head.loss(head(feats, mask), target).values())).sum().backward()
        for layer in (*head.cls_layers, *head.reg_layers):
            assert layer.scale_weight.grad.any()
            for module in (layer.from_finer, layer.from_coarser):
                assert module.conv.weight.grad.any() == learns
        optimizer.step()


@torch.no_grad()
def test_heads_read_both_towers() -> None:
    """The layers are applied in turn, classes and boundaries from layers of their own."""
    head = randomised(small())
    feats, mask = torch.randn(2, 6, 16), prefix_mask(16, 9, steps=16)
    outputs = head(feats, mask)
    pyramid = head.pyramid(feats, mask)
    sizes = [17, 9, 5]
    told = []
    for layers in (head.cls_layers, head.reg_layers):
        x, mask_BS = in_one_sequence(pyramid, mask)
        for layer in layers:
            x = layer(x, mask_BS, mask_BS, sizes)
        told.append([level[:, :-1] for level in x.split(sizes, dim=1)])
    masks = [mask[:, :: 2**level] for level in range(3)]
    logits = [head.dense.cls_head(x, valid) for x, valid in zip(told[0], masks, strict=True)]
    offsets = [
        F.relu(scale * head.dense.reg_head(x, valid))
        for scale, x, valid in zip(head.dense.scale_L, told[1], masks, strict=True)
    ]
    torch.testing.assert_close(outputs.logits_BPK, torch.cat(logits, dim=1))
    torch.testing.assert_close(outputs.offsets_BPG2[:, :, 0], torch.cat(offsets, dim=1))


@torch.no_grad()
def test_published_behaviour_depends_on_padding_and_the_default_does_not() -> None:
    feats, mask = torch.randn(1, 6, 16), prefix_mask(16, steps=16)
    alone = {}
    for published, least, most in ((False, 0.0, 1e-5), (True, 1e-3, 1.0)):
        head = randomised(small(published=published), std=0.2)
        alone[published] = head(feats, mask)
        padded = head(F.pad(feats, (0, 16)), F.pad(mask, (0, 16)))
        kept = padded.mask_BP[0]
        one, other = alone[published].logits_BPK[0], padded.logits_BPK[0, kept]
        assert least <= (one - other).norm() / one.norm() <= most
    # The squared features differ without padding, too.
    assert not torch.allclose(alone[False].logits_BPK, alone[True].logits_BPK, atol=1e-3)


@pytest.mark.slow
def test_two_clips_are_learnt_by_heart() -> None:
    head = small(layer_scale=0.1, path_drop=0.0, input_noise=0.0, reg_bias=1.0, loss_normalizer=10.0)
    feats, mask = torch.randn(2, 6, 16), prefix_mask(16, 12, steps=16)
    targets = [truth((1.0, 4.0, 0), (3.0, 13.0, 2)), truth((5.5, 9.0, 1))]
    optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = torch.stack(list(head.loss(head(feats, mask), targets).values())).sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    for found, target in zip(head.eval().decode(head(feats, mask)), targets, strict=True):
        top = soft_nms(found, max_per_clip=len(target["labels"]))
        order = top["labels"].argsort()
        assert torch.equal(top["labels"][order], target["labels"])
        assert (top["scores"] > 0.5).all()
        torch.testing.assert_close(top["segments"][order], target["segments"], rtol=0, atol=0.5)


def opentad_keys(convs: int, stem: int, branch: int, layers: int) -> list[str]:
    weights, weight = ("weight", "bias"), ("weight",)
    keys = []

    def add(name: str, ends: tuple[str, ...] = weights) -> None:
        keys.extend(f"{name}.{end}" for end in ends)

    for index in range(convs):
        add(f"projection.embed.{index}.conv", weight)
        add(f"projection.embed.{index}.norm")
    blocks = [f"stem.{index}" for index in range(stem)] + [f"branch.{index}" for index in range(branch)]
    for block in (f"projection.{block}" for block in blocks):
        for part in ("ln", "gn", "psi", "fc", "convw", "convkw", "global_fc", "mlp.0", "mlp.2"):
            add(f"{block}.{part}")
        if "branch" in block:
            keys.extend(f"{block}.drop_path_{part}.scale" for part in ("out", "mlp"))
    for level in range(branch + 1):
        add(f"neck.fpn_norms.{level}")
        keys.append(f"rpn_head.scale.{level}.scale")
    for layer in (f"rpn_head.{part}_convs.{index}" for part in ("cls", "reg") for index in range(layers)):
        keys.extend(f"{layer}.{part}" for part in ("scale_weight", "output_weight"))
        for part in ("dynamic_convs.0", "dynamic_convs.1", "depth_module"):
            add(f"{layer}.{part}.shift_conv", weight)
            add(f"{layer}.{part}.conv")
            add(f"{layer}.{part}.norm")
        for part in ("dynamic_convs.0", "dynamic_convs.1"):
            add(f"{layer}.{part}.kernel_conv.gate_conv")
        for part in ("conv", "norm", "gate.gate_conv"):
            add(f"{layer}.depth_module.kernel_conv.{part}")
    add("rpn_head.cls_head")
    add("rpn_head.reg_head")
    return [*keys, "rpn_head.loss_normalizer"]


def test_a_file_of_opentad_fills_it(tmp_path: Path) -> None:
    keys = opentad_keys(convs=2, stem=1, branch=2, layers=2)
    check_file_fills(small(convs=2, stem=1), keys, OPENTAD_KEYS, classes=3, path=tmp_path / "file.pth")


def test_config_lists_every_argument_with_its_default() -> None:
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/head/dyfadet.yaml")
    owned = {"in_channels": "${backbone.embed_dim}", "levels": "${grid.levels}"}
    found = OmegaConf.to_container(config, resolve=False)
    assert found.pop("_target_") == f"{DyFADet.__module__}.{DyFADet.__qualname__}"
    assert {key: found.pop(key) for key in owned} == owned
    # The number of classes comes from the taxonomy when the head is built.
    parameters = inspect.signature(DyFADet).parameters.items()
    assert found == {key: parameter.default for key, parameter in parameters if key not in {*owned, "classes"}}
