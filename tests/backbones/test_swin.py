"""Video Swin against torchvision's, the position bias of cut windows by hand, and files of others."""

from pathlib import Path

import pytest
import torch
from torchvision.models.video import SwinTransformer3d
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

from mmad.backbones.swin import Swin, WindowAttention
from mmad.errors import MmadError
from small_backbones import re2tal_swin, scattered, swin, video

T = {"embed_dim": 768, "depths": (2, 2, 6, 2), "heads": (3, 6, 12, 24), "frames_per_step": 2}


def torchvision_swin() -> SwinTransformer3d:
    return SwinTransformer3d([2, 4, 4], embed_dim=16, depths=[2, 2], num_heads=[1, 2], window_size=[8, 7, 7])


def test_parameters_are_as_many_as_published() -> None:
    with torch.device("meta"):
        plain, rewired = Swin(**T), Swin(**T, rewired=True)
        reference = SwinTransformer3d(
            [2, 4, 4], embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=[8, 7, 7]
        )
    count = sum(p.numel() for p in plain.parameters())
    assert count == 27_850_470
    assert sum(p.numel() for p in rewired.parameters()) == count
    names = {k: v.shape for k, v in reference.state_dict().items() if not k.startswith("head.")}
    assert {k: v.shape for k, v in plain.state_dict().items()} == names


def test_every_window_has_the_bias_of_its_places() -> None:
    """What torchvision's class does wrong with windows that are cut to a small map, see `WindowAttention`."""
    found = [module for module in swin().modules() if isinstance(module, ShiftedWindowAttention3d)]
    assert found
    assert all(isinstance(module, WindowAttention) for module in found)


def test_it_computes_what_torchvision_does() -> None:
    torch.manual_seed(0)
    reference = scattered(torchvision_swin()).eval()
    model = swin()
    model.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith("head.")})
    model.eval()
    clip = video(1, 32, side=56)  # both stages are as large as their windows or larger, and shifted in time
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1, 1)
    with torch.no_grad():
        x = reference.norm(reference.features(reference.patch_embed((clip / 255 - mean) / std)))
        torch.testing.assert_close(model(clip)[0].T, x[0].mean((1, 2)), rtol=1e-4, atol=1e-4)


def bias_by_hand(attention: ShiftedWindowAttention3d, window: list[int]) -> torch.Tensor:
    """The table's entry for the distance of each pair of places."""
    table = attention.relative_position_bias_table.view(15, 13, 13, -1)
    places = [(t, h, w) for t in range(window[0]) for h in range(window[1]) for w in range(window[2])]
    bias = torch.empty(attention.num_heads, len(places), len(places))
    for i, (t, h, w) in enumerate(places):
        for j, (u, v, x) in enumerate(places):
            bias[:, i, j] = table[t - u + 7, h - v + 6, w - x + 6]
    return bias[None]


@pytest.mark.parametrize("window", [[8, 7, 7], [3, 7, 7], [2, 5, 5], [2, 4, 3], [8, 2, 1]])
def test_windows_that_are_cut_have_the_bias_of_their_places(window: list[int]) -> None:
    torch.manual_seed(0)
    ours = WindowAttention(8, [8, 7, 7], [0, 0, 0], 2)
    if window[0] * window[1] * window[2] > 150:  # too many pairs for a loop: against the table's whole index
        torchvisions = ShiftedWindowAttention3d.get_relative_position_bias(ours, window)
        assert torch.equal(ours.get_relative_position_bias(window), torchvisions)
        return
    with torch.no_grad():
        expected = bias_by_hand(ours, window)
        assert torch.equal(ours.get_relative_position_bias(window), expected)
        if window[1:] != [7, 7]:  # the fault that is not copied
            assert not torch.equal(ShiftedWindowAttention3d.get_relative_position_bias(ours, window), expected)


