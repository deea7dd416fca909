"""SlowFast: the published sizes, what each pathway sees, a block by hand, and files of mmaction2 and OpenTAD."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmad.backbones.slowfast import Bottleneck, SlowFast
from mmad.errors import MmadError
from small_backbones import re2tal_slowfast, scattered, slowfast, video

R50 = {"embed_dim": 2304, "depths": (3, 4, 6, 3), "frames_per_step": 2}
R101 = {**R50, "depths": (3, 4, 23, 3)}


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({**R50, "tau": 8, "lateral_kernel": 5}, 33.557),
        ({**R50, "tau": 4, "lateral_kernel": 7}, 33.644),
        ({**R101, "tau": 4, "lateral_kernel": 7, "rewired": True}, 61.990),
    ],
)
def test_parameters_are_as_many_as_published(settings: dict, millions: float) -> None:
    with torch.device("meta"):
        model = SlowFast(**settings)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


def test_the_slow_pathway_gets_the_fast_one_without_norm_or_activation() -> None:
    model = scattered(slowfast()).double().eval()
    got: dict[str, tuple[Tensor, Tensor]] = {}
    for name in ("slow_path.conv1", "fast_path.conv1", "slow_path.layer1.0"):
        model.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: got.update({name: (args[0], out)})
        )
    with torch.no_grad():
        model(video(1, 16))
        slow, fast = (
            F.max_pool3d(got[f"{path}_path.conv1"][1].clamp(min=0), (1, 3, 3), (1, 2, 2), (0, 1, 1))
            for path in ("slow", "fast")
        )
        weight = model.get_parameter("slow_path.conv1_lateral.conv.weight")
        lateral = F.conv3d(fast, weight, stride=(8, 1, 1), padding=(2, 0, 0))
    assert (lateral < 0).any()
    assert (got["slow_path.conv1"][1] < 0).any()
    torch.testing.assert_close(got["slow_path.layer1.0"][0], torch.cat([slow, lateral], dim=1))


def test_maps_have_the_published_sizes_and_names() -> None:
    with torch.device("meta"):
        model = SlowFast(**R50, tau=8, lateral_kernel=5)
        sizes: dict[str, tuple[int, ...]] = {}
        for path in ("slow_path", "fast_path"):
            for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
                last = model.get_submodule(f"{path}.{name}")
                last = last[-1] if name.startswith("layer") else last
                last.register_forward_hook(
                    lambda _, args, out, key=f"{path}.{name}": sizes.update({key: out.shape[1:]})
                )
        feats = model(torch.empty(1, 3, 32, 96, 96))
    assert feats.shape == (1, 2304, 16)
    assert sizes == {
        "slow_path.conv1": (64, 4, 48, 48),
        "slow_path.maxpool": (64, 4, 24, 24),
        "slow_path.layer1": (256, 4, 24, 24),
        "slow_path.layer2": (512, 4, 12, 12),
        "slow_path.layer3": (1024, 4, 6, 6),
        "slow_path.layer4": (2048, 4, 3, 3),
        "fast_path.conv1": (8, 32, 48, 48),
        "fast_path.maxpool": (8, 32, 24, 24),
        "fast_path.layer1": (32, 32, 24, 24),
        "fast_path.layer2": (64, 32, 12, 12),
        "fast_path.layer3": (128, 32, 6, 6),
        "fast_path.layer4": (256, 32, 3, 3),
    }
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name, shape in {
        "slow_path.conv1.conv.weight": (64, 3, 1, 7, 7),
        "fast_path.conv1.conv.weight": (8, 3, 5, 7, 7),
        "slow_path.conv1_lateral.conv.weight": (16, 8, 5, 1, 1),
        "slow_path.layer3_lateral.conv.weight": (256, 128, 5, 1, 1),
        "slow_path.layer1.0.conv1.conv.weight": (64, 80, 1, 1, 1),
        "slow_path.layer1.0.downsample.conv.weight": (256, 80, 1, 1, 1),
        "slow_path.layer2.0.conv1.conv.weight": (128, 320, 1, 1, 1),
        "slow_path.layer3.0.conv1.conv.weight": (256, 640, 3, 1, 1),
        "slow_path.layer4.0.conv1.conv.weight": (512, 1280, 3, 1, 1),
        "fast_path.layer1.0.conv1.conv.weight": (8, 8, 3, 1, 1),
        "fast_path.layer4.2.conv3.bn.running_var": (256,),
    }.items():
        assert shapes[name] == shape, name
    assert not [name for name in shapes if name.startswith("fast_path") and "lateral" in name]
    assert not [name for name in shapes if name.endswith("conv.bias")]


def test_the_slow_pathway_sees_every_tau_th_frame() -> None:
    model = scattered(slowfast(frames_per_step=1)).eval()
    for name in ("conv1", "layer1", "layer2", "layer3"):
        torch.nn.init.zeros_(model.slow_path.get_submodule(f"{name}_lateral.conv").weight)
    clip = video(1, 32)
    other = clip.clone()
    seen = torch.arange(0, 32, 8)
    unseen = [frame for frame in range(32) if frame % 8]
    other[:, :, unseen] = 255 - other[:, :, unseen]
    with torch.no_grad():
        before, after = model(clip)[0], model(other)[0]
        assert torch.equal(before[:256], after[:256])  # the slow pathway's channels come first
        assert not torch.isclose(before[256:], after[256:]).all()
        other[:, :, seen] = 255 - other[:, :, seen]
        assert not torch.isclose(model(other)[0][:256], before[:256]).all()


def test_each_pathway_is_resized_by_itself() -> None:
    model = scattered(slowfast()).double().eval()
    maps: dict[str, Tensor] = {}
    for path in ("slow_path", "fast_path"):
        last = model.get_submodule(f"{path}.layer4.0")
        last.register_forward_hook(lambda _, args, out, key=path: maps.update({key: out}))
    with torch.no_grad():
        feats = model(video(1, 32))[0]
    slow, fast = maps["slow_path"][0].mean((2, 3)), maps["fast_path"][0].mean((2, 3))
    assert (slow.shape, fast.shape) == ((256, 4), (32, 32))
    for step in range(16):
        # Linear interpolation between the centres of steps, the ends held
        at = min(max((step + 0.5) * 4 / 16 - 0.5, 0.0), 3.0)
        low = min(int(at), 2)
        torch.testing.assert_close(feats[:256, step], slow[:, low] + (at - low) * (slow[:, low + 1] - slow[:, low]))
        torch.testing.assert_close(feats[256:, step], (fast[:, 2 * step] + fast[:, 2 * step + 1]) / 2)


def test_a_block_by_hand() -> None:
    block = scattered(Bottleneck(6, 2, time=3, stride=2)).double().eval()
    x = torch.randn(1, 6, 3, 5, 5, dtype=torch.float64)

    def convolved(x: Tensor, weight: Tensor, stride: int) -> Tensor:
        """By sums over the kernel, at every place."""
        out, _, kt, kh, kw = weight.shape
        padded = F.pad(x, (kw // 2, kw // 2, kh // 2, kh // 2, kt // 2, kt // 2))
        t, h, w = x.shape[2], (x.shape[3] - 1) // stride + 1, (x.shape[4] - 1) // stride + 1
        y = x.new_zeros(1, out, t, h, w)
        for a in range(t):
            for b in range(h):
                for c in range(w):
                    part = padded[0, :, a : a + kt, stride * b : stride * b + kh, stride * c : stride * c + kw]
                    y[0, :, a, b, c] = (weight * part).sum((1, 2, 3, 4))
        return y

    def unit(name: str, x: Tensor, stride: int = 1) -> Tensor:
        norm = block.get_submodule(f"{name}.bn")
        y = convolved(x, block.get_submodule(f"{name}.conv").weight, stride)
        scale = norm.weight / (norm.running_var + 1e-5).sqrt()
        return (y - norm.running_mean.view(-1, 1, 1, 1)) * scale.view(-1, 1, 1, 1) + norm.bias.view(-1, 1, 1, 1)

    with torch.no_grad():
        y = unit("conv3", unit("conv2", unit("conv1", x).clamp(min=0), stride=2).clamp(min=0))
        y = (y + unit("downsample", x, stride=2)).clamp(min=0)
        torch.testing.assert_close(block(x), y)


def opentad(name: str) -> str:
    """A name as OpenTAD's rewired SlowFast has it."""
    path, stage, *rest = name.split(".")
    if stage.startswith("layer") and rest[0].isdigit():
        block = rest.pop(0)
        inner = ["Fm"] if block == "0" and rest[0] != "downsample" else []
        rest = ["blocks", block, *(["inv_block", "Fm"] if block != "0" else inner), *rest]
    return ".".join(["backbone.model.backbone", path, stage, *rest])


