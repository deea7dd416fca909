"""Which frames each feature sees, against explicit loops, and what comes out of a numbered video."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmad.annotations import Clip
from mmad.data.manifest import Manifest
from mmad.data.snippets import ALIGNMENTS, SnippetPieces, Snippets
from mmad.errors import MmadError
from numbered import shown_numbers


@given(st.integers(1, 400), st.integers(1, 40))
def test_a_centred_snippet_lies_around_the_middle_of_its_stride(frames: int, stride: int) -> None:
    expected = []
    start = 0
    while start < frames:
        middle = start + stride // 2
        expected.append([min(max(frame, 0), frames - 1) for frame in range(middle - 8, middle + 8)])
        start += stride
    snippets = Snippets(stride)
    assert snippets.frames(frames).tolist() == expected
    assert snippets.count(frames) == len(expected)
    assert snippets.offset == stride // 2


@given(st.integers(1, 400), st.integers(1, 40))
def test_official_snippets_are_whole_from_the_first_frame_on(frames: int, stride: int) -> None:
    expected = [list(range(start, start + 16)) for start in range(0, frames - 15, stride)]
    if not expected:
        expected = [[*range(frames), *[frames - 1] * (16 - frames)]]
    snippets = Snippets(stride, "official")
    assert snippets.frames(frames).tolist() == expected
    assert snippets.count(frames) == len(expected)
    assert snippets.offset == 8


def test_the_clips_of_mma52_give_as_many_features_as_expected() -> None:
    """146 to 451 frames: 37 to 113 centred features, 33 to 109 official ones."""
    centred, official = Snippets(4), Snippets(4, "official")
    assert [centred.count(146), centred.count(451)] == [37, 113]
    assert [official.count(146), official.count(451)] == [33, 109]


@pytest.mark.parametrize(("stride", "align"), [(0, "centred"), (4, "middle"), (True, "centred"), (2.5, "official")])
def test_what_is_no_stride_or_alignment_is_refused(stride: int, align: str) -> None:
    with pytest.raises(MmadError, match=r"^snippet\.(stride|align)="):
        Snippets(stride, align)


def pieces(clips: list[Clip], snippets: Snippets, *, size: int) -> SnippetPieces:
    return SnippetPieces(
        clips,
        snippets=snippets,
        size=size,
        short_side=120,
        transform=lambda video: video,
        manifest=Manifest(Path(), {}),
    )


@pytest.mark.parametrize("align", ALIGNMENTS)
@pytest.mark.parametrize(("stride", "size"), [(4, 5), (4, 100), (7, 1), (20, 2)])
def test_pieces_show_the_frames_of_their_snippets(
    numbered_video: Callable[..., Path], align: str, stride: int, size: int
) -> None:
    clips = [Clip(str(n), numbered_video(frames=n, fps=30), None, 30.0, n) for n in (60, 10)]
    snippets = Snippets(stride, align)
    shown: dict[int, list] = {0: [], 1: []}
    data = pieces(clips, snippets, size=size)
    found = [data[number] for number in range(len(data))]
    for piece in found:
        assert piece["fault"] is None
        assert len(piece["shown_NS"]) <= size
        numbers = shown_numbers(piece["frames_FCHW"])
        assert len(set(numbers)) == len(numbers), "a frame was decoded twice"
        assert piece["first"] == (not shown[piece["clip"]])
        if piece["first"]:
            content = clips[piece["clip"]].path.read_bytes()
            assert piece["sha256"] == hashlib.sha256(content).hexdigest()
        shown[piece["clip"]] += [[numbers[place] for place in row] for row in piece["shown_NS"].tolist()]
        assert piece["last"] == (len(shown[piece["clip"]]) == snippets.count(clips[piece["clip"]].frames))
    assert [shown[0], shown[1]] == [snippets.frames(60).tolist(), snippets.frames(10).tolist()]
    assert [piece["clip"] for piece in found] == sorted(piece["clip"] for piece in found)


def test_a_video_that_cannot_be_read_gives_its_fault(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"none")
    data = pieces([Clip("a", tmp_path / "a.mp4", None, 30.0, 60)], Snippets(4), size=8)
    assert len(data) == 2
    assert all("a.mp4" in (data[number]["fault"] or "") for number in range(2))
