"""`mmad-data task=cut`: a long recording becomes a data set of clips that show the same pictures at the same times."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch

from commands import Command
from mmad.data.sources import MarkedSource, read_table
from mmad.dataset.pieces import FramesDiffer, frame_stamps, write_pieces
from numbered import copy_packets, shown_numbers

Numbered = Callable[..., Path]
FPS = 25
TABLE = """video,start,end,label,subject,annotator
talk,1.00,3.00,nodding,P1,A
talk,1.04,3.04,nodding,P1,B
talk,7.40,12.00,waving,P1,A
talk,12.00,14.60,nodding,P1,A
talk,16.00,39.96,sitting,P1,A
other,0.00,1.00,waving,P2,A
"""


@pytest.fixture
def lab(command: Command, numbered_video: Numbered) -> Path:
    """A recording of 40 s and one of 8 s, annotated in a table."""
    root = Path("lab").resolve()
    root.mkdir()
    shutil.copyfile(numbered_video(frames=40 * FPS, fps=FPS), root / "talk.mp4")
    shutil.copyfile(numbered_video(frames=8 * FPS, fps=FPS), root / "other.mp4")
    (root / "annotations.csv").write_text(TABLE)
    return root


def cut(command: Command, *more: str) -> int:
    return command("mmad-data", "task=cut", "data=folder", "data.root=lab", "output=out", *more)


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return shown_numbers(torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in frames]))


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path("out", name).read_text().splitlines()))


def written() -> MarkedSource:
    return MarkedSource(Path("out"), read=read_table, fps=None)


def test_clips_show_what_the_recording_showed(command: Command, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "splits.csv").write_text("clip,split\ntalk,train\nother,test\n")
    assert cut(command) == 0
    told = capsys.readouterr().out
    places = {row["clip"]: row for row in rows("cuts.csv")}
    clips = {clip.id: clip for split in ("train", "test") for clip in written().clips(split)}
    assert clips.keys() == places.keys()
    shown: dict[str, list[int]] = {}
    for name, clip in clips.items():
        place = places[name]
        first, last = int(place["first_frame"]), int(place["last_frame"])
        assert numbers(clip.path) == list(range(first, last + 1)), "exactly its frames, each once"
        assert 5 <= clip.duration <= 15
        assert (float(place["start_s"]), float(place["end_s"])) == pytest.approx((first / FPS, (last + 1) / FPS))
        assert clip.subject == {"talk": "P1", "other": "P2"}[place["recording"]]
        shown.setdefault(place["recording"], []).extend(range(first, last + 1))
        for instance in clip.instances:
            label = written().taxonomy.actions[instance.label]
            start, end = (first + time * clip.fps for time in (instance.start, instance.end))
            assert start == pytest.approx(round(start), abs=0.01)
            assert end == pytest.approx(round(end), abs=0.01)
            assert any(
                (row["video"], row["label"]) == (place["recording"], label)
                and round(start) == max(round(float(row["start"]) * FPS), first)
                and round(end) == min(round(float(row["end"]) * FPS), last + 1)
                and instance.annotator == row["annotator"]
                for row in csv.DictReader(TABLE.splitlines())
            ), "each instance begins and ends on the picture on which it did before"
    assert {name: sorted(frames) for name, frames in shown.items()} == {
        "talk": list(range(40 * FPS)),
        "other": list(range(8 * FPS)),
    }
    sitting = written().taxonomy.actions.index("sitting")
    labels = [instance.label for clip in clips.values() for instance in clip.instances]
    assert len(labels) - labels.count(sitting) == 5, "those that fit are whole"
    assert labels.count(sitting) >= 2, "24 s do not fit"
    assert "6 instances: 5 whole, 1 cut" in told
    assert "2 recordings, 0:00:48" in told
    assert "mmad-train data=folder data.root=out" in told


def test_pieces_of_a_recording_stay_in_its_split(command: Command, lab: Path) -> None:
    (lab / "splits.csv").write_text("clip,split\ntalk,train\nother,test\n")
    assert cut(command) == 0
    assert {(row["clip"].rpartition("_")[0], row["split"], row["subject"]) for row in rows("splits.csv")} == {
        ("talk", "train", "P1"),
        ("other", "test", "P2"),
    }


def test_without_splits_the_next_command_deals_them(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cut(command) == 0
    assert not Path("out/splits.csv").exists()
    assert "Next: mmad-data task=split data=folder data.root=out output=out" in capsys.readouterr().out
    assert set(written().annotations.subjects) == {row["clip"] for row in rows("cuts.csv")}


def test_a_recording_without_its_split_is_no_data_set_without_splits(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "splits.csv").write_text("clip,split\ntalk,train\n")
    assert cut(command) == 2
    assert "1 of 2 clips of lab have no split, the first is 'other'" in capsys.readouterr().err
    assert not Path("out/videos").exists()


@pytest.mark.filterwarnings("default:.*stay whole")
def test_a_second_run_goes_on_where_the_first_stopped(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cut(command) == 0
    videos = sorted(Path("out/videos").iterdir())
    before = {path: path.stat().st_mtime_ns for path in videos[1:]}
    table = Path("out/annotations.csv").read_text()
    videos[0].unlink()
    Path("out/annotations.csv").unlink()
    capsys.readouterr()
    assert cut(command) == 0
    assert f"{len(videos) - 1} videos were there already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in videos[1:]} == before
    assert Path("out/annotations.csv").read_text() == table
    assert cut(command, "seconds=[12,15]") == 0
    assert "videos there are of an earlier cut and belong to no clip" in capsys.readouterr().out
    lengths = [float(row["end_s"]) - float(row["start_s"]) for row in rows("cuts.csv") if row["recording"] == "talk"]
    assert min(lengths) >= 12


def test_clips_without_an_instance_stay_unless_asked(command: Command, lab: Path) -> None:
    (lab / "annotations.csv").write_text("video,start,end,label\ntalk,1,2,nodding\nother,1,2,nodding\n")
    assert cut(command, "output=all") == 0
    assert cut(command, "empty=false") == 0
    all_clips = list(csv.DictReader(Path("all/cuts.csv").read_text().splitlines()))
    assert [row for row in all_clips if row["first_frame"] == "0"] == rows("cuts.csv")
    assert sorted(path.stem for path in Path("out/videos").iterdir()) == ["other_001", "talk_001"]
    assert len(list(Path("all/videos").iterdir())) == len(all_clips) > 2


@pytest.mark.filterwarnings("default:.*recordings")
def test_recordings_that_do_not_divide_are_told(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cut(command, "seconds=[9,9.5]") == 0
    told = capsys.readouterr().err
    assert "1 of 2 recordings are shorter than 9 s and stay whole, the first is 'other' of 8.00 s" in told
    assert "1 of 2 recordings cannot be divided into clips of 9 to 9.5 s, the first is 'talk' of 40.00 s" in told


def test_frames_that_are_announced_but_not_shown_do_not_shift_anything(command: Command, lab: Path) -> None:
    """Without its first key frame the recording begins later than its packets say."""
    whole, broken = lab / "talk.mp4", lab / "talk.mkv"
    with av.open(str(whole)) as before, av.open(str(broken), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for number, packet in enumerate(before.demux(video=0)):
            if packet.size and number:
                packet.stream = stream
                after.mux(packet)
    whole.unlink()
    (lab / "annotations.csv").write_text("video,start,end,label\ntalk,1,3,nodding\nother,1,2,nodding\n")
    assert cut(command) == 0
    places = [row for row in rows("cuts.csv") if row["recording"] == "talk"]
    shown = [number for row in places for number in numbers(Path("out/videos", f"{row['clip']}.mp4"))]
    assert shown == list(range(shown[0], 40 * FPS))
    assert shown[0] > 0
    assert int(places[-1]["last_frame"]) == len(shown) - 1


@pytest.mark.filterwarnings("default:.*its picture ends after")
def test_one_recording_that_breaks_off_is_cut_as_far_as_it_goes(
    command: Command, numbered_video: Numbered, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last packets announce frames that cannot be decoded, so that all of it is written a second time."""
    Path("lab").mkdir()
    broken = Path("lab/talk.mp4")
    copy_packets(numbered_video(frames=40 * FPS, fps=FPS), broken, options={"movflags": "+faststart"})
    broken.write_bytes(broken.read_bytes()[: int(0.6 * broken.stat().st_size)])
    Path("lab/annotations.csv").write_text("video,start,end,label\ntalk,1,2,nodding\n")
    with pytest.warns(UserWarning, match="its picture ends after"):
        stamps = frame_stamps(broken)
    with pytest.raises(FramesDiffer):
        write_pieces(broken, stamps, [0, len(stamps.edges) - 1], [Path("whole.mp4")], told=lambda seconds: None)
    capsys.readouterr()
    assert cut(command) == 0
    assert "talk.mp4: its picture ends after" in capsys.readouterr().err
    last = int(rows("cuts.csv")[-1]["last_frame"])
    shown = [number for row in rows("cuts.csv") for number in numbers(Path("out/videos", f"{row['clip']}.mp4"))]
    assert shown == list(range(last + 1))
    assert 15 * FPS < last < 40 * FPS


