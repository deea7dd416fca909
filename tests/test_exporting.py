"""Detectors as graphs: what they say is what the detector says, for every head and adapter and number of windows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from mmad.cli.build import build_detector
from mmad.cli.entry import conf_dir
from mmad.data.grid import Grid
from mmad.errors import MmadError
from mmad.exporting import (
    TOLERANCE,
    DenseDetector,
    export_program,
    input_name,
    largest_differences,
    onnx_runner,
    program_runner,
    random_windows,
    write_onnx,
    write_program,
)
from mmad.layers.selective_scan import _scan_by_doubling, selective_scan
from mmad.taxonomy import MMA52

POINT_HEADS = ("actionformer", "temporalmaxer", "tridet", "dyfadet", "videomamba")
HEADS = (*POINT_HEADS, "tadtr", "pointtad")
ADAPTERS = ("standard", "tia", "dsta", "frozen", "full")
SHORT = ["grid.window=32", "grid.levels=3", "head.channels=32"]
SMALLEST = {head: ["grid.levels=2", "head.convs=1", "head.head_convs=1"] for head in POINT_HEADS}
SMALLEST |= {"tadtr": ["head.encoder_layers=1", "head.decoder_layers=2"], "pointtad": ["head.layers=1"]}
ON_FEATURES = ["data=features", "data.root=x", "recipe=demo_features", "data.source.channels=24"]
ON_FEATURES += ["data.source.stride=4", "data.source.offset=8"]


def made(head: str, *more: str) -> tuple[DenseDetector, Grid]:
    """A small detector as after some training: no parameter is at a value that hides a mistake."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"head={head}", *SHORT, *more])
    torch.manual_seed(0)
    detector = build_detector(cfg, taxonomy=MMA52).eval()
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
            if name.endswith("gamma"):
                parameter.fill_(0.5)  # layer scales start so small that a block could be left out unnoticed
    return DenseDetector(detector).eval(), instantiate(cfg.grid)


def batches(dense: DenseDetector, grid: Grid) -> list:
    return [random_windows(dense.detector, grid, *valid, seed=3) for valid in [(32,), (32, 11, 1)]]


def check(dense: DenseDetector, grid: Grid, folder: Path, *, onnx: bool) -> None:
    program = export_program(dense, grid)
    write_program(program, folder / "d.pt2")
    runners = [program_runner(folder / "d.pt2")]
    if onnx:
        write_onnx(program, folder / "d.onnx", name=input_name(dense.detector))
        runners.append(onnx_runner(folder / "d.onnx"))
    for runner in runners:
        assert max(largest_differences(dense, runner, batches(dense, grid)).values()) <= TOLERANCE / 2


LONG = ("tridet", "dyfadet", "tadtr", "pointtad")
QUICK = [pytest.param(head, marks=[pytest.mark.slow] if head in LONG else []) for head in HEADS]


