"""ELAN's files: as people annotate with it, as we write them, and damaged."""

import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pympi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.errors import MmadError
from mmad.formats.annotated import Annotations
from mmad.formats.elan import read_elan, write_elan
from mmad.formats.marks import Mark
from mmad.taxonomy import MMA52

FEW = settings(deadline=None, max_examples=80)

VIDEO = '<MEDIA_DESCRIPTOR MEDIA_URL="file:///D:/study/val0001.mp4" MIME_TYPE="video/mp4"/>'
BY_CLASS = """
<TIER TIER_ID="turning head" LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="P7" ANNOTATOR="Ann">
  <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3">
    <ANNOTATION_VALUE></ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
    <ANNOTATION_VALUE>turning head</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
</TIER>
<TIER TIER_ID="note" LINGUISTIC_TYPE_REF="note" PARENT_REF="turning head">
  <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
    <ANNOTATION_VALUE>to the left</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
</TIER>
<TIER TIER_ID="nodding" LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="">
  <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a4" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3"/></ANNOTATION>
</TIER>
"""


def document(tiers: str, *, media: str = VIDEO, units: str = "milliseconds", slots: str = "") -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-02T10:00:00+01:00" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="{units}">{media}<PROPERTY NAME="lastUsedAnnotationId">4</PROPERTY></HEADER>
<TIME_ORDER>
  <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1034"/>
  <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="2000"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="2750"/>
  <TIME_SLOT TIME_SLOT_ID="loose"/>{slots}
</TIME_ORDER>
{tiers}
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""


def tier(name: str, *values: str, start: str = "ts1", end: str = "ts3") -> str:
    rows = "".join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}{n}" TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}">'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
        for n, value in enumerate(values, start=1)
    )
    return f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="default-lt">{rows}</TIER>'


def read(folder: Path, text: str, **options) -> list[Mark]:
    path = folder / "session.eaf"
    path.write_text(text, encoding="utf-8")
    return read_elan(path, **options).marks


def labels(folder: Path, tiers: str, **options) -> list[str]:
    return [mark.label for mark in read(folder, document(tiers), **options)]


def test_a_tier_for_each_class(tmp_path):
    found = read(tmp_path, document(BY_CLASS))
    assert found == [
        Mark("val0001", 0.5, 2.0, "turning head", subject="P7", annotator="Ann"),
        Mark("val0001", 2.0, 2.75, "turning head", subject="P7", annotator="Ann"),
        Mark("val0001", 1.034, 2.0, "nodding"),
    ]
    assert found[2].where == f"{tmp_path / 'session.eaf'}, tier 'nodding', annotation a4"


def test_where_the_label_is(tmp_path):
    empty, named = tier("nodding", "", ""), tier("B1 nodding", "nodding", "B1 nodding")
    valued = tier("Ann", "nodding", "waving") + tier("Ben", "waving")
    numbers = tier("head", "9", "8")
    assert labels(tmp_path, empty) == ["nodding", "nodding"]
    assert labels(tmp_path, named, taxonomy=MMA52) == ["nodding", "nodding"]
    assert labels(tmp_path, valued) == ["nodding", "waving", "waving"]
    assert labels(tmp_path, valued, labels="tier") == ["Ann", "Ann", "Ben"]
    # One annotation with another word, and the words are the labels: then none may lack its own.
    with pytest.raises(MmadError, match=r"tier 'nodding', annotation nodding1: the value is empty, expected a label"):
        labels(tmp_path, empty + valued)
    # Indices of classes look like scores, so their reader says what they are.
    assert labels(tmp_path, numbers) == ["head", "head"]
    assert labels(tmp_path, numbers, labels="value") == ["9", "8"]
    with pytest.raises(MmadError, match="labels is 'values', expected 'auto', 'tier' or 'value'"):
        labels(tmp_path, empty, labels="values")


def test_values_that_are_numbers_are_scores(tmp_path):
    scored = tier("nodding", "0.87", "", "1e-3")
    assert [mark.score for mark in read(tmp_path, document(scored))] == [0.87, None, 0.001]
    assert [mark.score for mark in read(tmp_path, document(scored + tier("Ann", "inf")), labels="tier")][-1] is None


