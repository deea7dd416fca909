"""I3D: the published sizes, its padding by hand, both kinds of features, and files of others."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mmad.backbones.i3d import I3D, Mixed, Pool, Unit, padded
from mmad.errors import MmadError
from small_backbones import i3d, i3d_pointtad, scattered, video


def test_a_mixed_block_joins_its_branches_in_the_published_order() -> None:
    mixed = scattered(Mixed(4, (1, 2, 3, 2, 3, 2))).double().eval()
    x = torch.randn(1, 4, 3, 5, 5, dtype=torch.float64).relu()

    def unit(name: str, x: torch.Tensor) -> torch.Tensor:
        own = {key: value for key, value in mixed.get_submodule(name).state_dict().items()}
        y = F.conv3d(x, own["conv3d.weight"], padding=own["conv3d.weight"].shape[-1] // 2)
        norm = [own[f"bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(y, *norm, eps=1e-3).relu()

    pooled = F.max_pool3d(F.pad(x, (1,) * 6), 3, 1)
    branches = [unit("b0", x), unit("b1b", unit("b1a", x)), unit("b2b", unit("b2a", x)), unit("b3b", pooled)]
    torch.testing.assert_close(mixed(x), torch.cat(branches, dim=1))


def test_parameters_and_sizes_are_the_published_ones() -> None:
    with torch.device("meta"):
        model = I3D(embed_dim=1024, frames_per_step=2)
        fused = I3D(embed_dim=512, fusion=True, frames_per_step=4)
        sizes: dict[str, tuple[int, ...]] = {}
        for network, key in ((model, ""), (fused, "fused ")):
            for name in network.stages:
                network.get_submodule(name).register_forward_hook(
                    lambda _, args, out, key=f"{key}{name}": sizes.update({key: tuple(out.shape[1:])})
                )
        assert model(torch.empty(1, 3, 16, 224, 224)).shape == (1, 1024, 8)
        assert fused(torch.empty(1, 3, 256, 192, 192)).shape == (1, 512, 64)
    assert sum(p.numel() for p in model.parameters()) == 12_287_264
    assert sum(p.numel() for p in fused.parameters()) == 12_287_264 + (832 + 1) * 512 + (1024 + 1) * 512
    expected = {
        "Conv3d_1a_7x7": (64, 8, 112, 112),
        "MaxPool3d_2a_3x3": (64, 8, 56, 56),
        "Conv3d_2b_1x1": (64, 8, 56, 56),
        "Conv3d_2c_3x3": (192, 8, 56, 56),
        "MaxPool3d_3a_3x3": (192, 8, 28, 28),
        "Mixed_3b": (256, 8, 28, 28),
        "Mixed_3c": (480, 8, 28, 28),
        "MaxPool3d_4a_3x3": (480, 4, 14, 14),
        "Mixed_4b": (512, 4, 14, 14),
        "Mixed_4c": (512, 4, 14, 14),
        "Mixed_4d": (512, 4, 14, 14),
        "Mixed_4e": (528, 4, 14, 14),
        "Mixed_4f": (832, 4, 14, 14),
        "MaxPool3d_5a_2x2": (832, 2, 7, 7),
        "Mixed_5b": (832, 2, 7, 7),
        "Mixed_5c": (1024, 2, 7, 7),
    }
    assert list(expected) == model.stages
    assert {name: sizes[name] for name in expected} == expected
    assert sizes["fused Mixed_4f"] == (832, 64, 12, 12)
    assert sizes["fused Mixed_5c"] == (1024, 64, 6, 6)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["Conv3d_1a_7x7.conv3d.weight"] == (64, 3, 7, 7, 7)
    assert shapes["Mixed_3b.b1b.conv3d.weight"] == (128, 96, 3, 3, 3)
    assert shapes["Mixed_5c.b3b.bn.running_mean"] == (128,)


@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 2)] * 3))
def test_padding_gives_the_length_divided_by_the_stride_rounded_up(size, kernel, stride) -> None:
    kernel = tuple(max(k, r) for k, r in zip(kernel, stride, strict=True))
    x = torch.ones(1, 1, *size)
    around = padded(x, kernel, stride)
    assert around.sum() == x.sum()
    for axis, (s, k, r) in enumerate(zip(size, kernel, stride, strict=True)):
        length = -(-s // r)
        total = max((length - 1) * r + k - s, 0)  # as TensorFlow's "same"
        assert around.shape[axis + 2] == s + total
        first = around.movedim(axis + 2, 0).flatten(1).amax(1).tolist().index(1.0)
        assert first == total // 2


def test_a_unit_by_hand() -> None:
    """On an even length, TensorFlow pads one zero more at the end, where a centred convolution would look elsewhere."""
    unit = scattered(Unit(1, 1, (3, 1, 1), 2)).double().eval()
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).view(1, 1, 4, 1, 1)
    w = unit.conv3d.weight.flatten()
    plain = torch.stack([w @ torch.tensor(v, dtype=torch.float64) for v in ([1.0, 2.0, 3.0], [3.0, 4.0, 0.0])])
    norm = unit.bn
    expected = (plain - norm.running_mean) / (norm.running_var + 1e-3).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(unit(x).flatten(), expected.clamp(min=0))
    pooled = Pool((3, 1, 1), (2, 1, 1))(x)
    assert pooled.flatten().tolist() == [3.0, 4.0]


def test_snippets_give_the_mean_over_the_last_stage() -> None:
    """What MS-TCT's features are: sixteen frames, one vector."""
    model = scattered(i3d()).eval()
    last: list[torch.Tensor] = []
    model.Mixed_5c.register_forward_hook(lambda _, args, out: last.append(out))
    with torch.no_grad():
        feats = model(video(2, 16))
    assert last[0].shape[2] == 2
    torch.testing.assert_close(feats.mean(-1), last[0].mean((2, 3, 4)))


