"""Writes the corrections of a clip for other programs."""

import threading
from pathlib import Path

from mmad.errors import MmadError
from mmad.formats.annotated import Annotations
from mmad.formats.boris import write_boris_project, write_boris_table
from mmad.formats.csv_marks import write_csv_marks
from mmad.formats.elan import write_elan
from mmad.formats.json_marks import write_json_marks
from mmad.formats.whole_file import numbered
from mmad.taxonomy import Taxonomy
from mmad.viewer.names import file_name, name_for_others
from mmad.viewer.project import Project
from mmad.viewer.saving import Corrections

ENDINGS = {"csv": ".csv", "elan": ".eaf", "boris": ".boris", "boris_table": ".events.csv", "json": ".json"}
"""Of the file of each format."""

_alone = threading.Lock()
"""Held from the choice of a free name until its file is there."""


def export(project: Project, corrections: Corrections, clip: str, *, to: str, duration: float | None) -> Path:
    """Writes the corrections of a clip under a name that is free.

    Args:
        project: gives the classes and the clip's video.
        corrections: give the segments and the folder.
        clip: its id.
        to: one of `ENDINGS`.
        duration: of the clip in seconds, if known.

    Returns:
        The file.

    Raises:
        MmadError: the format is unknown, the clip has no corrections, or the format cannot hold them.
    """
    if to not in ENDINGS:
        raise MmadError(f"format is {to!r}, expected one of {', '.join(ENDINGS)}; choose one")
    if not corrections.of(clip).done:
        raise MmadError(f"clip {clip!r} has no corrections yet; start them from a layer, or add a segment")
    video = project.videos.get(clip)
    with _alone:
        path = corrections.folder / f"{file_name(clip)}{ENDINGS[to]}"
        if path.exists() or path in (corrections.table, corrections.journal):
            path = numbered(path)
        name = name_for_others(clip, video=video)
        known = Annotations(
            corrections.marks(clip, name=name), [name], durations={} if duration is None else {name: duration}
        )
        _write(path, known, to=to, name=name, video=video, taxonomy=project.taxonomy)
    return path


def _write(path: Path, known: Annotations, *, to: str, name: str, video: Path | None, taxonomy: Taxonomy) -> None:
    if to == "csv":
        write_csv_marks(path, known)
    elif to == "elan":
        # The link says which clip it is, also where the file's own name has a number.
        write_elan(path, known.marks, video=video or path.with_name(f"{name}.mp4"), taxonomy=_with_codes(taxonomy))
    elif to == "boris":
        videos = {} if video is None else {name: video}
        write_boris_project(path, known.marks, taxonomy=taxonomy, videos=videos, clips=[name])
    elif to == "boris_table":
        write_boris_table(path, known.marks, taxonomy=taxonomy)
    else:
        write_json_marks(path, known, taxonomy=taxonomy)


def _with_codes(taxonomy: Taxonomy) -> Taxonomy:
    """The classes that have a code; the names of the others are those of their tiers."""
    rows = zip(taxonomy.codes, taxonomy.actions, (taxonomy.bodies[body] for body in taxonomy.body_of), strict=True)
    return Taxonomy.from_rows(tuple(row for row in rows if row[0]))