def test_names_of_tiers(tmp_path):
    """Only the code that belongs to a class is taken off, and a number only beside the tier without one."""
    names = [
        "B3 turning head",
        "B3 nodding",
        "slow nodding",
        "wave (2)",
        "nodding (2)",
        "B3 turning head (3)",
        "wave (1)",
    ]
    tiers = "".join(tier(name, "") for name in names)
    plain = ["turning head", "B3 nodding", "slow nodding", "wave (2)", "nodding", "turning head", "wave (1)"]
    assert labels(tmp_path, tiers, taxonomy=MMA52) == plain
    without = [
        "B3 turning head",
        "B3 nodding",
        "slow nodding",
        "wave (2)",
        "nodding (2)",
        "B3 turning head",
        "wave (1)",
    ]
    assert labels(tmp_path, tiers) == without


def test_offset_of_the_video_is_added(tmp_path):
    """The time line begins 1.5 s into the video, or 0.6 s before it."""
    late = document(BY_CLASS, media=VIDEO.replace("/>", ' TIME_ORIGIN="1500"/>'))
    assert [(mark.start, mark.end) for mark in read(tmp_path, late)] == [(2.0, 3.5), (3.5, 4.25), (2.534, 3.5)]
    early = document(BY_CLASS, media=VIDEO.replace("/>", ' TIME_ORIGIN="-600"/>'))
    faults: list[MmadError] = []
    assert [mark.start for mark in read(tmp_path, early, on_fault=faults.append)] == [1.4, 0.434]
    assert "annotation a1: segment [-0.1, 1.4] s of the video, expected 0 <= start < end" in str(faults[0])


@pytest.mark.parametrize(
    ("media", "clip"),
    [
        ("", "session"),
        ('<MEDIA_DESCRIPTOR MEDIA_URL=""/>', "session"),
        ('<MEDIA_DESCRIPTOR MEDIA_URL="file:///x/a.mp4" RELATIVE_MEDIA_URL="./b.mp4"/>', "b"),
        ('<MEDIA_DESCRIPTOR MEDIA_URL="file:///x/a.mp4" RELATIVE_MEDIA_URL=""/>', "a"),
        (r'<MEDIA_DESCRIPTOR MEDIA_URL="C:\films\my film.mp4"/>', "my film"),
        ('<MEDIA_DESCRIPTOR MEDIA_URL="file:///x/my%20film.mp4"/>', "my film"),
        ('<MEDIA_DESCRIPTOR MEDIA_URL="file:///x/901_01_0001_(1)..mp4"/>', "901_01_0001_(1)."),
        ('<MEDIA_DESCRIPTOR MEDIA_URL="sound.wav" MIME_TYPE="audio/x-wav" TIME_ORIGIN="9"/>' + VIDEO, "val0001"),
    ],
)
def test_clip_is_the_linked_video(tmp_path, media, clip):
    assert {(mark.clip, mark.start) for mark in read(tmp_path, document(tier("a", ""), media=media))} == {(clip, 0.5)}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            tier("x", "", start="loose"),
            "tier 'x', annotation x1: time slot 'loose' has no time and is only shown between",
        ),
        (
            tier("x", "", end="ts99"),
            "tier 'x', annotation x1: there is no time slot 'ts99', expected one of the file's",
        ),
        (tier("x", "", end="odd"), "annotation x1: time slot 'odd' is at '1.5', expected whole milliseconds"),
        (tier("x", "", end="huge"), "annotation x1: time slot 'huge' is at '9{400}', expected whole milliseconds"),
        (tier("x", "", end="ts1"), r"annotation x1: segment \[0.5, 0.5\] s of the video, expected 0 <= start < end"),
        (tier("x", "", start="ts4", end="ts1"), r"annotation x1: segment \[2.75, 0.5\] s"),
        (tier("", ""), "tier '', annotation 1: the tier is empty, expected a label"),
    ],
)
def test_annotations_that_cannot_be_right(tmp_path, bad, message):
    slots = f'<TIME_SLOT TIME_SLOT_ID="odd" TIME_VALUE="1.5"/><TIME_SLOT TIME_SLOT_ID="huge" TIME_VALUE="{"9" * 400}"/>'
    text = document(tier("a", "") + bad + tier("b", ""), slots=slots)
    with pytest.raises(MmadError, match=message):
        read(tmp_path, text)
    faults: list[MmadError] = []
    assert [mark.label for mark in read(tmp_path, text, on_fault=faults.append)] == ["a", "b"]
    assert len(faults) == 1


