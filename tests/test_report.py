"""Evaluations of predictions by clip: what they hold, how videos are addressed, what is printed."""

from pathlib import Path
from urllib.parse import unquote

import pytest

import sample
from mmad.annotations import Instance, Truth
from mmad.errors import MmadError
from mmad.matching import Rows
from mmad.report import Reporting, _address, evaluate, summary
from mmad.segments import Segments
from mmad.taxonomy import MMA52


def by_clip(rows: Rows, clips: list[Truth]) -> dict[str, Segments]:
    """The predictions of each clip as a file would give them."""
    import torch

    return {
        clip.id: {
            "segments": torch.from_numpy(mine.segment),
            "labels": torch.from_numpy(mine.label),
            "scores": torch.from_numpy(mine.score),
        }
        for number, clip in enumerate(clips)
        for mine in [rows.take(rows.clip == number)]
    }


def test_an_evaluation_holds_numbers_diagnosis_and_comparison() -> None:
    clips = sample.clips()
    these, others = (by_clip(sample.predictions(better=better), clips) for better in (True, False))
    result = evaluate(these, clips, taxonomy=MMA52, reporting=Reporting(draws=50), names=("new", "old"), others=others)
    assert result.numbers["unit"] == "subject"
    assert result.comparison is not None
    assert (result.comparison["first"], result.comparison["second"]) == ("old", "new")
    assert result.comparison["avg"]["second"] == result.numbers["avg"]
    told = summary(result, on="24 clips")
    assert f"{result.numbers['action']['map']['0.5']:8.2f}" in told
    assert f"new minus old: AVG {result.comparison['avg']['difference']:+.2f}" in told
    gains = result.diagnosis["action"]["false_positives"]["repaired"]
    assert f"correcting {max(gains, key=gains.__getitem__)} +{max(gains.values()):.1f}" in told


def test_one_clip_of_unknown_subject_is_evaluated_without_subjects_and_intervals() -> None:
    clips = [Truth("only", (Instance(0, 2, 8),))]
    result = evaluate({}, clips, taxonomy=MMA52)
    assert result.numbers["interval"] is None
    assert result.numbers["per_subject"] == []
    assert "have no predictions" in result.numbers["notes"][0]
    assert "interval" not in summary(result, on="1 clip")


@pytest.mark.parametrize("name", ["plain.mp4", "a b#1?.mp4", "100%.mp4", "ümlaut [x].mp4"])
def test_a_video_is_addressed_relative_to_the_page(tmp_path: Path, name: str) -> None:
    video = tmp_path / "videos" / name
    video.parent.mkdir()
    video.write_bytes(b"film")
    address = _address(video, tmp_path / "runs" / "one", "link")
    assert address is not None
    assert not set("#?") & set(address)
    assert (tmp_path / "runs" / "one" / unquote(address)).resolve() == video
    assert _address(video, tmp_path, "none") is None
    assert _address(video, tmp_path, "embed") == "data:video/mp4;base64,ZmlsbQ=="


def test_a_video_that_is_not_there_is_not_embedded(tmp_path: Path) -> None:
    assert _address(tmp_path / "gone.mp4", tmp_path, "embed") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"videos": "all"}, "choose link, embed, none"),
        ({"unit": "person"}, "choose null, subject or clip"),
        ({"figures": ["jpg"]}, "choose from png, svg, pdf"),
        ({"draws": -1}, "no negative number"),
        ({"frame_rate": 0}, "a positive rate"),
    ],
)
def test_reporting_refuses_what_does_not_exist(options: dict, message: str) -> None:
    with pytest.raises(MmadError, match=message):
        Reporting(**options)
