"""Videos that are missing, broken or other than their annotation says are told one by one; good ones are not."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mmad.checks.examine import Examination, examine
from mmad.checks.faults import KINDS
from mmad.checks.videos import inspect_all
from mmad.data.grid import Grid
from mmad.data.header import header
from mmad.data.manifest import MANIFEST, Manifest
from mmad.data.sources import MarkedSource, MMA52Source, read_table
from mmad.errors import MmadError
from numbered import copy_packets, write_numbered

GRID = Grid(window=128, feature_stride=4, frames_per_step=2, levels=6)
LINE = "{clip},0.1,1.5,waving,{split}\n"


@pytest.fixture
def lab(tmp_path: Path, numbered_video: Callable[..., Path]) -> Path:
    """Twelve clips of two seconds, of which two are faultless."""
    good = numbered_video()
    for clip in ("good", "turned", "two", "late", "cut", "nothing", "text"):
        shutil.copyfile(good, tmp_path / f"{clip}.mp4")
    shutil.copyfile(good, tmp_path / "two.MOV")
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (tmp_path / "nothing.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("this is a letter")
    write_numbered(tmp_path / "turned.mp4", degrees=90)
    ticks = [round(number * 1000 / 30) + 20 * (number % 2) for number in range(60)]
    write_numbered(tmp_path / "uneven.mp4", ticks=ticks)
    copy_packets(good, tmp_path / "stream.ts")
    copy_packets(good, tmp_path / "edited.mp4", shift=10)
    clips = ["good", "turned", "two", "late", "cut", "nothing", "text", "uneven", "stream", "edited", "gone"]
    rows = [LINE.format(clip=clip, split="train") for clip in clips]
    rows[3] = "late,0.1,2.1,waving,train\n"
    (tmp_path / "annotations.csv").write_text("clip,start,end,label,split\n" + "".join(rows))
    shutil.copyfile(good, tmp_path / "stranger.mp4")
    return tmp_path


FAULTS = {
    ("two_videos", "two"),
    ("beyond", "late"),
    ("unreadable_video", "cut"),
    ("empty_video", "nothing"),
    ("unreadable_video", "text"),
    ("variable_rate", "uneven"),
    ("slow_reader", "stream"),
    ("slow_reader", "edited"),
    ("missing_video", "gone"),
    ("unused", None),
}


def look(root: Path, **how: bool) -> Examination:
    return examine(partial(MarkedSource, root, read=read_table, fps=None), grid=GRID, progress=False, **how)


@pytest.mark.parametrize("how", [{}, {"inspect": True}, {"deep": True}])
def test_every_fault_of_a_video_is_told_once(lab: Path, how: dict[str, bool]) -> None:
    found = look(lab, **how)
    assert sorted((f.kind, f.clip or "") for f in found.faults) == sorted((kind, clip or "") for kind, clip in FAULTS)
    assert set(found.blocked) == {clip for kind, clip in FAULTS if KINDS[kind].blocks}
    assert set(found.manifest.videos) == (
        set() if not how else {"good.mp4", "turned.mp4", "late.mp4", "uneven.mp4", "stream.ts", "edited.mp4"}
    )
    for video in found.manifest.videos.values():
        assert video.decoded == (video.header.frames if "deep" in how else None)


def test_excluded_clips_are_not_asked_for(lab: Path) -> None:
    blocked = look(lab).blocked
    (lab / "exclude.csv").write_text("clip,reason\n" + "".join(f"{clip},broken\n" for clip in blocked))
    found = look(lab)
    assert not found.blocked
    assert found.excluded.keys() == blocked.keys()
    source = MarkedSource(lab, read=read_table, fps=None)
    assert [clip.id for clip in source.clips("train")] == ["good", "turned", "uneven", "stream", "edited"]


def test_exclusions_that_hold_no_longer_are_told(lab: Path) -> None:
    blocked = look(lab).blocked
    rows = [f"{clip},broken" for clip in blocked] + ["good,blinks", "goood,blinks"]
    (lab / "exclude.csv").write_text("\n".join(["clip,reason", *rows]))
    told = [fault.message for fault in look(lab).faults if fault.kind == "exclusion"]
    assert len(told) == 2
    assert "nothing is wrong with clip 'good'" in told[0]
    assert "there is no clip 'goood'" in told[1]


def test_a_data_set_of_excluded_clips_names_the_table(lab: Path) -> None:
    names = [line.split(",")[0] for line in (lab / "annotations.csv").read_text().splitlines()]
    (lab / "exclude.csv").write_text("\n".join(names))
    with pytest.raises(MmadError, match=r"exclude.csv leaves out every clip"):
        MarkedSource(lab, read=read_table, fps=None).clips("train")


def test_a_faulty_row_of_an_excluded_clip_is_passed_over(lab: Path) -> None:
    for clip in look(lab).blocked:
        with (lab / "exclude.csv").open("a") as file:
            file.write("clip\n" * (file.tell() == 0) + f"{clip}\n")
    table = lab / "annotations.csv"
    table.write_text(table.read_text() + "good,3,1,waving,train\n")
    with pytest.raises(MmadError, match="line 13"):
        MarkedSource(lab, read=read_table, fps=None).clips("train")
    with (lab / "exclude.csv").open("a") as file:
        file.write("good\n")
    assert MarkedSource(lab, read=read_table, fps=None).clips("train")[0].id == "turned"


def test_a_video_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    videos = {"long": write_numbered(tmp_path / "long.mp4", frames=300, width=640, height=360)}
    found, faults = inspect_all(videos, Manifest(tmp_path, {}), deep=True, limit=0.02, progress=False)
    assert not found
    (fault,) = faults
    assert (fault.kind, fault.clip) == ("slow_video", "long")
    assert "takes more than 0.02 s" in fault.message


def test_a_manifest_is_trusted_while_the_file_is_the_same(lab: Path) -> None:
    look(lab, deep=True).manifest.write(lab / MANIFEST)
    manifest = Manifest.read(lab)
    video = lab / "good.mp4"
    assert manifest.header(video) == header(video)
    # What the manifest says counts, as long as size and date agree.
    document = json.loads((lab / MANIFEST).read_text())
    document["videos"]["good.mp4"]["header"]["frames"] = 61
    (lab / MANIFEST).write_text(json.dumps(document))
    assert Manifest.read(lab).header(video).frames == 61
    shutil.copyfile(write_numbered(lab.parent / "other.mp4", frames=45), video)
    assert Manifest.read(lab).header(video).frames == 45
    video.unlink()
    with pytest.raises(MmadError, match=r"good.mp4"):
        Manifest.read(lab).header(video)


def test_an_unusable_manifest_is_replaced_by_the_check(lab: Path) -> None:
    (lab / MANIFEST).write_text('{"version": 0}')
    with pytest.raises(MmadError, match="is no manifest"):
        MarkedSource(lab, read=read_table, fps=None)
    found = look(lab, inspect=True)
    assert [fault.kind for fault in found.faults].count("manifest") == 1
    found.manifest.write(lab / MANIFEST)
    assert "manifest" not in {fault.kind for fault in look(lab, inspect=True).faults}


def test_impossible_numbers_in_a_manifest_are_refused(lab: Path) -> None:
    look(lab, inspect=True).manifest.write(lab / MANIFEST)
    document = json.loads((lab / MANIFEST).read_text())
    document["videos"]["good.mp4"]["header"]["frames"] = -5
    (lab / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(MmadError, match="is no manifest"):
        Manifest.read(lab)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 0, "videos": {}}', '{"version": 1, "videos": {"a": 3}}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(MmadError, match=r"manifest.json is no manifest"):
        Manifest.read(tmp_path)


def test_annotations_that_tell_frames_are_compared_with_the_videos(
    tmp_path: Path, numbered_video: Callable[..., Path]
) -> None:
    """Clips of the release: as said, shorter than said, cut within an instance, and at another rate."""
    (tmp_path / "train").mkdir()
    rows = ["id,video_id,start_frame,end_frame,class,total_frames,fps"]
    for clip, frames, rate in (("a", 60, "30.0"), ("b", 70, "30.0"), ("c", 90, "30.0"), ("d", 60, "25.0")):
        shutil.copyfile(numbered_video(), tmp_path / "train" / f"{clip}.mp4")
        rows.append(f"0,{clip},5,{80 if clip == 'c' else 50},9,{frames},{rate}")
    (tmp_path / "train.csv").write_text("\n".join(rows))
    found = examine(partial(MMA52Source, tmp_path, fps=None), grid=GRID)
    told = [(fault.kind, fault.clip) for fault in found.faults if fault.kind != "unused"]
    assert told == [("beyond", "c"), ("frame_count", "b"), ("frame_count", "c"), ("fps", "d")]
    (tmp_path / "exclude.csv").write_text("clip\nc\n")
    clips = MMA52Source(tmp_path, fps=None).clips("train")
    assert [(clip.id, clip.frames) for clip in clips] == [("a", 60), ("b", 60), ("d", 60)]


def test_annotations_alone_need_no_video(lab: Path) -> None:
    assert {fault.kind for fault in look(lab, videos=False).faults} == set()


def test_what_cannot_be_read_at_all_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / "annotations.csv").write_text("")
    (fault,) = look(tmp_path).faults
    assert (fault.kind, fault.blocks) == ("data", True)
    assert "annotations.csv is empty" in fault.message