BOMB = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not readable XML"),
        ("<ANNOTATION_DOCUMENT>", "is not readable XML"),
        ("<html/>", "is 'html', expected ELAN's ANNOTATION_DOCUMENT"),
        (document("", units="PAL-frames"), "counts time in 'PAL-frames', expected milliseconds"),
        (document("", slots='<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1"/>'), "time slot 'ts1' is there twice"),
        (document("", media='<MEDIA_DESCRIPTOR TIME_ORIGIN="1.5"/>'), "TIME_ORIGIN is '1.5', expected whole"),
        (f'<!DOCTYPE a [<!ENTITY e0 "ha">{BOMB}]><a>&e9;</a>', "declares a document type, which ELAN's files do not"),
    ],
)
def test_other_files(tmp_path, text, message):
    with pytest.raises(MmadError, match=message):
        read(tmp_path, text)


def test_missing_and_other_encoding(tmp_path):
    with pytest.raises(MmadError, match=r"gone\.eaf does not exist"):
        read_elan(tmp_path / "gone.eaf")
    (tmp_path / "a.eaf").write_bytes(document(BY_CLASS).encode("utf-16"))
    with pytest.raises(MmadError, match="is not a text file in UTF-8"):
        read_elan(tmp_path / "a.eaf")


MARKS = [
    Mark("val0001", 1.0, 3.0, "waving"),
    Mark("val0001", 0.5, 2.0, "turning head", score=0.87),
    Mark("val0001", 2.0, 2.5, "turning head", score=1 / 3),  # begins as the one before it ends
    Mark("val0001", 1.5, 4.0, "turning head", score=1e-7),
    Mark("val0001", 0.0, 1.0, "turning head", subject="P7", annotator="Ann & <Ben>"),
    Mark("val0001", 0.0, 1.0, "humming"),
]


def written(folder: Path, marks=MARKS, *, video: Path | None = None, taxonomy=MMA52) -> ET.Element:
    write_elan(folder / "val0001.eaf", marks, video=video, taxonomy=taxonomy)
    return ET.parse(folder / "val0001.eaf").getroot()


def test_tiers_hold_no_overlap_and_one_person(tmp_path):
    root = written(tmp_path)
    assert [(tier.get("TIER_ID"), tier.get("LINGUISTIC_TYPE_REF"), len(tier)) for tier in root.iter("TIER")] == [
        ("B3 turning head", "head", 2),
        ("B3 turning head (2)", "head", 1),
        ("B3 turning head (3)", "head", 1),
        ("C5 waving", "upper limb", 1),
        ("humming", "default-lt", 1),
    ]
    assert [tier.get("ANNOTATOR") for tier in root.iter("TIER")] == [None, None, "Ann & <Ben>", None, None]
    assert Counter(read_elan(tmp_path / "val0001.eaf", taxonomy=MMA52).marks) == Counter(MARKS)


ORDER = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"]
ATTRIBUTES = {
    "ANNOTATION_DOCUMENT": {"AUTHOR", "DATE", "FORMAT", "VERSION"},
    "HEADER": {"TIME_UNITS", "MEDIA_FILE"},
    "MEDIA_DESCRIPTOR": {"MEDIA_URL", "MIME_TYPE", "RELATIVE_MEDIA_URL"},
    "TIER": {"TIER_ID", "LINGUISTIC_TYPE_REF"},
    "LINGUISTIC_TYPE": {"LINGUISTIC_TYPE_ID", "TIME_ALIGNABLE"},
    "ALIGNABLE_ANNOTATION": {"ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"},
}


