"""What a clip is called: by the page, and in files whose readers take folders and endings off."""

import re
from collections.abc import Iterable
from pathlib import Path

from mmad.errors import MmadError
from mmad.formats.named_table import clip_id


def file_name(clip: str) -> str:
    """The id of a clip as the name of a file, and as a table can hold it.

    >>> file_name("talk"), file_name("day 1/talk"), file_name("talk.mov")
    ('talk', 'day 1_talk', 'talk_mov')
    """
    return clip if clip_id(clip) == clip else re.sub(r"[/\\.]", "_", clip)


def file_names(clips: Iterable[str]) -> dict[str, str]:
    """The name of each clip in files.

    Raises:
        MmadError: two clips have the same.
    """
    named: dict[str, str] = {}
    for clip in clips:
        name = file_name(clip)
        if name in named:
            raise MmadError(f"clips {named[name]!r} and {clip!r} would both be {name!r} in files; rename a video")
        named[name] = clip
    return {clip: name for name, clip in named.items()}


def name_for_others(clip: str, *, video: Path | None) -> str:
    """What other programs call a clip: its id or, where that is a path, the name of its video."""
    return clip if clip_id(clip) == clip else file_name(clip) if video is None else video.stem


def called(clips: Iterable[str]) -> dict[str, list[str]]:
    """The clips that a name may stand for: the id, or else the name in files, or else that of the video.

    >>> called(["a/x", "b/x", "b/y"])["x"], called(["a/x", "x"])["x"]
    (['a/x', 'b/x'], ['x'])
    """
    known = list(clips)
    calls: dict[str, list[str]] = {}
    for call in (clip_id, file_name, str):
        mine: dict[str, list[str]] = {}
        for clip in known:
            mine.setdefault(call(clip), []).append(clip)
        calls |= mine
    return calls
