"""BORIS's projects and tables of aggregated events, as its versions and its users leave them."""

import csv
import json
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.errors import MmadError
from mmad.formats.boris import read_boris, write_boris_project, write_boris_table
from mmad.formats.marks import Mark
from mmad.taxonomy import MMA52, Taxonomy

ETHOGRAM = {
    "0": {"type": "State event", "key": "n", "code": "nodding", "modifiers": {}},
    "1": {"type": "Point event", "key": "b", "code": "blink", "modifiers": {}},
    "2": {"type": "State event with coding map", "key": "w", "code": "waving", "modifiers": {}},
}
HEADER = (
    "Observation id,Observation date,Description,Media file,Total length,FPS,Subject,Behavior,Behavioral category,"
    "Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Comment start,Comment stop"
)


def project(*events: object, **keys: object) -> dict:
    """A project with one observation of a.mp4."""
    return {
        "project_format_version": "7.0",
        "behaviors_conf": ETHOGRAM,
        "observations": {"first": {"type": "MEDIA", "file": {"1": ["a.mp4"]}, "events": list(events), **keys}},
    }


def read_project(folder: Path, document: dict, **options: object) -> list[Mark]:
    path = folder / "p.boris"
    path.write_text(json.dumps(document))
    return read_boris(path, **options).marks


def read_table(folder: Path, text: str, **options: object) -> list[Mark]:
    path = folder / "t.csv"
    path.write_bytes(text.encode())
    return read_boris(path, **options).marks


def row(
    start: str, stop: str, *, label: str = "nodding", kind: str = "STATE", subject: str = "", media: str = ""
) -> str:
    return f"obs,2024-05-01,,{media},60.0,25,{subject},{label},head,,{kind},{start},{stop},,,"


def test_states_start_and_stop_by_turns_per_subject_code_and_modifier(tmp_path):
    events = [
        [1.0, "Ann", "nodding", "", ""],
        [1.5, "", "nodding", "", "", 37],
        [2.0, "Ann", "nodding", "slow", ""],
        [2.5, "Ann", "nodding", "", ""],
        [2.5, "Ann", "nodding", "", ""],
        [3.0, "", "nodding", "", "", "NA"],
        [3.25, "Ann", "nodding", "slow", ""],
        [4.0, "Ann", "nodding", "", ""],
    ]
    read = read_project(tmp_path, project(*events))
    assert read == [
        Mark("a", 1.0, 2.5, "nodding", subject="Ann"),
        Mark("a", 1.5, 3.0, "nodding"),
        Mark("a", 2.0, 3.25, "nodding", subject="Ann"),
        Mark("a", 2.5, 4.0, "nodding", subject="Ann"),
    ]
    assert read[2].where == f"{tmp_path / 'p.boris'}, observation 'first', events 3 and 7"


def test_rows_out_of_order_are_paired_by_time(tmp_path):
    events = [[4.0, "", "nodding"], [1.0, "", "nodding"], [2.0, "", "nodding"], [3.0, "", "nodding"]]
    assert read_project(tmp_path, project(*events)) == [Mark("a", 3, 4, "nodding"), Mark("a", 1, 2, "nodding")][::-1]


def test_a_start_without_stop_is_a_fault_and_earlier_pairs_stay(tmp_path):
    events = [[time, "Ann", "nodding", "", ""] for time in (1.0, 2.0, 3.5)] + [[5, "", "waving"], [6, "", "waving"]]
    faults: list[MmadError] = []
    read = read_project(tmp_path, project(*events), on_fault=faults.append)
    assert read == [Mark("a", 1, 2, "nodding", subject="Ann"), Mark("a", 5, 6, "waving")]
    assert len(faults) == 1
    with pytest.raises(
        MmadError, match=r"p\.boris, observation 'first': 'nodding' of 'Ann' has 3 events, .* the last one, at 3.5 s"
    ):
        read_project(tmp_path, project(*events))


def test_point_events_are_counted_in_one_warning(tmp_path):
    events = [[1, "", "blink"], [1, "", "nodding"], [1.5, "", "blink"], [2, "", "nodding"]]
    with pytest.warns(UserWarning, match=r"p\.boris: left out 2 point events, .* of 'blink'$") as caught:
        assert read_project(tmp_path, project(*events)) == [Mark("a", 1, 2, "nodding")]
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="left out 1 point events"):
        assert read_table(tmp_path, f"{HEADER}\n{row('1', '1', kind='POINT')}\n{row('1', '2')}\n") == [
            Mark("obs", 1, 2, "nodding")
        ]