def check_structure(root: ET.Element) -> None:
    """What the schema of EAF 3.0 and ELAN ask for."""
    for tag, attributes in ATTRIBUTES.items():
        assert all(attributes <= set(element.keys()) for element in root.iter(tag)), tag
    places = [ORDER.index(child.tag) for child in root]
    assert places == sorted(places)
    assert places.count(0) == places.count(1) == 1
    assert places.count(3) >= 1
    for key, tag in (("TIER_ID", "TIER"), ("LINGUISTIC_TYPE_ID", "LINGUISTIC_TYPE")):
        names = [element.get(key) for element in root.iter(tag)]
        assert len(names) == len(set(names))
    ids = [value for e in root.iter() for key, value in e.items() if key in ("TIME_SLOT_ID", "ANNOTATION_ID")]
    assert len(ids) == len(set(ids))
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    types = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")}
    rank = {name: place for place, name in enumerate(slots)}
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        refs = [row.get(f"TIME_SLOT_REF{side}") for row in tier.iter("ALIGNABLE_ANNOTATION") for side in (1, 2)]
        assert [rank[name] for name in refs] == sorted(rank[name] for name in refs)
        assert all(slots[start] < slots[end] for start, end in zip(refs[::2], refs[1::2], strict=True))


def test_structure(tmp_path):
    check_structure(written(tmp_path, video=tmp_path / "val0001.mp4"))
    check_structure(written(tmp_path, []))
    assert read_elan(tmp_path / "val0001.eaf") == Annotations([], ["val0001"])


def test_another_library_reads_it(tmp_path):
    written(tmp_path, video=tmp_path / "val0001.mp4")
    eaf = pympi.Eaf(tmp_path / "val0001.eaf", suppress_version_warning=True)
    assert eaf.get_annotation_data_for_tier("B3 turning head") == [(500, 2000, "0.87"), (2000, 2500, repr(1 / 3))]
    assert eaf.get_annotation_data_for_tier("C5 waving") == [(1000, 3000, "")]
    assert eaf.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == "./val0001.mp4"


@pytest.mark.parametrize(
    ("place", "relative"),
    [
        ("my film.mp4", "./my film.mp4"),
        ("../videos/my film.MOV", "../videos/my film.MOV"),
        ("..odd/50%25.mp4", "./..odd/50%2525.mp4"),
        (r"a\b.mp4", "./a%5Cb.mp4"),
        ("影片.mkv", "./影片.mkv"),
    ],
)
def test_link_to_the_video(tmp_path, place, relative):
    """Blanks stay, as in ELAN's own files; the name comes back whatever it holds."""
    video = tmp_path / "eaf" / place
    path = tmp_path / "eaf" / "any.eaf"
    write_elan(path, [Mark(video.stem, 0, 1, "waving")], video=video)
    link = next(ET.parse(path).getroot().iter("MEDIA_DESCRIPTOR"))
    assert link.get("RELATIVE_MEDIA_URL") == relative
    assert link.get("MEDIA_URL", "").startswith(f"file://{tmp_path}")
    assert link.get("MIME_TYPE", "").startswith("video/")
    assert read_elan(path).marks == [Mark(video.stem, 0, 1, "waving")]


def test_equal_marks_give_equal_files(tmp_path):
    written(tmp_path)
    first = (tmp_path / "val0001.eaf").read_bytes()
    written(tmp_path, MARKS[::-1])
    assert (tmp_path / "val0001.eaf").read_bytes() == first
    assert len(list(tmp_path.iterdir())) == 1


def test_short_marks_last_a_millisecond(tmp_path):
    written(tmp_path, [Mark("val0001", 1.0001, 1.0002, "waving"), Mark("val0001", 0.9996, 1.0004, "waving")])
    assert [(mark.start, mark.end) for mark in read_elan(tmp_path / "val0001.eaf", taxonomy=MMA52).marks] == [
        (1.0, 1.001)
    ] * 2


