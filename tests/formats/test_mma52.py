"""Both releases of MMA-52, with made-up rows."""

from pathlib import Path

import pytest

from mmad.annotations import Clip, Instance
from mmad.errors import MmadError
from mmad.formats.mma52 import read_annotation_csv, read_mma52
from mmad.taxonomy import MMA52, Taxonomy

FIRST = ",video_id,start_frame,end_frame,class,total_frames"
SECOND = "id,video_id,start_frame,end_frame,class,total_frames,fps"
FIRST_ROWS = ("0,901_02_0003_A,0,60,9,300", "1,901_02_0003_A,30,299,8,300", "2,07_02_00004_[,15,45,0,150")
SECOND_ROWS = ("0,train9001,0,60,9,300,30.0", "1,train9001,30,299,8,300,30.0", "2,train9000,29,58,0,146,29.0")


def release(root: Path, header: str, *rows: str, split: str = "train", end: str = "\n", last: str = "") -> Path:
    folder = root / "annotations"
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.csv").write_bytes((end.join([header, *rows]) + last).encode())
    return root


def videos(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_release_with_subjects(tmp_path):
    release(tmp_path, FIRST, *FIRST_ROWS, end="\r\n")
    videos(tmp_path / "train", "901_02_0003_A.mp4", "07_02_00004_[.mp4")
    first, second = read_mma52(tmp_path, "train", fps=30)
    assert first == Clip(
        id="901_02_0003_A",
        path=tmp_path / "train" / "901_02_0003_A.mp4",
        subject="901",
        fps=30.0,
        frames=300,
        instances=(Instance(0.0, 2.0, 9), Instance(1.0, 299 / 30, 8)),
    )
    assert (second.id, second.subject, second.duration) == ("07_02_00004_[", "7", 5.0)


def test_release_with_frame_rates(tmp_path):
    release(tmp_path, SECOND, *SECOND_ROWS, last="\n")
    videos(tmp_path / "train", "train9000.mp4", "train9001.mp4")
    # The file's own rate wins.
    clips = read_mma52(tmp_path, "train", fps=1000)
    assert [(clip.id, clip.subject, clip.fps) for clip in clips] == [
        ("train9001", None, 30.0),
        ("train9000", None, 29.0),
    ]
    assert clips[1].instances == (Instance(1.0, 2.0, 0),)


def test_end_frame_may_belong_to_the_action(tmp_path):
    release(tmp_path, SECOND, *SECOND_ROWS)
    clips = read_mma52(tmp_path, "train", end_inclusive=True, require_videos=False)
    assert [instance.end for instance in clips[0].instances] == [61 / 30, 10.0]


def test_annotation_file_beside_the_videos(tmp_path):
    (tmp_path / "val.csv").write_text("\n".join([SECOND, *SECOND_ROWS]))
    assert len(read_mma52(tmp_path, "val", require_videos=False)) == 2


def test_frame_rate_from_each_video(tmp_path):
    release(tmp_path, FIRST, *FIRST_ROWS)
    videos(tmp_path / "train", "901_02_0003_A.mp4", "07_02_00004_[.mp4")
    clips = read_mma52(tmp_path, "train", fps=lambda path: 29.0 if "901" in path.name else 30.0)
    assert [clip.fps for clip in clips] == [29.0, 30.0]


def test_videos_are_not_needed_if_not_required(tmp_path):
    release(tmp_path, FIRST, *FIRST_ROWS)
    clips = read_mma52(tmp_path, "train", fps=30, require_videos=False)
    assert clips[0].path == tmp_path / "train" / "901_02_0003_A.mp4"
    with pytest.raises(MmadError, match="2 of 2 videos"):  # but asking them for their rate needs them
        read_mma52(tmp_path, "train", fps=lambda path: 30.0, require_videos=False)


def test_classes_by_name_and_other_taxonomies(tmp_path):
    release(tmp_path, SECOND, "0,train9000,0,20,left,100,25", "0,train9000,0,20,1,100,25.0")
    taxonomy = Taxonomy.from_rows((("X1", "left", "arm"), ("X2", "right", "arm")))
    (clip,) = read_mma52(tmp_path, "train", taxonomy=taxonomy, require_videos=False)
    assert [instance.label for instance in clip.instances] == [0, 1]


def test_placeholders_of_the_test_file_are_dropped(tmp_path):
    rows = [f"{n},test900{n},0,20,{n + 1},{200 + n},29" for n in range(3)]
    release(tmp_path, SECOND, *rows, split="test", end="\r\n")
    with pytest.warns(UserWarning, match=r"test\.csv holds placeholders, not instances"):
        clips = read_mma52(tmp_path, "test", require_videos=False)
    assert [(clip.frames, clip.instances) for clip in clips] == [(200, ()), (201, ()), (202, ())]


def test_one_real_row_and_nothing_is_a_placeholder(tmp_path):
    release(tmp_path, SECOND, "0,test9000,0,20,1,200,29", "1,test9001,0,21,2,200,29", split="test")
    clips = read_mma52(tmp_path, "test", require_videos=False)
    assert [len(clip.instances) for clip in clips] == [1, 1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["0,a,x,60,9,300"], r"line 2: start_frame is 'x', expected a whole number"),
        (["0,a,0,60.5,9,300"], r"line 2: end_frame is '60.5', expected a whole number"),
        (["0,a,0,60,52,300"], r"line 2: class is 52, expected 0 to 51"),
        (["0,a,0,60,noding,300"], r"line 2: unknown label 'noding'; the nearest class is 'nodding'"),
        (["0,a,0,60,9,300", "1,a,-1,60,9,300"], r"line 3: start_frame is -1, expected 0 or more; correct"),
        (["0,a,60,60,9,300"], r"line 2: start_frame 60 is not before end_frame 60; correct"),
        (["0,a,60,301,9,300"], r"line 2: end_frame is 301, expected at most 300 of 300 frames; correct"),
        (
            ["0,a,0,60,9,300", "1,a,0,60,8,299"],
            r"line 3: total_frames of clip 'a' is 299, an earlier row says 300; make",
        ),
        (["0,a,0,60,9"], r"line 2: 5 fields, the header has 6"),
        ([], r"has a header and no rows; check the download"),
        (
            ["0,a,0,60,99,300", "1,b,0,60,9,300", "2,c,9,1,9,300", "3,d,9,1,9,9"],
            r"class is 99.*\(and 2 more\)$",
        ),
    ],
)
def test_rows_that_cannot_be_right(tmp_path, rows, message):
    release(tmp_path, FIRST, *rows)
    with pytest.raises(MmadError, match=rf"train\.csv.*{message}"):
        read_mma52(tmp_path, "train", fps=30)


