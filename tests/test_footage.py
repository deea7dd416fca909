"""Films of real people go through prediction, the viewer and export; what is found in them means nothing.

One film comes with the packages for development; `make footage` fetches more.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from commands import COMMANDS
from footage import films
from mmad import MMA52, load_detector, read_predictions
from mmad.data.clips import collate
from mmad.data.header import header
from mmad.data.stream import stream, windows_of
from mmad.errors import refuse
from mmad.viewer.project import of_files
from mmad.viewer.saving import Corrections

DETECTOR = Path(__file__).parents[1] / "notebooks" / "demo_detector.ckpt"
FILMS = films()

pytestmark = pytest.mark.skipif(not FILMS, reason="no package with a film of a person is installed")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `mmad-predict` leaves of all films."""
    folder = tmp_path_factory.mktemp("footage")
    listed = ",".join(f"'{film}'" for film in FILMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = [f"checkpoint={DETECTOR}", f"videos=[{listed}]", "output=found", "threshold=0.05"]
        patch.setattr("sys.argv", ["mmad-predict", *arguments])
        COMMANDS["mmad-predict"]()
    return folder / "found"


def test_each_film_is_seen_to_its_end(found: Path) -> None:
    results = read_predictions(found / "predictions.json", taxonomy=MMA52)
    told = json.loads((found / "predictions.json").read_text())["external_data"]["videos"]
    assert len(results) == len(FILMS)
    for name, rows in results.items():
        film = (found / told[name]).resolve()
        assert film in {each.resolve() for each in FILMS}
        assert len(rows["labels"]) > 0
        assert rows["segments"].max() <= header(film).duration + 0.1
        assert (found / f"{name}.png").stat().st_size > 10_000


def test_the_viewer_shows_and_exports_them(found: Path, tmp_path: Path) -> None:
    # Several films may have the same name in different folders, which a viewer of one folder does not take.
    film = FILMS[0]
    (tmp_path / "alone").mkdir()
    shutil.copy(found / f"{_name(found, film)}.json", tmp_path / "alone" / f"{film.stem}.json")
    project = of_files(videos=[str(film)], predictions=tmp_path / "alone" / f"{film.stem}.json", on_fault=refuse)
    assert project.clips == [film.stem]
    (layer,) = project.layers
    marks = layer.marks[film.stem]
    put = [
        {"id": f"s{n}", "start": mark.start, "end": mark.end, "label": mark.label} for n, mark in enumerate(marks[:3])
    ]
    corrections = Corrections(tmp_path, inputs=project.inputs)
    corrections.follow(film.stem, [{"key": "k", "do": "edit", "remove": [], "put": put}], version=0)
    corrections.close()
    assert len(Corrections(tmp_path).marks(film.stem)) == min(len(marks), 3)


@pytest.mark.slow
def test_the_exported_detector_says_the_same_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mmad-export", f"checkpoint={DETECTOR}", "formats=[onnx]", "output=out"])
    COMMANDS["mmad-export"]()
    session = onnxruntime.InferenceSession("out/detector.onnx", providers=["CPUExecutionProvider"])
    detector = load_detector(DETECTOR)
    window = detector.grid.window
    for film in FILMS:
        windows = windows_of(film, grid=detector.grid, rates=detector.rates)[:1]
        (item,) = stream(
            film, windows, grid=detector.grid, short_side=detector.short_side, transform=detector.transform
        )
        batch = collate([item], grid=detector.grid)
        with torch.no_grad():
            expected = detector.detector(batch["inputs"], batch["mask_BT"])
        frames = item["inputs"].numpy()
        missing = window * detector.grid.frames_per_step - len(frames)
        video = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)]).transpose(1, 0, 2, 3)[None]
        mask = (np.arange(window) < item["window"].steps)[None]
        (scores,) = session.run(["scores"], {"video": video, "mask": mask})
        # The graph sees the full window, of which the detector's own has fewer points, level by level.
        strongest = np.sort(expected.scores_BPK.numpy().ravel())[-20:]
        np.testing.assert_allclose(np.sort(scores.ravel())[-20:], strongest, atol=1e-4)


def _name(found: Path, film: Path) -> str:
    told = json.loads((found / "predictions.json").read_text())["external_data"]["videos"]
    return next(name for name, path in told.items() if (found / path).resolve() == film.resolve())
