"""A detector as one graph of tensors, written for programs that know nothing of this package, and compared with it.

The graph ends before NMS: every point of the pyramid, or every query, has scores and boundaries, so that all shapes are
fixed.

Shape letters: B windows, F frames, T feature steps, C channels, P points or queries, K classes; G boundaries per point:
1 where all classes share them, else K.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mmad.backbones.i3d import I3D
from mmad.backbones.slowfast import SlowFast
from mmad.backbones.swin import Swin
from mmad.data.grid import Grid
from mmad.detector import Detector
from mmad.errors import MmadError

OPSET = 20
"""Of the ONNX file: the newest that torch writes without ONNX's converter of versions."""

OUTPUTS = ("segments", "scores")

TOLERANCE = 1e-4
"""Largest difference of a number from the detector's own, or of its share where the number is above 1."""

Tensors = tuple[Tensor, Tensor]
Runner = Callable[[Tensors], Tensors]
"""From inputs and mask to segments and scores."""


class DenseDetector(nn.Module):
    """A detector that gives what it says at all points, where `Detector.proposals` picks the best.

    Args:
        detector: with a head of points or queries, whose outputs have `segments_BPG2` and `scores_BPK`.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, inputs: Tensor, mask_BT: Tensor) -> Tensors:
        """The proposals of B padded windows.

        Args:
            inputs: (B, 3, F, H, W) uint8 RGB, or features (B, C, T).
            mask_BT: (B, T) bool, True = valid step; valid steps come first.

        Returns:
            segments (B, P, G, 2), start and end in feature steps of the window; scores (B, P, K) in [0, 1], 0 where the
            point lies beyond the clip.

        Raises:
            MmadError: the head has no fixed number of answers.
        """
        outputs = self.detector(inputs, mask_BT)
        if not hasattr(outputs, "segments_BPG2"):
            raise MmadError(
                f"{type(self.detector.head).__name__} cannot be exported, since it has no fixed number of answers; "
                f"export a detector with another head."
            )
        return outputs.segments_BPG2, outputs.scores_BPK


def input_name(detector: Detector) -> str:
    """What the graph takes: `video`, or `features` where the detector has no backbone of its own."""
    return "video" if hasattr(detector.backbone, "resolution") else "features"


def random_windows(detector: Detector, grid: Grid, *valid: int, seed: int = 0) -> Tensors:
    """Noise in the shape of the detector's full windows.

    Args:
        detector: what shall see it.
        grid: of its windows.
        valid: feature steps of each window that are valid.

    Returns:
        inputs, noise in their padding too, and mask (B, T).
    """
    generator = torch.Generator().manual_seed(seed)
    if input_name(detector) == "video":
        shape = (len(valid), 3, grid.window * grid.frames_per_step, *detector.backbone.resolution)  # type: ignore[misc]
        inputs = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    else:
        inputs = torch.randn(len(valid), detector.backbone.embed_dim, grid.window, generator=generator)  # type: ignore[call-overload]
    return inputs, torch.arange(grid.window) < torch.tensor(valid)[:, None]


def export_program(dense: DenseDetector, grid: Grid) -> ExportedProgram:
    """The detector's graph for any number of full windows.

    Args:
        dense: in evaluation mode, on the CPU.
        grid: of its windows.

    Raises:
        MmadError: the head or the backbone cannot be exported.
    """
    backbone = dense.detector.backbone
    if isinstance(backbone, I3D | SlowFast | Swin):
        raise MmadError(
            f"{type(backbone).__name__} cannot be exported, since it sees each clip at its own length, which no graph "
            f"of fixed shapes does; export a detector with a VideoMAE, or train one on this backbone's features."
        )
    batch = Dim("batch")
    # Of a single window, the graph would take the number for a constant.
    example = random_windows(dense.detector, grid, grid.window, grid.window)
    with torch.no_grad():
        program = torch.export.export(dense, example, dynamic_shapes=({0: batch}, {0: batch}))
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            # Where the sources lie is nobody else's business.
            node.meta.pop("stack_trace", None)
    program.example_inputs = None
    return program


def write_program(program: ExportedProgram, path: Path) -> None:
    """Writes a file for `torch.export.load`."""
    torch.export.save(program, path)


def write_onnx(program: ExportedProgram, path: Path, *, name: str) -> None:
    """Writes an ONNX file, with its weights beside it in `<path>.data` where they exceed 2 GB.

    Args:
        program: as `export_program` gives it.
        path: the file.
        name: of the first input.
    """
    first, _ = program.graph_signature.user_inputs
    written = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[name, "mask"],
        output_names=OUTPUTS,
        dynamic_shapes={first: {0: "batch"}, "mask_BT": None},
        verbose=False,
    )
    assert written is not None
    written.save(path)


def program_runner(path: Path) -> Runner:
    """The written program under torch."""
    module = torch.export.load(path).module()
    return lambda windows: module(*windows)


def onnx_runner(path: Path) -> Runner:
    """The written ONNX file under onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(windows: Tensors) -> Tensors:
        segments, scores = session.run(OUTPUTS, dict(zip(names, map(Tensor.numpy, windows), strict=True)))
        return torch.from_numpy(np.asarray(segments)), torch.from_numpy(np.asarray(scores))

    return run


def largest_differences(dense: DenseDetector, runner: Runner, batches: Sequence[Tensors]) -> dict[str, float]:
    """How far a written detector's answers are from the detector's own at most.

    Args:
        dense: the detector itself.
        runner: what was written.
        batches: what both see.

    Returns:
        By output, max |a - b| / max(1, |b|): differences in feature steps and in scores, relative for times beyond 1.
    """
    found = dict.fromkeys(OUTPUTS, 0.0)
    for windows in batches:
        with torch.no_grad():
            pairs = zip(OUTPUTS, runner(windows), dense(*windows), strict=True)
            for name, other, own in pairs:
                # Never NaN: `not (nan <= x)` must end in a refusal.
                difference = ((other - own).abs() / own.abs().clamp(min=1)).nan_to_num(torch.inf).max().item()
                found[name] = max(found[name], difference)
    return found