def mark(label: str = "waving", *, clip: str = "val0001", start: float = 0, end: float = 1, score=None) -> Mark:
    return Mark(clip, start, end, label, score=score)


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (
            [mark(), mark(clip="b")],
            r"val0001\.eaf holds one clip, the marks are of 'val0001' and 'b'; write a file for",
        ),
        ([mark(clip="b")], r"val0001\.eaf does not bear the name of its clip 'b', which is read from it"),
        ([mark(start=2)], r"clip 'val0001': segment \[2, 1\] s of 'waving', expected 0 <= start < end"),
        ([mark(start=-1)], r"segment \[-1, 1\] s"),
        ([mark(start=float("nan"))], r"segment \[nan, 1\] s"),
        ([mark(end=float("inf"))], r"segment \[0, inf\] s"),
        ([mark(score=float("nan"))], "a score of 'waving' is nan, expected a finite number"),
        ([mark("")], "label '' would be read back from its tier as ''"),
        ([mark(" waving")], "label ' waving' would be read back from its tier as 'waving', expected the same"),
        ([mark("C5 waving")], "label 'C5 waving' would be read back from its tier as 'waving'"),
        ([mark("hum"), mark("hum (2)")], r"label 'hum \(2\)' would be read back from its tier as 'hum'"),
        ([mark("hu\0m")], r"a name in clip 'val0001' holds the character '\\x00', which XML"),
    ],
)
def test_marks_that_are_refused_leave_the_old_file(tmp_path, marks, message):
    path = tmp_path / "val0001.eaf"
    path.write_bytes(b"old")
    with pytest.raises(MmadError, match=message):
        write_elan(path, marks, video=None, taxonomy=MMA52)
    assert path.read_bytes() == b"old"
    with pytest.raises(MmadError, match=r"b\.mp4 does not bear the name of its clip 'val0001'"):
        write_elan(path, [mark()], video=tmp_path / "b.mp4")


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=5).filter(
    lambda text: text == text.strip()
)


@st.composite
def marks(draw):
    start = draw(st.integers(0, 5000))
    return Mark(
        "val0001",
        start / 1000,
        (start + draw(st.integers(1, 3000))) / 1000,
        draw(st.sampled_from(MMA52.actions) | words),
        subject=draw(st.none() | words),
        annotator=draw(st.none() | words),
        score=draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    )


@FEW
@given(st.lists(marks(), max_size=12))
def test_round_trip(found):
    """Whatever is written comes back, to the millisecond and to the last bit of the score."""
    with tempfile.TemporaryDirectory() as folder:
        check_structure(written(Path(folder), found))
        read = read_elan(Path(folder) / "val0001.eaf", taxonomy=MMA52).marks
    assert Counter(read) == Counter(found)


def check_any(content: bytes) -> None:
    """Reading ends in a MmadError, or in a mark that lasts or a fault for each annotation."""
    faults: list[MmadError] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.eaf"
        path.write_bytes(content)
        try:
            found = read_elan(path, on_fault=faults.append).marks
        except MmadError:
            return
    assert all(0 <= mark.start < mark.end < float("inf") and mark.label and mark.clip for mark in found)
    annotations = ET.fromstring(content.decode("utf-8-sig")).findall("TIER/ANNOTATION/ALIGNABLE_ANNOTATION")
    assert len(found) + len(faults) == len(annotations)


GOOD = document(BY_CLASS).encode()


@FEW
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.binary(max_size=6)), min_size=1, max_size=3)
)
def test_damaged_bytes(cuts):
    content = GOOD
    for place, length, instead in cuts:
        content = content[:place] + instead + content[place + length :]
    check_any(content)


TAGS = sorted({element.tag for element in ET.fromstring(GOOD).iter()})
KEYS = sorted({key for element in ET.fromstring(GOOD).iter() for key in element.attrib})
values = st.sampled_from(["", "ts1", "ts4", "loose", "-5", "1e9", "9" * 20, "nan", "NTSC-frames", "a (2)"])


@FEW
@given(st.data())
def test_damaged_structure(data):
    """Elements lost, twice, renamed or moved; attributes lost or of another kind."""
    root = ET.fromstring(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        element = data.draw(st.sampled_from(list(root.iter())))
        what = data.draw(st.sampled_from(["lose", "twice", "rename", "attribute", "text", "move"]))
        if what == "attribute":
            key, value = data.draw(st.sampled_from(KEYS)), data.draw(st.none() | values)
            element.attrib.pop(key, None)
            if value is not None:
                element.set(key, value)
        elif what == "text":
            element.text = data.draw(values)
        elif what == "rename":
            element.tag = data.draw(st.sampled_from(TAGS))
        elif len(element):
            child = data.draw(st.sampled_from(list(element)))
            if what != "twice":
                element.remove(child)
            if what != "lose":
                element.insert(0, child)
    check_any(ET.tostring(root))
