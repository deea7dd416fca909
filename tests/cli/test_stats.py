"""`mmad-data task=stats` describes any data set, without videos where its annotations say how long clips are."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from commands import Command
from mmad.data.sources import MMA52Source
from mmad.dataset import describe

MMA52_HEADER = "id,video_id,start_frame,end_frame,class,total_frames,fps\n"


def stats(command: Command, data: str, root: Path | str, *more: str) -> int:
    return command("mmad-data", "task=stats", f"data={data}", f"data.root={root}", "output=out", *more)


def result() -> dict:
    return json.loads(Path("out/statistics.json").read_text())


def test_a_drawn_data_set_is_described(command: Command, drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stats(command, "mma52", drawn) == 0
    source = MMA52Source(drawn, fps=None)
    splits = {split: source.clips(split) for split in ("train", "val", "test")}
    assert result() == describe(splits, taxonomy=source.taxonomy)
    said = capsys.readouterr().out
    assert "28 clips of 10 subjects" in said
    assert "| train | " in said
    assert (
        said.rstrip().splitlines()[-1]
        == f"Next: open out/statistics.html, then mmad-train data=mma52 data.root={drawn}"
    )
    rows = list(csv.DictReader(Path("out/tables/dataset.csv").read_text().splitlines()))
    assert [(row["split"], row["clips"]) for row in rows] == [
        ("train", "16"),
        ("val", "6"),
        ("test", "6"),
        ("all", "28"),
    ]
    assert len(list(Path("out/figures").iterdir())) == 5 * 3
    assert "28 clips of 10 subjects" in Path("out/statistics.html").read_text()


@pytest.mark.filterwarnings("always:.*holds placeholders")
def test_a_release_without_videos_and_test_labels_is_described(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mma52" / "annotations"
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text(MMA52_HEADER + "0,train0000,0,90,8,300,30.0\n1,train0000,60,298,9,300,30.0\n")
    (folder / "test.csv").write_text(MMA52_HEADER + "0,test0000,0,20,8,290,29\n1,test0001,0,20,9,290,29\n")
    assert stats(command, "mma52", "mma52") == 0
    told = capsys.readouterr()
    assert "placeholders" in told.err
    assert "No instance is in test" in told.out
    found = result()
    assert (found["splits"]["train"]["hours"], found["splits"]["test"]["hours"]) == (10 / 3600, 20 / 3600)
    assert found["splits"]["train"]["subjects"] is None
    assert found["splits"]["test"]["instances"] == 0
    assert found["all"]["cut"] == {"start": 50, "end": 0, "either": 50}
    assert found["all"]["overlap"]["concurrency"] == pytest.approx([100 * 2 / 300, 100 * 268 / 300, 100 * 30 / 300])


@pytest.mark.filterwarnings("always:.*clips have no splits")
def test_data_without_splits_and_subjects_is_one_part(
    command: Command, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The videos tell how long clips are."""
    Path("lab").mkdir()
    videos = sorted((drawn / "train").glob("*.mp4"))[:2]
    for name, video in zip("ab", videos, strict=True):
        shutil.copy(video, f"lab/{name}.mp4")
    Path("lab/annotations.csv").write_text("video,start,end,label\na,0,1,waving\na,0.5,2,nodding\nb,1,2,waving\n")
    assert stats(command, "folder", "lab") == 0
    told = capsys.readouterr()
    assert "clips have no splits" in told.err
    assert "mmad-data task=split data=folder data.root=lab" in told.out
    found = result()
    source = MMA52Source(drawn, fps=None)
    seconds = {clip.path.name: clip.duration for clip in source.clips("train")}
    assert found["all"]["hours"] == pytest.approx(sum(seconds[video.name] for video in videos) / 3600)
    assert list(found["splits"]) == ["all clips"]
    assert (found["all"]["subjects"], found["flat"]) == (None, True)
    assert not Path("out/tables/groups.csv").exists()


def test_names_of_other_splits_stay(command: Command, tmp_path: Path) -> None:
    """ActivityNet's layout says how long a clip is and which split it is in."""
    clip = {"duration": 8.0, "annotations": [{"segment": [0.0, 2.0], "label": "waving"}]}
    entries = {
        name: clip | {"subset": subset} for name, subset in (("a", "fold 2"), ("b", "validation"), ("c", "fold 1"))
    }
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "all.json").write_text(json.dumps({"database": entries}))
    assert stats(command, "json", "lab") == 0
    assert list(result()["splits"]) == ["val", "fold 2", "fold 1"]
    assert result()["all"]["hours"] == pytest.approx(24 / 3600)


def test_a_clip_of_unknown_length_is_one_sentence(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "annotations.csv").write_text("video,start,end,label,split\na,0,1,waving,train\n")
    assert stats(command, "folder", "lab") == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "have no video in lab, the first is 'a'" in told[0]
    assert not Path("out/statistics.json").exists()


def test_the_folder_one_stands_in_has_a_name_too(
    command: Command, drawn: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(drawn)
    assert command("mmad-data", "task=stats", "data=mma52", "data.root=.", f"output={tmp_path / 'out'}") == 0
    assert f"<title>Statistics of {drawn.name}</title>" in (tmp_path / "out" / "statistics.html").read_text()
