"""Tables of marks as people write them, and what they get wrong."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmad.errors import MmadError
from mmad.formats.annotated import Annotations
from mmad.formats.csv_marks import read_csv_marks, write_csv_marks
from mmad.formats.marks import Mark

HEADER = "video,start,end,label\n"


def written(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "marks.csv"
    path.write_bytes(text.encode(encoding))
    return path


def faults_of(path: Path, **options) -> tuple[Annotations, list[str]]:
    faults: list[MmadError] = []
    read = read_csv_marks(path, on_fault=faults.append, **options)
    return read, [str(fault).replace(str(path.parent) + "/", "") for fault in faults]


def test_marks_in_file_order_and_where_they_stand(tmp_path):
    read = read_csv_marks(written(tmp_path, HEADER + "b,0.5,2,nodding\na,0,1e-1,waving\nb,0.5,2,nodding\n"))
    nodding = Mark("b", 0.5, 2.0, "nodding")
    assert read == Annotations([nodding, Mark("a", 0.0, 0.1, "waving"), nodding], ["b", "a"])
    assert [mark.where for mark in read.marks] == [f"{tmp_path / 'marks.csv'}, line {line}" for line in (2, 3, 4)]


@pytest.mark.parametrize("clip", ["video", "clip", "Video_ID", "FILE", "File name", "id"])
@pytest.mark.parametrize("label", ["label", "Class", "action", "behavior"])
@pytest.mark.parametrize(
    ("start", "end"), [("t_start", "t_end"), ("Start (s)", "End (s)"), ("start [sec]", "end [sec]"), ("START", "END")]
)
def test_columns_by_any_of_their_names(tmp_path, clip, label, start, end):
    path = written(tmp_path, f"{end},{label},notes,{clip},{start}\n2,nodding,hm,a,1\n")
    assert read_csv_marks(path).marks == [Mark("a", 1.0, 2.0, "nodding")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_line_ends_and_byte_order_mark(tmp_path, delimiter, end, encoding):
    rows = [["video", "start", "end", "label"], ["a", "1", "2", '"nodding, twice; ""so"""'], [], ["", "", "", ""]]
    path = written(tmp_path, end.join(delimiter.join(row) for row in rows), encoding=encoding)
    assert read_csv_marks(path).marks == [Mark("a", 1.0, 2.0, 'nodding, twice; "so"')]


def test_decimal_commas_only_where_they_cannot_separate_thousands(tmp_path):
    text = "video;start;end;label\na;0,5;1,25;nodding\n"
    assert read_csv_marks(written(tmp_path, text)).marks == [Mark("a", 0.5, 1.25, "nodding")]
    for faulty in (text.replace(";", "\t"), text.replace("1,25", "1.000,25")):
        with pytest.raises(MmadError, match=r"line 2: .* expected a finite number"):
            read_csv_marks(written(tmp_path, faulty))


def test_ids_without_folder_and_ending(tmp_path):
    names = ["day1/a.mp4", "C:\\films\\b.MOV", "901_01_0001_(1).", "v1.2", " c.mp4 ", "b"]
    path = written(tmp_path, HEADER + "".join(f"{name},0,1,nodding\n" for name in names))
    assert [mark.clip for mark in read_csv_marks(path).marks] == ["a", "b", "901_01_0001_(1).", "v1.2", "c", "b"]


def test_equal_names_in_two_folders_are_not_one_clip(tmp_path):
    path = written(tmp_path, HEADER + "P1/talk.mp4,0,1,nodding\nP2/talk.mp4,2,3,nodding\n")
    read, faults = faults_of(path)
    assert len(read.marks) == 1
    assert faults == [
        "marks.csv, line 3: folder of clip 'talk' is 'P2/', elsewhere it is 'P1/'; expected one for all of a clip, "
        "make them agree"
    ]


def test_frames(tmp_path):
    with_fps = written(tmp_path, "clip,label,start_frame,end_frame,fps\na,nodding,15,30,30\nb,nodding,10,12.0,\n")
    assert read_csv_marks(with_fps, fps=10).marks == [Mark("a", 0.5, 1.0, "nodding"), Mark("b", 1.0, 1.2, "nodding")]
    assert faults_of(with_fps)[1] == [
        "marks.csv, line 3: fps of clip 'b' is not known; give it, or complete the column 'fps'"
    ]
    bare = written(tmp_path, "clip,label,start_frame,end_frame\na.mp4,nodding,15,30\nb,nodding,1,2\n")
    assert read_csv_marks(bare, fps={"a": 30, "b": 0.5}).marks[1] == Mark("b", 2.0, 4.0, "nodding")
    assert faults_of(bare, fps={"a": 30})[1] == [
        "marks.csv, line 3: fps of clip 'b' is not known; give it, or complete the column 'fps'"
    ]
    faults: list[MmadError] = []
    with pytest.raises(MmadError, match=r"frames and has no column 'fps', .* give fps, or add that column"):
        read_csv_marks(bare, on_fault=faults.append)  # one error, not one for each row
    assert faults == []


