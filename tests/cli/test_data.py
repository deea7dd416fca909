"""`mmad-data`: a data set goes out in every format and comes back as the same clips, and trains to the same result."""

import csv
import json
from functools import partial
from pathlib import Path

import pytest

from commands import Command
from mmad.data.sources import MarkedSource, MMA52Source, read_boris_files, read_eaf, read_json, read_table
from mmad.taxonomy import MMA52

READERS = {"csv": read_table, "json": read_json, "elan": read_eaf, "boris": read_boris_files}


def convert(command: Command, drawn: Path, *more: str) -> int:
    return command("mmad-data", "task=convert", "data=mma52", f"data.root={drawn}", "output=out", *more)


@pytest.mark.parametrize("to", READERS)
def test_a_data_set_comes_back(command: Command, drawn: Path, to: str) -> None:
    assert convert(command, drawn, f"to={to}", "videos=link") == 0
    before, after = MMA52Source(drawn, fps=None), MarkedSource(Path("out"), read=READERS[to], fps=None)
    assert after.taxonomy == MMA52
    for split in ("train", "val", "test"):
        was = {clip.id: clip for clip in before.clips(split)}
        now = {clip.id: clip for clip in after.clips(split)}
        assert was.keys() == now.keys()
        for name, clip in was.items():
            assert (now[name].subject, now[name].fps, now[name].frames) == (clip.subject, clip.fps, clip.frames)
            assert now[name].path.resolve() == clip.path
            pairs = zip(
                *(sorted((i.label, i.start, i.end) for i in c.instances) for c in (clip, now[name])), strict=True
            )
            for old, new in pairs:
                assert new == old, "ELAN and BORIS keep milliseconds, which lie next to the frames that were meant"


def test_training_on_elan_files_gives_the_same_result(command: Command, drawn: Path, small: list[str]) -> None:
    assert convert(command, drawn, "to=elan", "videos=link") == 0
    assert command("mmad-train", *small, "hydra.run.dir=before") == 0
    same = [argument for argument in small if not argument.startswith(("data.root", "data.make"))]
    like_demo = ["recipe=demo", "data.resolution=[64,48]", "data.workers=0", "data.cache=memory", "data.batch_size=8"]
    assert command("mmad-train", *same, "data=elan", "data.root=out", *like_demo, "hydra.run.dir=after") == 0
    before, after = (json.loads(Path(run, "metrics.json").read_text()) for run in ("before", "after"))
    assert after == before


def test_classes_follow_the_data(command: Command, drawn: Path, small: list[str]) -> None:
    """Without labels.csv the classes are the labels that occur, and a checkpoint refuses data with others."""
    assert convert(command, drawn, "to=csv", "videos=link") == 0
    Path("out/labels.csv").unlink()
    source = MarkedSource(Path("out"), read=partial(read_table), fps=None)
    assert 1 < len(source.taxonomy.actions) < 52
    assert source.taxonomy.flat
    same = [argument for argument in small if not argument.startswith(("data.root", "data.make"))]
    like_demo = [
        "recipe=demo",
        "data.resolution=[64,48]",
        "data.workers=0",
        "data.batch_size=8",
        "trainer.max_epochs=1",
    ]
    assert command("mmad-train", *same, "data=folder", "data.root=out", *like_demo, "hydra.run.dir=run") == 0
    report = ["report.figures=[]", "report.draws=0", "output=again"]
    checkpoint = "checkpoint=run/checkpoints/best.ckpt"
    assert command("mmad-eval", checkpoint, *report) == 0
    lines = Path("out/annotations.csv").read_text().splitlines()
    name = source.taxonomy.actions[0]
    Path("out/annotations.csv").write_text("\n".join(line.replace(name, "something else") for line in lines))
    assert command("mmad-eval", checkpoint, *report) == 2


def test_captions_are_written_for_every_clip(command: Command, drawn: Path) -> None:
    assert convert(command, drawn, "to=webvtt") == 0
    clips = [clip.id for split in ("train", "val", "test") for clip in MMA52Source(drawn, fps=None).clips(split)]
    assert {path.stem for path in Path("out/webvtt").glob("*.vtt")} == set(clips)
    assert Path("out/webvtt", f"{clips[0]}.vtt").read_text().startswith("WEBVTT")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("task=mend", "choose check, stats"),
        ("to=xml", "choose csv, json, elan, boris, webvtt"),
        ("videos=move", "choose none, link, copy"),
        ("data.root=nowhere", "nowhere is not a folder"),
    ],
)
def test_mistakes_are_one_sentence(
    command: Command, drawn: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    assert convert(command, drawn, change) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert message in told[0]
    assert not Path("out/labels.csv").exists()


def test_the_data_set_itself_is_not_written_over(command: Command, drawn: Path, capsys: pytest.CaptureFixture) -> None:
    assert convert(command, drawn, f"output={drawn}") == 2
    assert "is the data set itself" in capsys.readouterr().err


def test_a_split_keeps_people_apart(command: Command, drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = ["shares.train=0.6", "shares.val=0.2", "shares.test=0.2"]
    assert command("mmad-data", "task=split", "data=mma52", f"data.root={drawn}", "output=out", *shares) == 0
    told = capsys.readouterr().out
    rows = list(csv.DictReader(Path("out/splits.csv").read_text().splitlines()))
    assert len(rows) == 28
    splits_of: dict[str, set[str]] = {}
    for row in rows:
        splits_of.setdefault(row["subject"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    assert sum(row["split"] == "train" for row in rows) > len(rows) / 2
    assert "subjects" in told


def test_a_split_needs_to_know_the_people(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "annotations.csv").write_text("video,start,end,label\na,0,1,waving\n")
    assert command("mmad-data", "task=split", "data=folder", "data.root=lab", "output=out") == 2
    assert "the subject of 1 of 1 clips is not known, the first is 'a'" in capsys.readouterr().err
