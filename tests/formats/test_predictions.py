"""Predictions survive a file, and every format ends in the same record."""

import json
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.errors import MmadError
from mmad.formats.predictions import read_predictions, write_predictions
from mmad.segments import Segments, empty_segments
from mmad.taxonomy import MMA52

PREDICTIONS: dict[str, Segments] = {
    "val9001": {
        "segments": torch.tensor([[0.1, 2.7], [1 / 3, 1 / 3]]),
        "labels": torch.tensor([9, 51]),
        "scores": torch.tensor([0.7, 1e-7]),
    },
    "val9000": empty_segments(scored=True),
}
CSV = ",video_id,t_start,t_end,class,score\n0,a,0.5,2,9,0.25\n"


def same(first: dict[str, Segments], second: dict[str, Segments]) -> bool:
    keys = ("segments", "labels", "scores")
    return list(first) == list(second) and all(
        torch.equal(first[clip][key].double(), second[clip][key].double()) for clip in first for key in keys
    )


def test_round_trip_keeps_every_bit(tmp_path):
    path = tmp_path / "new" / "predictions.json"
    write_predictions(path, PREDICTIONS, taxonomy=MMA52)
    read = read_predictions(path, taxonomy=MMA52)
    assert same(read, PREDICTIONS)
    assert read["val9001"]["segments"].dtype == torch.float64
    assert [file.name for file in path.parent.iterdir()] == ["predictions.json"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3))
def test_round_trip_of_any_float64(tmp_path_factory, numbers):
    start, end, score = *sorted(numbers[:2]), numbers[2]
    predictions: dict[str, Segments] = {
        'a "quoted" id [': {
            "segments": torch.tensor([[start, end]], dtype=torch.float64),
            "labels": torch.tensor([0]),
            "scores": torch.tensor([score], dtype=torch.float64),
        }
    }
    path = tmp_path_factory.getbasetemp() / "any.json"
    write_predictions(path, predictions, taxonomy=MMA52)
    assert same(read_predictions(path, taxonomy=MMA52), predictions)


def test_layout_is_activitynets(tmp_path):
    path = tmp_path / "predictions.json"
    write_predictions(path, PREDICTIONS, taxonomy=MMA52)
    document = json.loads(path.read_text())
    assert list(document) == ["version", "results", "external_data"]
    row = document["results"]["val9001"][1]
    assert row["label"] == "scratching feet"
    assert set(row) == {"label", "score", "segment"}
    assert document["results"]["val9000"] == []


def test_not_finite_is_refused_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "predictions.json"
    write_predictions(path, PREDICTIONS, taxonomy=MMA52)
    broken: Segments = {**PREDICTIONS["val9001"], "scores": torch.tensor([0.5, torch.nan])}
    with pytest.raises(MmadError, match=r"predictions for .*predictions\.json hold a time or score that is not finite"):
        write_predictions(path, {"a": broken}, taxonomy=MMA52)
    assert same(read_predictions(path, taxonomy=MMA52), PREDICTIONS)
    assert len(list(tmp_path.iterdir())) == 1


def test_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("mmad.formats.whole_file.os.replace", full)
    with pytest.raises(MmadError, match=r"predictions.json cannot be written \(no space left\)"):
        write_predictions(tmp_path / "predictions.json", PREDICTIONS, taxonomy=MMA52)
    assert not list(tmp_path.iterdir())


def test_format_is_seen_from_content_and_not_from_the_name(tmp_path):
    table, archive, results = tmp_path / "a.json", tmp_path / "b.csv", tmp_path / "c.zip"
    table.write_text(CSV)
    with zipfile.ZipFile(archive, "w") as file:
        file.write(table, "prediction.csv")
    row = {"label": "nodding", "score": 0.25, "segment": [0.5, 2]}
    results.write_text("\n " + json.dumps({"results": {"a": [row]}}))
    read = [read_predictions(path, taxonomy=MMA52) for path in (table, archive, results)]
    assert read[0]["a"]["labels"].tolist() == [9]
    assert same(read[0], read[1])
    assert same(read[0], read[2])


def test_files_that_are_none(tmp_path):
    with pytest.raises(MmadError, match=r"none\.json does not exist; check the path"):
        read_predictions(tmp_path / "none.json", taxonomy=MMA52)
    with pytest.raises(MmadError, match="is a folder, expected a file of predictions"):
        read_predictions(tmp_path, taxonomy=MMA52)
    path = tmp_path / "weights.pt"
    path.write_bytes(b"\x80\x02\xff\xfe")
    with pytest.raises(MmadError, match=r"weights\.pt is not a text file"):
        read_predictions(path, taxonomy=MMA52)
    path.write_text("[1, 2]")
    with pytest.raises(MmadError, match=r"weights\.pt: expected a JSON object, found list"):
        read_predictions(path, taxonomy=MMA52)