def test_files_of_others_load_as_they_are(tmp_path: Path) -> None:
    source = scattered(slowfast()).eval()
    state = source.state_dict()
    theirs = {f"backbone.{name}": value for name, value in state.items()}
    theirs["cls_head.fc_cls.weight"] = torch.zeros(400, 288)
    torch.save({"state_dict": theirs, "meta": {}}, tmp_path / "mmaction2.pth")
    model = slowfast(weights=str(tmp_path / "mmaction2.pth")).eval()
    report = model.load_report
    assert (report.format, report.missing, report.dropped) == ("mmaction2", (), ("cls_head.fc_cls.weight",))
    with torch.no_grad():
        assert torch.equal(model(video(1, 16)), source(video(1, 16)))

    rewired = scattered(re2tal_slowfast(), seed=1)
    names = {opentad(name): value for name, value in rewired.state_dict().items()}
    assert "backbone.model.backbone.slow_path.layer2.blocks.0.Fm.conv1.conv.weight" in names
    assert "backbone.model.backbone.slow_path.layer2.blocks.0.downsample.conv.weight" in names
    assert "backbone.model.backbone.fast_path.layer2.blocks.1.inv_block.Fm.conv3.bn.weight" in names
    torch.save(names, tmp_path / "opentad.pth")
    loaded = re2tal_slowfast(weights=str(tmp_path / "opentad.pth"))
    assert loaded.load_report.format == "OpenTAD Re2TAL"
    for name, value in rewired.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    # Tuned for the rewired function, they mean nothing to the ordinary network.
    with pytest.raises(MmadError, match="no known layout of SlowFast weights"):
        slowfast(weights=str(tmp_path / "opentad.pth"))


