"""The video of a clip is found by its id, and never another clip's."""

from pathlib import Path

import pytest

from mmad.errors import MmadError
from mmad.formats.videos import find_videos, named_videos, subfolders


def videos(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def find(root: Path, *ids: str) -> dict[str, Path]:
    found = find_videos(ids, ([root / "val"], [root], subfolders(root / "val"), subfolders(root)))
    return {clip: path.relative_to(root).as_posix() for clip, path in found.items()}


@pytest.mark.parametrize("place", ["val/a.mp4", "a.mp4", "val/part1/a.mp4", "all/a.mp4"])
def test_places(tmp_path, place):
    videos(tmp_path, place, "notes.txt", "val/b.txt")
    assert find(tmp_path, "a") == {"a": place}
    assert find(tmp_path, "a", "b") == {"a": place}


def test_the_likeliest_place_wins(tmp_path):
    videos(tmp_path, "val/a.mp4", "a.mp4", "copies/a.mp4", "old/a.mp4")
    assert find(tmp_path, "a", "missing") == {"a": "val/a.mp4"}


def test_ids_with_brackets(tmp_path):
    videos(tmp_path, "val/1_[.mp4", "val/1_].mp4", "val/1__.mp4")
    assert find(tmp_path, "1_[", "1__") == {"1_[": "val/1_[.mp4", "1__": "val/1__.mp4"}


def test_other_case_if_it_is_the_only_match(tmp_path):
    videos(tmp_path, "val/1_a.MP4")
    assert find(tmp_path, "1_A") == {"1_A": "val/1_a.MP4"}


def test_exact_case_first(tmp_path):
    videos(tmp_path, "val/1_a.mp4", "val/1_A.mp4")
    assert find(tmp_path, "1_A") == {"1_A": "val/1_A.mp4"}


def test_the_video_of_another_clip_is_never_taken(tmp_path):
    videos(tmp_path, "val/1_a.mp4")
    assert find(tmp_path, "1_a", "1_A") == {"1_a": "val/1_a.mp4"}


def test_two_matches_are_an_error_that_names_both(tmp_path):
    videos(tmp_path, "val/1_ab.mp4", "1_Ab.mp4")
    with pytest.raises(MmadError, match=r"clip '1_AB' could be .*val/1_ab\.mp4 or .*1_Ab\.mp4, expected one"):
        find(tmp_path, "1_AB")
    videos(tmp_path, "one/b.mp4", "two/b.mp4")
    with pytest.raises(MmadError, match=r"clip 'b' could be .*one/b\.mp4 or .*two/b\.mp4"):
        find(tmp_path, "b")


def test_files_folders_and_patterns_name_videos(tmp_path: Path) -> None:
    for name in ("one/a.mp4", "one/b.txt", "one/deep/c.MOV", "two/a.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def of(*names: str) -> dict[str, str]:
        found = named_videos(f"{tmp_path}/{name}" for name in names)
        return {path.relative_to(tmp_path).as_posix(): place for path, place in found.items()}

    assert of("") == {name: name for name in ("one/a.mp4", "one/deep/c.MOV", "two/a.avi")}
    assert of("*/a.*") == {"one/a.mp4": "one/a.mp4", "two/a.avi": "two/a.avi"}
    assert of("one/**/c.MOV") == {"one/deep/c.MOV": "deep/c.MOV"}
    assert of("one/b.txt") == {"one/b.txt": "b.txt"}
    assert list(of("two", "*/a.*").items()) == [("two/a.avi", "a.avi"), ("one/a.mp4", "one/a.mp4")]
    with pytest.raises(MmadError, match="there is no video"):
        of("one/b.*x")