def test_time_offset_is_in_the_events_and_comes_off_exactly(tmp_path):
    # 12.3 - 2 is 10.3 in decimals, and 10.3000...01 in binary numbers.
    events = [[12.3, "", "nodding"], [13.7, "", "nodding"]]
    assert read_project(tmp_path, project(*events, **{"time offset": 2.0})) == [Mark("a", 10.3, 11.7, "nodding")]
    assert read_project(tmp_path, project(*events, **{"time offset": -1})) == [Mark("a", 13.3, 14.7, "nodding")]
    assert read_project(tmp_path, project(*events, **{"time offset": None})) == [Mark("a", 12.3, 13.7, "nodding")]
    # That of another player only aligns it with the first.
    media = {"offset": {"1": 0.0, "2": 20.0}}
    assert read_project(tmp_path, project(*events, media_info=media)) == [Mark("a", 12.3, 13.7, "nodding")]
    with pytest.raises(MmadError, match=r"events 1 and 2: 'nodding' lasts from -7.7 to -6.3 s of 'a', expected 0 <="):
        read_project(tmp_path, project(*events, **{"time offset": 20}))
    with pytest.raises(MmadError, match="observation 'first': time offset is 'x', expected seconds"):
        read_project(tmp_path, project(*events, **{"time offset": "x"}))


def test_creation_date_as_offset(tmp_path):
    events = [[1700000001.5, "", "nodding"], [1700000002.25, "", "nodding"]]
    keys = {"media_creation_date_as_offset": True, "media_info": {"media_creation_time": {"a.mp4": 1700000000}}}
    assert read_project(tmp_path, project(*events, **keys)) == [Mark("a", 1.5, 2.25, "nodding")]
    with pytest.raises(MmadError, match=r"the creation time of 'a.mp4' is None"):
        read_project(tmp_path, project(*events, media_creation_date_as_offset=True))


def test_videos_one_after_another(tmp_path):
    keys = {
        "file": {"1": ["x/a.mp4", "x/b.mp4"], "2": ["c.mp4"]},
        "media_info": {"length": {"x/a.mp4": 10.5}},
        "time offset": 1,
    }
    events = [[2, "", "nodding"], [3, "", "nodding"], [12, "", "nodding"], [13.5, "", "nodding"]]
    assert read_project(tmp_path, project(*events, **keys)) == [
        Mark("a", 1, 2, "nodding"),
        Mark("b", 0.5, 2, "nodding"),
    ]
    with pytest.raises(MmadError, match=r"event from 9 to 11 s begins in 'x/a.mp4' and ends in the next video"):
        read_project(tmp_path, project([10, "", "nodding"], [12, "", "nodding"], **keys))
    with pytest.raises(MmadError, match=r"plays 2 videos .* the length of 'x/a.mp4' is not in the file"):
        read_project(tmp_path, project(*events, **{**keys, "media_info": {}}))


@pytest.mark.parametrize(
    ("keys", "clip"),
    [
        ({"file": {"2": ["b.mp4"], "1": ["C:\\videos\\901_01_(1)..mp4", ""]}, "media_info": None}, "901_01_(1)."),
        ({"file": {"1": [], "2": ["/home/me/b.c.avi"]}}, "b.c"),
        ({"file": ["old/style.mp4", "second.mp4"], "type": "VIDEO"}, "style"),
        ({"file": [], "type": "LIVE"}, "first"),
        ({"file": {}}, "first"),
        ({"file": 3}, "first"),
    ],
)
def test_clip_of_an_observation(tmp_path, keys, clip):
    if clip == "901_01_(1).":
        keys = {**keys, "media_info": {"length": {"C:\\videos\\901_01_(1)..mp4": 60}}}
    events = [[1, "No focal subject", "nodding"], [2, "No focal subject", "nodding"]]
    assert read_project(tmp_path, project(*events, **keys)) == [Mark(clip, 1, 2, "nodding")]


