"""`mmad-data task=agreement`: from annotators' files to numbers, a list to talk about, and a data set to train on."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands import Command
from mmad.data.sources import MarkedSource, read_table
from mmad.formats.annotated import Annotations
from mmad.formats.boris import write_boris_project
from mmad.formats.csv_marks import write_csv_marks
from mmad.formats.elan import write_elan
from mmad.formats.json_marks import write_json_marks
from mmad.formats.labels import write_taxonomy
from mmad.formats.marks import Mark
from panels import BOW, NOD, TAXONOMY, TIPTOE

ANNA = [("talk", NOD, 0.2, 0.8), ("talk", BOW, 1.0, 1.5), ("walk", TIPTOE, 0.5, 1.5)]
BEN = [("talk", NOD, 0.2, 0.8), ("talk", BOW, 1.2, 1.5), ("walk", TIPTOE, 0.5, 1.5)]
CARL = [("talk", NOD, 0.2, 0.8), ("talk", BOW, 1.0, 1.5), ("walk", TIPTOE, 0.5, 1.5)]


def marks(said: list, annotator: str | None = None) -> list[Mark]:
    return [Mark(clip, start, end, label, annotator=annotator) for clip, label, start, end in said]


@pytest.fixture
def lab(tmp_path: Path, numbered_video: Callable[..., Path]) -> Path:
    """Three annotators' folders, one list of classes, and videos of 2 s."""
    root = tmp_path / "lab"
    for name, said in (("anna", ANNA), ("ben", BEN), ("carl", CARL)):
        write_csv_marks(root / name / "annotations.csv", Annotations(marks(said), ["talk", "walk", "still"]))
    write_taxonomy(root / "labels.csv", TAXONOMY)
    (root / "videos").mkdir()
    for clip in ("talk", "walk", "still"):
        (root / "videos" / f"{clip}.mp4").symlink_to(numbered_video())
    return root


def agree(command: Command, *more: str, root: str = "lab", data: str = "folder") -> int:
    return command("mmad-data", "task=agreement", f"data={data}", f"data.root={root}", "output=out", *more)


FOLDERS = ("+annotators.anna=anna", "+annotators.ben=ben", "+annotators.carl=carl")


def result() -> dict:
    return json.loads(Path("out/agreement.json").read_text())