def test_fusion_sums_maps_of_two_stages() -> None:
    model = scattered(i3d_pointtad()).double().eval()
    ends: dict[str, torch.Tensor] = {}
    for name in ("Mixed_4f", "Mixed_5c"):
        model.get_submodule(name).register_forward_hook(lambda _, args, out, name=name: ends.update({name: out}))
    with torch.no_grad():
        feats = model(video(1, 32))
        expected = torch.zeros(1, 8, 8, dtype=torch.float64)
        for name, end in ends.items():
            assert end.shape[2] == 8  # both at four frames per step
            weight, bias = model.pool[name].weight, model.pool[name].bias
            averaged = F.avg_pool3d(end, (1, *end.shape[3:])).squeeze(-1).squeeze(-1)
            expected += F.conv1d(averaged, weight[..., None], bias)
    torch.testing.assert_close(feats, expected)


def test_pixels_lie_between_minus_one_and_one() -> None:
    pixels = i3d().pixels(torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1, 1))
    torch.testing.assert_close(pixels.flatten(), torch.tensor([-1.0, 1.0, 51 / 255 * 2 - 1]))


def test_files_of_others_load_as_they_are(tmp_path: Path) -> None:
    source = scattered(i3d())
    # Older than the counter of batches, and with a classifier
    state = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save({**state, "logits.conv3d.weight": torch.zeros(400, 128, 1, 1, 1)}, tmp_path / "rgb_imagenet.pt")
    model = i3d(weights=str(tmp_path / "rgb_imagenet.pt"))
    report = model.load_report
    assert (report.format, report.missing, report.dropped) == ("pytorch-i3d", (), ("logits.conv3d.weight",))
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    fused = i3d_pointtad(weights=str(tmp_path / "rgb_imagenet.pt"))
    assert all(torch.equal(fused.state_dict()[name], value) for name, value in state.items())
    assert {name.split(".")[0] for name in fused.load_report.missing} == {"pool"}

    tuned = scattered(i3d_pointtad(), seed=1).state_dict()
    theirs = {f"backbone._model.{k}": v for k, v in tuned.items() if not k.startswith("pool.")}
    for end, name in (("4f", "Mixed_4f"), ("5c", "Mixed_5c")):
        theirs[f"input_proj_{end}.weight"] = tuned[f"pool.{name}.weight"][..., None, None]
        theirs[f"input_proj_{end}.bias"] = tuned[f"pool.{name}.bias"]
    theirs["decoder.head_series.0.norm1.weight"] = torch.ones(512)
    torch.save({"model": theirs}, tmp_path / "pointtad.pth")
    model = i3d_pointtad(weights=str(tmp_path / "pointtad.pth"))
    assert (model.load_report.format, model.load_report.missing) == ("PointTAD", ())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in tuned.items())


def test_files_that_are_cut_short_or_of_something_else_are_refused(tmp_path: Path) -> None:
    state = i3d().state_dict()
    torch.save({k: v for k, v in state.items() if not k.startswith("Mixed_5c.b0")}, tmp_path / "short.pt")
    with pytest.raises(MmadError, match=r"short\.pt \(pytorch-i3d layout\) lacks Mixed_5c\.b0\.conv3d\.weight"):
        i3d(weights=str(tmp_path / "short.pt"))
    torch.save({"blocks.0.attn.qkv.weight": torch.zeros(1)}, tmp_path / "vit.pt")
    with pytest.raises(MmadError, match=r"no known layout of I3D weights .*pass a file of PointTAD or pytorch-i3d"):
        i3d(weights=str(tmp_path / "vit.pt"))
    with pytest.raises(MmadError, match="no file of weights"):
        i3d(weights=str(tmp_path / "absent.pt"))
