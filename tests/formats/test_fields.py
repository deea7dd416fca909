"""Numbers and labels as files write them."""

import pytest

from mmad.errors import MmadError
from mmad.formats.fields import is_ignored, label_index, real_number, whole_number
from mmad.taxonomy import MMA52


@pytest.mark.parametrize("value", [9, 9.0, "9", "9.0", " 9 ", "nodding", "Nodding"])
def test_label_by_name_or_index(value):
    assert label_index(value, taxonomy=MMA52, where="x.csv, line 2") == MMA52.index_of["nodding"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("noding", "x.csv, line 2: unknown label 'noding'; the nearest class is 'nodding', or give an index"),
        ("Turn Head", "unknown label 'Turn Head'; the nearest class is 'turning head'"),
        (52, "x.csv, line 2: class is 52, expected 0 to 51; correct the row or use the taxonomy"),
        ("-1", "class is -1, expected 0 to 51"),
        (1.5, "class is 1.5, expected 0 to 51"),
        ("nan", "unknown label 'nan'"),
        (None, "unknown label 'None'"),
    ],
)
def test_unknown_label(value, message):
    with pytest.raises(MmadError, match=message):
        label_index(value, taxonomy=MMA52, where="x.csv, line 2")


@pytest.mark.parametrize("value", ["", "abc", None, "nan", float("inf"), [1]])
def test_no_number(value):
    with pytest.raises(MmadError, match=r"here: score is .*, expected a finite number; correct or remove"):
        real_number(value, what="score", where="here")
    with pytest.raises(MmadError, match=r"here: frame is .*, expected a whole number; correct or remove"):
        whole_number(value, what="frame", where="here")


@pytest.mark.parametrize(
    ("value", "ignored", "expected"),
    [
        ("Ambiguous", ["Ambiguous"], True),
        (" Ambiguous ", ["Ambiguous"], True),
        ("ambiguous", ["Ambiguous"], False),
        (9, ["nodding"], True),
        ("9.0", ["nodding"], True),
        (8, ["nodding"], False),
        (None, ["nodding"], False),
        (9, [], False),
    ],
)
def test_labels_to_leave_out(value, ignored, expected):
    assert is_ignored(value, ignored=ignored, taxonomy=MMA52) is expected


def test_numbers():
    assert real_number("1.25e1", what="", where="") == 12.5
    assert whole_number("12.0", what="", where="") == 12
    with pytest.raises(MmadError, match=r"frame is '12\.5', expected a whole number"):
        whole_number("12.5", what="frame", where="here")