def test_drop_path_rises_to_its_rate() -> None:
    assert Swin(**{**T, "embed_dim": 192}, drop_path=0.2).rates == pytest.approx([0.2 * i / 11 for i in range(12)])
    assert swin(drop_path=0.2, trains="nothing").rates == [0, 0, 0, 0]
    model = swin(drop_path=0.5)
    clip = video(1, 16)
    with torch.no_grad():
        assert torch.equal(model.eval()(clip), model(clip))
        assert len({model.train()(clip).sum().item() for _ in range(6)}) > 1


def mmaction2(name: str, *, rewired: bool) -> str:
    """A name as mmaction2 has it, or OpenTAD's rewired network."""
    first, *rest = name.split(".")
    if first == "norm":
        return f"backbone.norm3.{rest[0]}"
    if first != "features":
        return f"backbone.{name}"
    place = int(rest[0])
    if place % 2:
        return ".".join(["backbone.layers", str(place // 2), "downsample", *rest[1:]])
    part = {"0": "fc1", "3": "fc2"}.get(rest[3]) if rest[2] == "mlp" else rest[3]
    inner = ["inv_block", "Fm" if rest[2] in ("norm1", "attn") else "Gm"] if rewired else []
    return ".".join(["backbone.layers", str(place // 2), "blocks", rest[1], *inner, rest[2], str(part), *rest[4:]])


def test_files_of_others_load_as_they_are(tmp_path: Path) -> None:
    reference = scattered(torchvision_swin())
    torch.save(reference.state_dict(), tmp_path / "torchvision.pth")
    model = swin(weights=str(tmp_path / "torchvision.pth"))
    report = model.load_report
    assert (report.format, report.missing, report.dropped) == ("torchvision", (), ("head.bias", "head.weight"))
    assert torch.equal(model.features[2][1].mlp[3].weight, reference.features[2][1].mlp[3].weight)

    state = {k: v for k, v in reference.state_dict().items() if not k.startswith("head.")}
    theirs = {mmaction2(name, rewired=False): value for name, value in state.items()}
    assert "backbone.layers.1.blocks.0.mlp.fc2.weight" in theirs
    assert "backbone.layers.0.downsample.reduction.weight" in theirs
    torch.save({"state_dict": theirs}, tmp_path / "mmaction2.pth")
    for build in (swin, re2tal_swin):
        model = build(weights=str(tmp_path / "mmaction2.pth"))
        assert (model.load_report.format, model.load_report.missing) == ("mmaction2", ())
        assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())

    theirs = {mmaction2(name, rewired=True): value for name, value in state.items()}
    assert "backbone.layers.0.blocks.1.inv_block.Fm.attn.qkv.weight" in theirs
    assert "backbone.layers.0.blocks.1.inv_block.Gm.mlp.fc1.weight" in theirs
    torch.save({"state_dict": theirs}, tmp_path / "re2tal.pth")
    model = re2tal_swin(weights=str(tmp_path / "re2tal.pth"))
    assert (model.load_report.format, model.load_report.missing) == ("OpenTAD Re2TAL", ())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    with pytest.raises(MmadError, match="no known layout of Video Swin weights"):
        swin(weights=str(tmp_path / "re2tal.pth"))


def test_weights_of_another_swin_are_refused(tmp_path: Path) -> None:
    torch.save(swin(depths=(2, 4)).state_dict(), tmp_path / "deeper.pth")
    with pytest.raises(MmadError, match=r"has features\.2\.2\.norm1\.weight, which this network lacks"):
        swin(weights=str(tmp_path / "deeper.pth"))


def test_larger_patches_are_fewer_tokens_of_as_many_steps() -> None:
    model = swin(patch=16).eval()
    assert model.patch_embed.proj.weight.shape[2:] == (2, 16, 16)
    with torch.no_grad():
        tokens = model.patch_embed(model.pixels(video(1, 16, side=32)))
        feats = model(video(1, 16, side=32))
    assert tokens.shape[1:4] == (8, 2, 2)
    assert feats.shape == (1, 32, 8)
