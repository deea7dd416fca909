"""MMA-52 as released: one CSV file per split, one row per instance, times in frames.

Two releases exist. One has ids that begin with the subject (`001_01_0001_A`) and no frame rate; the other has
ids such as `train0000` and the column `fps`. Its test file holds placeholders in place of instances.
"""

import math
import re
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from mmad.annotations import Clip, Instance
from mmad.errors import MmadError, OnFault
from mmad.formats.fields import is_ignored, label_index, real_number, whole_number
from mmad.formats.table import read_text, table_rows
from mmad.formats.videos import find_videos, subfolders
from mmad.taxonomy import MMA52, Taxonomy
from mmad.timebase import frame_to_seconds

_COLUMNS = ("video_id", "start_frame", "end_frame", "class", "total_frames")
_PLACEHOLDER = (0, 20)
_WITH_SUBJECT = re.compile(r"([0-9]+)_[0-9]+_[0-9]+")


@dataclass
class AnnotatedClip:
    """What the CSV file says of one clip.

    Args:
        frames: number of raw frames.
        fps: raw frames per second, None where the file does not say.
        rows: (start frame, end frame, class index) of each instance.
        lines: line of the file that each instance is from.
    """

    frames: int
    fps: float | None
    rows: list[tuple[int, int, int]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def instances(self, fps: float, *, end_inclusive: bool) -> tuple[Instance, ...]:
        """The instances in seconds."""
        last = int(end_inclusive)
        return tuple(
            Instance(frame_to_seconds(start, fps), frame_to_seconds(end + last, fps), label)
            for start, end, label in self.rows
        )


def read_mma52(
    root: Path,
    split: str,
    *,
    taxonomy: Taxonomy = MMA52,
    fps: Callable[[Path], float] | float | None = None,
    end_inclusive: bool = False,
    require_videos: bool = True,
    exclude: Collection[str] = (),
) -> list[Clip]:
    """The clips of one split, in the order of its file.

    Args:
        root: folder with `annotations/<split>.csv` (or `<split>.csv`) and the videos `<split>/<id>.mp4` (or
            `<id>.mp4`, or either one folder deeper).
        split: `train`, `val` or `test`.
        taxonomy: the classes.
        fps: frames per second of clips whose file lacks the column `fps`: a number, or a function that asks
            the video.
        end_inclusive: whether the end frame belongs to the action, so that it ends at (end + 1) / fps.
            Published results use end / fps.
        require_videos: whether every video must be there; without, a missing one gets the path where it
            should be.
        exclude: ids of clips to leave out; nothing is asked of their rows and videos.

    Returns:
        One clip per video id; `subject` is known where the id begins with it.

    Raises:
        MmadError: a folder, file, column or video is missing, or a row cannot be right.
    """
    root = Path(root)
    if not root.is_dir():
        raise MmadError(f"{root} is not a folder; give the one that holds annotations/{split}.csv and the videos")
    source = annotation_file(root, split)
    annotated = read_annotation_csv(source, taxonomy=taxonomy, end_inclusive=end_inclusive, exclude=exclude)
    videos = find_videos(annotated, video_places(root, split))

    # A probe needs the video, required or not.
    probed = [clip for clip, known in annotated.items() if known.fps is None and callable(fps)]
    absent = [clip for clip in (annotated if require_videos else probed) if clip not in videos]
    if absent:
        named = ", ".join(f"{clip}.mp4" for clip in absent[:3]) + (", ..." if len(absent) > 3 else "")
        raise MmadError(
            f"{len(absent)} of {len(annotated)} videos of {source} are absent from {root}: {named}; "
            f"put them into {root / split}"
        )
    clips = []
    for clip, known in annotated.items():
        path = videos.get(clip, root / split / f"{clip}.mp4")
        rate = fps(path) if known.fps is None and callable(fps) else known.fps or fps
        rate = _checked_fps(rate, source=source, clip=clip)  # type: ignore[arg-type]
        instances = known.instances(rate, end_inclusive=end_inclusive)
        clips.append(Clip(clip, path, subject_of(clip), rate, known.frames, instances))
    return clips


def read_annotation_csv(
    path: Path,
    *,
    taxonomy: Taxonomy,
    end_inclusive: bool = False,
    ignore_labels: Collection[str] = (),
    exclude: Collection[str] = (),
    on_fault: OnFault | None = None,
) -> dict[str, AnnotatedClip]:
    """What an annotation file of either release says of each clip, in frames.

    Placeholders of the test file (every clip one row from frame 0 to 20) are dropped with a warning.

    Args:
        path: the CSV file.
        taxonomy: the classes.
        end_inclusive: whether the end frame belongs to the action; it must then be less than the number of
            frames.
        ignore_labels: names of classes whose rows are left out; their clips stay.
        exclude: ids of clips to leave out, whatever their rows hold.
        on_fault: told of each row that cannot be right, which is left out. None refuses the file after its last row,
            naming the first fault and the number of the others.

    Raises:
        MmadError: the file or a column is missing, or a row cannot be right.
    """
    clips: dict[str, AnnotatedClip] = {}
    faults: list[MmadError] = []
    note = on_fault or faults.append
    for line, row in table_rows(read_text(path), columns=_COLUMNS, source=str(path), on_fault=note):
        if row["video_id"] in exclude:
            continue
        try:
            _add_row(
                clips,
                row,
                line=line,
                where=f"{path}, line {line}",
                taxonomy=taxonomy,
                end_inclusive=end_inclusive,
                ignored=ignore_labels,
            )
        except MmadError as fault:
            fault.clip = row["video_id"]
            note(fault)
    if faults:
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise MmadError(f"{first}{more}", kind=first.kind, clip=first.clip)
    if not clips and not exclude:
        raise MmadError(f"{path} has a header and no rows; check the download")
    if clips and all([row[:2] for row in clip.rows] == [_PLACEHOLDER] for clip in clips.values()):
        warnings.warn(f"{path} holds placeholders, not instances: its clips have no ground truth", stacklevel=2)
        for clip in clips.values():
            clip.rows.clear()
            clip.lines.clear()
    return clips


def _add_row(
    clips: dict[str, AnnotatedClip],
    row: dict[str, str],
    *,
    line: int,
    where: str,
    taxonomy: Taxonomy,
    end_inclusive: bool,
    ignored: Collection[str],
) -> None:
    """Adds one row to its clip; raises MmadError if it cannot be right."""
    if not row["video_id"].strip():
        raise MmadError(f"{where}: video_id is empty, expected the id of a clip; complete or remove the row")
    start, end, frames = (
        whole_number(row[name], what=name, where=where) for name in ("start_frame", "end_frame", "total_frames")
    )
    fps = real_number(row["fps"], what="fps", where=where) if "fps" in row else None
    if frames <= 0:
        raise MmadError(f"{where}: total_frames is {frames}, expected more than 0; correct the row")
    # A rate next to 0 would make infinite seconds.
    if fps is not None and not (fps > 0 and frames / fps < math.inf):
        raise MmadError(f"{where}: fps is {fps:g}, expected more than 0; correct the row")
    # A clip whose rows are all faulty is none: it would read as a clip in which nothing happens.
    clip = clips.get(row["video_id"], AnnotatedClip(frames, fps))
    if (clip.frames, clip.fps) != (frames, fps):
        name, here, before = ("total_frames", frames, clip.frames) if clip.frames != frames else ("fps", fps, clip.fps)
        raise MmadError(
            f"{where}: {name} of clip {row['video_id']!r} is {here}, an earlier row says {before}; make its rows agree",
            kind="disagreement",
        )
    if start < 0:
        raise MmadError(f"{where}: start_frame is {start}, expected 0 or more; correct the row", kind="segment")
    if start >= end:
        raise MmadError(
            f"{where}: start_frame {start} is not before end_frame {end}; correct the row",
            kind="segment",
        )
    last = frames - int(end_inclusive)
    if end > last:
        raise MmadError(
            f"{where}: end_frame is {end}, expected at most {last} of {frames} frames; correct the row",
            kind="beyond",
        )
    if is_ignored(row["class"], ignored=ignored, taxonomy=taxonomy):
        clips[row["video_id"]] = clip
        return
    label = label_index(row["class"], taxonomy=taxonomy, where=where)
    clips[row["video_id"]] = clip
    clip.rows.append((start, end, label))
    clip.lines.append(line)


def video_places(root: Path, split: str) -> tuple[list[Path], ...]:
    """Groups of folders in which videos of a split may lie, the likeliest first."""
    return [root / split], [root], subfolders(root / split), subfolders(root)


def annotation_files(root: Path, split: str) -> tuple[Path, Path]:
    """Where the CSV file of a split may lie, the likelier place first."""
    return root / "annotations" / f"{split}.csv", root / f"{split}.csv"


def annotation_file(root: Path, split: str) -> Path:
    """The CSV file of a split.

    Raises:
        MmadError: it is in neither place.
    """
    candidates = annotation_files(root, split)
    for path in candidates:
        if path.is_file():
            return path
    others = sorted(path.name for folder in (root / "annotations", root) for path in folder.glob("*.csv"))
    raise MmadError(
        f"{candidates[0]} does not exist, nor does {candidates[1]}; CSV files there: "
        f"{', '.join(others) or 'none'}; put the annotation file there or choose another split"
    )


def _checked_fps(fps: float | None, *, source: Path, clip: str) -> float:
    """Frames per second of a clip; raises MmadError if unknown or impossible."""
    if fps is None:
        raise MmadError(
            f"{source} has no column 'fps', so frames of clip {clip!r} cannot become seconds; "
            "give fps as a number (30 for most clips, 29 for some) or read it from the videos"
        )
    if not fps > 0:
        raise MmadError(f"fps of clip {clip!r} is {fps}, expected more than 0; check the video")
    return float(fps)


def subject_of(clip: str) -> str | None:
    """The subject that an id begins with, None where it does not; widths vary, so `07` and `007` are the same.

    >>> subject_of("007_01_0001_A"), subject_of("val0000")
    ('7', None)
    """
    match = _WITH_SUBJECT.match(clip)
    return (match[1].lstrip("0") or "0") if match else None
