"""Ground truth from an annotation file alone, and an evaluation from two files."""

import json

import pytest
import torch

from mmad.annotations import Instance, Truth
from mmad.errors import MmadError
from mmad.formats.ground_truth import read_ground_truth
from mmad.formats.mma52 import read_mma52
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
    first, second = read_ground_truth(path, taxonomy=MMA52)
    assert first == Truth("val9000", (Instance(0.0, 2.0, 9),), duration=146 / 29)
    assert second == Truth("val9001", (Instance(3 / 30, 2.0, 8),), duration=10.0)
    assert second.segments()["segments"].dtype == torch.float64
    assert second.segments()["segments"].tolist() == [[3 / 30, 2.0]]
    inclusive = read_ground_truth(path, taxonomy=MMA52, end_inclusive=True)
    assert inclusive[1].instances == (Instance(3 / 30, 61 / 30, 8),)
    assert inclusive[1].duration == 10.0


def test_csv_without_frame_rates_needs_one(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text(",video_id,start_frame,end_frame,class,total_frames\r\n0,091_01_0001_A,0,50,9,150")
    assert read_ground_truth(path, taxonomy=MMA52, fps=25) == [
        Truth("091_01_0001_A", (Instance(0, 2, 9),), duration=6.0, subject="91")
    ]
    with pytest.raises(MmadError, match=r"val\.csv has no column 'fps', so .*; give fps, such as the 30"):
        read_ground_truth(path, taxonomy=MMA52)
    with pytest.raises(MmadError, match=r"fps is 0, expected more than 0; give the frame rate of .*val\.csv"):
        read_ground_truth(path, taxonomy=MMA52, fps=0)


def test_json_subset(tmp_path):
    entry = {"subset": "validation", "annotations": [{"segment": [0, 2], "label": "nodding"}]}
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"database": {"a": entry, "b": {"subset": "training"}}}))
    assert read_ground_truth(path, taxonomy=MMA52, subset="val") == [Truth("a", (Instance(0, 2, 9),))]


def test_labels_left_out_of_a_csv(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text(CSV + "2,val9001,3,60,Ambiguous,300,30\n3,val9002,3,60,Ambiguous,290,29\n")
    with pytest.raises(MmadError, match="line 4: unknown label 'Ambiguous'"):
        read_ground_truth(path, taxonomy=MMA52)
    truths = read_ground_truth(path, taxonomy=MMA52, ignore_labels=["Ambiguous", "nodding"])
    assert [(truth.id, len(truth.instances)) for truth in truths] == [("val9000", 0), ("val9001", 1), ("val9002", 0)]


def test_videos_are_found_where_they_are(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text(CSV)
    (tmp_path / "videos" / "val").mkdir(parents=True)
    (tmp_path / "videos" / "val" / "val9001.mp4").touch()
    truths = read_ground_truth(path, taxonomy=MMA52, videos=tmp_path / "videos")
    assert [truth.video for truth in truths] == [None, tmp_path / "videos" / "val" / "val9001.mp4"]
    with pytest.raises(MmadError, match=r"val\.csv is not a folder; give the one that holds the videos"):
        read_ground_truth(path, taxonomy=MMA52, videos=path)


def test_a_clip_is_judged_as_its_annotation_file_says(tmp_path):
    (tmp_path / "val.csv").write_text(CSV)
    (tmp_path / "val9000.mp4").touch()
    (tmp_path / "val9001.mp4").touch()
    clips = read_mma52(tmp_path, "val")
    assert [clip.truth() for clip in clips] == read_ground_truth(tmp_path / "val.csv", taxonomy=MMA52, videos=tmp_path)


def test_two_files_are_enough_for_an_evaluation(tmp_path):
    (tmp_path / "val.csv").write_text(CSV)
    (tmp_path / "prediction.csv").write_text(
        ",video_id,t_start,t_end,class,score\n0,val9000,0,2,9,0.5\n1,val9001,0.1,2,10,0.5\n"
    )
    report = evaluate_predictions(
        read_predictions(tmp_path / "prediction.csv", taxonomy=MMA52),
        {truth.id: truth.segments() for truth in read_ground_truth(tmp_path / "val.csv", taxonomy=MMA52)},
        taxonomy=MMA52,
    )
    assert report["action"]["per_class"] == {"nodding": pytest.approx(100), "turning head": 0}
    assert report["body"]["per_class"] == {"head": pytest.approx(100)}  # shaking head is a head action too
    assert report["avg"] == pytest.approx(75)
