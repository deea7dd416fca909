"""The challenge's CSV, with the blemishes that real entries have."""

import io
import zipfile

import pytest

from mmad.errors import MmadError
from mmad.formats.challenge import parse_challenge, unzip_challenge
from mmad.taxonomy import MMA52

HEADER = ",video_id,t_start,t_end,class,score\n"


def parse(rows: str):
    return parse_challenge(HEADER + rows, taxonomy=MMA52, source="prediction.csv")


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), content)
    return buffer.getvalue()


def test_rows_in_any_order_with_ties_and_repeats():
    read = parse("0,val9001,0.5,2,9,0.25\n1,val9000,0,1,8,0.25\n2,val9001,0.5,2,9,0.25\n3,val9001,0.5,2,8,0.75\n")
    assert list(read) == ["val9001", "val9000"]
    assert read["val9001"]["segments"].tolist() == [[0.5, 2]] * 3
    assert read["val9001"]["labels"].tolist() == [9, 9, 8]
    assert read["val9001"]["scores"].tolist() == [0.25, 0.25, 0.75]


def test_header_alone_is_no_prediction():
    assert parse("") == {}


def test_reversed_rows_are_dropped_with_one_warning():
    with pytest.warns(UserWarning, match="prediction.csv: dropped 2 of 3 predictions that end before") as caught:
        read = parse("0,a,2,1,9,0.5\n1,a,1,2,9,0.5\n2,b,3,1,9,0.5\n")
    assert len(caught) == 1
    assert {clip: len(rows["labels"]) for clip, rows in read.items()} == {"a": 1, "b": 0}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,a,x,1,9,0.5", "prediction.csv, line 2: t_start is 'x', expected a finite number"),
        ("0,a,0,,9,0.5", "prediction.csv, line 2: t_end is '', expected a finite number"),
        ("0,a,0,1,9,nan", "prediction.csv, line 2: score is 'nan', expected a finite number"),
        ("0,a,0,1,9,0.5\n1,a,0,1,52,0.5", "prediction.csv, line 3: class is 52, expected 0 to 51"),
        ("0,a,0,1,9", "prediction.csv, line 2: 5 fields, the header has 6"),
    ],
)
def test_rows_that_cannot_be_read(rows, message):
    with pytest.raises(MmadError, match=message):
        parse(rows)


def test_missing_column():
    with pytest.raises(MmadError, match=r"has no column 't_start'.*nearest, 'start'"):
        parse_challenge("video_id,start,t_end,class,score\n", taxonomy=MMA52, source="prediction.csv")


def test_zip():
    assert unzip_challenge(zipped(prediction_csv="a", other_csv="b"), source="x.zip") == "a"
    assert unzip_challenge(zipped(submission_csv="c", readme="d"), source="x.zip") == "c"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(), "x.zip holds nothing, expected prediction.csv; zip that file alone"),
        (zipped(one_csv="", two_csv=""), "x.zip holds one.csv, two.csv, expected prediction.csv"),
        (b"PK broken", "x.zip is not a readable zip"),
    ],
)
def test_faulty_zip(content, message):
    with pytest.raises(MmadError, match=message):
        unzip_challenge(content, source="x.zip")
