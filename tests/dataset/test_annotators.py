"""Annotators side by side: who saw what, and what cannot be compared."""

import pytest

from mmad.dataset.annotators import by_annotator, one_taxonomy, seat
from mmad.errors import MmadError
from mmad.formats.annotated import Annotations
from mmad.formats.marks import Mark
from mmad.taxonomy import MMA52, Taxonomy
from panels import BOW, NOD, TAXONOMY, marked


def test_a_clip_without_a_mark_was_seen_if_the_list_of_clips_has_it() -> None:
    both = {"anna": marked([("a", NOD, 0, 1)], clips=("a", "b")), "ben": marked([], clips=("a", "b"))}
    found = seat(both, taxonomy=TAXONOMY, seconds={"a": 3.0, "b": 3.0})
    assert found.clips == ("a", "b")
    assert found.seen_VA.all()
    assert found.notes == ()


def test_in_one_data_set_who_marked_something_saw_the_clip() -> None:
    marks = [
        Mark("a", 0, 1, NOD, annotator="ben"),
        Mark("a", 0, 1, NOD, annotator="anna"),
        Mark("b", 0, 1, NOD, annotator="ben"),
    ]
    each = by_annotator(Annotations(marks, ["a", "b", "c"], durations={"a": 9.0}), source="lab")
    assert list(each) == ["anna", "ben"]
    assert each["anna"].clips == ["a"]
    found = seat(each, taxonomy=TAXONOMY, seconds=each["anna"].durations)
    assert found.clips == ("a",)
    assert found.seconds_V.tolist() == [9.0]
    assert found.notes == (
        "1 of 2 clips were seen by one annotator only: they are not compared, and the consensus takes them over as "
        "they are.",
    )
    assert (found.alone.clips, found.alone.marks) == (["b"], [Mark("b", 0, 1, NOD)])


def test_the_last_mark_ends_a_clip_whose_length_is_not_known() -> None:
    both = {"anna": marked([("a", NOD, 0, 4)]), "ben": marked([("a", BOW, 0, 7.5)])}
    found = seat(both, taxonomy=TAXONOMY, seconds={})
    assert found.seconds_V.tolist() == [7.5]
    assert "The length of 1 of 1 clips is not known" in found.notes[0]
    assert seat(both, taxonomy=TAXONOMY, seconds={"a": 5.0}).seconds_V.tolist() == [7.5], "a mark goes beyond it"


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ([Mark("a", 0, 1, NOD)], "lab: the marks name no annotator, expected at least two; give each mark"),
        ([Mark("a", 0, 1, NOD, annotator="anna")], "lab: the marks name one annotator, 'anna', expected at least two"),
        (
            [
                Mark("a", 0, 1, NOD, annotator=who, where=f"lab, line {n}")
                for n, who in enumerate(("anna", "ben", None))
            ],
            "lab, line 2: this mark, the first of 1, names no annotator, others do",
        ),
    ],
)
def test_marks_need_their_annotators(marks: list[Mark], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        by_annotator(Annotations(marks, ["a"]), source="lab")


def test_annotators_without_a_clip_in_common_cannot_be_compared() -> None:
    both = {"anna": marked([("a", NOD, 0, 1)]), "ben": marked([("A.mp4", NOD, 0, 1)])}
    with pytest.raises(MmadError, match=r"no clip was seen by two annotators \(anna has 1 such as 'a', ben has 1"):
        seat(both, taxonomy=TAXONOMY, seconds={})
    with pytest.raises(MmadError, match="1 annotators, expected at least two"):
        seat({"anna": both["anna"]}, taxonomy=TAXONOMY, seconds={})


def test_class_lists_must_be_the_same() -> None:
    assert one_taxonomy({}) is None
    assert one_taxonomy({"anna": MMA52, "ben": MMA52}) is MMA52
    with pytest.raises(MmadError, match="anna and ben are not the same: only one of them has 'arms akimbo'"):
        one_taxonomy({"anna": MMA52, "ben": TAXONOMY})
    swapped = Taxonomy.from_rows((("H2", BOW, "head"), ("H1", NOD, "head"), ("L1", "tiptoe", "leg")))
    with pytest.raises(MmadError, match="codes, body groups or the order differ"):
        one_taxonomy({"anna": TAXONOMY, "ben": swapped})


def test_annotators_must_mean_the_same_person() -> None:
    both = {
        who: Annotations([Mark("a", 0, 1, NOD, subject=subject)], ["a"])
        for who, subject in (("anna", "7"), ("ben", "8"))
    }
    with pytest.raises(MmadError, match="annotations of ben: subject of clip 'a' is '8', elsewhere it is '7'"):
        seat(both, taxonomy=TAXONOMY, seconds={})


def test_clips_of_one_annotator_are_kept_apart_with_what_is_known_of_them() -> None:
    said = {
        "anna": Annotations([Mark("b", 2, 3, "1"), Mark("a", 0, 1, NOD)], ["a", "b"], {"b": "val"}, {"b": "7"}),
        "ben": Annotations([Mark("a", 0, 1, NOD)], ["a", "c"], {"c": "train"}),
    }
    found = seat(said, taxonomy=TAXONOMY, seconds={})
    assert found.alone == Annotations(
        [Mark("b", 2, 3, BOW, subject="7")], ["b", "c"], {"b": "val", "c": "train"}, {"b": "7"}
    )
    assert found.clips == ("a",)
    assert (found.split_of, found.subjects) == ({}, {})
    with pytest.raises(MmadError, match="twist"):
        seat(said | {"carl": marked([("d", "twist", 0, 1)])}, taxonomy=TAXONOMY, seconds={})


def test_marks_beyond_their_clip_are_noted() -> None:
    both = {
        "anna": marked([("a", NOD, 1, 5.2), ("a", BOW, 1, 5.01)]),
        "ben": marked([("a", NOD, 1, 6), ("b", NOD, 1, 9)]),
    }
    both["anna"].clips.append("b")
    (note, unknown) = seat(both, taxonomy=TAXONOMY, seconds={"a": 5.0}).notes[::-1]
    assert note.startswith("Segments that end after their clip: 2;"), (
        "0.01 s is less than half a frame; b may be of any length"
    )
    assert unknown.startswith("The length of 1 of 2 clips is not known")


def test_names_that_differ_by_case_or_spaces_are_noted() -> None:
    said = {"anna": marked([("a", "nod", 1, 2), ("a", "head bow", 1, 2)]), "ben": marked([("a", "Nod", 1, 2)])}
    flat = Taxonomy.from_rows(
        tuple((str(n), name, "all") for n, name in enumerate(("Nod", "head bow", "nod", "headbow")))
    )
    (note,) = seat(said, taxonomy=flat, seconds={"a": 3.0}).notes
    assert (
        "differ by case or spaces only and still count as different: 'Nod' and 'nod', 'head bow' and 'headbow'" in note
    )
