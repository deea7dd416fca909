"""Ten thousand damaged annotation files end in one clear error, or in annotations that are valid and come back."""

import csv
import io
import json
import math
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.errors import MmadError
from mmad.formats.activitynet import read_truth
from mmad.formats.annotated import Annotations
from mmad.formats.boris import read_boris, write_boris_project, write_boris_table
from mmad.formats.csv_marks import read_csv_marks, write_csv_marks
from mmad.formats.elan import read_elan, write_elan
from mmad.formats.json_marks import read_json_marks, write_json_marks
from mmad.formats.marks import Mark, marks_of
from mmad.formats.mma52 import read_mma52
from mmad.taxonomy import MMA52

MARKS = [
    Mark("a", 0.5, 1.25, "turning head", "P1", "Ann", 0.75),
    Mark("a", 1.0, 2.5, "nodding", "P1", "Bob"),
    Mark("b", 0.25, 9.0, "Kopf schütteln", None, "Ann"),
    Mark("b", 3.0, 4.125, "turning head", None, "Ann", 0.5),
    Mark("c", 0.0, 0.5, 'x "y", z', "P2"),
]
KNOWN = Annotations(MARKS, ["a", "b", "c", "d"], dict.fromkeys("abcd", "train"), {"a": "P1", "c": "P2"}, {"a": 12.5})
TABLE = """video,start,end,label,subject,annotator,score,split
a,0.5,1.25,turning head,P1,Ann,0.75,train
a,1.0,2.5,nodding,P1,Bob,,train
b.mp4,0.25,9,Kopf schütteln,,Ann,,val
b.mp4,3,4.125,turning head,,Ann,.5,val
c,0,0.5,"x ""y"", z",P2,,,
d,,,,,,,test
"""
FRAMES = """Clip;Start frame;End frame;Class;fps;remark
a;15;37;turning head;30;
a;30;75;nodding;30;yes
b;6;225;"x; y";25;
b;75;103;turning head;12,5;
"""
SUBJECTS = """video_id,start_frame,end_frame,class,total_frames
001_01_0001_A,15,60,8,300
001_01_0001_A,90,240,24,300
001_01_0002_A,0,30,nodding,200
002_01_0001_B,12,200,51,200
"""
RATES = """,video_id,start_frame,end_frame,class,total_frames,fps
0,train0000,15,60,8,300,30.0
1,train0000,90,240,24,300,30.0
2,train0001,0,30,9,200,29.0
3,train0002,12,200,51,200,29.0
"""
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-02T10:00:00+01:00" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="file:///D:/study/a.mp4"
 MIME_TYPE="video/mp4" TIME_ORIGIN="40"/></HEADER>
<TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1034"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="2000"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="2750"/>
</TIME_ORDER>
<TIER TIER_ID="turning head" LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="P7" ANNOTATOR="Ann">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>0.5</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
<ANNOTATION_VALUE>turning head</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
</TIER>
<TIER TIER_ID="Kopf schütteln &amp; nodding" LINGUISTIC_TYPE_REF="default-lt">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3"/></ANNOTATION>
</TIER>
<TIER TIER_ID="note" LINGUISTIC_TYPE_REF="note" PARENT_REF="turning head">
<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>to the left</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
</TIER>
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""

Read = Callable[..., Annotations]
Write = Callable[[Path, Annotations], None]


def read_release(path: Path, **_: object) -> Annotations:
    """MMA-52's reader wants a folder; the file lies in it as `train.csv`."""
    clips = read_mma52(path.parent, "train", fps=30.0, require_videos=False)
    marks = marks_of([replace(clip.truth(), duration=None) for clip in clips], taxonomy=MMA52)
    return Annotations(
        marks,
        [clip.id for clip in clips],
        {},
        {clip.id: clip.subject for clip in clips if clip.subject},
        {clip.id: clip.duration for clip in clips},
    )


def read_boris_clips(path: Path, **options: object) -> Annotations:
    marks = read_boris(path, **options).marks  # type: ignore[arg-type]
    return Annotations(marks, list(dict.fromkeys(mark.clip for mark in marks)))


