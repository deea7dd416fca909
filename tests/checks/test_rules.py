"""Single rules of the data check on small tables, and what they say."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mmad.annotations import Clip, Instance
from mmad.checks import rules
from mmad.checks.examine import Examination, examine
from mmad.data.grid import Grid
from mmad.data.sources import MarkedSource, MMA52Source, read_eaf, read_json, read_table
from mmad.errors import MmadError
from mmad.formats.marks import Mark

GRID = Grid(window=128, feature_stride=4, frames_per_step=2, levels=6)
HEADER = "clip,start,end,label,split,annotator\n"


def look(root: Path, **how: object) -> Examination:
    make = partial(MarkedSource, root, read=read_table, fps=None)
    return examine(make, grid=GRID, progress=False, **({"videos": False} | how))  # type: ignore[arg-type]


def kinds(found: Examination) -> list[str]:
    return [fault.kind for fault in found.faults]


def table(root: Path, *rows: str) -> Path:
    (root / "annotations.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return root


def test_two_annotators_of_the_same_are_told_and_a_division_of_labour_is_not(tmp_path: Path) -> None:
    twice = table(tmp_path, "a,1,3,nod,train,Anna", "a,1.1,3,nod,train,Ben", "a,5,6,nod,train,Ben")
    (fault,) = look(twice).faults
    assert fault.kind == "two_annotators"
    assert "line 3: 'Anna' and 'Ben' both marked 'nod'" in fault.message
    shared = table(tmp_path, "a,1,3,nod,train,Anna", "a,1.1,3,wave,train,Ben", "a,5,6,nod,train,Ben")
    assert not look(shared).faults


def test_labels_that_differ_by_case_are_told(tmp_path: Path) -> None:
    (fault,) = look(table(tmp_path, "a,1,3,nod,train,", "b,1,3,Nod,train,")).faults
    assert fault.kind == "similar_labels"


@pytest.mark.parametrize("row", ["b,1,3", "b,one,3,nod,train,", "b,3,1,nod,train,"])
def test_a_faulty_row_names_its_clip_so_that_it_can_be_left_out(tmp_path: Path, row: str) -> None:
    found = look(table(tmp_path, "a,1,3,nod,train,", row))
    assert list(found.blocked) == ["b"]
    assert not found.obstacles


def test_a_split_that_training_needs_is_missed(tmp_path: Path) -> None:
    root = table(tmp_path, "a,1,3,nod,train,", "b,1,3,nod,dev,")
    (val, test) = look(root, needed=("train", "val", "test")).faults
    assert val.kind == test.kind == "missing_split"
    assert "no clip is of split val; there are dev, train" in val.message
    assert "or set data.evaluate_split=val" in test.message


def test_faults_of_other_splits_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("clip,start,end,label\na,3,1,nod\n")
    (tmp_path / "val.csv").write_text("clip,start,end,label\nb,1,3,nod\n")
    assert kinds(look(tmp_path)) == ["segment"]
    assert kinds(look(tmp_path, splits=("val",))) == []


def test_a_release_of_which_only_one_split_is_there(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    """The first release has no rates: those of absent videos are not asked for."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val").mkdir()
    for split, clip in (("train", "001_01_0001_A"), ("val", "002_01_0001_A")):
        text = f",video_id,start_frame,end_frame,class,total_frames\n0,{clip},5,50,9,60\n"
        (tmp_path / "annotations" / f"{split}.csv").write_text(text)
    shutil.copyfile(numbered_video(), tmp_path / "val" / "002_01_0001_A.mp4")
    make = partial(MMA52Source, tmp_path, fps=None)
    assert kinds(examine(make, grid=GRID, splits=("val",), needed=("val",))) == []
    assert kinds(examine(make, grid=GRID, splits=("train", "val"))) == ["missing_video"]
    (clip,) = make().clips("val")
    assert clip.fps == pytest.approx(30, abs=0.01)


def test_marks_in_frames_stay_on_their_frames_whatever_rate_the_table_says(
    tmp_path: Path, numbered_video: Callable[..., Path]
) -> None:
    shutil.copyfile(numbered_video(), tmp_path / "a.mp4")
    (tmp_path / "annotations.csv").write_text("clip,start_frame,end_frame,fps,label,split\na,8,24,25,nod,train\n")
    (clip,) = MarkedSource(tmp_path, read=read_table, fps=None).clips("train")
    (instance,) = clip.instances
    assert (instance.start * clip.fps, instance.end * clip.fps) == (8, 24)
    assert kinds(look(tmp_path, videos=True)) == ["fps"]


def test_a_column_that_contradicts_the_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("clip,start,end,label,split\na,1,3,nod,test\n")
    assert kinds(look(tmp_path)) == ["disagreement"]


def test_an_instance_longer_than_a_window_is_not_called_short(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(
        "video_id,start_frame,end_frame,class,total_frames,fps\na,0,1599,9,1600,25\na,0,300,9,1600,25\n"
    )
    make = partial(MMA52Source, tmp_path, fps=None)
    (fault,) = examine(make, grid=GRID, videos=False, splits=("train",)).faults
    assert fault.kind == "lost_instance"
    assert "longer than a window of 20 s: make grid.window larger" in fault.message
    assert not examine(make, grid=GRID, videos=False, splits=("train",), assignment=None).faults


def test_what_shorter_instances_cover_is_learned_where_points_are_shared() -> None:
    times = [(3.98, 6.02), (4.0, 6.0)]
    clip = Clip("a", Path(), None, 25.0, 250, tuple(Instance(start, end, 9) for start, end in times))
    marks = {"a": [Mark("a", start, end, "nod", where=f"line {n}") for n, (start, end) in enumerate(times)]}
    (fault,) = rules.unassigned([clip], marks, GRID)
    assert "shorter instances cover it" in fault.message
    assert not list(rules.unassigned([clip], marks, GRID, {"filter_similar": False}))


def test_results_beside_a_json_file_are_no_annotations(tmp_path: Path) -> None:
    entry = '{"subset": "training", "annotations": [{"label": "nod", "segment": [1, 2]}]}'
    (tmp_path / "annotations.json").write_text(f'{{"database": {{"a": {entry}}}}}')
    (tmp_path / "faults.json").write_text('{"faults": []}')
    assert MarkedSource(tmp_path, read=read_json, fps=None).annotations.clips == ["a"]


def test_a_broken_elan_file_is_of_the_clip_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.eaf").write_text("<ANNOTATION_DOCUMENT>")
    faults: list[MmadError] = []
    assert read_eaf(tmp_path, None, None, faults.append).clips == []
    assert [fault.clip for fault in faults] == ["a"]


def test_videos_behind_links_are_found_and_loops_end(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    disk = tmp_path / "disk" / "train"
    disk.mkdir(parents=True)
    shutil.copyfile(numbered_video(), disk / "a.mp4")
    (disk / "loop").symlink_to(tmp_path / "disk")
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "videos").symlink_to(tmp_path / "disk")
    (lab / "annotations.csv").write_text("clip,start,end,label\na,0.5,1.5,nod\n")
    assert [clip.id for clip in MarkedSource(lab, read=read_table, fps=None).clips("train")] == ["a"]


@pytest.mark.parametrize("folder", ["plain", "lab v1.2, final", "anna's: data"])
def test_file_and_line_are_told_whatever_the_folder_is_called(tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder
    root.mkdir()
    (fault,) = look(table(root, "a,1,3,nod,train,", "b,3,1,nod,train,")).faults
    assert fault.place(root) == ("annotations.csv", 3)
    (root / "annotations.csv").unlink()
    (fault,) = look(root).faults
    assert fault.place(root) == (None, None)
