import inspect
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from mmad.heads.videomamba import OPENTAD_KEYS, VideoMamba
from mmad.segments import Segments
from opentad import check_file_fills


def small(**options) -> VideoMamba:
    torch.manual_seed(0)
    return VideoMamba(**{"in_channels": 6, "classes": 3, "channels": 16, "convs": 1, "levels": 3, **options})


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]),
        "labels": torch.tensor([label for *_, label in instances]),
    }


@pytest.mark.parametrize(("convs", "stem", "expected"), [(2, 2, 17_637_436), (3, 0, 15_154_236)])
def test_parameters_of_the_published_sizes(convs, stem, expected):
    with torch.device("meta"):
        head = VideoMamba(in_channels=1408, classes=52, convs=convs, stem=stem)
    assert sum(parameter.numel() for parameter in head.parameters()) == expected


def test_blocks_halve_the_length_after_they_ran():
    head = small(stem=1, layer_scale=0.25)
    lengths = []
    for block in (*head.stem, *head.branch):
        block.mamba.register_forward_pre_hook(lambda _, arguments: lengths.append(arguments[0].shape[1]))
        assert block.scale.gamma.tolist() == [0.25] * 16
    outputs = head(torch.randn(1, 6, 16), torch.ones(1, 16, dtype=torch.bool))
    assert lengths == [16, 16, 8]
    assert outputs.logits_BPK.shape == (1, 16 + 8 + 4, 3)


@pytest.mark.parametrize("published", [False, True])
def test_only_the_published_head_feels_the_length_of_its_padding(published):
    head = small(published=published, layer_scale=1.0).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    feats, mask = torch.randn(1, 6, 8), torch.arange(8)[None] < 6
    short, long = head(feats, mask), head(F.pad(feats, (0, 24)), F.pad(mask, (0, 24)))
    difference = (short.logits_BPK[short.mask_BP] - long.logits_BPK[long.mask_BP]).abs().max()
    assert difference > 0.01 if published else difference < 1e-4


def test_input_drop_zeroes_whole_channels_in_training():
    head = small(input_drop=0.5)
    seen = []
    head.embed[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    head.train()(torch.ones(1, 6, 8), torch.ones(1, 8, dtype=torch.bool))
    head.eval()(torch.ones(1, 6, 8), torch.ones(1, 8, dtype=torch.bool))
    assert set(map(tuple, seen[0][0].T.tolist())) == {(0.0,) * 8, (2.0,) * 8}
    assert (seen[1] == 1).all()


def opentad_keys(convs: int, stem: int, branch: int, tower: int) -> list[str]:
    keys = ["rpn_head.loss_normalizer"]
    convolutions = [f"projection.embed.{index}" for index in range(convs)]
    convolutions += [f"rpn_head.{part}_convs.{index}" for part in ("cls", "reg") for index in range(tower)]
    for name in convolutions:
        keys += [f"{name}.conv.weight", f"{name}.norm.weight", f"{name}.norm.bias"]
    mamba = ("A_log", "D", "in_proj.weight", "conv1d.weight", "conv1d.bias", "x_proj.weight", "dt_proj.weight")
    mamba += ("dt_proj.bias", "out_proj.weight")
    blocks = [f"stem.{index}" for index in range(stem)] + [f"branch.{index}" for index in range(branch)]
    for block in blocks:
        keys += [f"projection.{block}.mamba.{name}" for name in mamba]
        keys += [f"projection.{block}.{name}" for name in ("norm.weight", "norm.bias", "drop_path.scale")]
    for name in ("cls_head", "reg_head"):
        keys += [f"rpn_head.{name}.weight", f"rpn_head.{name}.bias"]
    for level in range(branch + 1):
        keys += [f"neck.fpn_norms.{level}.weight", f"neck.fpn_norms.{level}.bias", f"rpn_head.scale.{level}.scale"]
    return keys


def test_a_file_of_opentad_fills_it(tmp_path: Path) -> None:
    keys = opentad_keys(convs=2, stem=1, branch=2, tower=2)
    check_file_fills(small(convs=2, stem=1), keys, OPENTAD_KEYS, classes=3, path=tmp_path / "file.pth")


def test_published_shapes_of_the_scan():
    with torch.device("meta"):
        shapes = {
            name: tuple(p.shape) for name, p in VideoMamba(in_channels=4, classes=2).branch[0].mamba.named_parameters()
        }
    assert shapes == {
        "A_log": (512, 16),
        "D": (512,),
        "in_proj.weight": (2048, 512),
        "conv1d.weight": (512, 1, 4),
        "conv1d.bias": (512,),
        "x_proj.weight": (64, 512),
        "dt_proj.weight": (512, 32),
        "dt_proj.bias": (512,),
        "out_proj.weight": (512, 1024),
    }


def test_config_lists_every_argument_with_its_default():
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/head/videomamba.yaml")
    owned = {"in_channels": "${backbone.embed_dim}", "levels": "${grid.levels}"}
    found = OmegaConf.to_container(config, resolve=False)
    assert found.pop("_target_") == f"{VideoMamba.__module__}.{VideoMamba.__qualname__}"
    assert {key: found.pop(key) for key in owned} == owned
    # The number of classes comes from the taxonomy when the head is built.
    parameters = inspect.signature(VideoMamba).parameters.items()
    assert found == {key: parameter.default for key, parameter in parameters if key not in {*owned, "classes"}}
