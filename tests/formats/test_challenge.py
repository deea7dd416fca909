"""The challenge's CSV, with the blemishes that real entries have."""

import io
import zipfile

import pytest
import torch

from mmad.errors import MmadError
from mmad.formats.challenge import parse_challenge, unzip_challenge, write_submission
from mmad.formats.predictions import read_predictions
from mmad.segments import Segments, empty_segments
from mmad.taxonomy import MMA52, Taxonomy

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


def found(*rows: tuple[float, float, int, float], dtype: torch.dtype = torch.float64) -> Segments:
    """Predictions from (start, end, class, score)."""
    return {
        "segments": torch.tensor([row[:2] for row in rows], dtype=dtype).reshape(-1, 2),
        "labels": torch.tensor([row[2] for row in rows], dtype=torch.long),
        "scores": torch.tensor([row[3] for row in rows], dtype=dtype),
    }


GOOD = {
    "val0001": found((1 / 3, 2.7, 51, 1e-7), (2.0, 2.0, 0, 1.0)),
    "val0000": found((0.1, 0.7, 9, 0.3), dtype=torch.float32),
}


def test_submission_round_trip_keeps_every_bit(tmp_path):
    path = tmp_path / "new" / "submission.zip"
    write_submission(path, GOOD, taxonomy=MMA52)
    read = read_predictions(path, taxonomy=MMA52)
    assert list(read) == list(GOOD)
    for clip, rows in GOOD.items():
        assert torch.equal(read[clip]["segments"], rows["segments"].double())
        assert torch.equal(read[clip]["labels"], rows["labels"])
        assert torch.equal(read[clip]["scores"], rows["scores"].double())
    assert [file.name for file in path.parent.iterdir()] == ["submission.zip"]


def test_submission_is_what_the_challenge_takes(tmp_path):
    write_submission(tmp_path / "a.zip", {"test0007": found((0.5, 2, 9, 0.25), (1, 2, 8, 0.5))}, taxonomy=MMA52)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["prediction.csv"]
        text = archive.read("prediction.csv").decode()
    assert text == HEADER + "0,test0007,0.5,2.0,9,0.25\n1,test0007,1.0,2.0,8,0.5\n"


def test_equal_predictions_give_equal_files(tmp_path, monkeypatch):
    write_submission(tmp_path / "a.zip", GOOD, taxonomy=MMA52)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    write_submission(tmp_path / "b.zip", GOOD, taxonomy=MMA52)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({}, r"there is no prediction to write to .*a\.zip"),
        ({"val0000": empty_segments(scored=True)}, "there is no prediction"),
        ({"val0000.mp4": GOOD["val0000"]}, r"clip id 'val0000\.mp4' is a file name or a path, .* such as val0000"),
        ({"val/0000": GOOD["val0000"]}, "clip id 'val/0000' is a file name or a path"),
        ({"val\\0000": GOOD["val0000"]}, "is a file name or a path"),
        ({"": GOOD["val0000"]}, "clip id '' is a file name or a path"),
        ({"val0000": found((0, 1, 9, float("nan")))}, "clip 'val0000' hold a time or score that is not finite"),
        ({"val0000": found((0, float("inf"), 9, 0.5))}, "not finite"),
        (
            {"val0000": found((0, 1, 9, 0.5), (0, 1, 8, 1.5))},
            r"clip 'val0000' has a score outside 0 to 1: class 8, \[0, 1\] s, score 1.5; map",
        ),
        ({"val0000": found((0, 1, 9, -0.1))}, "a score outside 0 to 1"),
        ({"val0000": found((2, 1, 9, 0.5))}, r"a segment that ends before it starts: class 9, \[2, 1\] s"),
        ({"val0000": found((0, 1, 52, 0.5))}, "a class outside 0 to 51: class 52"),
    ],
)
def test_submissions_that_are_refused_leave_the_old_file(tmp_path, predictions, message):
    path = tmp_path / "a.zip"
    path.write_bytes(b"old")
    with pytest.raises(MmadError, match=message):
        write_submission(path, predictions, taxonomy=MMA52)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_other_classes_are_refused(tmp_path):
    taxonomy = Taxonomy.from_rows((("1", "left", "arm"), ("2", "right", "arm")))
    with pytest.raises(MmadError, match=r"52 classes of MMA-52, these predictions have 2 classes .* 'left'"):
        write_submission(tmp_path / "a.zip", {"val0000": found((0, 1, 1, 0.5))}, taxonomy=taxonomy)


def test_unusual_ids_are_written_with_a_warning(tmp_path):
    predictions = {"val0000": GOOD["val0000"], "901_01_0001_(1).": found((0, 1, 9, 0.5))}
    with pytest.warns(
        UserWarning, match=r"1 of 2 clip ids are not like val0000 .* '901_01_0001_\(1\)\.'; the"
    ) as caught:
        write_submission(tmp_path / "a.zip", predictions, taxonomy=MMA52)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert list(read_predictions(tmp_path / "a.zip", taxonomy=MMA52)) == list(predictions)


def test_clips_without_a_row_are_counted(tmp_path):
    predictions = {**GOOD, "val0003": empty_segments(scored=True)}
    clips = ["val0000", "val0001", "val0002", "val0003"]
    with pytest.warns(UserWarning, match="2 of 4 clips have no prediction, the first is 'val0002'"):
        write_submission(tmp_path / "a.zip", predictions, taxonomy=MMA52, clips=clips)
    write_submission(tmp_path / "a.zip", GOOD, taxonomy=MMA52, clips=clips[:2])
