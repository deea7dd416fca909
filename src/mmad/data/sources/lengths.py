"""How long a clip is whose video is not there, and how many features it must have."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmad.errors import MmadError
from mmad.formats.activitynet import duration_of
from mmad.formats.fields import real_number, whole_number
from mmad.timebase import CHUNK

_STRIDES = (1, 2, 4, 8, 16, 32, 64)


def annotated_length(entry: Mapping[str, Any], *, fps: float | None, where: str) -> tuple[int, float]:
    """Raw frames and frames per second of a clip, from its annotation in ActivityNet's layout.

    Args:
        entry: what the database says of the clip: two of `duration` (seconds), `fps` and `frame` (how many).
        fps: frames per second that count instead of the annotation's; the frames are those of the duration then.
        where: file and clip, for errors.

    Raises:
        MmadError: the annotation does not say it.
    """
    duration = duration_of(entry, where=where)
    frames = None
    if fps is None and entry.get("frame") is not None:
        frames = whole_number(entry["frame"], what="frame", where=where)
    if fps is None and entry.get("fps") is not None:
        fps = real_number(entry["fps"], what="fps", where=where)
    if fps is None and frames is not None and duration is not None:
        fps = frames / duration
    if frames is None and fps is not None and duration is not None:
        frames = round(duration * fps)
    if fps is None or frames is None or not (fps > 0 and frames > 0):
        raise MmadError(
            f"{where}: how long it is cannot be told from its annotation; add duration (seconds) and fps, or say "
            f"data.source.fps=..."
        )
    return frames, fps


def check_steps(path: Path, steps: int, *, frames: int, stride: int, offset: int) -> None:
    """Refuses a number of features that does not suit the length of their clip.

    Where only whole snippets were taken, those at the clip's end are missing. An annotated length may be rounded, which
    makes one feature more.

    Args:
        path: of the features, for the error.
        steps: how many there are.
        frames: raw frames of the clip.
        stride, offset: of the features, in raw frames.

    Raises:
        MmadError: with what is likely to be wrong.
    """
    whole = math.ceil(frames / stride)
    snippet = math.ceil(max(2 * offset, CHUNK) / stride)
    if whole - snippet <= steps <= whole + 1:
        return
    likely = frames / steps
    nearest = next((number for number in _STRIDES if abs(likely / number - 1) < 0.1), None)
    if nearest == stride:
        cause = "they are of another video, or the clip's annotated length is wrong"
    elif nearest is not None:
        cause = f"data.source.stride={nearest} would fit, or else correct data.source.fps"
    else:
        cause = f"there is one for {likely:.1f} frames: they were resized to one length, or data.source.fps is another"
    raise MmadError(f"{path} holds {steps} features, but {frames} frames at stride {stride} give {whole}; {cause}")
