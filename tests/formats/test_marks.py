"""Marks become ground truth and come back, and wrong ones are told of one by one."""

import pytest
import torch

from mmad.annotations import Instance, Truth
from mmad.errors import MmadError, refuse
from mmad.formats.marks import Mark, marks_of, predicted_marks, taxonomy_of, truths_of
from mmad.segments import Segments, empty_segments
from mmad.taxonomy import MMA52

MARKS = [
    Mark("b", 0.5, 2.0, "nodding", subject="P1", annotator="kim", where="x.csv, line 2"),
    Mark("a", 0.0, 1.0, "waving", where="x.csv, line 3"),
    Mark("b", 1.0, 3.0, "Turning head", where="x.csv, line 4"),
]


def test_where_a_mark_stands_does_not_count():
    mark = Mark("a", 0.0, 1.0, "waving", where="elsewhere")
    assert mark == MARKS[1]
    assert len({mark, MARKS[1]}) == 1
    assert mark != Mark("a", 0.0, 1.0, "waving", score=0.5)
    assert mark != ("a", 0.0, 1.0, "waving", None, None, None)


def test_refuse_ends_reading():
    fault = MmadError("no")
    with pytest.raises(MmadError) as caught:
        refuse(fault)
    assert caught.value is fault


def test_labels_become_classes_sorted_by_name():
    taxonomy = taxonomy_of(iter(MARKS + MARKS))
    assert taxonomy.actions == ("Turning head", "nodding", "waving")
    assert taxonomy.codes == ("1", "2", "3")
    assert taxonomy.flat
    assert taxonomy_of(reversed(MARKS)) == taxonomy
    with pytest.raises(MmadError, match=r"hold no label, .* give a table of classes"):
        taxonomy_of([])


def test_truths_by_clip():
    assert truths_of(MARKS, taxonomy=MMA52) == [
        Truth("b", (Instance(0.5, 2.0, 9, "kim"), Instance(1.0, 3.0, 8)), subject="P1"),
        Truth("a", (Instance(0.0, 1.0, 19),)),
    ]


def test_clips_without_marks_come_first_and_in_their_order():
    truths = truths_of(MARKS, taxonomy=MMA52, clips=["c", "a"], durations={"c": 4.0, "b": 5.0, "unknown": 1.0})
    assert [(truth.id, len(truth.instances), truth.duration) for truth in truths] == [
        ("c", 0, 4.0),
        ("a", 1, None),
        ("b", 2, 5.0),
    ]


def test_labels_by_index():
    assert truths_of([Mark("a", 0, 1, "8")], taxonomy=MMA52)[0].instances == (Instance(0, 1, 8),)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (Mark("a", 0, 1, "noding", where="x.csv, line 9"), "x.csv, line 9: unknown label 'noding'.*'nodding'"),
        (Mark("a", 0, 1, "52", where="x.csv, line 9"), "x.csv, line 9: class is 52, expected 0 to 51"),
        (Mark("a", 2, 1, "nodding", where="x.csv, line 9"), r"x.csv, line 9: segment \[2, 1\] s of 'nodding'"),
        (Mark("a", 1, 1, "nodding"), r"segment \[1, 1\] s"),
        (Mark("a", -1, 1, "nodding"), r"segment \[-1, 1\] s"),
        (Mark("a", float("nan"), 1, "nodding"), r"segment \[nan, 1\] s"),
    ],
)
def test_a_wrong_mark_is_told_of_and_left_out(mark, message):
    with pytest.raises(MmadError, match=message):
        truths_of([*MARKS, mark], taxonomy=MMA52)
    faults: list[MmadError] = []
    assert truths_of([mark, *MARKS], taxonomy=MMA52, on_fault=faults.append)[0].instances == (Instance(0, 1, 19),)
    assert len(faults) == 1


def test_two_subjects_in_a_clip_are_a_fault_of_the_clip():
    faults: list[MmadError] = []
    marks = [*MARKS, Mark("b", 0, 1, "waving", subject="P0")]
    truths = truths_of(marks, taxonomy=MMA52, on_fault=faults.append)
    assert [str(fault) for fault in faults] == [
        "x.csv, line 2: clip 'b' has the subjects P0, P1, expected one; correct them"
    ]
    assert len(truths[0].instances) == 3


def test_ground_truth_comes_back():
    truths = truths_of(MARKS, taxonomy=MMA52)
    marks = marks_of(truths, taxonomy=MMA52)
    assert marks[0] == MARKS[0]
    assert [mark.label for mark in marks] == ["nodding", "turning head", "waving"]
    # The subject is the clip's, so each of its marks has it.
    assert [mark.subject for mark in marks] == ["P1", "P1", None]
    assert truths_of(marks, taxonomy=MMA52) == truths


def test_predictions_from_a_score_upwards():
    predictions: dict[str, Segments] = {
        "b": {
            "segments": torch.tensor([[0.5, 2], [1 / 3, 1]], dtype=torch.float64),
            "labels": torch.tensor([9, 8]),
            "scores": torch.tensor([0.25, 0.75], dtype=torch.float64),
        },
        "a": empty_segments(scored=True),
    }
    nodding, turning = Mark("b", 0.5, 2.0, "nodding", score=0.25), Mark("b", 1 / 3, 1.0, "turning head", score=0.75)
    assert predicted_marks(predictions, taxonomy=MMA52) == [nodding, turning]
    assert predicted_marks(predictions, taxonomy=MMA52, least=0.25) == [nodding, turning]
    assert predicted_marks(predictions, taxonomy=MMA52, least=0.26) == [turning]
