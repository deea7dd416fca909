"""Marks in ActivityNet's layout: what comes back, and what other tools' files hold."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmad.annotations import Instance, Truth
from mmad.errors import MmadError
from mmad.formats.activitynet import read_truth
from mmad.formats.annotated import Annotations
from mmad.formats.json_marks import read_json_marks, write_json_marks
from mmad.formats.labels import read_taxonomy
from mmad.formats.marks import Mark, truths_of
from mmad.taxonomy import MMA52

DATABASE = {
    "v_1": {
        "subset": "Validation",
        "duration": 10,
        "frame": 300,
        "subject": 7,
        "annotations": [{"segment": [0.5, 2], "label": "nodding"}, {"segment": ["1", 12], "label": " 8 "}],
    },
    "001_01_0001_A": {"subset": "training", "annotations": []},
    "c": {"subset": "fold 2", "annotations": None},
    "d": {},
}


def written(folder: Path, database: object) -> Path:
    path = folder / "truth.json"
    path.write_text(json.dumps({"database": database, "taxonomy": {}, "version": ""}))
    return path


def test_marks_and_what_is_said_of_clips(tmp_path):
    path = written(tmp_path, DATABASE)
    read = read_json_marks(path)
    assert read == Annotations(
        [Mark("v_1", 0.5, 2.0, "nodding", subject="7"), Mark("v_1", 1.0, 12.0, "8", subject="7")],
        ["v_1", "001_01_0001_A", "c", "d"],
        split_of={"v_1": "val", "001_01_0001_A": "train", "c": "fold 2"},
        subjects={"v_1": "7"},
        durations={"v_1": 10.0},
    )
    assert read.marks[1].where == f"{path}, clip 'v_1', annotation 2"
    assert read_json_marks(path, subset="val").clips == ["v_1"]
    with pytest.raises(MmadError, match=r"has no subset 'test'; choose from"):
        read_json_marks(path, subset="test")


def test_equal_to_the_reader_of_ground_truth(tmp_path):
    path = written(tmp_path, {clip: DATABASE[clip] for clip in ("v_1", "c", "d")})
    read = read_json_marks(path)
    truths = truths_of(read.marks, taxonomy=MMA52, clips=read.clips, durations=read.durations)
    assert truths == read_truth(path, taxonomy=MMA52)
    assert truths[0] == Truth("v_1", (Instance(0.5, 2, 9), Instance(1, 12, 8)), 10.0, "7")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"segment": [0, 1]}, "label is None, expected the name of a class"),
        ({"segment": [0, 1], "label": " "}, "label is ' ', expected the name of a class"),
        ({"segment": [0, 1], "label": ["nodding"]}, "label is ['nodding'], expected a name"),
        ({"segment": [0, 1], "label": True}, "label is True, expected a name"),
        ({"segment": [0], "label": "nodding"}, "segment is [0], expected [start, end] in seconds"),
        ({"segment": [0, None], "label": "nodding"}, "end is None, expected a finite number"),
        ({"segment": [0, float("inf")], "label": "nodding"}, "end is inf, expected a finite number"),
        ({"segment": [0, 10**400], "label": "nodding"}, ""),
        ({"segment": [2, 1], "label": "nodding"}, "segment [2, 1] s of 'nodding', expected 0 <= start < end"),
        ({"segment": [-1, 1], "label": "nodding"}, "segment [-1, 1] s"),
        ({"segment": [0, 1], "label": "nodding", "score": "high"}, "score is 'high', expected a finite number"),
        ({"segment": [0, 1], "label": "nodding", "annotator": {}}, "annotator is {}, expected a name"),
    ],
)
def test_faulty_annotations_are_named_and_the_others_read(tmp_path, row, fault):
    good = {"segment": [0, 1], "label": "waving"}
    path = written(tmp_path, {"a": {"annotations": [good, row]}, "b": {"annotations": [row]}, "c": {}})
    with pytest.raises(MmadError) as caught:
        read_json_marks(path)
    assert str(caught.value).startswith(f"{path}, clip 'a', annotation 2: {fault}")
    faults: list[MmadError] = []
    # A clip whose only annotation is faulty is not one without actions.
    assert read_json_marks(path, on_fault=faults.append) == Annotations([Mark("a", 0, 1, "waving")], ["a", "c"])
    assert len(faults) == 2


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"annotations": {}}, "expected a list, found dict"),
        ({"annotations": [1]}, "expected a JSON object, found int"),
        ({"duration": 0}, "duration is 0 s, expected more than 0"),
        ({"duration": 10**400}, ""),
        ({"subject": []}, "subject is [], expected a name or a number"),
        ({"subset": 1.5}, "subset is 1.5, expected a name"),
    ],
)
def test_faulty_entries(tmp_path, entry, fault):
    path = written(tmp_path, {"a": entry, "b": {}})
    with pytest.raises(MmadError) as caught:
        read_json_marks(path)
    assert str(caught.value).startswith(f"{path}, clip 'a': {fault}")
    faults: list[MmadError] = []
    assert read_json_marks(path, on_fault=faults.append).clips == ["b"]
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not valid JSON"),
        ("[]", "expected a JSON object, found list"),
        ('{"results": {}}', r"has no 'database' \(this is predictions\)"),
        ('{"database": {"a": 1}}', "clip 'a': expected a JSON object, found int"),
        ('{"database": ' + "[" * 100_000, "not readable JSON"),
        ('{"database": ' + "1" * 5000 + "}", "not readable JSON"),
    ],
)
def test_files_that_are_none(tmp_path, text, message):
    path = tmp_path / "truth.json"
    path.write_text(text)
    with pytest.raises(MmadError, match=message):
        read_json_marks(path, on_fault=lambda fault: None)


def test_written_file_is_what_other_tools_take(tmp_path):
    path = tmp_path / "new" / "truth.json"
    marks = [Mark("a", 1 / 3, 2, "nodding", annotator="kim"), Mark("b", 0, 1, "waving", subject="P1", score=0.5)]
    known = Annotations(marks, ["a", "b", "c"], {"a": "train", "b": "val", "c": "test"}, {"c": "P2"}, {"a": 9.5})
    write_json_marks(path, known, taxonomy=MMA52, version="1.3")
    document = json.loads(path.read_text())
    assert list(document) == ["database", "taxonomy", "version"]
    assert document["version"] == "1.3"
    row = {"segment": [1 / 3, 2.0], "label": "nodding", "annotator": "kim"}
    assert document["database"] == {
        "a": {"subset": "training", "duration": 9.5, "annotations": [row]},
        "b": {
            "subset": "validation",
            "subject": "P1",
            "annotations": [{"segment": [0.0, 1.0], "label": "waving", "score": 0.5}],
        },
        "c": {"subset": "testing", "subject": "P2", "annotations": []},
    }
    taxonomy = read_taxonomy(path)
    assert [taxonomy.bodies[body] for body in taxonomy.body_of] == ["head", "upper limb"]
    write_json_marks(path, marks)
    assert json.loads(path.read_text())["taxonomy"] == []


def test_marks_come_back_clip_by_clip_with_the_subject_of_their_clip(tmp_path):
    marks = [Mark("a", 0, 1, "x", subject="P1"), Mark("b", 0, 1, "x"), Mark("a", 1, 2, "y")]
    write_json_marks(tmp_path / "a.json", marks)
    assert read_json_marks(tmp_path / "a.json").marks == [
        Mark("a", 0, 1, "x", subject="P1"),
        Mark("a", 1, 2, "y", subject="P1"),
        Mark("b", 0, 1, "x"),
    ]


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ([Mark("a", 2, 1, "nodding")], r"segment \[2, 1\]"),
        ([Mark("a", 0, 1, "noding", where="x.csv, line 2")], r"^x\.csv, line 2: label is 'noding', .* 'nodding'$"),
        (Annotations([], ["a"], durations={"a": float("nan")}), "duration of clip 'a' is nan s"),
        (Annotations([], ["a"], split_of={"a": ""}), "clip 'a': split is ''"),
    ],
)
def test_marks_that_would_not_come_back_leave_the_old_file(tmp_path, marks, message):
    path = tmp_path / "truth.json"
    path.write_text("old")
    with pytest.raises(MmadError, match=message):
        write_json_marks(path, marks, taxonomy=MMA52)
    assert path.read_text() == "old"


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).map(str.strip).filter(bool)
SEGMENTS = st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)).map(sorted).filter(lambda times: times[0] < times[1])


@st.composite
def annotations(draw) -> Annotations:
    clips = draw(st.lists(NAMES, max_size=4, unique=True))
    subjects = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(clips, NAMES)))
    marks = [
        Mark(clip, *times, draw(NAMES), subjects.get(clip), draw(st.none() | NAMES), draw(st.none() | st.floats(-9, 9)))
        for clip in clips
        for times in draw(st.lists(SEGMENTS, max_size=3))
    ]
    splits = st.sampled_from(["train", "val", "test", "fold 1"])
    return Annotations(
        marks,
        clips,
        draw(st.fixed_dictionaries({}, optional=dict.fromkeys(clips, splits))),
        subjects,
        draw(st.fixed_dictionaries({}, optional=dict.fromkeys(clips, st.floats(1e-300, 1e300)))),
    )


@settings(deadline=None, max_examples=60)
@given(annotations())
def test_round_trip(tmp_path_factory, known):
    path = tmp_path_factory.getbasetemp() / "round_trip.json"
    write_json_marks(path, known)
    assert read_json_marks(path) == known


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def damaged(draw) -> str:
    """The valid file with a node replaced by anything, then a few letters."""
    document = json.loads(json.dumps({"database": DATABASE}))
    for _ in range(draw(st.integers(0, 3))):
        node, keys = document, []
        while isinstance(node, dict | list) and node and (not keys or draw(st.booleans())):
            keys = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            parent, node, keys = node, node[keys], [keys]
        if keys:
            parent[keys[0]] = draw(JUNK)
    text = json.dumps(document)
    if draw(st.booleans()):
        place, removed = draw(st.integers(0, len(text))), draw(st.integers(0, 8))
        text = text[:place] + draw(st.text(max_size=3)) + text[place + removed :]
    return text


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_damaged_files_end_in_marks_or_faults(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(text.encode(errors="replace"))
    faults: list[MmadError] = []
    try:
        read = read_json_marks(path, on_fault=faults.append)
    except MmadError:
        return
    assert all(0 <= mark.start < mark.end < float("inf") for mark in read.marks)
    assert {mark.clip for mark in read.marks} <= set(read.clips)
