"""`mmad-data`: a data set goes out in every format and comes back as the same clips, and trains to the same result."""

import csv
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from commands import Command
from mmad.data.sources import MarkedSource, MMA52Source, read_boris_files, read_eaf, read_json, read_table
from mmad.taxonomy import MMA52

KEEPING = {"csv": read_table, "json": read_json, "elan": read_eaf, "boris": read_boris_files}
"""Formats that keep clips in which nothing happens."""
READERS = KEEPING | {"boris_table": read_boris_files}


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


@pytest.mark.slow
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


@pytest.mark.filterwarnings("default:.*not in a table of events")
def test_what_a_table_of_events_cannot_hold_is_told(
    command: Command, drawn: Path, capsys: pytest.CaptureFixture
) -> None:
    """And clips that nobody has dealt to splits are converted all the same."""
    assert convert(command, drawn, "to=csv", "videos=link") == 0
    table = Path("out/annotations.csv")
    header, first, *rows = (line.split(",") for line in table.read_text().splitlines())
    place = header.index("split")
    quiet = [first[0], *[""] * (len(header) - 1)]
    rows = [row for row in rows if row[0] != first[0]]
    table.write_text("\n".join(",".join(row[:place] + row[place + 1 :]) for row in (header, quiet, *rows)))
    Path("out/splits.csv").unlink()
    for path in Path("out/videos").glob("*"):
        path.rename(Path("out", path.name))
    arguments = ["task=convert", "data=folder", "data.root=out", "to=boris_table", "output=again"]
    capsys.readouterr()
    assert command("mmad-data", *arguments) == 0
    told = capsys.readouterr()
    assert "1 clips without an instance are not in a table of events" in told.err
    assert "Next: mmad-data task=split data=boris data.root=again" in told.out
    assert not Path("again/splits.csv").exists()


@pytest.mark.parametrize("to", KEEPING)
def test_a_clip_in_which_nothing_happens_stays_one(command: Command, drawn: Path, to: str) -> None:
    assert convert(command, drawn, "to=csv", "videos=link") == 0
    table = Path("out/annotations.csv")
    header, *rows = table.read_text().splitlines()
    quiet = rows[0].split(",")[0]
    kept = [row for row in rows if not row.startswith(f"{quiet},")]
    table.write_text("\n".join([header, *kept, quiet + "," * header.count(",")]))
    arguments = ["task=convert", "data=folder", "data.root=out", f"to={to}", "output=again"]
    assert command("mmad-data", *arguments, "videos=link") == 0
    again = MarkedSource(Path("again"), read=KEEPING[to], fps=None).annotations
    assert len(again.clips) == 28
    assert quiet in again.clips
    assert quiet not in {mark.clip for mark in again.marks}


def test_captions_are_written_for_every_clip(command: Command, drawn: Path) -> None:
    assert convert(command, drawn, "to=webvtt") == 0
    clips = [clip.id for split in ("train", "val", "test") for clip in MMA52Source(drawn, fps=None).clips(split)]
    assert {path.stem for path in Path("out/webvtt").glob("*.vtt")} == set(clips)
    assert Path("out/webvtt", f"{clips[0]}.vtt").read_text().startswith("WEBVTT")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("task=mend", "choose check, stats"),
        ("to=xml", "choose csv, json, elan, boris, boris_table, webvtt"),
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


@pytest.fixture
def lab(numbered_video: Callable[..., Path], command: Command) -> Path:
    """Two clips in a folder, annotated in a table."""
    root = Path("lab").resolve()
    root.mkdir()
    for clip in "ab":
        shutil.copyfile(numbered_video(), root / f"{clip}.mp4")
    (root / "annotations.csv").write_text("video,start,end,label,subject\na,0,1,waving,P1\nb,0,1,nodding,P2\n")
    (root / "splits.csv").write_text("clip,split\na,train\nb,test\n")
    return root


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


LAB = ("mmad-data", "data=folder", "data.root=lab")