def test_annotator_and_score(tmp_path):
    events = [[1, "", "nodding", "", "Score = 0.875"], [2, "", "nodding", "", ""]]
    read = read_project(tmp_path, project(*events, independent_variables={"light": "dim", "Coder": " Eve "}))
    assert read == [Mark("a", 1, 2, "nodding", annotator="Eve", score=0.875)]
    events[0][4] = "score is unclear"
    assert read_project(tmp_path, project(*events, independent_variables={"coder": ""})) == [Mark("a", 1, 2, "nodding")]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (["NA", "", "nodding"], "event 2: the time is 'NA', expected seconds .* 'nodding' cannot be paired without it"),
        ([None, "", "nodding"], "event 2: the time is None, expected seconds"),
        ([True, "", "nodding"], "event 2: the time is True"),
        ([float("nan"), "", "nodding"], "event 2: the time is nan"),
        ([1e300, "", "nodding"], "event 2: the time is 1e.300, expected seconds up to 2147483647"),
        ([2, "", "dancing"], "event 2: behavior 'dancing' is not in the ethogram"),
        ([2, ""], "event 2: it is no row of time, subject, code"),
        ([2, 3, "nodding"], "event 2: it is no row of time, subject, code"),
        ("nodding", "event 2: it is no row of time, subject, code"),
        ([1, "", "nodding"], r"events 1 and 2: 'nodding' lasts from 1 to 1 s of 'a'"),
    ],
)
def test_events_that_cannot_be_right(tmp_path, event, message):
    with pytest.raises(MmadError, match=rf"p\.boris, observation 'first', {message}"):
        read_project(tmp_path, project([1, "", "nodding"], event))


def test_one_wrong_time_leaves_out_its_state_rather_than_pair_a_stop_with_a_start(tmp_path):
    events = [[1, "", "nodding"], ["x", "", "nodding"], [5, "", "nodding"], [6, "", "nodding"]]
    events += [[1, "", "waving"], [2, "", "waving"]]
    faults: list[MmadError] = []
    assert read_project(tmp_path, project(*events), on_fault=faults.append) == [Mark("a", 1, 2, "waving")]
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"database": {}}', "has the keys 'database', expected those of a BORIS project"),
        ('{"observations": [], "behaviors_conf": {}}', "expected those of a BORIS project"),
        ('{"observations": ', "line 1: not valid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "JSON"),
        ('{"a": ' + "[" * 100_000, "JSON"),
        ("[1, 2]", r"is neither a BORIS project nor a table with the columns 'observation id', 'behavior', 'start"),
        ("", "is neither a BORIS project nor a table"),
        ("Observation id,Subject,Behavior,Behavior type,Time\no,,n,START,1\n", "is a table of single events"),
        (HEADER + '\n"x', r"line 2: not valid CSV"),
    ],
)
def test_other_files(tmp_path, text, message):
    (tmp_path / "x").write_text(text)
    with pytest.raises(MmadError, match=message):
        read_boris(tmp_path / "x")
    with pytest.raises(MmadError, match="does not exist"):
        read_boris(tmp_path / "y")


def test_an_observation_without_an_event_is_a_clip_in_which_nothing_happens(tmp_path):
    document = project([1.0, "", "nodding", "", ""], [2.0, "", "nodding", "", ""])
    document["observations"]["quiet"] = {"type": "MEDIA", "file": {"1": ["videos/b.mp4"]}, "events": []}
    document["observations"]["spoiled"] = {"type": "MEDIA", "file": {"1": ["c.mp4"]}, "events": [[1.0, "", "nodding"]]}
    (tmp_path / "x").write_text(json.dumps(document))
    faults: list[MmadError] = []
    assert read_boris(tmp_path / "x", on_fault=faults.append).clips == ["a", "b"]
    assert len(faults) == 1
    write_boris_project(tmp_path / "y", MARKS, clips=["val0000", "still"])
    assert set(read_boris(tmp_path / "y").clips) == {"val0000", "val0001", "still"}


def test_observations_that_cannot_be_read_leave_the_others(tmp_path):
    document = project([1, "", "nodding"], [2, "", "nodding"])
    document["observations"] = {"empty": {}, "none": None, **document["observations"]}
    faults: list[MmadError] = []
    assert read_project(tmp_path, document, on_fault=faults.append) == [Mark("a", 1, 2, "nodding")]
    assert ["'empty': it has no list of events" in str(faults[0]), len(faults)] == [True, 2]


