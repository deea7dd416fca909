"""Ground truth and results in ActivityNet's layout."""

import json
from pathlib import Path

import pytest
import torch

from mmad.annotations import Clip, Instance, Truth
from mmad.errors import MmadError
from mmad.formats.activitynet import parse_json, parse_results, read_activitynet, read_truth
from mmad.taxonomy import MMA52

DATABASE = {
    "clip1": {
        "subset": "validation",
        "duration": 10.0,
        "frame": 300,
        "annotations": [{"segment": [0.5, 2], "label": "nodding"}, {"segment": [1, 2.25], "label": 8}],
    },
    "clip2": {"subset": "training", "duration": 5.0, "frame": 145, "annotations": []},
    "clip3": {"subset": "validation", "duration": 5.0, "frame": 145},
}


def written(folder: Path, document: object) -> Path:
    path = folder / "truth.json"
    path.write_text(json.dumps(document))
    return path


def test_truth_of_a_subset(tmp_path):
    path = written(tmp_path, {"database": DATABASE, "taxonomy": {}, "version": ""})
    expected = [
        Truth("clip1", (Instance(0.5, 2.0, 9), Instance(1.0, 2.25, 8)), duration=10.0),
        Truth("clip3", (), duration=5.0),
    ]
    for subset in ("validation", "val", "Validation"):
        assert read_truth(path, taxonomy=MMA52, subset=subset) == expected
    assert [truth.id for truth in read_truth(path, taxonomy=MMA52)] == ["clip1", "clip2", "clip3"]


def test_blemishes_of_other_data_sets(tmp_path):
    """Annotations missing or null, rows twice, keys we do not know, and ends beyond the video."""
    row = {"segment": [1, 12], "label": "nodding", "label_id": 3}
    database = {
        "video_validation_0000051": {"subset": "validation", "annotations": [row, row], "fps": 30, "duration": 10},
        "v_a": {"subset": "validation", "annotations": None, "url": "x", "duration": None},
        "v_b": {},
    }
    first, second, third = read_truth(written(tmp_path, {"database": database}), taxonomy=MMA52)
    assert first == Truth("video_validation_0000051", (Instance(1, 12, 9),) * 2, duration=10)
    assert (second, third) == (Truth("v_a", ()), Truth("v_b", ()))


def test_labels_to_leave_out_need_not_be_classes(tmp_path):
    rows = [
        {"segment": [3, 1], "label": "Ambiguous"},  # not even its times are looked at
        {"segment": [0, 1], "label": "nodding"},
        {"segment": [0, 1], "label": 8},
    ]
    path = written(tmp_path, {"database": {"a": {"annotations": rows}, "b": {"annotations": rows[:1]}}})
    with pytest.raises(MmadError, match=r"clip 'a': segment \[3, 1\]"):
        read_truth(path, taxonomy=MMA52)
    truths = read_truth(path, taxonomy=MMA52, ignore_labels=["Ambiguous"])
    assert truths == [Truth("a", (Instance(0, 1, 9), Instance(0, 1, 8))), Truth("b", ())]
    # A class that the file names by its index is left out by its name too.
    assert read_truth(path, taxonomy=MMA52, ignore_labels=["Ambiguous", "turning head"])[0].instances == (
        Instance(0, 1, 9),
    )


def test_subject_is_the_files_word_or_else_the_beginning_of_the_id(tmp_path):
    entries = {"007_01_0001_A": {}, "007_01_0002_A": {"subject": 12}, "b": {"subject": "P3"}, "c": {"subject": ""}}
    path = written(tmp_path, {"database": entries})
    assert [truth.subject for truth in read_truth(path, taxonomy=MMA52)] == ["7", "12", "P3", None]
    with pytest.raises(MmadError, match=r"clip 'a': subject is \[1\], expected a name or a number"):
        read_truth(written(tmp_path, {"database": {"a": {"subject": [1]}}}), taxonomy=MMA52)


@pytest.mark.parametrize(
    ("duration", "message"),
    [(0, "clip 'a': duration is 0 s, expected more than 0"), ("long", "clip 'a': duration is 'long', expected a")],
)
def test_durations_that_cannot_be_right(tmp_path, duration, message):
    with pytest.raises(MmadError, match=message):
        read_truth(written(tmp_path, {"database": {"a": {"duration": duration}}}), taxonomy=MMA52)