def write_eaf(path: Path, known: Annotations) -> None:
    write_elan(path, known.marks, video=path.with_name(f"{known.clips[0]}.mp4"))


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Args:
        file: name that its reader may ask for.
        content: a valid file.
        read, write: ours.
        exact: whether the writer can hold whatever its reader accepts; the others may refuse, but not change it.
    """

    file: str
    content: str
    read: Read
    write: Write | None
    exact: bool = True


def written(write: Callable[[Path, object], None], known: object, folder: Path) -> str:
    write(folder / "valid", known)
    return (folder / "valid").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Format]:
    folder = tmp_path_factory.mktemp("valid")
    project = written(write_boris_project, MARKS, folder)
    table = written(write_boris_table, MARKS, folder)
    database = json.dumps(json.loads(written(write_json_marks, KNOWN, folder)), indent=1, ensure_ascii=False)
    return {
        "mma52 with subjects": Format("train.csv", SUBJECTS, read_release, None),
        "mma52 with frame rates": Format("train.csv", RATES, read_release, None),
        "table in seconds": Format("t.csv", TABLE, read_csv_marks, write_csv_marks),
        "table in frames": Format("t.csv", FRAMES, read_csv_marks, write_csv_marks),
        "json": Format("t.json", database, read_json_marks, write_json_marks),
        "elan": Format("session.eaf", EAF, read_elan, write_eaf, exact=False),
        "boris project": Format(
            "t.boris",
            project,
            read_boris_clips,
            lambda path, known: write_boris_project(path, known.marks),
            exact=False,
        ),
        "boris table": Format(
            "t.csv", table, read_boris_clips, lambda path, known: write_boris_table(path, known.marks), exact=False
        ),
    }


NAMES = (
    *("mma52 with subjects", "mma52 with frame rates", "table in seconds", "table in frames"),
    *("json", "elan", "boris project", "boris table"),
)

NUMBERS = (
    *(
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "1e999",
        "-1e999",
        "-1",
        "-0",
        "0",
        "1e-320",
        "1e308",
        "1e2",
        "99999999999",
    ),
    *("1" * 400, "0." + "0" * 400 + "1", "1" * 5000, "\u0663", "\u0661.\u0665", "\uff11", "\u00bd", "\u22121", "1_0"),
    *("0x10", "1,5", "1.5.2", "+3", " 2 ", "", "null", "true", "None", "--1", "1e", "[1]", "{}", '"3"'),
)
WORDS = (
    *("", " ", "x", "A" * 20_000, "a b", "na\u0308", "\u202eabc", "\x00", "\x1b[31m", "\ud7ff", "\ufeff", "\u2028"),
    *(
        "\\ud800",
        "a\\nb",
        "a|b",
        "a;b",
        "a\tb",
        "a/b",
        "..",
        ".",
        "con",
        "=1+1",
        "NULL",
        "-",
        "\u0130",
        "\U0001f600",
        "score=0.5",
    ),
)
BOMBS = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    + "".join(f'<!ENTITY b{i} "{f"&b{i - 1};" * 10 if i else "&b;" * 10}">' for i in range(9))
    + "]><ANNOTATION_DOCUMENT>&b8;</ANNOTATION_DOCUMENT>",
    '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><ANNOTATION_DOCUMENT>&a;</ANNOTATION_DOCUMENT>',
    "[" * 100_000,
    '{"database":' * 20_000,
    '{"observations":{"a":' + "[" * 50_000 + "]" * 50_000 + '},"behaviors_conf":{}}',
    "<a>" * 50_000,
    '"' * 50_001,
    "a," * 50_000,
)


def places(pattern: str, text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(pattern, text)]


def damaged(content: str, rng: np.random.Generator) -> bytes:
    """A file with one to three damages, of the kinds that editors, exports, transfers and bad luck make."""
    data = content.encode()
    for _ in range(rng.choice([1, 1, 2, 3])):
        data = one_damage(data, rng)
    return data


def one_damage(data: bytes, rng: np.random.Generator) -> bytes:
    kind = rng.integers(20)
    size = max(len(data), 1)
    start = int(rng.integers(size))
    end = min(size, start + int(rng.integers(1, 30)))
    if kind == 0:
        return data[:start] + bytes([rng.integers(256)]) + data[start + 1 :]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        return data[:end] + data[start:end] + data[end:]
    if kind == 3:
        return data[:start]
    if kind == 4:
        return data[:start] + bytes(rng.integers(0, 256, 3, dtype=np.uint8)) + data[start:]
    if kind == 5:
        return (
            data[:start] + bytes(rng.choice([b'"', b"'", b"\x00", b",", b";", b"\n", b"<", b"&", b"]"])) + data[start:]
        )
    if kind == 6:
        return b"\xef\xbb\xbf" + data
    if kind == 7:
        return data.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n"]))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    if kind == 18:
        commas = places(r"[,;]", text)
        a, b = sorted(int(n) for n in rng.integers(len(commas), size=2)) if commas else (0, 0)
        if a < b:  # quotes that join whatever lies between them
            return (
                text[: commas[a][1]] + '"' + text[commas[a][1] : commas[b][0]] + '"' + text[commas[b][0] :]
            ).encode()
    if kind == 8:
        return text.encode(rng.choice(["utf-16", "utf-16-le", "latin-1", "utf-32"]), errors="replace")
    if kind == 9 and rng.random() < 0.2:
        bomb = BOMBS[rng.integers(len(BOMBS))]
        return (bomb if rng.random() < 0.5 else text[:start] + bomb + text[start:]).encode()
    if kind in (10, 11):
        lines = text.splitlines(keepends=True) or [""]
        i, j = (int(n) for n in rng.integers(len(lines), size=2))
        if kind == 10:
            lines[i], lines[j] = lines[j], lines[i]
        else:
            lines[i] = lines[i] * int(rng.integers(3))
        return "".join(lines).encode()
    pattern = r"-?\d+(\.\d+)?" if kind < 15 else r'[^,;"<>=\n{}\[\]:]+'
    found = places(pattern, text)
    if not found:
        return data
    first = found[rng.integers(len(found))]
    if kind in (12, 13, 14, 15, 16, 17):
        values = NUMBERS if kind in (12, 13, 14) else WORDS
        return (text[: first[0]] + str(values[rng.integers(len(values))]) + text[first[1] :]).encode()
    other = found[rng.integers(len(found))]
    (a, b), (c, d) = sorted([first, other])
    if b > c:
        return data
    return (text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]).encode()


def by_value(known: Annotations) -> tuple:
    """What must come back, whatever the order of tiers or observations."""
    return Counter(known.marks), known.split_of, known.subjects


def check_valid(known: Annotations) -> None:
    for mark in known.marks:
        assert isinstance(mark.start, float)
        assert isinstance(mark.end, float)
        assert 0 <= mark.start < mark.end < math.inf
        assert mark.label == mark.label.strip() != ""
        assert mark.clip.strip()
        assert mark.clip in known.clips
        assert mark.score is None or math.isfinite(mark.score)
        assert "" not in (mark.subject, mark.annotator)
    assert len(set(known.clips)) == len(known.clips)


def check_error(error: MmadError, path: Path) -> None:
    message = str(error)
    assert str(path) in message or str(path.parent) in message
    assert len(message.splitlines()) == 1, message


def outcome(kind: Format, data: bytes, folder: Path) -> str:
    """`error`, `refused` (valid, but the writer cannot hold it) or `valid`; fails where it is none of the three."""
    path = folder / kind.file
    path.write_bytes(data)
    began = time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            known = kind.read(path)
        except MmadError as error:
            check_error(error, path)
            known = None
        if kind.read is not read_release:
            check_faults(kind, path, known)
        if kind.file == "t.json":
            check_ground_truth(path)
    assert time.process_time() - began < 5
    assert len(said) <= 3
    assert all(str(path) in str(warning.message) for warning in said)
    if known is None:
        return "error"
    check_valid(known)
    if kind.write is None:
        return "valid"
    if kind.write is write_eaf and len(known.clips[0]) > 100:
        return "refused"  # no file system holds such a name
    copy = folder / "copy"
    copy.mkdir(exist_ok=True)
    again = copy / (kind.file if kind.write is not write_eaf else f"{known.clips[0]}.eaf")
    try:
        kind.write(again, known)
    except MmadError:
        assert not kind.exact, f"accepted, but cannot be written: {known}"
        return "refused"
    if not kind.exact:
        known = replace(known, marks=[in_milliseconds(mark) for mark in known.marks])
    assert by_value(kind.read(again)) == by_value(known)
    return "valid"


def in_milliseconds(mark: Mark) -> Mark:
    return replace(mark, start=round(mark.start * 1000) / 1000, end=round(mark.end * 1000) / 1000)


def check_faults(kind: Format, path: Path, known: Annotations | None) -> None:
    """Where faults are noted instead of refused, there are some exactly if reading was refused, and what is left is
    valid."""
    faults: list[MmadError] = []
    try:
        rest = kind.read(path, on_fault=faults.append)
    except MmadError:
        assert known is None
        return
    for fault in faults:
        check_error(fault, path)
    check_valid(rest)
    if known is not None:
        assert not faults
        assert rest == known
    else:
        assert faults


def check_ground_truth(path: Path) -> None:
    try:
        truths = read_truth(path, taxonomy=MMA52)
    except MmadError as error:
        check_error(error, path)
        return
    for truth in truths:
        assert all(0 <= instance.start < instance.end < math.inf for instance in truth.instances)


@pytest.mark.parametrize("name", NAMES)
def test_the_undamaged_file_is_read(formats: dict[str, Format], name: str, tmp_path: Path) -> None:
    assert outcome(formats[name], formats[name].content.encode(), tmp_path) == "valid"


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb[:12])
def test_files_made_to_exhaust_a_reader_are_refused_at_once(
    formats: dict[str, Format], bomb: str, tmp_path: Path
) -> None:
    """Entities that grow tenfold nine times, a reference to another file, and brackets without end."""
    began = time.process_time()
    for kind in formats.values():
        assert outcome(kind, bomb.encode(), tmp_path) == "error"
    assert time.process_time() - began < 5


JOINED = {
    "mma52 with subjects": "001_01_0001_A,15,60,8,300\n001_01_0001_A",
    "table in seconds": "turning head,P1,Ann,0.75,train\na,1.0,2.5,nodding",
    "table in frames": "turning head;30;\na;30;75;nodding",
}


@pytest.mark.parametrize("name", JOINED)
def test_stray_quotes_that_join_two_rows_are_no_name(formats: dict[str, Format], name: str, tmp_path: Path) -> None:
    """The number of fields is right, so nothing else would show that a row is gone."""
    kind = formats[name]
    rows = JOINED[name]
    assert rows in kind.content
    path = tmp_path / kind.file
    path.write_text(kind.content.replace(rows, f'"{rows}"'), encoding="utf-8")
    with pytest.raises(MmadError, match=r"line 3: .*expected no line break in it; correct the quotes before it"):
        kind.read(path)


@pytest.mark.parametrize("name", ["json", "boris project"])
def test_a_json_object_with_a_key_twice_is_refused(formats: dict[str, Format], name: str, tmp_path: Path) -> None:
    """Python would keep the last value, and a clip that somebody pasted a second time would lose its first half."""
    kind = formats[name]
    where = '"database": {' if name == "json" else '"observations": {'
    path = tmp_path / kind.file
    path.write_text(kind.content.replace(where, f'{where} "a": {{}}, "a": {{}},', 1), encoding="utf-8")
    with pytest.raises(MmadError, match=r"an object has the key 'a' twice, expected once"):
        kind.read(path)


@pytest.mark.parametrize("name", ["json", "boris project", "elan"])
def test_names_over_several_lines_are_refused(formats: dict[str, Format], name: str, tmp_path: Path) -> None:
    kind = formats[name]
    path = tmp_path / kind.file
    content = kind.content.replace("nodding", "nod\\nding")
    if name == "elan":
        content = re.sub(r"(?<=<ANNOTATION_VALUE>)0.5(?=<)", "nod\nding", EAF)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MmadError, match=r"nod\\nding', expected a name without line breaks"):
        kind.read(path)


def fuzz(kind: Format, seeds: range, folder: Path) -> dict[str, int]:
    outcomes = dict.fromkeys(("error", "refused", "valid"), 0)
    for seed in seeds:
        data = damaged(kind.content, np.random.default_rng(seed))
        try:
            outcomes[outcome(kind, data, folder)] += 1
        except Exception as failure:
            failure.add_note(f"seed {seed}: {data[:3000]!r}")
            raise
    return outcomes


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_end_in_an_error_or_in_valid_annotations(
    formats: dict[str, Format], name: str, tmp_path: Path
) -> None:
    outcomes = fuzz(formats[name], range(60), tmp_path)
    assert outcomes["error"] > 5
    assert outcomes["valid"] > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_thousands_of_damaged_files(formats: dict[str, Format], name: str, tmp_path: Path) -> None:
    """10,000 over all formats."""
    outcomes = fuzz(formats[name], range(1000, 2250), tmp_path)
    assert outcomes["refused"] < 0.1 * outcomes["valid"]


# One field changed: what must come out, worked out here without the readers.

PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Changed:
    """A file in which one field has another value.

    Args:
        content: the file.
        marks: what it says now; None if it can only be an error.
        sure: whether it must be read; otherwise an error is as good as these marks.
        what: the change, for the report of a failure.
    """

    content: str
    marks: list[Mark] | None
    sure: bool
    what: str


def number(text: str) -> tuple[float | None, bool]:
    """The value of a field that holds a finite number, and whether nobody could write it plainer."""
    try:
        value = float(text)
    except ValueError:
        return None, True
    return (value, bool(PLAIN.fullmatch(text.strip()))) if math.isfinite(value) else (None, True)


def in_table(rows: list[list[str]], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def lasting(mark: Mark) -> bool:
    return 0 <= mark.start < mark.end < math.inf


def pick(rng: np.random.Generator, *values: str) -> str:
    return str(values[rng.integers(len(values))])


def any_value(rng: np.random.Generator) -> str:
    return pick(rng, *NUMBERS, *WORDS, "0.125", "7", "7.5", "new name", "P1", "P3", "a\nb", "a,b", '"')


def changed_in_seconds(rng: np.random.Generator) -> Changed:
    rows = list(csv.reader(io.StringIO(TABLE)))
    marks = [replace(mark) for mark in MARKS]
    i, column, value = (
        int(rng.integers(5)),
        pick(rng, "start", "end", "label", "subject", "annotator", "score"),
        any_value(rng),
    )
    rows[i + 1][rows[0].index(column)] = value
    made, plain = value.strip() or None, True
    if column in ("start", "end", "score") and not (column == "score" and made is None):
        made, plain = number(value)  # type: ignore[assignment]
    marks[i] = replace(marks[i], **{column: made})
    faulty = (made is None and column in ("start", "end", "label")) or (
        column == "score" and value.strip() and made is None
    )
    if column == "subject":
        faulty = made is not None and any(m.clip == marks[i].clip and m.subject not in (None, made) for m in marks)
        # A subject is that of its mark here, so one that is left out leaves the other marks alone.
    faulty = faulty or "\n" in value or not lasting(marks[i])
    return Changed(in_table(rows), None if faulty else marks, plain, f"{column}={value[:50]!r}")


IN_FRAMES = [
    Mark("a", 15 / 30, 37 / 30, "turning head"),
    Mark("a", 30 / 30, 75 / 30, "nodding"),
    Mark("b", 6 / 25, 225 / 25, "x; y"),
    Mark("b", 75 / 12.5, 103 / 12.5, "turning head"),
]


def changed_in_frames(rng: np.random.Generator) -> Changed:
    rows = list(csv.reader(io.StringIO(FRAMES), delimiter=";"))
    i, column, value = int(rng.integers(4)), int(rng.integers(1, 5)), any_value(rng)
    rows[i + 1][column] = value
    start, end, label, rate = rows[i + 1][1:5]
    fps, plain = number(rate.replace(",", ".") if re.fullmatch(r"[+-]?\d+,\d+", rate.strip()) else rate)
    (first, plain_first), (last, plain_last) = number(start), number(end)
    marks: list[Mark] | None = [replace(mark) for mark in IN_FRAMES]
    faulty = None in (fps, first, last) or not label.strip() or "\n" in value
    if not faulty:
        faulty = not (fps > 0 and first.is_integer() and last.is_integer())  # type: ignore[union-attr,operator]
    if not faulty:
        changed = replace(IN_FRAMES[i], start=first / fps, end=last / fps, label=label.strip())  # type: ignore[operator]
        faulty = not lasting(changed)
        marks[i] = changed  # type: ignore[index]
    sure = plain and plain_first and plain_last
    return Changed(in_table(rows, ";"), None if faulty else marks, sure, f"{column}={value[:50]!r}")


def changed_in_release(rng: np.random.Generator, content: str) -> Changed:
    rows = list(csv.reader(io.StringIO(content)))
    names = [name for name in rows[0] if name not in ("", "video_id")]
    i, column = int(rng.integers(4)), pick(rng, *names)
    value = pick(rng, *NUMBERS, "25", "120", "51", "52", "turning head", "Nodding", "nodd", "a\nb")
    rows[i + 1][rows[0].index(column)] = value
    marks: list[Mark] | None = []
    sure, told = True, {}
    for row in rows[1:]:
        field = dict(zip(rows[0], row, strict=True))
        values = {name: number(field.get(name, "30")) for name in ("start_frame", "end_frame", "total_frames", "fps")}
        sure = sure and all(plain for _, plain in values.values())
        start, end, frames, fps = (found for found, _ in values.values())
        label = MMA52.index_of.get(field["class"].strip().lower())
        if label is None:
            index, plain = number(field["class"])
            label = int(index) if index is not None and index in range(52) else None
            sure = sure and plain
        known = told.setdefault(field["video_id"], (frames, fps))
        if label is None or None in (start, end, frames, fps) or known != (frames, fps):
            marks = None
            break
        whole = all(each.is_integer() for each in (start, end, frames))  # type: ignore[union-attr]
        mark = Mark(field["video_id"], start / fps, end / fps, MMA52.actions[label]) if fps else None  # type: ignore[operator]
        if not whole or mark is None or fps < 0 or end > frames or not lasting(mark):  # type: ignore[operator]
            marks = None
            break
        subject = re.match(r"(\d+)_", mark.clip)
        marks.append(replace(mark, subject=str(int(subject[1])) if subject else None))  # type: ignore[union-attr]
    return Changed(in_table(rows), marks, sure, f"{column}={value[:50]!r}")


def changed_in_json(rng: np.random.Generator, content: str) -> Changed:
    document = json.loads(content)
    i, column = int(rng.integers(5)), pick(rng, "start", "end", "label", "annotator", "score")
    row = [row for entry in document["database"].values() for row in entry["annotations"]][i]
    numbers = (7, 0.125, -1, 1e308, math.nan, math.inf, 10**400, True, None, "2.5", "x", [1], {}, "\u0663", "1e999")
    words = ("new name", "", " x ", "a\nb", "\ud800", None, 3, True, 1.5, [], {"a": 1}, "A" * 20_000)
    value = (numbers if column in ("start", "end", "score") else words)[rng.integers(12)]
    marks, plain, faulty = [replace(mark) for mark in MARKS], True, False
    if column in ("start", "end"):
        row["segment"][column == "end"] = value
    else:
        row[column] = value
    if column in ("start", "end", "score"):
        made = None
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**309:
            made = float(value) if math.isfinite(value) else None
        elif isinstance(value, str | bool):
            (made, _), plain = number(str(float(value)) if isinstance(value, bool) else value), False
        faulty = made is None and not (column == "score" and value is None)
    else:
        made = None if value is None else str(value).strip() or None
        odd = (
            isinstance(value, bool) or not isinstance(value, str | int | None) or "\n" in str(made) or made == "\ud800"
        )
        faulty = odd or (column == "label" and made is None)
    marks[i] = replace(marks[i], **{column: made})
    faulty = faulty or not lasting(marks[i])
    return Changed(json.dumps(document), None if faulty else marks, plain, f"{column}={str(value)[:50]!r}")


IN_ELAN = [
    Mark("a", 0.54, 2.04, "turning head", "P7", "Ann", 0.5),
    Mark("a", 2.04, 2.79, "turning head", "P7", "Ann"),
    Mark("a", 1.074, 2.04, "Kopf schütteln & nodding"),
]


def changed_in_elan(rng: np.random.Generator) -> Changed:
    marks, plain = [replace(mark) for mark in IN_ELAN], True
    value = "".join(letter for letter in any_value(rng) if letter >= " " and letter != "\ud800")
    quoted = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    slot = int(rng.integers(7))
    if slot < 4:
        old = ("500", "1034", "2000", "2750")[slot]
        content = EAF.replace(f'TIME_VALUE="{old}"', f'TIME_VALUE="{quoted}"')
        if not re.fullmatch(r"[0-9]{1,10}", value.strip()):
            return Changed(content, None, True, f"time {old}={value[:50]!r}")
        before, now = (int(old) + 40) / 1000, (int(value) + 40) / 1000
        marks = [
            replace(m, start=now if m.start == before else m.start, end=now if m.end == before else m.end)
            for m in marks
        ]
        marks = marks if all(map(lasting, marks)) else None  # type: ignore[assignment]
        return Changed(content, marks, True, f"time {old}={value[:50]!r}")
    made = value.strip() or None
    if slot == 6:
        # Any other text than a number or the tier's name says that labels are values, and one is empty.
        content = EAF.replace("<ANNOTATION_VALUE>0.5<", f"<ANNOTATION_VALUE>{quoted}<")
        score, plain = number(value)
        marks[0] = replace(marks[0], score=score)
        return Changed(content, marks if score is not None or made is None else None, plain, f"value={value[:50]!r}")
    key, old, name = (("PARTICIPANT", "P7", "subject"), ("ANNOTATOR", "Ann", "annotator"))[slot - 4]
    content = EAF.replace(f'{key}="{old}"', f'{key}="{quoted}"')
    marks = [replace(m, **{name: made}) if m.annotator else m for m in marks]
    return Changed(content, marks, True, f"{key}={value[:50]!r}")


def changed_in_project(rng: np.random.Generator, content: str) -> Changed:
    """Times are paired anew: by subject, behaviour and modifier, in the order of time."""
    document = json.loads(content)
    entries = list(document["observations"].items())
    name, entry = entries[rng.integers(len(entries))]
    event = entry["events"][rng.integers(len(entry["events"]))]
    value = (7, 0.125, 1.5, -1, 1e308, math.nan, 10**400, True, None, "2.5", "x", [1], "1_0", "", 2**31)[
        rng.integers(15)
    ]
    event[0] = value
    marks = []
    for each, observed in entries:
        clip = observed["file"]["1"][0].removesuffix(".mp4")
        groups: dict[tuple, list] = {}
        for time_, subject, code, modifier, comment, *_ in observed["events"]:
            if isinstance(time_, bool) or not re.fullmatch(r"-?\d{1,10}(\.\d+)?", str(time_)):
                return Changed(json.dumps(document), None, True, f"{each}: time={str(value)[:50]!r}")
            groups.setdefault((subject, code, modifier), []).append((float(time_), comment))
        for (subject, code, _), found in groups.items():
            found.sort(key=lambda item: item[0])
            for (start, comment), (end, _) in zip(found[0::2], found[1::2], strict=True):
                score = float(comment.removeprefix("score=")) if comment else None
                who = observed["independent_variables"]["annotator"] or None
                marks.append(Mark(clip, start, end, code, subject or None, who, score))
    valid = all(lasting(mark) and mark.end < 2**31 for mark in marks)
    return Changed(json.dumps(document), marks if valid else None, True, f"{name}: time={str(value)[:50]!r}")


def changed_in_boris_table(rng: np.random.Generator, content: str) -> Changed:
    rows = list(csv.reader(io.StringIO(content)))
    marks = [replace(mark) for mark in MARKS]
    columns = {
        "Start (s)": "start",
        "Stop (s)": "end",
        "Behavior": "label",
        "Subject": "subject",
        "annotator": "annotator",
    }
    i, column, value = int(rng.integers(5)), pick(rng, *columns), any_value(rng)
    rows[i + 1][rows[0].index(column)] = value
    made, plain = value.strip() or None, True
    faulty = "\n" in value
    if column in ("Start (s)", "Stop (s)"):
        made, plain = number(value)  # type: ignore[assignment]
        faulty = made is None or abs(made) > 2**31 - 1  # type: ignore[operator]
    marks[i] = replace(marks[i], **{columns[column]: made})
    if column == "annotator" and made == "NA":
        marks[i] = replace(marks[i], annotator=None)
    faulty = faulty or (made is None and column in ("Start (s)", "Stop (s)", "Behavior")) or not lasting(marks[i])
    return Changed(in_table(rows), None if faulty else marks, plain, f"{column}={value[:50]!r}")


def changed(name: str, kind: Format, rng: np.random.Generator) -> Changed:
    if name == "table in seconds":
        return changed_in_seconds(rng)
    if name == "table in frames":
        return changed_in_frames(rng)
    if name == "elan":
        return changed_in_elan(rng)
    make = {"json": changed_in_json, "boris project": changed_in_project, "boris table": changed_in_boris_table}
    if name in make:
        return make[name](rng, kind.content)
    return changed_in_release(rng, kind.content)


def check_changes(name: str, kind: Format, seeds: range, folder: Path) -> None:
    read = 0
    for seed in seeds:
        change = changed(name, kind, np.random.default_rng(seed))
        path = folder / kind.file
        path.write_text(change.content, encoding="utf-8")
        try:
            found: list[Mark] | None = kind.read(path).marks
        except MmadError as error:
            if change.marks is not None and change.sure:
                pytest.fail(f"{seed}: {change.what}: {error}")
            continue
        assert change.marks is not None, f"{seed}: {change.what} was read as {found}"
        assert Counter(found) == Counter(change.marks), f"{seed}: {change.what}"
        read += 1
    assert read > len(seeds) / 20


@pytest.mark.parametrize("name", NAMES)
def test_one_changed_field_changes_its_mark_or_is_an_error(
    formats: dict[str, Format], name: str, tmp_path: Path
) -> None:
    check_changes(name, formats[name], range(60), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_thousands_of_changed_fields(formats: dict[str, Format], name: str, tmp_path: Path) -> None:
    check_changes(name, formats[name], range(1000, 2250), tmp_path)


@st.composite
def release_rows(draw: st.DrawFn) -> list[tuple[str, int, int, int, int, int]]:
    rows = []
    ids = st.from_regex(r"0[0-9]{2}_01_[0-9]{4}_A", fullmatch=True)
    for clip in draw(st.lists(ids, min_size=1, max_size=3, unique=True)):
        frames, fps = draw(st.integers(30, 500)), draw(st.sampled_from([25, 29, 30]))
        for _ in range(draw(st.integers(1, 3))):
            start, end = sorted(draw(st.lists(st.integers(0, frames), min_size=2, max_size=2, unique=True)))
            rows.append((clip, start, end, draw(st.integers(0, 51)), frames, fps))
    return rows


@settings(deadline=None, max_examples=60)
@given(release_rows())
def test_rows_of_the_release_come_back_as_marks_and_survive_every_format(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, int, int, int, int]]
) -> None:
    """From the release to a table, to JSON, to ELAN and to BORIS: the last two to a millisecond."""
    folder = tmp_path_factory.getbasetemp() / "chain"
    folder.mkdir(exist_ok=True)
    header = ["video_id", "start_frame", "end_frame", "class", "total_frames", "fps"]
    (folder / "train.csv").write_text(in_table([header, *([str(field) for field in row] for row in rows)]))
    if all((start, end) == (0, 20) for _, start, end, *_ in rows):
        return  # placeholders, which the reader drops
    known = read_release(folder / "train.csv")
    expected = [
        Mark(clip, start / fps, end / fps, MMA52.actions[label], str(int(clip[:3])))
        for clip, start, end, label, _, fps in rows
    ]
    assert Counter(known.marks) == Counter(expected)
    write_csv_marks(folder / "t.csv", known)
    write_json_marks(folder / "t.json", read_csv_marks(folder / "t.csv"))
    marks = read_json_marks(folder / "t.json").marks
    assert by_value(replace(known, marks=marks)) == by_value(known)
    rounded = Counter(map(in_milliseconds, marks))
    elan = []
    for clip in known.clips:
        write_elan(folder / f"{clip}.eaf", [mark for mark in marks if mark.clip == clip], video=None)
        elan += read_elan(folder / f"{clip}.eaf").marks
    assert Counter(elan) == rounded
    for write in (write_boris_project, write_boris_table):
        write(folder / "boris", marks)
        assert Counter(read_boris(folder / "boris").marks) == rounded