def test_inclusive_end_must_be_a_frame(tmp_path):
    path = release(tmp_path, FIRST, "0,a,0,300,9,300") / "annotations" / "train.csv"
    assert read_annotation_csv(path, taxonomy=MMA52)["a"].rows == [(0, 300, 9)]
    with pytest.raises(MmadError, match="end_frame is 300, expected at most 299 of 300"):
        read_annotation_csv(path, taxonomy=MMA52, end_inclusive=True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["0,a,0,60,9,300,0"], "line 2: fps is 0, expected more than 0"),
        (["0,a,0,60,9,300,fast"], "line 2: fps is 'fast', expected a finite number"),
        (
            ["0,a,0,60,9,300,30", "1,a,0,60,8,300,29"],
            "line 3: fps of clip 'a' is 29.0, an earlier row says 30.0",
        ),
    ],
)
def test_frame_rates_that_cannot_be_right(tmp_path, rows, message):
    release(tmp_path, SECOND, *rows)
    with pytest.raises(MmadError, match=message):
        read_mma52(tmp_path, "train", require_videos=False)


def test_missing_column_names_the_nearest(tmp_path):
    release(tmp_path, FIRST.replace("end_frame", "endframe"), *FIRST_ROWS)
    with pytest.raises(MmadError, match=r"train\.csv has no column 'end_frame'.*rename the nearest, 'endframe'"):
        read_mma52(tmp_path, "train", fps=30)


def test_unknown_frame_rate(tmp_path):
    release(tmp_path, FIRST, *FIRST_ROWS)
    with pytest.raises(MmadError, match=r"no column 'fps'.*clip '901_02_0003_A' .*give fps as a number"):
        read_mma52(tmp_path, "train", require_videos=False)
    with pytest.raises(MmadError, match=r"fps of clip '901_02_0003_A' is -1, expected more than 0"):
        read_mma52(tmp_path, "train", fps=-1, require_videos=False)


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(MmadError, match=r"nowhere is not a folder; give the one that holds annotations/val\.csv"):
        read_mma52(tmp_path / "nowhere", "val")
    release(tmp_path, FIRST, *FIRST_ROWS)
    with pytest.raises(MmadError, match=r"val\.csv does not exist, nor does .*CSV files there: train\.csv; put"):
        read_mma52(tmp_path, "val")


def test_missing_videos_are_counted(tmp_path):
    release(tmp_path, SECOND, *(f"0,train900{n},0,60,9,300,30" for n in range(6)))
    videos(tmp_path / "train", "train9000.mp4")
    message = r"5 of 6 videos of .*train\.csv are absent from .*: train9001\.mp4, .*, train9003\.mp4, \.\.\.;"
    with pytest.raises(MmadError, match=message):
        read_mma52(tmp_path, "train")
