"""MA-52 as released: one list per split, a trimmed clip and the one action that it shows per line."""

import csv
import io
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.fields import whole_number
from mmad.formats.named_table import clip_id
from mmad.formats.table import read_text
from mmad.formats.videos import subfolders
from mmad.formats.whole_file import write_whole
from mmad.taxonomy import MMA52, Taxonomy


class Listed(NamedTuple):
    """What a list says of one clip.

    Args:
        label: action class index, None where the list keeps it back.
        line: of the list.
    """

    label: int | None
    line: int


def read_list(
    path: Path, *, hidden: bool = False, exclude: Collection[str] = (), on_fault: OnFault = refuse
) -> dict[str, Listed]:
    """The clips of a list, by id, in its order: lines such as `0003_01_0005.mp4 8`.

    The classes are those of MMA-52. The labels of the test split are kept back: its list has none, or one and the same
    placeholder on every line, which is dropped with a warning; -1 is one wherever it stands.

    Args:
        path: the list.
        hidden: whether it is of a split whose labels may be kept back.
        exclude: ids of clips to leave out, whatever their lines hold.
        on_fault: told of lines that cannot be right, which are left out.

    Raises:
        MmadError: the file is missing, or names no clip.
    """
    lines = [(number, line.split()) for number, line in enumerate(read_text(path).splitlines(), start=1)]
    lines = [(number, fields) for number, fields in lines if fields]
    labels = {fields[-1] for _, fields in lines if len(fields) == 2}
    kept_back = hidden and len(lines) > 1 and len(labels) == 1 and all(len(fields) == 2 for _, fields in lines)
    if kept_back:
        warnings.warn(f"{path} holds placeholders, not labels: its clips have no ground truth", stacklevel=2)
    lines = [(number, fields) for number, fields in lines if clip_id(fields[0]) not in exclude]
    clips: dict[str, Listed] = {}
    for number, fields in lines:
        where, clip = f"{path}, line {number}", clip_id(fields[0])
        try:
            if len(fields) > 2 or (len(fields) == 1 and not hidden):
                raise MmadError(
                    f"{where}: {' '.join(fields)[:80]!r} has {len(fields)} fields, expected the name of a video and "
                    f"the index of its action, such as 0003_01_0005.mp4 8; correct or remove the line"
                )
            if clip in clips:
                raise MmadError(
                    f"{where}: clip {clip!r} is in line {clips[clip].line} too, expected one line; remove one of them",
                    kind="clip_in_splits",
                )
            told = None if kept_back or fields[1:] in ([], ["-1"] if hidden else []) else fields[1]
            label = None if told is None else _label(told, where=where)
        except MmadError as fault:
            fault.clip = clip
            on_fault(fault)
            continue
        clips[clip] = Listed(label, number)
    if not lines and not exclude:
        raise MmadError(f"{path} names no clip; check the download")
    return clips


def _label(text: str, *, where: str) -> int:
    label = whole_number(text, what="the index of the action", where=where)
    if not 0 <= label < len(MMA52.actions):
        raise MmadError(
            f"{where}: the index of the action is {label}, expected 0 to {len(MMA52.actions) - 1}; correct the line",
            kind="label",
        )
    return label


def list_files(root: Path, split: str) -> tuple[Path, Path]:
    """Where the list of a split may lie: in the folder of the data set, or in its `annotations/`."""
    name = f"{split}_list_videos.txt"
    return root / name, root / "annotations" / name


def list_file(root: Path, split: str) -> Path:
    """The list of a split.

    Raises:
        MmadError: it is in neither place.
    """
    for path in list_files(root, split):
        if path.is_file():
            return path
    first, second = list_files(root, split)
    others = sorted(path.name for folder in (root, root / "annotations") for path in folder.glob("*.txt"))
    raise MmadError(
        f"{first} does not exist, nor does {second}; text files there: {', '.join(others) or 'none'}; put the list of "
        f"the split there (lines such as 0003_01_0005.mp4 8), or choose another split",
        kind="missing_split",
    )


def video_places(root: Path, split: str) -> tuple[list[Path], ...]:
    """Groups of folders in which videos of a split may lie, the likeliest first."""
    own = [root / f"videos_{split}", root / split]
    return [own[0]], [own[1]], [root], [inner for folder in own for inner in subfolders(folder)], subfolders(root)


def write_recognition(path: Path, found: Sequence[tuple[str, int]], *, taxonomy: Taxonomy) -> None:
    """Writes one recognised action per video in the layout that the challenge takes.

    Args:
        path: the CSV file with the columns `id`, `pred_label_1` (body group) and `pred_label_2` (action).
        found: file name of each video and its action class index.
        taxonomy: gives the body group of each action.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "pred_label_1", "pred_label_2"))
    writer.writerows((name, taxonomy.body_of[label], label) for name, label in found)
    write_whole(path, text.getvalue().encode())