def test_a_folder_for_each_annotator(command: Command, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert agree(command, *FOLDERS) == 0
    found = result()
    assert found["clips"] == 3
    assert found["action"]["overall"]["reliable"] == pytest.approx(100 * 6 / 9)
    assert found["action"]["overall"]["majority"] == pytest.approx(100 * 2 / 9)
    assert found["notes"] == [], "the videos tell how long clips are"
    rows = list(csv.DictReader(Path("out/discuss.csv").read_text().splitlines()))
    assert [(row["clip"], row["class"], row["what"]) for row in rows] == [
        ("talk", BOW, "anna and carl agree; other boundaries by ben")
    ]
    told = capsys.readouterr().out
    assert "3 annotators (anna, ben, carl); 3 clips seen by at least two" in told
    assert "To talk about, 1 in all: boundaries 1." in told
    assert "mmad-train data=folder data.root=out/consensus" in told
    assert {path.name for path in Path("out/figures").iterdir()} == {f"agreement.{s}" for s in ("png", "svg", "pdf")}
    tables = {path.name for path in Path("out/tables").iterdir()}
    assert {"tables.md", "agreement.csv", "agreement.tex", "agreement_classes.csv", "agreement_pairs.csv"} <= tables


def test_the_consensus_is_a_data_set(command: Command, lab: Path) -> None:
    Path("lab/splits.csv").write_text("clip,split\ntalk,train\nwalk,val\nstill,train\n")
    assert agree(command, *FOLDERS) == 0
    Path("out/consensus/videos").symlink_to(lab / "videos")
    source = MarkedSource(Path("out/consensus"), read=read_table, fps=None)
    assert source.taxonomy == TAXONOMY
    train = {clip.id: [(i.label, i.start, i.end) for i in clip.instances] for clip in source.clips("train")}
    assert train["still"] == []
    # Times lie on frames of the videos, whose rate is not quite 30.
    assert np.allclose(train["talk"], [(0, 0.2, 0.8), (1, 1.0, 1.5)], atol=1e-3)
    assert [clip.id for clip in source.clips("val")] == ["walk"]


def test_the_length_of_clips_is_that_of_their_videos(command: Command, lab: Path) -> None:
    """Without videos the time after the last mark is not known, and alpha is another."""
    assert agree(command, *FOLDERS) == 0
    before = result()["action"]["classes"][2]
    assert before["alpha"] == pytest.approx(1)
    bow = result()["action"]["classes"][1]["alpha"]
    for video in (lab / "videos").iterdir():
        video.unlink()
    assert agree(command, *FOLDERS) == 0
    assert "The length of 3 of 3 clips is not known" in result()["notes"][0]
    assert result()["action"]["classes"][1]["alpha"] < bow


@pytest.mark.parametrize("form", ["folder", "json", "elan", "boris"])
def test_one_data_set_of_all_annotators(command: Command, tmp_path: Path, form: str) -> None:
    said = [*marks(ANNA, "anna"), *marks(BEN, "ben"), *marks(CARL, "carl")]
    root = tmp_path / "lab"
    if form == "folder":
        write_csv_marks(root / "annotations.csv", said)
    elif form == "json":
        write_json_marks(root / "all.json", Annotations(said, ["talk", "walk"]), taxonomy=TAXONOMY)
    elif form == "elan":
        for clip in ("talk", "walk"):
            mine = [mark for mark in said if mark.clip == clip]
            write_elan(root / f"{clip}.eaf", mine, video=None, taxonomy=TAXONOMY)
    else:
        videos = {clip: root / f"{clip}.mp4" for clip in ("talk", "walk")}
        write_boris_project(root / "all.boris", said, taxonomy=TAXONOMY, videos=videos)
    write_taxonomy(root / "labels.csv", TAXONOMY)
    assert agree(command, data=form) == 0
    found = result()
    assert list(found["annotators"]) == ["anna", "ben", "carl"]
    assert found["action"]["overall"]["reliable"] == pytest.approx(100 * 6 / 9)
    assert found["action"]["overall"]["majority"] == pytest.approx(100 * 2 / 9)


def test_two_annotators_as_one_option_and_a_looser_threshold(command: Command, lab: Path) -> None:
    assert agree(command, "annotators={anna: anna, ben: ben}", "tiou=0.5") == 0
    assert result()["action"]["overall"]["reliable"] == 100
    assert Path("out/discuss.csv").read_text().splitlines()[1:] == []


def test_without_a_list_of_classes_they_are_those_that_occur_anywhere(command: Command, lab: Path) -> None:
    Path("lab/labels.csv").unlink()
    write_csv_marks(lab / "ben" / "annotations.csv", marks(BEN[:1]))
    assert agree(command, *FOLDERS[:2]) == 0
    assert {row["name"] for row in result()["action"]["classes"]} == {NOD, BOW, TIPTOE}
    assert result()["body"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the marks name no annotator"),
        (FOLDERS[:1], "1 annotators, expected at least two"),
        ((*FOLDERS, "+annotators.dora=anna"), "annotators 'anna' and 'dora' have the same folder"),
        (("+annotators.anna=anna", "+annotators.eve=eve"), "eve is not a folder"),
        (("+annotators.anna=anna", "+annotators.far=far"), "no clip was seen by two annotators"),
        (("+annotators.anna=anna", "+annotators.other=other"), "are not the same: only one of them has 'bowing head'"),
        ((*FOLDERS, "tiou=1.0"), "tiou=1: expected 0 to below 1"),
        ((*FOLDERS, "tiou=abc"), "tiou=abc: expected a number from 0 to below 1"),
        ((*FOLDERS, "tiou=null"), "tiou=null: expected a number from 0 to below 1"),
        ((*FOLDERS, "tiou=true"), "tiou=True: expected a number from 0 to below 1"),
        (("annotators=anna",), "annotators=anna: expected a folder for each, such as +annotators.anna=FOLDER"),
        (("annotators=[anna,ben]",), "annotators=['anna', 'ben']: expected a folder for each"),
        (("annotators={anna: anna, ben: null}",), "expected a folder for each"),
        ((*FOLDERS, "output=lab"), "output=lab is the data set itself"),
        ((*FOLDERS, "output=lab/ben"), "output=lab/ben is the data set itself"),
    ],
)
def test_mistakes_are_one_sentence(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    write_csv_marks(lab / "far" / "annotations.csv", [Mark("moon", 0, 1, NOD)])
    write_csv_marks(lab / "other" / "annotations.csv", marks(ANNA[:1]))
    if "+annotators.other=other" in arguments:
        (lab / "other" / "labels.csv").write_text(f"name\n{NOD}\n")
        write_taxonomy(lab / "anna" / "labels.csv", TAXONOMY)
    if not arguments:
        write_csv_marks(lab / "annotations.csv", marks(ANNA))
    assert agree(command, *arguments) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in told if line.startswith("error")]) == 1
    assert message in told[-1]
    assert not Path("out/agreement.json").exists()


def test_one_folder_of_all_annotators_files_of_elan_names_the_fix(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, said in (("anna", ANNA), ("ben", BEN)):
        write_elan(tmp_path / "lab" / name / "talk.eaf", marks(said[:2]), video=None, taxonomy=TAXONOMY)
    assert agree(command, data="elan") == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "another .eaf file annotates the clip 'talk' too; " in told
    assert told.endswith("if each annotator has a folder of their own, name these: +annotators.NAME=FOLDER")
    assert agree(command, *FOLDERS[:2], data="elan") == 0


def test_clips_of_one_annotator_are_taken_over(command: Command, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = [*marks(BEN), Mark("alone", 1.0, 1.5, BOW)]
    write_csv_marks(lab / "ben" / "annotations.csv", Annotations(more, ["talk", "walk", "still", "alone", "calm"]))
    assert agree(command, *FOLDERS) == 0
    told = capsys.readouterr().out
    assert "Consensus: 3 instances, from 8 of 9 segments" in told
    assert "Clips taken over as they are from the single annotator who saw them: 2, with instances: 1." in told
    assert "note: 2 of 5 clips were seen by one annotator only" in told
    found = read_table(Path("out/consensus"), TAXONOMY, None)
    assert sorted(found.clips) == ["alone", "calm", "still", "talk", "walk"]
    assert Mark("alone", 1.0, 1.5, BOW) in found.marks