def test_table_of_an_older_version(tmp_path):
    text = f"{HEADER}\n{row('1.500', '2.000', subject='No focal subject', media='D:/v/a b.mp4')}\n\n"
    read = read_table(tmp_path, text + row("0", "3", subject="Ann", media="NA"))
    assert read == [Mark("a b", 1.5, 2, "nodding"), Mark("obs", 0, 3, "nodding", subject="Ann")]
    assert [mark.where[-6:] for mark in read] == ["line 2", "line 4"]


def test_table_of_a_newer_version_with_tabs_and_lines_before_the_header(tmp_path):
    names = (
        "Observation id;Observation type;Source;Time offset (s);Media duration (s);Coder;Subject;Behavior;"
        "Modifier #1;Behavior type;Start (s);Stop (s);Media file name;Comment start"
    ).replace(";", "\t")
    files = "player #1:v/a.mp4;v/b.mp4|player #2:c.mp4"
    rows = [
        ["o", "Media file", files, "2.0", "10.000;5.000|60", "Eve", "", "waving", "m", "STATE", "3.25", "4", "", ""],
        [
            "o",
            "Media file",
            files,
            "2.0",
            "10.000;5.000|60",
            "",
            "",
            "waving",
            "",
            "State",
            "12.5",
            "13",
            "",
            "score=1",
        ],
        ["live", "Live observation", "NA", "0.0", "NA", "NA", "", "waving", "", "STATE", "1", "2", "NA", ""],
    ]
    lines = ["Project: test", "made with BORIS, tabs", names, *("\t".join(fields) for fields in rows)]
    assert read_table(tmp_path, "\r\n".join(lines)) == [
        Mark("a", 1.25, 2, "waving", annotator="Eve"),
        Mark("b", 0.5, 1, "waving", score=1.0),
        Mark("live", 1, 2, "waving"),
    ]


def test_decimal_commas_are_read_where_they_cannot_be_thousands(tmp_path):
    header = HEADER.replace(",", ";")

    def table(*times: tuple[str, str]) -> str:
        return "\n".join([header, *(row("<", ">").replace(",", ";").replace("<", a).replace(">", b) for a, b in times)])

    assert read_table(tmp_path, table(("0,500", "12,345"), ("3", "4,000"))) == [
        Mark("obs", 0.5, 12.345, "nodding"),
        Mark("obs", 3, 4, "nodding"),
    ]
    for times in [("1,234", "12,345")], [("0,5", "2"), ("1.0", "2,5")]:
        with pytest.raises(MmadError, match=r"line \d: (start|stop) is '[\d,]+', which may be [\d.]+ or \d+; export"):
            read_table(tmp_path, table(*times))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (row("x", "2"), "line 2: start is 'x', expected seconds"),
        (row("NA", "2"), "line 2: start is 'NA', expected seconds"),
        (row("2", "inf"), "line 2: stop is 'inf'"),
        (row("2", "2"), "line 2: 'nodding' lasts from 2 to 2 s of 'obs', expected 0 <= start < stop"),
        (row("-1", "2"), "line 2: 'nodding' lasts from -1 to 2 s"),
        (row("1", "2", kind="START"), "line 2: behavior type is 'START', expected STATE or POINT"),
        (row("1", "2", label=" "), "line 2: the behavior is empty"),
        (row("1", "2").replace("obs", " "), "line 2: the observation id is empty"),
        (row("1", "2") + ",", "line 2: 17 fields, the header has 16"),
        (row("1", "2", media="a.mp4;b.mp4"), "line 2: the observation plays 2 videos one after another"),
    ],
)
def test_rows_that_cannot_be_right(tmp_path, line, message):
    text = f"{HEADER}\n{line}\n{row('1', '2')}\n"
    with pytest.raises(MmadError, match=rf"t\.csv, {message}"):
        read_table(tmp_path, text)
    faults: list[MmadError] = []
    assert read_table(tmp_path, text, on_fault=faults.append) == [Mark("obs", 1, 2, "nodding")]
    assert len(faults) == 1


MARKS = [
    Mark("val0001", 0.5, 2.25, "nodding", subject="Ann", annotator="Eve"),
    Mark("val0001", 2.25, 3.0, "nodding", subject="Ann", annotator="Eve"),
    Mark("val0001", 1.0, 2.5, "nodding", subject="Ann", annotator="Eve"),
    Mark("val0001", 0.5, 2.25, "nodding", subject="Ann", annotator="Bob"),
    Mark("val0000", 0.001, 0.002, "touching nose", score=1 / 3),
]


