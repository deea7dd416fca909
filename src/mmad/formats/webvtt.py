"""WebVTT: the marks of a clip as captions that browsers and players show over its video."""

from collections.abc import Sequence
from pathlib import Path

from mmad.formats.elan import milliseconds
from mmad.formats.marks import Mark, clip_of
from mmad.formats.whole_file import write_whole

# `>` too: the text of a cue may not hold its arrow.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"})


def write_webvtt(path: Path, marks: Sequence[Mark]) -> None:
    """Writes the marks of one clip as cues: label, and score with two decimals.

    Times are rounded to milliseconds and a cue lasts at least one; overlapping cues are shown below each other.

    Args:
        path: the .vtt file; its folder is made.
        marks: of one clip, in any order; equal ones give equal bytes.

    Raises:
        MmadError: the marks are of several clips, or one does not last.
    """
    path = Path(path)
    clip_of(marks, path=path)
    cues = sorted((*milliseconds(mark), _text(mark)) for mark in marks)
    blocks = ["WEBVTT", *(f"{_clock(start)} --> {_clock(end)}\n{text}" for start, end, text in cues)]
    write_whole(path, ("\n\n".join(blocks) + "\n").encode())


def _text(mark: Mark) -> str:
    score = "" if mark.score is None else f" {mark.score:.2f}"
    # On one line, as an empty line would end the cue; a character that is none is shown as such.
    line = " ".join(f"{mark.label}{score}".split()).translate(_ESCAPES)
    return line.encode("utf-8", "replace").decode()


def _clock(time: int) -> str:
    """`HH:MM:SS.mmm` of milliseconds."""
    seconds, milli = divmod(time, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milli:03d}"