def test_seconds_count_where_frames_stand_beside_them(tmp_path):
    path = written(tmp_path, "clip,label,start_frame,end_frame,start,end\na,nodding,15,30,0.5,1\n")
    assert read_csv_marks(path).marks == [Mark("a", 0.5, 1.0, "nodding")]
    path = written(tmp_path, "clip,label,start_frame,end_frame,start\na,nodding,15,30,9\n")
    assert read_csv_marks(path, fps=30).marks == [Mark("a", 0.5, 1.0, "nodding")]


def test_what_is_said_of_clips(tmp_path):
    text = "video,start,end,label,subject,annotator,score,split\n"
    text += "a,0,1,nodding,P1,kim,0.25,Training\na,2,3,waving,,,,\nb,,,,P2,,,fold 3\nc,,,,,,,\n"
    assert read_csv_marks(written(tmp_path, text)) == Annotations(
        [Mark("a", 0, 1, "nodding", subject="P1", annotator="kim", score=0.25), Mark("a", 2, 3, "waving")],
        ["a", "b", "c"],
        split_of={"a": "train", "b": "fold 3"},
        subjects={"a": "P1", "b": "P2"},
    )


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a,x,1,nodding", "start is 'x', expected a finite number"),
        ("a,0,,nodding", "end is '', expected a finite number"),
        ("a,0,inf,nodding", "end is 'inf', expected a finite number"),
        ("a,2,1,nodding", "segment [2, 1] s of 'nodding', expected 0 <= start < end"),
        ("a,1,1,nodding", "segment [1, 1] s"),
        ("a,-1,1,nodding", "segment [-1, 1] s"),
        ("a,0,1,", "label is empty, expected the name of a class"),
        (",0,1,nodding", "the clip is '', expected its id"),
        ("x/.mp4,0,1,nodding", "the clip is 'x/.mp4', expected its id"),
        ("a,0,1", "3 fields, the header has 4"),
        ("a,0,1,nodding,", "5 fields, the header has 4"),
    ],
)
def test_faulty_rows_are_named_and_the_others_read(tmp_path, row, fault):
    path = written(tmp_path, HEADER + "b,0,1,waving\n" + row + "\nc,,,\n")
    with pytest.raises(MmadError) as caught:
        read_csv_marks(path)
    assert str(caught.value).startswith(f"{path}, line 3: {fault}")
    read, faults = faults_of(path)
    assert len(faults) == 1
    # A clip whose only row is faulty is not one without actions.
    assert read == Annotations([Mark("b", 0, 1, "waving")], ["b", "c"])


@pytest.mark.parametrize(("column", "first", "second"), [("split", "val", "train"), ("subject", "P1", "P2")])
def test_one_split_and_subject_for_a_clip(tmp_path, column, first, second):
    path = written(tmp_path, f"video,start,end,label,{column}\na,0,1,nodding,{first}\na,1,2,nodding,{second}\n")
    read, faults = faults_of(path)
    assert len(read.marks) == 1
    assert [fault[:70] for fault in faults] == [
        f"marks.csv, line 3: {column} of clip 'a' is '{second}', elsewhere it is '{first}'; expe"[:70]
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"marks\.csv is empty, expected a header"),
        ("\n , \n", "is empty"),
        (
            "name,start,end,label\n",
            r"no column for the clip \(video, clip, .*rename the nearest, 'name', if it is that",
        ),
        ("video,start,end,lable\n", "no column for the label .*nearest, 'lable'"),
        ("video,label\n", r"no column for the start in seconds .*'video, label'; add one"),
        ("video,label,start,ende\n", "no column for the end in seconds .*nearest, 'ende'"),
        (
            "video,label,start (ms),end (ms)\n",
            r"the start in seconds .*nearest, 'start \(ms\)', if it is",
        ),
        ("video,label,start_frame,stop_frame\n", "no column for end frame .*nearest, 'stop_frame'"),
        ("video,Label,start,end,label\n", "has 2 columns 'label', expected one"),
        (HEADER + 'a,0,1,"nodding\nb,0,1,waving\n', r"line 3: not valid CSV \(unexpected end of data\)"),
    ],
)
def test_files_that_are_no_such_table(tmp_path, text, message):
    faults: list[MmadError] = []
    with pytest.raises(MmadError, match=message):
        read_csv_marks(written(tmp_path, text), on_fault=faults.append)
    assert faults == []


