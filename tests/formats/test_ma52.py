"""Lists of MA-52, with made-up lines, and the layout in which recognised actions are handed in."""

from pathlib import Path

import pytest

from mmad.errors import MmadError
from mmad.formats.ma52 import Listed, list_file, read_list, write_recognition
from mmad.taxonomy import MMA52

GOOD = ("0003_01_0005.mp4 8", "0904_06_0007.mp4 51", "0003_00_0006.mp4 0")


def written(folder: Path, *lines: str, split: str = "train", end: str = "\n") -> Path:
    path = folder / f"{split}_list_videos.txt"
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_line_is_a_clip_and_its_action(tmp_path, end):
    assert read_list(written(tmp_path, *GOOD, end=end)) == {
        "0003_01_0005": Listed(8, 1),
        "0904_06_0007": Listed(51, 2),
        "0003_00_0006": Listed(0, 3),
    }


def test_odd_ids_blank_lines_and_a_byte_order_mark(tmp_path):
    path = written(tmp_path, "\ufeff07_02_00004_[.MP4\t3", "", "videos_train/val.2_(1).mp4   4 ", "é.mp4 5")
    assert {clip: said.label for clip, said in read_list(path).items()} == {"07_02_00004_[": 3, "val.2_(1)": 4, "é": 5}


FAULTS = [
    ("0003_01_0005.mp4", "row", r"'0003_01_0005.mp4' has 1 fields, expected the name of a video and the index"),
    ("0003 01.mp4 8", "row", r"has 3 fields, expected the name of a video"),
    ("0003_01_0005.mp4 52", "label", r"the index of the action is 52, expected 0 to 51; correct the line"),
    ("0003_01_0005.mp4 -1", "label", r"the index of the action is -1, expected 0 to 51"),
    ("0003_01_0005.mp4 nodding", "row", r"the index of the action is 'nodding', expected a whole number"),
    ("0003_01_0005.mp4 8.5", "row", r"the index of the action is '8.5', expected a whole number"),
    ("0001_01_0001.avi 9", "clip_in_splits", r"clip '0001_01_0001' is in line 1 too, expected one line; remove one"),
]


@pytest.mark.parametrize(("line", "kind", "message"), FAULTS)
def test_lines_that_cannot_be_right(tmp_path, line, kind, message):
    path = written(tmp_path, "0001_01_0001.mp4 9", "", line, "0002_01_0002.mp4 10")
    with pytest.raises(MmadError, match=rf"train_list_videos\.txt, line 3: .*{message}") as caught:
        read_list(path)
    assert caught.value.kind == kind
    faults: list[MmadError] = []
    clips = read_list(path, on_fault=faults.append)
    assert {clip: said.label for clip, said in clips.items()} == {"0001_01_0001": 9, "0002_01_0002": 10}
    (fault,) = faults
    assert fault.clip == (line.split(".")[0] if "." in line.split()[0] else "0003")
    assert fault.clip is not None
    assert read_list(path, exclude=[fault.clip]).keys() == clips.keys() - {fault.clip}


def test_a_list_of_the_test_split_may_keep_its_labels_back(tmp_path):
    path = written(tmp_path, "test0000.mp4", "test0001.mp4", split="test")
    assert read_list(path, hidden=True) == {"test0000": Listed(None, 1), "test0001": Listed(None, 2)}
    for placeholder in ("0", "-1"):
        path = written(tmp_path, f"test0000.mp4 {placeholder}", f"test0001.mp4 {placeholder}", split="test")
        with pytest.warns(UserWarning, match=r"test_list_videos\.txt holds placeholders, not labels"):
            assert [said.label for said in read_list(path, hidden=True).values()] == [None, None]
        # What is left out does not change what the others' labels are.
        with pytest.warns(UserWarning, match="placeholders"):
            assert read_list(path, hidden=True, exclude=["test0000"])["test0001"].label is None
    path = written(tmp_path, "test0000.mp4 -1", "test0001.mp4 5", split="test")
    assert [said.label for said in read_list(path, hidden=True).values()] == [None, 5]
    with pytest.raises(MmadError, match="index of the action is -1"):
        read_list(path)
    path = written(tmp_path, "test0000.mp4 0", "test0001.mp4 1", split="test")
    assert [said.label for said in read_list(path, hidden=True).values()] == [0, 1]


def test_a_list_lies_in_the_folder_or_in_its_annotations(tmp_path):
    with pytest.raises(
        MmadError, match=r"val_list_videos.txt does not exist, nor does .*there: none; put the list"
    ) as e:
        list_file(tmp_path, "val")
    assert e.value.kind == "missing_split"
    (tmp_path / "annotations").mkdir()
    inner = written(tmp_path / "annotations", *GOOD)
    assert list_file(tmp_path, "train") == inner
    outer = written(tmp_path, *GOOD)
    assert list_file(tmp_path, "train") == outer
    with pytest.raises(MmadError, match=r"text files there: train_list_videos\.txt"):
        list_file(tmp_path, "val")


def test_a_list_without_a_clip_is_refused(tmp_path):
    with pytest.raises(MmadError, match="names no clip; check the download"):
        read_list(written(tmp_path, "", " "))
    with pytest.raises(MmadError, match="does not exist"):
        read_list(tmp_path / "val_list_videos.txt")


def test_recognised_actions_are_written_with_their_body_groups(tmp_path):
    write_recognition(
        tmp_path / "new" / "predictions.csv", [("test0000.mp4", 8), ("b.mp4", 51), ("b.mp4", 0)], taxonomy=MMA52
    )
    content = (tmp_path / "new" / "predictions.csv").read_bytes()
    assert content == b"id,pred_label_1,pred_label_2\ntest0000.mp4,1,8\nb.mp4,6,51\nb.mp4,0,0\n"