@pytest.mark.parametrize("head", QUICK)
def test_every_head_is_exported(head: str, tmp_path: Path) -> None:
    check(*made(head, *ON_FEATURES, *SMALLEST[head]), tmp_path, onnx=False)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_exported_on_features(head: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    check(*made(head, *ON_FEATURES), tmp_path, onnx=True)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_exported_with_every_adapter(head: str, adapter: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    check(*made(head, f"adapter={adapter}"), tmp_path, onnx=True)


@pytest.mark.slow
@pytest.mark.parametrize("more", [["adapter=tia"], ["adapter=full"], ["adapter=tia", "grid=fast", "grid.window=32"]])
def test_a_backbone_as_published_is_exported(more: list[str], tmp_path: Path) -> None:
    """Fixed positions, the mean over space, dropped paths, and one or two frames to a step."""
    pytest.importorskip("onnxruntime")
    small = ["backbone.embed_dim=48", "backbone.depth=2", "backbone.heads=2", "data.resolution=32"]
    check(*made("actionformer", "data=mma52", "data.root=x", *small, *more), tmp_path, onnx=True)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["tridet", "dyfadet", "videomamba", "tadtr"])
def test_published_behaviour_is_exported(head: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    check(*made(head, *ON_FEATURES, "head.published=true"), tmp_path, onnx=True)


@pytest.mark.parametrize("head", ["tridet", "tadtr", "pointtad"])
def test_the_dense_answers_are_those_that_detections_are_taken_from(head: str) -> None:
    dense, grid = made(head, *ON_FEATURES)
    inputs, mask = random_windows(dense.detector, grid, 32, 11)
    with torch.no_grad():
        segments, scores = dense(inputs, mask)
        segments = segments.expand(*scores.shape, 2)
        found = dense.detector.head.decode(dense.detector(inputs, mask))  # type: ignore[operator]
    if head == "tridet":
        # Points of levels 0, 1 and 2 beyond the second window's 11 steps.
        beyond = [*range(11, 32), *range(32 + 6, 48), *range(48 + 3, 56)]
        assert not scores[1, beyond].any()
    least = getattr(dense.detector.head, "score_threshold", 0)
    most = getattr(dense.detector.head, "max_proposals", None)
    for window, picked in enumerate(found):
        wanted = sorted(
            (-scores[window, point, label].item(), label, *segments[window, point, label].tolist())
            for point, label in (scores[window] > least).nonzero().tolist()
        )
        got = zip((-picked["scores"]).tolist(), picked["labels"].tolist(), *picked["segments"].T.tolist(), strict=True)
        assert sorted(got) == wanted[:most]


def test_a_difference_is_found_and_relative_for_large_times_only() -> None:
    dense, grid = made("temporalmaxer", *ON_FEATURES)
    windows = random_windows(dense.detector, grid, 32)

    def wrong(windows: tuple) -> tuple:
        segments, scores = dense(*windows)
        # The last point's place is 28: a level of 8 points of stride 4.
        segments[0, -1, 0, 0] += 0.5
        scores[0, 0, 7] += 0.25
        return segments, scores

    own = abs(dense(*windows)[0][0, -1, 0, 0].item())
    assert own > 1
    found = largest_differences(dense, wrong, [windows])
    assert found == {"segments": pytest.approx(0.5 / own, rel=1e-3), "scores": pytest.approx(0.25)}
    nothing = largest_differences(dense, lambda w: tuple(x * torch.nan for x in dense(*w)), [windows])
    assert min(nothing.values()) > 1e30


def test_a_head_without_a_fixed_number_of_answers_is_refused() -> None:
    dense, grid = made("ms_tct", *ON_FEATURES, "head.channels=64")
    with pytest.raises(MmadError, match="MSTCT cannot be exported"):
        export_program(dense, grid)


def test_a_backbone_that_sees_clips_at_their_own_length_is_refused() -> None:
    small = ["backbone.embed_dim=288", "backbone.depths=[1,1,1,1]", "adapter=frozen", "data.resolution=[32,24]"]
    dense, grid = made("actionformer", "backbone=slowfast_r50", *small)
    with pytest.raises(MmadError, match="SlowFast cannot be exported"):
        export_program(dense, grid)


@pytest.mark.parametrize("steps", [1, 2, 7, 16])
def test_the_scan_without_a_loop_is_the_recurrence(steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    u, step = (torch.randn(2, steps, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    inward, outward = (torch.randn(2, steps, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    rates = -torch.rand(3, 4, generator=generator, dtype=torch.float64) * 3
    delta = step.exp()
    expected = np.zeros((2, steps, 3))
    for b in range(2):
        for e in range(3):
            state = np.zeros(4)
            for t in range(steps):
                d = delta[b, t, e].item()
                state = np.exp(d * rates[e].numpy()) * state + d * inward[b, t].numpy() * u[b, t, e].item()
                expected[b, t, e] = outward[b, t].numpy() @ state
    for scan in (_scan_by_doubling, selective_scan):
        np.testing.assert_allclose(scan(u, delta, rates, inward, outward).numpy(), expected, atol=1e-12)
