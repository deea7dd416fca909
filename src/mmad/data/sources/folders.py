"""Reads all annotations that lie in a folder, of one kind each."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmad.data.sources.source import OWN_TABLES, SPLITS
from mmad.errors import MmadError, OnFault, of_split, refuse
from mmad.formats.annotated import Annotations
from mmad.formats.boris import read_boris
from mmad.formats.csv_marks import read_csv_marks
from mmad.formats.elan import read_elan
from mmad.formats.json_marks import read_json_marks
from mmad.formats.marks import Mark
from mmad.formats.table import read_text
from mmad.taxonomy import Taxonomy


def read_table(root: Path, taxonomy: Taxonomy | None, fps: float | None, on_fault: OnFault = refuse) -> Annotations:
    """`annotations.csv`, or the tables `train.csv`, `val.csv` and `test.csv`, of a folder.

    Args:
        root: the folder.
        taxonomy: not needed.
        fps: frames per second, where times are in frames and the table has no such column.
        on_fault: told of rows that cannot be right.
    """
    whole = root / "annotations.csv"
    if whole.is_file():
        return read_csv_marks(whole, fps=fps, on_fault=on_fault)
    parts = {split: root / f"{split}.csv" for split in SPLITS if (root / f"{split}.csv").is_file()}
    if not parts:
        raise MmadError(f"{root} has neither annotations.csv nor train.csv, val.csv and test.csv; write one of these")
    return _joined(
        {split: read_csv_marks(path, fps=fps, on_fault=of_split(split, on_fault)) for split, path in parts.items()},
        on_fault=on_fault,
    )


def read_json(root: Path, taxonomy: Taxonomy | None, fps: float | None, on_fault: OnFault = refuse) -> Annotations:
    """The one JSON file of a folder, in ActivityNet's layout; times are in seconds."""
    _need_no(fps)
    files = sorted(root.glob("*.json"))
    # Results may lie beside the annotations.
    files = [path for path in files if '"database"' in read_text(path)] or files
    return read_json_marks(_only(files, root, "*.json", what="JSON file in ActivityNet's layout"), on_fault=on_fault)


def read_eaf(
    root: Path,
    taxonomy: Taxonomy | None,
    fps: float | None,
    on_fault: OnFault = refuse,
    *,
    labels: str = "auto",
) -> Annotations:
    """All ELAN files of a folder, one per clip.

    Args:
        root: the folder; files may lie deeper.
        taxonomy: resolves the names of tiers.
        fps: must be None, since ELAN's times are in milliseconds.
        on_fault: told of files and annotations that cannot be right.
        labels: as in `mmad.formats.elan.read_elan`.
    """
    _need_no(fps)
    files = sorted(root.rglob("*.eaf"))
    if not files:
        raise MmadError(f"{root} holds no .eaf file; save one for each clip in ELAN")
    marks: list[Mark] = []
    clips: list[str] = []
    for path in files:
        try:
            found = read_elan(path, labels=labels, taxonomy=taxonomy, on_fault=on_fault)
            if found.clips[0] in clips:
                raise MmadError(
                    f"{path}: another .eaf file annotates the clip {found.clips[0]!r} too; keep one of them",
                    kind="clip_in_splits",
                    clip=found.clips[0],
                )
        except MmadError as fault:
            fault.clip = fault.clip or path.stem
            on_fault(fault)
            continue
        clips += found.clips
        marks += found.marks
    return Annotations(marks, clips)


def read_boris_files(
    root: Path, taxonomy: Taxonomy | None, fps: float | None, on_fault: OnFault = refuse
) -> Annotations:
    """The one BORIS project of a folder, or else its one table of aggregated events; times are in seconds."""
    _need_no(fps)
    projects = sorted(root.glob("*.boris"))
    if projects:
        path = _only(projects, root, "*.boris", what="BORIS project")
    else:
        tables = [p for p in sorted(root.glob("*.csv")) + sorted(root.glob("*.tsv")) if p.name not in OWN_TABLES]
        if len(tables) != 1:
            raise MmadError(f"{root} holds {len(tables)} tables, expected a .boris project or one exported table")
        path = tables[0]
    return read_boris(path, on_fault=on_fault)


def _need_no(fps: float | None) -> None:
    if fps is not None:
        raise MmadError(f"data.source.fps={fps:g}: these annotations are in seconds; leave it out")


def _only(files: Sequence[Path], root: Path, pattern: str, *, what: str) -> Path:
    if len(files) != 1:
        named = ", ".join(path.name for path in files[:3]) or "none"
        raise MmadError(f"{root} holds {len(files)} files {pattern} ({named}), expected one {what}")
    return files[0]


def _joined(parts: Mapping[str, Annotations], *, on_fault: OnFault) -> Annotations:
    """Annotations of several splits as one."""
    split_of: dict[str, str] = {}
    for split, part in parts.items():
        for clip in part.clips:
            if clip in split_of:
                on_fault(
                    MmadError(
                        f"clip {clip!r} is in the tables {split_of[clip]}.csv and {split}.csv, expected one; remove it "
                        f"from the other",
                        kind="clip_in_splits",
                        clip=clip,
                    )
                )
                continue
            split_of[clip] = split
            if part.split_of.get(clip, split) != split:
                on_fault(
                    MmadError(
                        f"clip {clip!r} is in {split}.csv, whose column says {part.split_of[clip]}; make the two agree",
                        kind="disagreement",
                        clip=clip,
                    )
                )

    def every(name: str) -> Iterable:
        return (value for part in parts.values() for value in getattr(part, name))

    subjects = {clip: subject for part in parts.values() for clip, subject in part.subjects.items()}
    rates = {clip: rate for part in parts.values() for clip, rate in part.fps.items()}
    return Annotations(list(every("marks")), list(dict.fromkeys(every("clips"))), split_of, subjects, fps=rates)
