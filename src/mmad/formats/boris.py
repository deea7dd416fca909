"""BORIS, the event logging software of behavioural research: its project files and its tables of aggregated events."""

import warnings
from pathlib import Path

from mmad.errors import OnFault, refuse
from mmad.formats.annotated import Annotations
from mmad.formats.boris_project import parse_project
from mmad.formats.boris_project_writer import write_boris_project
from mmad.formats.boris_table import parse_table, write_boris_table
from mmad.formats.table import read_text

__all__ = ["read_boris", "write_boris_project", "write_boris_table"]


def read_boris(path: Path, *, on_fault: OnFault = refuse) -> Annotations:
    """The state events of a BORIS project (JSON) or of a table of aggregated events; the content says which it is.

    The clip is the observation's video, the first player's first one; of several that it plays one after another, the
    one that the event lies in. A live observation goes by its id. An independent variable `annotator`, `observer`,
    `coder` or `rater` gives the annotator, and a comment such as `score=0.87` the score of a prediction. BORIS keeps
    milliseconds.

    Times are those in the video: BORIS adds an observation's time offset to the times of its events, so it is
    subtracted here. Tables of newer versions say it (`Time offset (s)`); in older ones it cannot be undone.

    In a project a state starts and stops by turns: BORIS pairs the events of an observation that have the same
    subject, code and modifier, by time. Two that overlap hence cannot be told from two in a row or one inside the
    other, unless their modifiers differ.

    Point events do not last; they are left out with one warning.

    Args:
        path: the file.
        on_fault: told of what cannot be right: starts without stops, unknown behaviours, times that are no numbers.
            A state of which one time is wrong is left out in that observation, since its pairs are not sure.

    Returns:
        One mark per state event, in the order of the file, and the clips: of a project all that were observed, of a
        table those with an event.

    Raises:
        MmadError: the file is missing, or neither a project nor such a table.
    """
    path = Path(path)
    text = read_text(path)
    parse = parse_project if text.lstrip().startswith("{") else parse_table
    marks, points, clips = parse(text, source=str(path), on_fault=on_fault)
    if points:
        warnings.warn(
            f"{path}: left out {points.total()} point events, which do not last, of {', '.join(map(repr, points))}",
            stacklevel=2,
        )
    return Annotations(marks, list(dict.fromkeys([*clips, *(mark.clip for mark in marks)])))
