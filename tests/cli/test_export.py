"""`mmad-export`: what it writes, says and refuses, and the documented example, which needs no mmad."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from commands import COMMANDS, Command
from mmad.backbones.checkpoints import frozen_names
from mmad.cli import export
from mmad.cli.build import build_detector, detector_of, recipe
from mmad.cli.entry import conf_dir
from mmad.nms import soft_nms
from mmad.segments import Segments
from mmad.taxonomy import MMA52
from mmad.timebase import Timebase

BEST = Path("runs/train/RUN/checkpoints/best.ckpt")
EXAMPLE = Path(__file__).parents[2] / "docs" / "export.md"
TORCH_ONLY = "formats=[torch]"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "mmad-export", export.main)


@pytest.fixture
def checkpoint(command: Command) -> Callable[..., dict[str, Any]]:
    """Writes the best checkpoint of a run without the run, its weights as after some training."""

    def write(*more: str) -> dict[str, Any]:
        small = ["head=temporalmaxer", "head.channels=32", "head.convs=1", "head.head_convs=1", "grid.window=32"]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("train", overrides=[*small, "grid.levels=2", *more])
        torch.manual_seed(0)
        detector = build_detector(cfg, taxonomy=MMA52)
        for parameter in detector.parameters():
            if parameter.requires_grad:
                parameter.data.add_(0.05 * torch.randn_like(parameter))
        told = recipe(cfg, detector, taxonomy=MMA52)
        frozen = set(frozen_names(detector)) if told["identity"] is not None else set()
        state = {f"detector.{name}": value for name, value in detector.state_dict().items() if name not in frozen}
        thresholds = [(n + 1) / 100 for n in range(52)]
        known = {"mmad": {**told, "thresholds": thresholds, "fps": [16.0, 25.0]}, "state_dict": state}
        BEST.parent.mkdir(parents=True)
        torch.save(known, BEST)
        return known

    return write


def test_the_documented_example_finds_what_mmad_finds(
    command: Command, checkpoint: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    detector, _, _ = detector_of(checkpoint())
    assert command("mmad-export", f"checkpoint={BEST}") == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines()[:2] == ["", "Largest difference from the detector"]
    assert told.out.splitlines()[-1] == f"Next: run them as docs/export.md shows, or mmad-eval checkpoint={BEST}"
    written = {path.name for path in Path("exports/RUN").iterdir()}
    assert written == {"detector.json", "detector.onnx", "detector.pt2"}
    assert all(f"exports/RUN/{name}" in told.out for name in written)
    for path in Path("exports/RUN").iterdir():
        assert str(conf_dir().parent).encode() not in path.read_bytes()

    clip = np.random.default_rng(0).integers(0, 256, (37, 64, 48, 3), dtype=np.uint8)
    np.save("clip.npy", clip)
    (code,) = re.findall(r"```py\n(.*?)```", EXAMPLE.read_text(), re.DOTALL)
    assert "mmad" not in code
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names: dict[str, Any] = {}
    exec(code, names)
    assert capsys.readouterr().out == ran.stdout

    # What the graph says is what the detector says, of frames that its own way of padding has seen.
    video = torch.from_numpy(np.concatenate([clip, clip[-1:].repeat(27, axis=0)])).permute(3, 0, 1, 2)[None]
    mask = torch.arange(32)[None] < 19
    detector.eval()
    with torch.no_grad():
        outputs = detector(video, mask)
    np.testing.assert_allclose(names["segments"], outputs.segments_BPG2.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(names["scores"], outputs.scores_BPK.numpy(), atol=1e-5)

    # From the graph's answers on, the example's arithmetic is ours.
    timebase, duration = Timebase(16.0, 4), 37 * 2 / 16
    proposals: Segments = {"segments": torch.empty(0, 2), "labels": torch.empty(0), "scores": torch.empty(0)}
    rows = [
        (*timebase.seconds(torch.from_numpy(names["segments"][0, point, 0])).clamp(0, duration).tolist(), label, score)
        for point, scores in enumerate(names["scores"][0])
        for label, score in enumerate(scores.tolist())
        if score > 0.001
    ]
    rows = [row for row in rows if row[1] > row[0]]
    proposals = {
        "segments": torch.tensor([row[:2] for row in rows]),
        "labels": torch.tensor([row[2] for row in rows]),
        "scores": torch.tensor([row[3] for row in rows]),
    }
    expected = soft_nms(proposals, max_per_class=15, max_per_clip=10**6)
    found = sorted(names["found"], key=lambda each: -each[0])
    assert len(found) == len(expected["scores"]) > 50
    np.testing.assert_allclose([each[0] for each in found], expected["scores"].numpy(), rtol=1e-3)
    times = dict(zip([(s, n) for s, _, _, n in found[:10]], [each[1:3] for each in found[:10]], strict=True))
    for (score, name), (start, end) in times.items():
        best = (expected["scores"] - score).abs().argmin()
        assert MMA52.actions[expected["labels"][best]] == name
        np.testing.assert_allclose(expected["segments"][best].numpy(), [start, end], atol=1e-3)


@pytest.mark.slow
def test_the_description_says_all_that_is_needed(
    command: Command, checkpoint: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    known = checkpoint()
    assert command("mmad-export", f"checkpoint={BEST}", TORCH_ONLY, "output=there") == 0
    told = json.loads(Path("there/detector.json").read_text())
    video, mask = told["inputs"]
    assert (video["name"], video["type"], video["shape"]) == ("video", "uint8", ["batch", 3, 64, 64, 48])
    assert (mask["name"], mask["type"], mask["shape"]) == ("mask", "bool", ["batch", 32])
    assert [each["shape"] for each in told["outputs"]] == [["batch", 48, 1, 2], ["batch", 48, 52]]
    assert told["window"].items() >= {"steps": 32, "stride": 4, "offset": 0, "overlap": 0.5}.items()
    pictures = {"frames": 64, "frames_per_step": 2, "frame_step": 2, "height": 64, "width": 48, "short_side": 55}
    assert told["pictures"].items() >= pictures.items()
    assert told["features"] is None
    assert told["frame_rates"] == [16.0, 25.0]
    assert told["classes"][8] == {"code": "B3", "name": "turning head", "body": "head"}
    assert told["thresholds"]["turning head"] == pytest.approx(0.09)
    assert told["nms"]["method"] == "soft_nms"
    assert told["nms"]["sigma"] == known["mmad"]["config"]["nms"]["sigma"]
    assert told["checkpoint"]["sha256"] == hashlib.sha256(BEST.read_bytes()).hexdigest()
    assert str(Path.cwd()) not in Path("there/detector.json").read_text()
    # The file stands for itself: torch and nothing of ours reads it.
    code = "import torch, sys; m = torch.export.load('there/detector.pt2').module(); "
    code += "s = m(torch.zeros(1, 3, 64, 64, 48, dtype=torch.uint8), torch.ones(1, 32, dtype=torch.bool))[1]; "
    code += "print(list(s.shape), any(n.split('.')[0] in ('mmad', 'timm') for n in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[1, 48, 52] False"


def test_a_detector_of_features_is_exported(command: Command, checkpoint: Callable[..., dict[str, Any]]) -> None:
    features = ["data=features", "data.root=x", "recipe=demo_features", "data.source.channels=24"]
    options = ["data.source.stride=4", "data.source.offset=8", "data.source.identity=abc"]
    checkpoint(*features, *options, "data.evaluate_split=val")
    assert command("mmad-export", f"checkpoint={BEST}", TORCH_ONLY) == 0
    told = json.loads(Path("exports/RUN/detector.json").read_text())
    assert told["inputs"][0]["name"] == "features"
    assert told["inputs"][0]["shape"] == ["batch", 24, 32]
    assert told["window"].items() >= {"stride": 4, "offset": 8}.items()
    assert (told["features"], told["pictures"]) == ({"channels": 24, "identity": "abc"}, None)


def test_a_file_that_differs_is_not_kept_and_an_earlier_one_is(
    command: Command,
    checkpoint: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint()
    before = Path("exports/RUN/detector.json")
    before.parent.mkdir(parents=True)
    before.write_text("of an earlier export")
    load = torch.export.load

    def altered(path: Path) -> Any:
        program = load(path)
        with torch.no_grad():
            program.state_dict["detector.head.dense.cls_head.conv.bias"][3] += 0.01
        return program

    monkeypatch.setattr(torch.export, "load", altered)
    assert command("mmad-export", f"checkpoint={BEST}", TORCH_ONLY) == 2
    assert re.search(r"^error: detector.pt2 differed from the detector by .*, more than 1e-04", capsys.readouterr().err)
    assert before.read_text() == "of an earlier export"
    assert list(Path("exports").rglob("*")) == [Path("exports/RUN"), before]


def test_onnx_needs_its_packages_and_torch_does_not(
    command: Command,
    checkpoint: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint()
    for package in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert command("mmad-export", f"checkpoint={BEST}") == 2
    assert 'pip install "mmad[export]"' in capsys.readouterr().err
    assert command("mmad-export", f"checkpoint={BEST}", TORCH_ONLY) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "This needs a value for checkpoint"),
        (["checkpoint=gone.ckpt"], "there is no such checkpoint"),
        ([f"checkpoint={BEST}", "formats=[coreml]"], "choose from torch, onnx"),
        ([f"checkpoint={BEST}", "formats=[]"], "choose from torch, onnx"),
        ([f"checkpoint={BEST}", f"output={BEST}"], "is a file; name a folder"),
        ([f"checkpoint={BEST}", TORCH_ONLY], "data.control=still, only to be compared with"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    command: Command,
    checkpoint: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    checkpoint("data.control=still")
    assert command("mmad-export", *arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert words in told
    assert not Path("exports").exists()


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, mmad.cli.export; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
