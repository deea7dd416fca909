"""WebVTT: a small parser of its own reads what we write, by the rules that players follow."""

import html
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.errors import MmadError
from mmad.formats.marks import Mark
from mmad.formats.webvtt import write_webvtt

TIMING = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3}) --> (\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})")


def cues(path: Path) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds and the shown text of each cue."""
    content = path.read_bytes().decode("utf-8")
    assert "\r" not in content
    head, *blocks = re.split(r"\n{2,}", content.rstrip("\n"))
    assert head == "WEBVTT"
    found = []
    for block in blocks:
        timing, _, text = block.partition("\n")
        match = TIMING.fullmatch(timing)
        assert match, timing
        assert not re.search(r"\n|<|>|-->|&(?!amp;|lt;|gt;)", text)
        h1, m1, s1, t1, h2, m2, s2, t2 = map(int, match.groups())
        start, end = ((h * 60 + m) * 60000 + s * 1000 + t for h, m, s, t in ((h1, m1, s1, t1), (h2, m2, s2, t2)))
        assert start < end
        found.append((start, end, html.unescape(text)))
    assert [start for start, _, _ in found] == sorted(start for start, _, _ in found)
    return found


def test_file_as_it_is(tmp_path):
    marks = [
        Mark("a", 3725.0005, 3726, "turning head", score=0.876),
        Mark("a", 0.5, 2.0, "nodding"),
        Mark("a", 59.9999, 60.5, "<b>wave</b> & go --> now"),
    ]
    write_webvtt(tmp_path / "new" / "a.vtt", marks)
    assert (tmp_path / "new" / "a.vtt").read_text() == (
        "WEBVTT\n\n"
        "00:00:00.500 --> 00:00:02.000\nnodding\n\n"
        "00:01:00.000 --> 00:01:00.500\n&lt;b&gt;wave&lt;/b&gt; &amp; go --&gt; now\n\n"
        "01:02:05.000 --> 01:02:06.000\nturning head 0.88\n"
    )
    assert [text for _, _, text in cues(tmp_path / "new" / "a.vtt")][1] == "<b>wave</b> & go --> now"


def test_no_mark_is_a_file_without_cues(tmp_path):
    write_webvtt(tmp_path / "a.vtt", [])
    assert (tmp_path / "a.vtt").read_bytes() == b"WEBVTT\n"


def test_odd_labels_stay_in_their_cue(tmp_path):
    labels = ["two\n\nlines", "STYLE\r\nx", "tab\tbed", "nul\0", "half \ud800"]
    write_webvtt(tmp_path / "a.vtt", [Mark("a", n, n + 1, label) for n, label in enumerate(labels)])
    assert [text for _, _, text in cues(tmp_path / "a.vtt")] == ["two lines", "STYLE x", "tab bed", "nul�", "half ?"]


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ([Mark("a", 0, 1, "x"), Mark("b", 0, 1, "x")], r"a\.vtt holds one clip, the marks are of 'a' and 'b'"),
        ([Mark("a", 1, 1, "x")], r"clip 'a': segment \[1, 1\] s of 'x', expected 0 <= start < end"),
    ],
)
def test_marks_that_are_refused(tmp_path, marks, message):
    with pytest.raises(MmadError, match=message):
        write_webvtt(tmp_path / "a.vtt", marks)
    assert not list(tmp_path.iterdir())


marks = st.builds(
    lambda start, length, label, score: Mark("a", start, start + length, label, score=score),
    st.floats(0, 1e5),
    st.floats(1e-6, 1e4),
    st.text(max_size=8),
    st.none() | st.floats(0, 1),
)


@settings(deadline=None, max_examples=80)
@given(st.lists(marks, max_size=8), st.randoms(use_true_random=False))
def test_any_marks_make_a_file_that_players_take(found, random):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.vtt"
        write_webvtt(path, found)
        read, first = cues(path), path.read_bytes()
        write_webvtt(path, random.sample(found, len(found)))
        assert path.read_bytes() == first
    assert len(read) == len(found)
    for (start, end, _), mark in zip(read, sorted(found, key=lambda mark: round(mark.start * 1000)), strict=True):
        assert abs(start - mark.start * 1000) <= 0.5
        assert end - start >= 1
