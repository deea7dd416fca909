"""What the page shows of files: clips, videos, layers, classes and thresholds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmad.errors import MmadError
from mmad.formats.boris import write_boris_project, write_boris_table
from mmad.formats.csv_marks import write_csv_marks
from mmad.formats.elan import write_elan
from mmad.formats.json_marks import write_json_marks
from mmad.formats.labels import write_taxonomy
from mmad.formats.marks import Mark
from mmad.formats.predictions import write_predictions
from mmad.taxonomy import MMA52, Taxonomy
from mmad.viewer.project import Project, of_files

MARKS = [Mark("one", 0.5, 1.5, "nodding"), Mark("one", 1.0, 2.5, "waving"), Mark("one", 2.0, 3.0, "nodding")]


def touched(path: Path) -> Path:
    """A file that only its name makes a video; nothing looks inside here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")
    return path


def project(**given: Any) -> Project:
    return of_files(on_fault=_fail, **given)


def _fail(fault: MmadError) -> None:
    raise fault


def rows(made: Project, layer: int, clip: str = "one") -> set[tuple[float, float, str]]:
    return {(mark.start, mark.end, mark.label) for mark in made.layers[layer].marks.get(clip, ())}


EXPECTED = {(mark.start, mark.end, mark.label) for mark in MARKS}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("table.csv", lambda path: write_csv_marks(path, MARKS)),
        ("marks.json", lambda path: write_json_marks(path, MARKS)),
        ("one.eaf", lambda path: write_elan(path, MARKS, video=None, taxonomy=MMA52)),
        ("lab.boris", lambda path: write_boris_project(path, MARKS, taxonomy=MMA52)),
        ("events.csv", lambda path: write_boris_table(path, MARKS, taxonomy=MMA52)),
        ("elan", lambda path: write_elan(path / "one.eaf", MARKS, video=None, taxonomy=MMA52)),
    ],
)
def test_annotations_of_every_kind_become_a_layer(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    video = touched(tmp_path / "one.mp4")
    made = project(annotations=[tmp_path / name])
    assert [(layer.name, layer.kind) for layer in made.layers] == [(name, "annotation")]
    assert rows(made, 0) == EXPECTED
    assert made.clips == ["one"]
    assert made.taxonomy == MMA52
    if name != "elan":  # which looks beside its files, one folder deeper
        assert made.videos == {"one": video}


def test_the_released_table_counts_frames_at_its_rate(tmp_path: Path) -> None:
    table = tmp_path / "val.csv"
    table.write_text("id,video_id,start_frame,end_frame,class,total_frames,fps\n0,001_01_0001_A,30,60,9,120,30.0\n")
    made = project(annotations=[table])
    assert rows(made, 0, "001_01_0001_A") == {(1.0, 2.0, "nodding")}
    assert made.durations == {"001_01_0001_A": 4.0}
    assert made.subjects == {"001_01_0001_A": "1"}


def test_frames_without_a_rate_are_those_of_the_video(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    video = tmp_path / "one.mp4"
    video.write_bytes(numbered_video(frames=20, fps=10).read_bytes())
    (tmp_path / "table.csv").write_text("video,start_frame,end_frame,label\none,5,10,8\n")
    made = project(videos=[str(video)], annotations=[tmp_path / "table.csv"])
    assert rows(made, 0) == {(0.5, 1.0, MMA52.actions[8])}


def test_annotators_are_layers_of_their_own(tmp_path: Path) -> None:
    both = [Mark("one", 0, 1, "nodding", annotator="anna"), Mark("one", 0, 2, "nodding", annotator="ben")]
    write_csv_marks(tmp_path / "both.csv", both)
    write_csv_marks(tmp_path / "more" / "both.csv", MARKS)
    made = project(annotations=[tmp_path / "both.csv", tmp_path / "more" / "both.csv"])
    assert [layer.name for layer in made.layers] == ["anna", "ben", "both.csv"]
    again = project(annotations=[tmp_path / "more" / "both.csv", tmp_path / "more" / "both.csv"])
    assert [layer.name for layer in again.layers] == ["both.csv", "both.csv (2)"]


def write_found(path: Path, taxonomy: Taxonomy, **beside: Any) -> None:
    """Predictions of the clips "one" and "two", and what `mmad-predict` says beside them."""
    found: Any = {
        clip: {
            "segments": torch.tensor([[0.0, 1.0], [1.0, 2.0]], dtype=torch.float64),
            "labels": torch.tensor([0, 1]),
            "scores": torch.tensor([0.9, 0.2], dtype=torch.float64),
        }
        for clip in ("one", "two")
    }
    write_predictions(path, found, taxonomy=taxonomy)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"external_data": beside}))