@pytest.mark.parametrize("write", [write_boris_project, write_boris_table])
@pytest.mark.parametrize("taxonomy", [None, MMA52])
def test_round_trip_with_overlaps_of_one_class(tmp_path, write, taxonomy):
    for name in ("a", "b"):
        write(tmp_path / "new" / name, MARKS, taxonomy=taxonomy)
    assert (tmp_path / "new" / "a").read_bytes() == (tmp_path / "new" / "b").read_bytes().replace(b'"b"', b'"a"')
    read = read_boris(tmp_path / "new" / "a").marks
    assert sorted(read, key=repr_of) == sorted(MARKS, key=repr_of)
    if write is write_boris_table:
        assert read == MARKS
    write(tmp_path / "none", [], taxonomy=taxonomy)
    assert read_boris(tmp_path / "none").marks == []


def repr_of(mark: Mark) -> str:
    return repr((mark.clip, mark.start, mark.end, mark.label, mark.subject, mark.annotator, mark.score))


def test_project_is_what_boris_opens(tmp_path):
    videos = {"val0001": tmp_path / "videos" / "val0001.avi"}
    write_boris_project(tmp_path / "p.boris", MARKS, taxonomy=MMA52, videos=videos)
    document = json.loads((tmp_path / "p.boris").read_text(encoding="ascii"))
    assert document["project_format_version"] == "7.0"
    behaviors = list(document["behaviors_conf"].values())
    assert [entry["code"] for entry in behaviors] == list(MMA52.actions)
    assert {entry["type"] for entry in behaviors} == {"State event"}
    assert {entry["category"] for entry in behaviors} == set(document["behavioral_categories"]) == set(MMA52.bodies)
    assert [entry["name"] for entry in document["subjects_conf"].values()] == ["Ann"]
    assert document["independent_variables"]["0"]["label"] == "annotator"
    observations = document["observations"]
    assert list(observations) == ["val0001 (Eve)", "val0001 (Bob)", "val0000"]
    assert observations["val0001 (Eve)"]["file"]["1"] == ["videos/val0001.avi"]
    assert observations["val0000"]["file"]["1"] == ["val0000.mp4"]
    assert observations["val0001 (Eve)"]["events"] == [
        [0.5, "Ann", "nodding", "", "", "NA"],
        [1.0, "Ann", "nodding", "2", "", "NA"],
        [2.25, "Ann", "nodding", "", "", "NA"],
        [2.25, "Ann", "nodding", "", "", "NA"],
        [2.5, "Ann", "nodding", "2", "", "NA"],
        [3.0, "Ann", "nodding", "", "", "NA"],
    ]
    overlapping = [entry["modifiers"] for entry in behaviors if entry["modifiers"]]
    assert [sets["0"]["values"] for sets in overlapping] == [["2"]]
    # All of this without a hierarchy: no categories, and of the labels only those that occur.
    flat = Taxonomy.from_rows((("1", "nodding", "all"),))
    write_boris_project(tmp_path / "q.boris", MARKS, taxonomy=flat)
    document = json.loads((tmp_path / "q.boris").read_text())
    assert document["behavioral_categories"] == []
    assert [entry["code"] for entry in document["behaviors_conf"].values()] == ["nodding", "touching nose"]


def test_videos_elsewhere_are_named_in_full_and_must_have_the_clips_name(tmp_path):
    path, video = tmp_path / "in" / "p.boris", tmp_path / "val0000.mp4"
    write_boris_project(path, MARKS[-1:], videos={"val0000": video})
    assert json.loads(path.read_text())["observations"]["val0000"]["file"]["1"] == [video.as_posix()]
    with pytest.raises(MmadError, match=r"the video of clip 'val0000' is .*b\.mp4, expected its name to be the clip's"):
        write_boris_project(path, MARKS[-1:], videos={"val0000": tmp_path / "b.mp4"})


def test_table_has_the_columns_that_boris_users_know(tmp_path):
    write_boris_table(tmp_path / "t.csv", MARKS[:2], taxonomy=MMA52)
    first, second = csv.DictReader((tmp_path / "t.csv").read_text().splitlines())
    assert list(first)[:7] == [*HEADER.split(",")[:3], "Observation type", "Source", "Total length", "FPS"]
    assert first["Behavioral category"] == "head"
    assert [first[name] for name in ("Behavior type", "Start (s)", "Stop (s)", "Duration (s)")] == [
        "STATE",
        "0.500",
        "2.250",
        "1.750",
    ]
    assert second["Observation duration by subject by observation"] == "2.500"