@pytest.mark.parametrize(
    ("saved", "built", "message"),
    [
        ({"depths": (1, 2, 3, 1)}, {}, r"has .*layer3\.2\..*, which this network lacks"),
        ({}, {"depths": (1, 2, 3, 1)}, r"lacks .*layer3\.2\."),
        ({"lateral_kernel": 7}, {}, r"lateral.* of shape \(2, 1, 7, 1, 1\), but the backbone needs \(2, 1, 5, 1, 1\)"),
    ],
)
def test_weights_of_another_network_are_refused(saved: dict, built: dict, message: str, tmp_path: Path) -> None:
    torch.save(slowfast(**saved).state_dict(), tmp_path / "other.pth")
    with pytest.raises(MmadError, match=message):
        slowfast(**built, weights=str(tmp_path / "other.pth"))


def test_an_untrained_network_of_published_depth_stays_finite() -> None:
    """Norms that do not learn must not leave the branches shut, nor let 33 blocks add up without end."""
    torch.manual_seed(0)
    model = slowfast(depths=(3, 4, 23, 3)).eval()
    with torch.no_grad():
        feats = model(video(1, 16, side=16))
    assert 1e-3 < feats.std() < 1e3
    assert all((block.conv3.bn.weight > 0).all() for block in model.modules() if isinstance(block, Bottleneck))