def test_a_folder_of_predictions_names_its_videos_thresholds_and_classes(tmp_path: Path) -> None:
    classes = Taxonomy.from_rows((("X1", "jumping", "legs"), ("X2", "clapping", "arms")))
    folder, video = tmp_path / "said", touched(tmp_path / "films" / "one.mp4")
    touched(tmp_path / "films" / "secret.txt")
    write_taxonomy(folder / "labels.csv", classes)
    videos = {"one": "../films/one.mp4", "two": "../films/secret.txt", "three": "../films/none.mp4"}
    write_found(folder / "predictions.json", classes, thresholds={"jumping": 0.5}, videos=videos)
    made = project(predictions=folder)
    assert made.taxonomy == classes
    assert made.thresholds == {"jumping": 0.5}
    assert made.title == "said"
    assert [path.resolve() for path in made.videos.values()] == [video]
    assert made.clips == ["one", "two"]
    assert rows(made, 0, "two") == {(0.0, 1.0, "jumping"), (1.0, 2.0, "clapping")}
    assert project(predictions=folder / "predictions.json").layers == made.layers


def test_predictions_of_one_video_know_it_however_deep_they_lie(tmp_path: Path) -> None:
    video = touched(tmp_path / "films" / "day" / "one.mp4")
    result = {"label": "nodding", "score": 0.5, "segment": [0, 1]}
    beside = {"thresholds": {"nodding": 0.4}, "video": {"path": "../films/day/one.mp4"}}
    path = tmp_path / "said" / "day" / "one.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"results": {"day/one": [result]}, "external_data": beside}))
    made = project(predictions=path)
    assert (made.clips, made.thresholds) == (["day/one"], {"nodding": 0.4})
    assert made.videos["day/one"].resolve() == video.resolve()
    assert rows(made, 0, "day/one") == {(0.0, 1.0, "nodding")}


NAMES = {"a/x": "a/x.mp4", "b/x": "b/x.mp4", "b/y.avi": "b/y.avi", "b/y.mov": "b/y.mov", "c/z": "c/z.mp4"}


def write_named(folder: Path) -> Path:
    """What mmad-predict writes for videos of one name, beside the videos in `films`."""
    films = folder / "films"
    for place in NAMES.values():
        touched(films / place)
    results = {name: [{"label": "nodding", "score": 0.5, "segment": [n, n + 1]}] for n, name in enumerate(NAMES)}
    beside = {"videos": {name: f"../films/{place}" for name, place in NAMES.items()}}
    path = folder / "said" / "predictions.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"results": results, "external_data": beside}))
    return path.parent


def test_videos_of_one_name_go_by_the_ids_of_the_predictions(tmp_path: Path) -> None:
    said = write_named(tmp_path)
    made = project(predictions=said)
    assert made.clips == list(NAMES)
    for number, (clip, place) in enumerate(NAMES.items()):
        assert made.videos[clip].resolve() == tmp_path / "films" / place
        assert rows(made, 0, clip) == {(number, number + 1.0, "nodding")}
    given = project(predictions=said, videos=[str(tmp_path / "films")])
    assert set(given.clips) == set(NAMES)
    assert given.layers == made.layers
    some = project(predictions=said, videos=[str(tmp_path / "films" / "b" / "x.mp4")])
    assert (some.clips, rows(some, 0, "b/x")) == (["b/x"], {(1, 2.0, "nodding")})


def test_annotations_find_the_clip_whose_id_is_a_path(tmp_path: Path) -> None:
    """By the name of its video where only one has it, and by its name in the table of corrections."""
    said = write_named(tmp_path)
    write_csv_marks(tmp_path / "t.csv", [Mark(clip, 0, 1, "waving") for clip in ("z", "a_x", "b_y_mov", "new")])
    made = project(predictions=said, annotations=[tmp_path / "t.csv"])
    assert {clip for clip, marks in made.layers[0].marks.items() if marks} == {"c/z", "a/x", "b/y.mov", "new"}
    assert made.clips == [*NAMES, "new"]
    write_csv_marks(tmp_path / "u.csv", [Mark(clip, 0, 1, "waving") for clip in ("x", "z")])
    faults: list[MmadError] = []
    made = of_files(predictions=said, annotations=[tmp_path / "u.csv"], on_fault=faults.append)
    assert ["clip 'x' may be 'a/x' or 'b/x'" in str(fault) for fault in faults] == [True]
    assert list(made.layers[0].marks) == ["c/z"]