def test_a_mark_beyond_the_recording_stops_before_any_work(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "annotations.csv").write_text(f"{TABLE}talk,39.50,41.00,waving,P1,A\n")
    assert cut(command) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: ")
    assert "annotations.csv, line 8: 'waving' lasts from 39.500 to 41.000 s, recording 'talk' ends after 40.000" in told
    assert "task=check" in told
    assert not Path("out").exists()


def test_a_damaged_recording_is_told_on_a_line_of_its_own(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "other.mp4").write_bytes(b"no video at all" * 50)
    assert cut(command) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: "), "no bar stands before it"
    assert "other.mp4: this video cannot be read" in told
    assert "exclude.csv" in told
    assert "task=check" in told
    (lab / "exclude.csv").write_text("clip,reason\nother,damaged\n")
    assert cut(command) == 0


def test_splits_of_other_clips_count_no_more(command: Command, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "splits.csv").write_text("clip,split\ntalk,train\nother,test\n")
    assert cut(command) == 0
    table = Path("out/splits.csv")
    before = table.read_text()
    (lab / "splits.csv").unlink()
    capsys.readouterr()
    assert cut(command) == 0
    assert table.read_text() == before, "these are the same clips"
    told = capsys.readouterr().out
    assert "out/splits.csv was there, has a split for each of these clips, and stays" in told
    assert "Next: mmad-train" in told
    table.write_text(f"{before}talk_099,train,P1\n")
    assert cut(command) == 0
    told = capsys.readouterr().out
    assert not table.exists()
    assert "talk_099" in Path("out/splits.csv.old").read_text()
    assert "out/splits.csv was there and is not of these clips; it is splits.csv.old now" in told
    assert "Next: mmad-data task=split" in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("output=lab", "is the data set itself"),
        ("output=lab/clips", "lies in the data set lab"),
        ("seconds=[15,5]", "expected the shortest and the longest length of a clip"),
        ("seconds=10", "expected the shortest and the longest length of a clip"),
        ("data.root=nowhere", "nowhere is not a folder"),
    ],
)
def test_mistakes_are_one_sentence(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    assert cut(command, change) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert message in told[0]
    assert not Path("out").exists()
    assert not Path("lab/clips").exists()


def test_two_people_in_a_recording_are_refused_before_any_work(
    command: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (lab / "annotations.csv").open("a") as table:
        table.write("other,1,2,waving,P3,A\n")
    assert cut(command) == 2
    assert "subject of clip 'other' is 'P3', elsewhere it is 'P2'" in capsys.readouterr().err
    assert not Path("out/videos").exists()


def test_times_in_milliseconds_lead_to_the_same_clips(command: Command, lab: Path, numbered_video: Numbered) -> None:
    """ELAN rounds the times of frames; what was marked by frames is cut by frames."""
    shutil.copyfile(numbered_video(frames=900, fps=30), lab / "talk.mp4")
    marks = [(100, 161, "nodding"), (161, 299, "waving"), (299, 310, "nodding"), (500, 899, "sitting")]
    lines = [f"talk,{start / 30!r},{end / 30!r},{label},train" for start, end, label in marks]
    (lab / "annotations.csv").write_text("\n".join(["video,start,end,label,split", *lines]) + "\n")
    assert cut(command) == 0
    assert (
        command("mmad-data", "task=convert", "data=folder", "data.root=lab", "to=elan", "videos=link", "output=e") == 0
    )
    assert command("mmad-data", "task=cut", "data=elan", "data.root=e", "output=again") == 0
    for name in ("annotations.csv", "cuts.csv"):
        assert sorted(Path("again", name).read_text().splitlines()) == sorted(
            Path("out", name).read_text().splitlines()
        )