def test_clips_with_videos(tmp_path):
    (tmp_path / "clip2.mp4").touch()
    path = written(tmp_path, {"database": DATABASE})
    assert read_activitynet(path, videos=tmp_path, taxonomy=MMA52, subset="train") == [
        Clip("clip2", tmp_path / "clip2.mp4", None, 29.0, 145)
    ]
    with pytest.raises(MmadError, match=r"2 of 2 videos of .* are absent from .*, the first is clip1\.mp4; put"):
        read_activitynet(path, videos=tmp_path, taxonomy=MMA52, subset="val")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"duration": 5}, "clip 'a': frame is None, expected a whole number"),
        ({"frame": 100}, "clip 'a': duration is None, expected a finite number"),
        ({"frame": 0, "duration": 5}, "clip 'a': 0 frames in 5 s, expected more than 0"),
    ],
)
def test_clips_need_frames_and_duration(tmp_path, entry, message):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(MmadError, match=message):
        read_activitynet(written(tmp_path, {"database": {"a": entry}}), videos=tmp_path, taxonomy=MMA52)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], r"truth\.json: expected a JSON object, found list"),
        (
            {"results": {}},
            r"truth\.json has no 'database' \(this is predictions\); give a file of ground truth",
        ),
        ({"a": 1, "b": 2}, r"has no 'database' \(keys are a, b\)"),
        ({"database": []}, r"'database': expected a JSON object, found list"),
        ({"database": {"a": 3}}, r"clip 'a': expected a JSON object, found int"),
        ({"database": DATABASE}, r"has no subset 'testing'; choose from training, validation"),
    ],
)
def test_other_layouts(tmp_path, document, message):
    with pytest.raises(MmadError, match=message):
        read_truth(written(tmp_path, document), taxonomy=MMA52, subset="testing")


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({}, "clip 'a': expected a list, found dict"),
        (
            [{"segment": [0, 1], "label": "noding"}],
            "clip 'a': unknown label 'noding'; the nearest class is 'nodding'",
        ),
        (
            [{"segment": [2, 1], "label": 9}],
            r"clip 'a': segment \[2, 1\], expected 0 <= start < end; correct",
        ),
        ([{"segment": [-1, 1], "label": 9}], r"segment \[-1, 1\], expected 0 <= start"),
        ([{"segment": [1], "label": 9}], r"clip 'a': segment is \[1\], expected \[start, end\] in seconds"),
        ([{"segment": [0, "x"], "label": 9}], "clip 'a': end is 'x', expected a finite number"),
    ],
)
def test_instances_that_cannot_be_right(tmp_path, annotations, message):
    path = written(tmp_path, {"database": {"a": {"annotations": annotations}}})
    with pytest.raises(MmadError, match=message):
        read_truth(path, taxonomy=MMA52)


def test_results():
    document = {
        "results": {
            "clip2": [
                {"label": "nodding", "score": 0.25, "segment": [0.5, 2]},
                {"label": "8", "score": 1, "segment": [1, 1]},
            ],
            "clip1": [],
        }
    }
    read = parse_results(document, taxonomy=MMA52, source="x.json")
    assert list(read) == ["clip2", "clip1"]
    assert read["clip2"]["segments"].dtype == torch.float64
    assert read["clip2"]["segments"].tolist() == [[0.5, 2], [1, 1]]
    assert read["clip2"]["labels"].tolist() == [9, 8]
    assert read["clip2"]["scores"].tolist() == [0.25, 1]
    assert read["clip1"]["segments"].shape == (0, 2)


def test_results_that_end_before_they_start_are_dropped():
    rows = [{"label": 9, "score": 0.5, "segment": [2, 1]}, {"label": 9, "score": 0.5, "segment": [1, 2]}]
    with pytest.warns(UserWarning, match="x.json: dropped 1 of 2 predictions that end before they start"):
        read = parse_results({"results": {"a": rows}}, taxonomy=MMA52, source="x.json")
    assert read["a"]["segments"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"database": {}}, r"x.json has no 'results' \(this is ground truth\); give a file of predictions"),
        ({}, r"x.json has no 'results' \(keys are none\)"),
        ({"results": []}, "x.json, 'results': expected a JSON object, found list"),
        ({"results": {"a": {}}}, "x.json, clip 'a': expected a list, found dict"),
        ({"results": {"a": [1]}}, "x.json, clip 'a': expected a JSON object, found int"),
        (
            {"results": {"a": [{"label": 9, "segment": [0, 1]}]}},
            "x.json, clip 'a': score is None, expected a",
        ),
        ({"results": {"a": [{"label": 9, "score": 1}]}}, "x.json, clip 'a': segment is None"),
        (
            {"results": {"a": [{"label": 77, "score": 1, "segment": [0, 1]}]}},
            "clip 'a': class is 77, expected 0",
        ),
    ],
)
def test_results_that_cannot_be_right(document, message):
    with pytest.raises(MmadError, match=message):
        parse_results(document, taxonomy=MMA52, source="x.json")


def test_broken_json():
    with pytest.raises(MmadError, match=r"x.json, line 2: not valid JSON \(.*\); write the file again"):
        parse_json('{"results":\n', source="x.json")
