"""Names of videos, and who sees which."""

from pathlib import Path

import pytest

from mmad.errors import MmadError
from mmad.prediction.plan import Plan, named


def names(*places: str) -> list[str]:
    return list(named({Path("lab", place): place for place in places}))


def test_each_video_has_a_name_of_its_own() -> None:
    assert names("clip.mp4", "day1/clip.mp4", "day1/other.avi") == ["clip", "day1/clip", "day1/other"]
    assert names("a.mp4", "A.mov", "b.mp4") == ["a.mp4", "A.mov", "b"]
    # The command writes these two for all videos.
    assert names("predictions.mp4", "labels.avi", "x.avi") == ["predictions.mp4", "labels.avi", "x"]


@pytest.mark.parametrize("places", [("x.mp4", "x.avi", "x.mp4.avi"), ("a.mp4", "a.boris.mp4")])
def test_no_two_videos_give_the_same_file(places: tuple[str, ...]) -> None:
    with pytest.raises(MmadError, match="would both give"):
        names(*places)


def test_processes_share_the_seconds() -> None:
    seconds = {"a": 10.0, "b": 2400.0, "c": 12.0, "d": 9.0, "e": 2000.0, "f": 380.0}
    plan = Plan({name: Path(name) for name in seconds}, seconds, {})
    shares = [plan.share(rank, 2) for rank in range(2)]
    assert sorted(name for share in shares for name in share) == sorted(seconds)
    loads = [sum(seconds[name] for name in share) for share in shares]
    assert max(loads) - min(loads) < 20
    assert list(plan.share(0, 1)) == list(seconds)