@pytest.mark.parametrize("write", [write_boris_project, write_boris_table])
@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (
            Mark("a", 1, 1.0004, "nodding"),
            r"segment \[1, 1.0004\] s of 'nodding' in 'a', .* with a millisecond between",
        ),
        (Mark("a", -1, 1, "nodding", where="x.csv, line 3"), r"x\.csv, line 3: segment \[-1, 1\]"),
        (Mark("a", 0, float("nan"), "nodding"), r"segment \[0, nan\]"),
        (Mark("a", 0, 1, "nodding", score=float("inf")), "the score of 'nodding' in 'a' is inf"),
        (Mark("a", 0, 1, "a|b"), r"label 'a\|b' is empty or has '\|'"),
        (Mark("a", 0, 1, "a", subject="\ud800"), "subject .* control character"),
        (Mark("b/a", 0, 1, "nodding"), "clip id 'b/a' cannot be the name of one video"),
        (Mark("a;b", 0, 1, "nodding"), "clip id 'a;b' cannot be the name of one video"),
    ],
)
def test_marks_that_boris_cannot_hold_leave_the_old_file(tmp_path, write, mark, message):
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(MmadError, match=message):
        write(tmp_path / "f", [*MARKS, mark])
    assert (tmp_path / "f").read_bytes() == b"old"


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="|;/\\:."), min_size=1)


@st.composite
def marks_on_the_grid(draw: st.DrawFn) -> list[Mark]:
    labels, clips = draw(st.lists(NAMES, min_size=1, max_size=3)), draw(st.lists(NAMES, min_size=1, max_size=2))
    maybe = st.none() | st.sampled_from(["Ann", "Bob"])
    made = []
    for _ in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, 6))
        times = start / 1000, (start + draw(st.integers(1, 4))) / 1000
        score = draw(st.none() | st.floats(0, 1))
        names = draw(st.sampled_from(clips)), draw(st.sampled_from(labels))
        made.append(Mark(names[0], *times, names[1], draw(maybe), draw(maybe), score))
    return made


@settings(max_examples=80, deadline=None)
@given(marks_on_the_grid(), st.sampled_from([write_boris_project, write_boris_table]))
def test_any_marks_come_back(marks, write):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path, marks)
        assert sorted(read_boris(path).marks, key=repr_of) == sorted(marks, key=repr_of)


def valid_files() -> list[bytes]:
    texts = [json.dumps(project([1, "", "nodding"], [2, "", "blink"], [2.5, "", "nodding"])).encode()]
    with tempfile.TemporaryDirectory() as folder:
        for write in (write_boris_project, write_boris_table):
            write(Path(folder) / "x", MARKS)
            texts.append((Path(folder) / "x").read_bytes())
    return texts


JUNK = st.sampled_from(
    [None, True, -1, 1e400, float("nan"), 10**400, "", "NA", "\ud800", "1e-999999999", [], {}, [[]], {"1": None}]
)


def some_replaced(draw: st.DrawFn, value: object) -> object:
    """A JSON document in which here and there something else stands."""
    if draw(st.integers(0, 30)) == 0:
        return draw(JUNK)
    if isinstance(value, dict):
        return {key: some_replaced(draw, inner) for key, inner in value.items()}
    return [some_replaced(draw, inner) for inner in value] if isinstance(value, list) else value


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    content = draw(st.sampled_from(valid_files()))
    if content.startswith(b"{") and draw(st.booleans()):
        small = project([1, "", "nodding"], [2, "", "nodding"], **{"time offset": 0.5, "media_info": {"length": {}}})
        return json.dumps(some_replaced(draw, small)).encode()
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(damaged)))
        damaged[place : place + draw(st.integers(0, 20))] = draw(st.binary(max_size=4) | st.just(b',"'))
    return bytes(damaged)


@settings(max_examples=150, deadline=None)
@given(damaged_files())
def test_damaged_files_end_in_faults_or_marks(content):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "file"
        path.write_bytes(content)
        faults: list[MmadError] = []
        try:
            marks = read_boris(path, on_fault=faults.append).marks
        except MmadError:
            return
        assert all(isinstance(fault, MmadError) for fault in faults)
        for mark in marks:
            assert 0 <= mark.start < mark.end < float("inf")
            assert mark.clip
            assert mark.label