@pytest.mark.parametrize("how", [("videos=link",), ("videos=copy",), ("to=elan",)])
def test_an_output_in_the_data_set_would_ruin_it(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str], how: tuple[str, ...]
) -> None:
    before = files(lab)
    assert command(*LAB, "task=convert", "output=lab/inner", *how) == 2
    assert "output=lab/inner lies in the data set lab" in capsys.readouterr().err
    assert files(lab) == before
    assert command(*LAB, "task=convert", "output=lab/inner", "to=json") == 0, "nobody looks for this in folders"
    assert MarkedSource(lab, read=read_table, fps=None).clips("train")


@pytest.mark.parametrize("how", ["link", "copy"])
def test_videos_lie_in_one_place_whatever_their_split(command: Command, lab: Path, how: str) -> None:
    """Folders of splits of an earlier call would hold the same clip twice."""
    old = Path("out/videos/test")
    old.mkdir(parents=True)
    for clip in "ab":
        if how == "link":
            (old / f"{clip}.mp4").symlink_to(lab / f"{clip}.mp4")
        else:
            shutil.copyfile(lab / f"{clip}.mp4", old / f"{clip}.mp4")
    (old / "unrelated.mp4").write_bytes(b"of no clip")
    for splits in ("a,train\nb,test", "a,test\nb,train"):
        (lab / "splits.csv").write_text(f"clip,split\n{splits}\n")
        assert command(*LAB, "task=convert", "output=out", f"videos={how}") == 0
        assert files(Path("out/videos")) == ["a.mp4", "b.mp4", "test/unrelated.mp4"]
    source = MarkedSource(Path("out"), read=read_table, fps=None)
    assert [(clip.id, clip.frames) for clip in source.clips("test")] == [("a", 60)]
    assert source.videos["a"].is_symlink() == (how == "link")
    assert files(lab) == ["a.mp4", "annotations.csv", "b.mp4", "splits.csv"]


def test_a_video_that_is_no_copy_is_not_removed(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path("out/videos/take 2/a.mp4")
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another video")
    assert command(*LAB, "task=convert", "output=out", "videos=link") == 2
    assert "clip 'a' would have two videos" in capsys.readouterr().err
    assert files(Path("out")) == ["videos/take 2/a.mp4"]


def test_the_only_copy_of_a_video_is_not_replaced(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here the data set's videos lie where the output's videos go."""
    before = {path.name: path.read_bytes() for path in lab.iterdir()}
    lab.rename("videos")
    assert command("mmad-data", "task=convert", "data=folder", "data.root=videos", "output=.", "videos=link") == 2
    assert "belongs to the data set and lies in videos" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("videos").iterdir()} == before


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("shares.train=abc", "shares.train=abc: expected a number above 0"),
        ("shares.train=null", "shares.train=None: expected a number above 0"),
        ("shares.train=true", "shares.train=True: expected a number above 0"),
        ("shares=null", "shares=None: expected a share for each split"),
        ("shares=0.7", "shares=0.7: expected a share for each split"),
        ("shares.val=0", "drop it with ~shares.val"),
        ("shares.val=nan", "expected numbers above 0 that add up to 1"),
        ("seed=abc", "seed=abc: expected a whole number"),
        ("seed=-1", "seed=-1: expected a whole number"),
    ],
)
def test_shares_that_are_none_are_one_sentence(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    assert command(*LAB, "task=split", "output=out", change) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert message in told[0]
    assert not Path("out/splits.csv").exists()


@pytest.mark.filterwarnings("default:.*cannot be learned")
def test_classes_that_training_lacks_are_told(command: Command, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of two people shows one class alone, so one class cannot be in training."""
    shares = ("shares.train=0.8", "~shares.val")
    assert command(*LAB, "task=split", "output=out", *shares) == 0
    rows = {row["split"]: row["clip"] for row in csv.DictReader(Path("out/splits.csv").read_text().splitlines())}
    absent = {"a": "waving", "b": "nodding"}[rows["test"]]
    told = capsys.readouterr().err
    assert f"warning: 1 of 2 classes have no instance in train and cannot be learned: {absent!r}; ask for" in told


def test_no_class_is_told_where_training_has_all(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (lab / "annotations.csv").open("a") as table:
        table.write("a,1,2,nodding,P1\nb,1,2,waving,P2\n")
    assert command(*LAB, "task=split", "output=out", "shares.train=0.8", "~shares.val") == 0
    assert "warning" not in capsys.readouterr().err
