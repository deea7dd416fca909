"""ActionFormer against the package `actionformer`, a fork of the authors' code, where that is installed.

It has no wheel and compiles an extension, so it is none of our dependencies; `make parity` installs it.
"""

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from mmad.heads.actionformer import ActionFormer
from mmad.heads.checkpoints import load_head_weights
from mmad.segments import Segments

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it compiles its losses with a deprecated part of torch
    actionformer = pytest.importorskip("actionformer", exc_type=ImportError)

IN, C, K, STEPS, LEVELS = 6, 16, 5, 32, 3
RANGES = [(0, 4), (4, 8), (8, 10000)]

SETTINGS: dict[str, dict[str, Any]] = {
    "all steps": {"convs": 3, "stem": 0},
    "window": {"convs": 1, "stem": 2, "attention_window": 5},
    "positions": {"convs": 2, "stem": 1, "absolute_position": True},
}


@pytest.fixture(params=SETTINGS)
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, ActionFormer]:
    """The package's model with every parameter drawn at random, and ours with the same weights, by way of a file."""
    settings = SETTINGS[request.param]
    torch.manual_seed(0)
    model = their_model(settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(0.5).add_(0.3 * torch.randn_like(parameter))
            if name.endswith("offset_head.conv.bias"):
                parameter.fill_(1.5)
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 1, "state_dict_ema": state}, tmp_path / "model.pth.tar")
    ours = ActionFormer(in_channels=IN, classes=K, channels=C, heads=4, levels=LEVELS, **settings).eval()
    report = load_head_weights(ours, tmp_path / "model.pth.tar", classes=K)
    assert report.loaded == len(state)
    return model.eval(), ours


def their_model(settings: dict[str, Any]) -> Any:
    cfg = copy.deepcopy(actionformer.load_default_config())
    train, test = cfg["train_cfg"], cfg["test_cfg"]
    train["init_loss_norm"], test["pre_nms_topk"] = 100, 10**6
    return actionformer.make_meta_arch(
        "LocPointTransformer",
        **{
            **cfg["model"],
            "backbone_arch": (settings["convs"], settings["stem"], LEVELS - 1),
            "n_mha_win_size": settings.get("attention_window", -1),
            "use_abs_pe": settings.get("absolute_position", False),
            "embd_dim": C,
            "fpn_dim": C,
            "head_dim": C,
            "regression_range": RANGES,
            "input_dim": IN,
            "num_classes": K,
            "max_seq_len": STEPS,
            "train_cfg": train,
            "test_cfg": test,
        },
    )


def run(model: Any, feats_BCT: torch.Tensor) -> tuple[Any, ...]:
    """Points, masks, logits and offsets of the package's model, each a list of levels."""
    pyramid, masks = model.backbone(feats_BCT, torch.ones(len(feats_BCT), 1, STEPS, dtype=torch.bool))
    pyramid, masks = model.neck(pyramid, masks)
    points = model.point_generator(pyramid)
    told = [[x.transpose(1, 2) for x in head(pyramid, masks)] for head in (model.cls_head, model.reg_head)]
    return points, [mask.squeeze(1) for mask in masks], *told


def features(clips: int) -> torch.Tensor:
    return torch.randn(clips, IN, STEPS, generator=torch.Generator().manual_seed(1))


def every(clips: int) -> torch.Tensor:
    return torch.ones(clips, STEPS, dtype=torch.bool)


def test_outputs_and_gradients(both: tuple[Any, ActionFormer]) -> None:
    theirs, ours = both
    feats = features(2)
    _, _, logits, offsets = run(theirs, feats)
    outputs = ours(feats, every(2))
    assert torch.cat(logits, dim=1).std() > 0.1
    assert (torch.cat(offsets, dim=1) > 0).float().mean() > 0.2
    torch.testing.assert_close(outputs.logits_BPK, torch.cat(logits, dim=1), rtol=0, atol=1e-4)
    torch.testing.assert_close(outputs.offsets_BPG2[:, :, 0], torch.cat(offsets, dim=1), rtol=0, atol=1e-4)


def test_losses(both: tuple[Any, ActionFormer]) -> None:
    theirs, ours = both
    feats = features(2)
    targets: list[Segments] = [
        {"segments": torch.tensor([[1.5, 4.0], [2.0, 19.0], [20.0, 31.0]]), "labels": torch.tensor([0, 4, 4])},
        {"segments": torch.tensor([[3.0, 5.0], [3.0, 5.0]]), "labels": torch.tensor([1, 2])},
    ]
    points, masks, logits, offsets = run(theirs, feats)
    labels = theirs.label_points(points, *([target[key] for target in targets] for key in ("segments", "labels")))
    expected = theirs.losses(masks, logits, offsets, *labels)
    ours.dense.train()  # the running number of positives alone; paths are not dropped
    losses = ours.loss(ours(feats, every(2)), targets)
    assert losses["reg"] > 0.01
    assert losses["cls"].item() == pytest.approx(expected["cls_loss"].item(), rel=1e-4)
    assert losses["reg"].item() == pytest.approx(expected["reg_loss"].item(), rel=1e-4)
    assert ours.dense.loss_normalizer.item() == pytest.approx(theirs.loss_normalizer)
    expected["final_loss"].backward()
    sum(losses.values()).backward()
    mine, other = ours.embed[0].conv.weight.grad, theirs.backbone.embd[0].conv.weight.grad
    assert other.abs().max() > 1e-3
    torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


def test_detections_before_nms(both: tuple[Any, ActionFormer]) -> None:
    theirs, ours = both
    feats = features(1)
    points, masks, logits, offsets = run(theirs, feats)
    levels = ([x[0].detach() for x in level] for level in (masks, logits, offsets))
    expected = theirs.inference_single_video(points, *levels)
    with torch.no_grad():
        (found,) = ours.decode(ours(feats, every(1)))
    # They leave out what is shorter than 0.05 steps, and sort within each level alone.
    long = (found["segments"][:, 1] - found["segments"][:, 0]) > theirs.test_duration_thresh
    order = expected["scores"].argsort(descending=True, stable=True)
    assert long.sum() == len(order) > 50
    torch.testing.assert_close(found["scores"][long], expected["scores"][order], rtol=0, atol=1e-4)
    mine, other = (
        torch.cat([f["segments"], f["labels"][:, None], f["scores"][:, None]], dim=1)
        for f in ({name: x[long] for name, x in found.items()}, expected)
    )
    nearest = torch.cdist(mine.double(), other.double()).min(dim=1)
    assert nearest.values.max() < 1e-3
    assert len(nearest.indices.unique()) == len(order)
