"""Ground truth from an annotation file alone, and an evaluation from two files."""

import json

import pytest
import torch

from mmad.errors import MmadError
from mmad.formats.ground_truth import read_ground_truth
from mmad.formats.predictions import read_predictions
from mmad.metrics import evaluate_predictions
from mmad.taxonomy import MMA52

CSV = """id,video_id,start_frame,end_frame,class,total_frames,fps
0,val9000,0,58,9,146,29.0
1,val9001,3,60,8,300,30
"""


def test_csv_with_frame_rates(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text(CSV)
    truth = read_ground_truth(path, taxonomy=MMA52)
    assert list(truth) == ["val9000", "val9001"]
    assert truth["val9001"]["segments"].dtype == torch.float64
    assert truth["val9001"]["segments"].tolist() == [[3 / 30, 2.0]]
    assert truth["val9001"]["labels"].tolist() == [8]
    inclusive = read_ground_truth(path, taxonomy=MMA52, end_inclusive=True)
    assert inclusive["val9001"]["segments"].tolist() == [[3 / 30, 61 / 30]]


def test_csv_without_frame_rates_needs_one(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text(",video_id,start_frame,end_frame,class,total_frames\r\n0,901_01_0001_A,0,50,9,146")
    assert read_ground_truth(path, taxonomy=MMA52, fps=25)["901_01_0001_A"]["segments"].tolist() == [[0, 2]]
    with pytest.raises(MmadError, match=r"val\.csv has no column 'fps', so .*; give fps, such as the 30"):
        read_ground_truth(path, taxonomy=MMA52)


def test_json_subset(tmp_path):
    entry = {"subset": "validation", "annotations": [{"segment": [0, 2], "label": "nodding"}]}
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"database": {"a": entry, "b": {"subset": "training"}}}))
    truth = read_ground_truth(path, taxonomy=MMA52, subset="val")
    assert list(truth) == ["a"]
    assert truth["a"]["segments"].tolist() == [[0, 2]]


def test_two_files_are_enough_for_an_evaluation(tmp_path):
    (tmp_path / "val.csv").write_text(CSV)
    (tmp_path / "prediction.csv").write_text(
        ",video_id,t_start,t_end,class,score\n0,val9000,0,2,9,0.5\n1,val9001,0.1,2,10,0.5\n"
    )
    report = evaluate_predictions(
        read_predictions(tmp_path / "prediction.csv", taxonomy=MMA52),
        read_ground_truth(tmp_path / "val.csv", taxonomy=MMA52),
        taxonomy=MMA52,
    )
    assert report["action"]["per_class"] == {"nodding": pytest.approx(100), "turning head": 0}
    assert report["body"]["per_class"] == {"head": pytest.approx(100)}  # shaking head is a head action too
    assert report["avg"] == pytest.approx(75)