def test_written_table(tmp_path):
    path = tmp_path / "new" / "marks.csv"
    marks = [Mark("a", 1 / 3, 2, "nodding", subject="P1"), Mark("a", 0, 0.1, "waving, both", where="x")]
    write_csv_marks(path, marks)
    assert path.read_text() == (
        'clip,start,end,label,subject\na,0.3333333333333333,2.0,nodding,P1\na,0.0,0.1,"waving, both",\n'
    )
    write_csv_marks(path, [])
    assert read_csv_marks(path) == Annotations([], [])


def test_subjects_that_no_mark_names_stay(tmp_path):
    known = Annotations([Mark("a", 0, 1, "nodding")], ["a", "b"], subjects={"a": "P1", "b": "P2"})
    write_csv_marks(tmp_path / "marks.csv", known)
    assert read_csv_marks(tmp_path / "marks.csv") == known


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).map(str.strip).filter(bool)
CLIPS = st.from_regex(r"[a-z0-9_(ö][a-z0-9_) ö]{0,4}[a-z.]", fullmatch=True)
SEGMENTS = st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)).map(sorted).filter(lambda times: times[0] < times[1])


@st.composite
def annotations(draw) -> Annotations:
    clips = draw(st.lists(CLIPS, max_size=4, unique=True))
    subjects = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(clips, NAMES)))
    marks = []
    for clip in clips[: draw(st.integers(0, 4))]:
        for times in draw(st.lists(SEGMENTS, min_size=1, max_size=3)):
            annotator, score = draw(st.none() | NAMES), draw(st.none() | st.floats(0, 1))
            marks.append(Mark(clip, *times, draw(NAMES), subjects.get(clip), annotator, score))
    return Annotations(marks, clips, draw(st.fixed_dictionaries({}, optional=dict.fromkeys(clips, NAMES))), subjects)


@settings(deadline=None, max_examples=60)
@given(annotations())
def test_round_trip(tmp_path_factory, given_ones):
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    split_of = {clip: f"fold {name}" for clip, name in given_ones.split_of.items()}
    known = Annotations(given_ones.marks, given_ones.clips, split_of, given_ones.subjects)
    write_csv_marks(path, known)
    assert read_csv_marks(path) == known


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ([Mark("a", 1, 1, "nodding")], r"a mark of clip 'a': segment \[1, 1\] s of 'nodding', expected 0 <= start"),
        ([Mark("a", 0, float("inf"), "nodding")], r"segment \[0, inf\]"),
        ([Mark("a", 0, 1, "nodding", score=float("nan"))], "score is nan"),
        ([Mark("a", 0, 1, "")], "label is '', expected a name"),
        ([Mark("a", 0, 1, " nodding")], "label is ' nodding', expected a name without"),
        ([Mark("a", 0, 1, "nod\nding")], "expected a name without line breaks"),
        ([Mark("a", 0, 1, "nodding \ud800")], "label is .* expected a name"),
        ([Mark("", 0, 1, "nodding")], "id is ''"),
        ([Mark("x/a.mp4", 0, 1, "nodding")], r"clip id 'x/a\.mp4' is a file name or a path, expected 'a'"),
        ([Mark("a", 0, 1, "b", subject="P1"), Mark("a", 0, 1, "b", subject="P2")], "subject of clip 'a' is 'P2'"),
    ],
)
def test_marks_that_would_not_come_back_leave_the_old_file(tmp_path, marks, message):
    path = written(tmp_path, "old")
    with pytest.raises(MmadError, match=message):
        write_csv_marks(path, marks)
    assert path.read_text() == "old"


VALID = (
    b"video,start,end,label,subject,score,split\n"
    b'a/x.mp4,0.5,2,"nodding, so",P1,0.5,train\nx,2,3,waving,P1,,train\ny,,,,P2,,val\n'
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 8), st.binary(max_size=4)), max_size=4),
    st.sampled_from([None, 0.0, 30.0, {"x": 1e-320}]),
    st.sampled_from([b"start,end", b"start_frame,end_frame"]),
)
def test_damaged_files_end_in_marks_or_faults(tmp_path_factory, damages, fps, times):
    content = VALID.replace(b"start,end", times)
    for place, removed, added in damages:
        content = content[:place] + added + content[place + removed :]
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(content)
    faults: list[MmadError] = []
    try:
        read = read_csv_marks(path, fps=fps, on_fault=faults.append)
    except MmadError:
        return
    assert all(0 <= mark.start < mark.end < float("inf") for mark in read.marks)
    assert {mark.clip for mark in read.marks} <= set(read.clips)
    assert len(read.marks) + len(faults) <= content.count(b"\n") + content.count(b"\r") + 1
