"""`mmad-export`: writes a checkpoint's detector for programs without this package, and checks what was written."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mmad.cli.entry import run, shown
from mmad.errors import MmadError
from mmad.formats.whole_file import digest, write_whole

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mmad.data.grid import Grid
    from mmad.exporting import DenseDetector
    from mmad.taxonomy import Taxonomy

FILES = {"torch": "detector.pt2", "onnx": "detector.onnx"}
DESCRIPTION = "detector.json"

_ONNX = ("onnx", "onnxruntime", "onnxscript")


def main() -> None:
    """Console script."""
    run(export, config="export")


def export(cfg: DictConfig) -> None:
    """Writes the files of the chosen formats, compares each with the detector, and describes them."""
    formats = _formats(cfg.formats)
    checkpoint = Path(cfg.checkpoint)
    output = Path("exports") / _name(checkpoint) if cfg.output is None else Path(cfg.output)
    if output.exists() and not output.is_dir():
        raise MmadError(f"output={output} is a file; name a folder.")

    from hydra.utils import instantiate

    from mmad.cli.build import detector_of, read_checkpoint
    from mmad.exporting import DenseDetector, export_program

    known = read_checkpoint(checkpoint)
    detector, taxonomy, trained = detector_of(known, weights=cfg.weights)
    if trained.data.get("control") is not None:
        raise MmadError(
            f"{checkpoint} was trained with data.control={trained.data.control}, only to be compared with; export a "
            f"detector that was trained without."
        )
    grid = instantiate(trained.data.grid)
    dense = DenseDetector(detector).eval()
    program = export_program(dense, grid)
    output.parent.mkdir(parents=True, exist_ok=True)
    # An earlier export stays until the new one has been compared.
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as name:
        scratch = Path(name)
        differences = {each: write_and_compare(each, program, dense, grid, scratch / FILES[each]) for each in formats}
        told = description(
            known["mmad"],
            dense,
            grid,
            taxonomy=taxonomy,
            files={each: {"name": FILES[each], "difference": differences[each]} for each in formats},
            checkpoint={"name": checkpoint.name, "sha256": digest(checkpoint)},
        )
        write_whole(scratch / DESCRIPTION, f"{json.dumps(told, indent=2, allow_nan=False)}\n".encode())
        output.mkdir(exist_ok=True)
        for stale in (*FILES.values(), f"{FILES['onnx']}.data", DESCRIPTION):
            (output / stale).unlink(missing_ok=True)
        written = [path.replace(output / path.name) for path in sorted(scratch.iterdir())]
    print("\nLargest difference from the detector")
    for each in formats:
        segments, scores = (differences[each][name] for name in ("segments", "scores"))
        print(f"  {FILES[each]:<14} {segments:.1e} feature steps, {scores:.1e} in scores")
    print()
    for path in written:
        print(f"  {shown(path)}")
    print(f"\nNext: run them as docs/export.md shows, or mmad-eval checkpoint={shown(checkpoint)}")


def write_and_compare(
    kind: str, program: "ExportedProgram", dense: "DenseDetector", grid: "Grid", path: Path
) -> dict[str, float]:
    """Writes one file, reads it again and compares its answers with the detector's.

    Args:
        kind: of `FILES`.
        program: the detector's graph.
        dense: the detector.
        grid: of its windows.
        path: of the file.

    Returns:
        The largest difference of each output.

    Raises:
        MmadError: the answers differ.
    """
    from mmad.exporting import (
        TOLERANCE,
        input_name,
        largest_differences,
        onnx_runner,
        program_runner,
        random_windows,
        write_onnx,
        write_program,
    )

    if kind == "onnx":
        write_onnx(program, path, name=input_name(dense.detector))
    else:
        write_program(program, path)
    runner = onnx_runner(path) if kind == "onnx" else program_runner(path)
    # Another number of windows than the graph was made with, whole, cut short, and all but empty ones.
    batches = [
        random_windows(dense.detector, grid, grid.window, seed=1),
        random_windows(dense.detector, grid, grid.window, grid.window // 3, 1, seed=2),
    ]
    differences = largest_differences(dense, runner, batches)
    if max(differences.values()) > TOLERANCE:
        raise MmadError(
            f"{path.name} differed from the detector by {max(differences.values()):.1e}, more than {TOLERANCE:.0e}, "
            f"and was not kept; choose the other format with formats=, or another version of torch."
        )
    return differences


def description(
    told: Mapping[str, Any],
    dense: "DenseDetector",
    grid: "Grid",
    *,
    taxonomy: "Taxonomy",
    files: Mapping[str, Any],
    checkpoint: Mapping[str, str],
) -> dict[str, Any]:
    """What `detector.json` holds: all that is needed to run the files, as plain data.

    Args:
        told: what the checkpoint says of itself.
        dense: the detector.
        grid: of its windows.
        taxonomy: its classes.
        files: name and differences of each format.
        checkpoint: its name and hash.
    """
    from mmad.cli.versions import versions
    from mmad.exporting import OPSET, input_name, random_windows

    name = input_name(dense.detector)
    example = random_windows(dense.detector, grid, grid.window)
    shapes = [["batch", *tensor.shape[1:]] for tensor in (*example, *dense(*example))]
    meanings = (
        "RGB pictures, 0 to 255, as `pictures` says" if name == "video" else "features; zero beyond the clip's end",
        "true where a feature step lies in the clip; these come first",
        "start and end in feature steps of the window, at each point or query for all classes at once, or for each",
        "score of each class at each point, 0 to 1; 0 where it counts for nothing",
    )
    names, types = (name, "mask", "segments", "scores"), (str(example[0].dtype)[6:], "bool", "float32", "float32")
    tensors = [
        {"name": each, "type": kind, "shape": shape, "meaning": meaning}
        for each, kind, shape, meaning in zip(names, types, shapes, meanings, strict=True)
    ]
    thresholds, head = told.get("thresholds"), told["config"]["head"]
    return {
        "files": files,
        "inputs": tensors[:2],
        "outputs": tensors[2:],
        "window": {
            "steps": grid.window,
            "stride": grid.feature_stride,
            "offset": grid.offset,
            "overlap": grid.overlap,
            "meaning": "feature step i stands for raw frame i * stride + offset, counted from the window's first",
        },
        "pictures": _pictures(told, grid) if name == "video" else None,
        "features": _features(told) if name == "features" else None,
        "frame_rates": told.get("fps"),
        "classes": [
            {"code": code, "name": action, "body": taxonomy.bodies[body]}
            for code, action, body in zip(taxonomy.codes, taxonomy.actions, taxonomy.body_of, strict=True)
        ],
        "thresholds": None if thresholds is None else dict(zip(taxonomy.actions, thresholds, strict=True)),
        "proposals": {
            "score_threshold": head.get("score_threshold", 0.0),
            "max_proposals": head.get("max_proposals", shapes[-1][1] * shapes[-1][2]),
        },
        "nms": {
            "method": told["config"]["nms"]["_target_"].rpartition(".")[2],
            **{key: value for key, value in told["config"]["nms"].items() if not key.startswith("_")},
        },
        "checkpoint": checkpoint,
        "versions": {"training": told["versions"], "export": {**versions(), "opset": OPSET}},
    }


def _pictures(told: Mapping[str, Any], grid: "Grid") -> dict[str, Any]:
    from mmad.data.transforms import height_width, read_side

    resolution = told["config"]["data"]["resolution"]
    height, width = height_width(resolution)
    return {
        "frames": grid.window * grid.frames_per_step,
        "frames_per_step": grid.frames_per_step,
        "frame_step": grid.frame_step,
        "height": height,
        "width": width,
        "short_side": read_side(resolution),
        "scaling": [
            f"to short_side, aspect ratio kept, by {told.get('resize')}",
            "until height and width are covered, aspect ratio kept, bilinear with antialiasing",
            "the centre of height and width is cut out",
        ],
        "choice": "every frame_step-th raw frame",
        "padding": "the last picture is repeated up to the window's length",
    }


def _features(told: Mapping[str, Any]) -> dict[str, Any]:
    source = told["config"]["data"]["source"]
    return {"channels": source["channels"], "identity": source.get("identity")}


def _formats(asked: object) -> list[str]:
    """The formats asked for.

    Raises:
        MmadError: there is no such format, or it needs packages that are not installed.
    """
    formats = list(dict.fromkeys([asked] if isinstance(asked, str) else asked or ()))  # type: ignore[call-overload]
    if not formats or any(each not in FILES for each in formats):
        raise MmadError(f"formats={asked}: choose from {', '.join(FILES)}, such as formats=[torch].")
    absent = [package for package in _ONNX if "onnx" in formats and find_spec(package) is None]
    if absent:
        raise MmadError(
            f'The format onnx needs {", ".join(absent)}: pip install "mmad[export]", or use formats=[torch].'
        )
    return formats


def _name(checkpoint: Path) -> str:
    """Name of the run that a checkpoint is of, else its own."""
    path = checkpoint.resolve()
    return path.parent.parent.name if path.parent.name == "checkpoints" else path.stem