def test_predictions_follow_videos_that_were_moved(tmp_path: Path) -> None:
    said = write_named(tmp_path)
    (tmp_path / "films").rename(tmp_path / "moved")
    made = project(predictions=said, videos=[str(tmp_path / "moved" / "c")])
    assert (made.clips, rows(made, 0, "z")) == (["z"], {(4, 5.0, "nodding")})
    with pytest.raises(MmadError, match="have one name"):
        project(predictions=said, videos=[str(tmp_path / "moved" / "a")])
    assert project(predictions=said).clips == list(NAMES)
    (tmp_path / "moved" / "c" / "z.mp4").rename(said / "z.mp4")
    assert project(predictions=said).videos == {"c/z": said / "z.mp4"}


def test_labels_that_the_classes_lack_come_behind_them(tmp_path: Path) -> None:
    write_csv_marks(tmp_path / "own.csv", [*MARKS, Mark("one", 0, 1, "yawning")])
    made = project(annotations=[tmp_path / "own.csv"])
    assert made.taxonomy.actions == (*MMA52.actions, "yawning")
    assert made.taxonomy.bodies == (*MMA52.bodies, "other")
    write_csv_marks(tmp_path / "foreign.csv", [Mark("one", 0, 1, "yawning"), Mark("one", 0, 1, "diving")])
    assert project(annotations=[tmp_path / "foreign.csv"]).taxonomy.actions == ("diving", "yawning")
    write_found(tmp_path / "found.json", Taxonomy.from_rows((("1", "diving", "all"), ("2", "nodding", "all"))))
    assert project(predictions=tmp_path / "found.json").taxonomy.actions == (*MMA52.actions, "diving")


def test_videos_come_from_files_folders_and_patterns(tmp_path: Path) -> None:
    first, second = touched(tmp_path / "films" / "a.mp4"), touched(tmp_path / "films" / "deep" / "b.AVI")
    touched(tmp_path / "films" / "notes.txt")
    assert project(videos=[str(tmp_path / "films")]).videos == {"a": first, "b": second}
    assert project(videos=[str(tmp_path / "*" / "*.mp4")]).videos == {"a": first}
    assert project(videos=[str(first), str(second)]).clips == ["a", "b"]
    write_csv_marks(tmp_path / "films" / "t.csv", [Mark("a", 0, 1, "nodding"), Mark("z", 0, 1, "nodding")])
    assert project(videos=[str(first)], annotations=[tmp_path / "films" / "t.csv"]).clips == ["a"]
    with pytest.raises(MmadError, match="no video"):
        project(videos=[str(tmp_path / "none*")])
    touched(tmp_path / "films" / "deep" / "a.mov")
    with pytest.raises(MmadError, match="have one name"):
        project(videos=[str(tmp_path / "films")])


def test_faulty_rows_are_told_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("clip,start,end,label\none,0,1,nodding\none,3,2,nodding\n")
    faults: list[MmadError] = []
    made = of_files(annotations=[tmp_path / "t.csv"], on_fault=faults.append)
    assert rows(made, 0) == {(0.0, 1.0, "nodding")}
    assert "line 3" in str(faults[0])


def test_predictions_among_annotations_and_no_clip_are_refused(tmp_path: Path) -> None:
    write_found(tmp_path / "found.json", MMA52)
    with pytest.raises(MmadError, match="predictions="):
        project(annotations=[tmp_path / "found.json"])
    with pytest.raises(MmadError, match="does not exist"):
        project(predictions=tmp_path)
    (tmp_path / "empty.csv").write_text("clip,start,end,label\n")
    with pytest.raises(MmadError, match="no clip to show"):
        project(annotations=[tmp_path / "empty.csv"])
    (tmp_path / "twice.json").write_text('{"results": {"a/b": [], "b": []}}')
    with pytest.raises(MmadError, match="have one name"):
        project(predictions=tmp_path / "twice.json")
    with pytest.raises(MmadError, match="would both be 'a_b' in files"):
        Project("title", MMA52, ["a/b", "a_b"], {}, [])
