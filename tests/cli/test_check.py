"""`mmad-data task=check`: faults as text, as JSON and as an exit code, and what training makes of them."""

import json
import shutil
from pathlib import Path

import pytest

from commands import Command


@pytest.fixture
def lab(command: Command, drawn: Path) -> Path:
    """A data set in the working folder, with its videos."""
    assert command("mmad-data", "task=convert", "data=mma52", f"data.root={drawn}", "videos=link", "output=lab") == 0
    return Path("lab")


def check(command: Command, *more: str) -> int:
    return command("mmad-data", "task=check", "data=folder", "data.root=lab", "output=found", *more)


@pytest.mark.parametrize("deep", ["false", "true"])
def test_good_data_leave_a_manifest_and_no_error(
    command: Command, lab: Path, deep: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(command, f"deep={deep}") == 0
    told = json.loads(Path("found/faults.json").read_text())
    assert (told["clips"], told["errors"]) == (28, 0)
    assert all(fault["severity"] == "warning" for fault in told["faults"])
    videos = json.loads(Path("found/manifest.json").read_text())["videos"]
    assert len(videos) == 28
    assert all((video["decoded"] == video["header"]["frames"]) == (deep == "true") for video in videos.values())
    assert "28 clips" in capsys.readouterr().out
    assert not Path("found/exclude.csv").exists()


def test_faults_have_places_and_fixes_and_the_clips_can_be_left_out(
    command: Command, lab: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (lab / "annotations.csv").read_text().splitlines()
    clip = rows[1].split(",")[0]
    other = next(row.split(",")[0] for row in rows[1:] if not row.startswith(clip))
    rows[1] = rows[1].replace(rows[1].split(",")[2], "0", 1)
    (lab / "annotations.csv").write_text("\n".join(rows) + "\n")
    (video,) = lab.rglob(f"{other}.mp4")
    video.unlink()
    assert check(command) == 1
    told = json.loads(Path("found/faults.json").read_text())
    errors = [fault for fault in told["faults"] if fault["severity"] == "error"]
    assert [(e["kind"], e["clip"], e["file"], e["line"]) for e in errors] == [
        ("segment", clip, "annotations.csv", 2),
        ("missing_video", other, None, None),
    ]
    assert all(error["fix"] in error["message"] for error in errors)
    text = Path("found/faults.txt").read_text()
    assert all(error["message"] in text for error in errors)

    same = [argument for argument in small if not argument.startswith(("data.root", "data.make"))]
    like_demo = ["recipe=demo", "data.resolution=[64,48]", "data.workers=0", "trainer.max_epochs=1"]
    train = ["mmad-train", *same, "data=folder", "data.root=lab", *like_demo, "hydra.run.dir=run"]
    capsys.readouterr()
    assert command(*train) == 2
    assert "(2 faults; mmad-data task=check lists all of them)" in capsys.readouterr().err
    shutil.copyfile("found/exclude.csv", lab / "exclude.csv")
    assert command(*train) == 0
    assert "exclude.csv leaves out 2 clips" in capsys.readouterr().err
    assert check(command) == 0
    assert json.loads(Path("found/faults.json").read_text())["excluded"].keys() == {clip, other}


def test_annotations_alone(command: Command, lab: Path) -> None:
    shutil.rmtree(lab / "videos")
    assert check(command, "open_videos=false") == 0
    assert not Path("found/manifest.json").exists()
    assert check(command) == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("deep=no", "deep=no: choose true or false"),
        ("time_limit=0", "time_limit=0: expected seconds, more than 0"),
        ("time_limit=soon", "time_limit=soon: expected seconds"),
        ("output=lab/labels.csv", "output=lab/labels.csv is a file; name a folder"),
        ("output=lab/labels.csv/found", "cannot be written"),
    ],
)
def test_mistaken_options_are_one_sentence(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    capsys.readouterr()
    assert check(command, "open_videos=false", option) == 2
    assert message in capsys.readouterr().err


def test_the_advice_is_what_training_will_do(command: Command, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = lab / "annotations.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join([*rows, rows[1]]))
    assert check(command, "open_videos=false") == 1
    assert "training is possible all the same" in capsys.readouterr().out
    table.write_text("\n".join([*rows, rows[1].split(",")[0]]))
    assert check(command, "open_videos=false") == 1
    assert "train without the 1 clips that are concerned" in capsys.readouterr().out
    table.write_text("\n".join([*rows, ",1,2,nodding"]))
    assert check(command, "open_videos=false") == 1
    assert "correct these and check again" in capsys.readouterr().out


def test_what_is_no_data_set_is_one_sentence(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(command) == 1
    assert "lab is not a folder" in capsys.readouterr().out
    assert json.loads(Path("found/faults.json").read_text())["errors"] == 1
