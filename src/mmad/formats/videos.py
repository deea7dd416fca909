"""Finds video files: of each clip by its id, and those that files, folders and patterns name."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmad.errors import MmadError, OnFault, refuse

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".ts", ".mts", ".m2ts"),
    *(".3gp", ".flv", ".ogv", ".vob", ".mxf", ".asf"),
)
"""Endings of video files, in lower case."""


def subfolders(folder: Path) -> list[Path]:
    """The folders right inside a folder, sorted; none if it does not exist."""
    return sorted(inner for inner in folder.iterdir() if inner.is_dir()) if folder.is_dir() else []


def all_folders(root: Path) -> list[Path]:
    """A folder and all in it, behind links too, sorted; a folder that is reached in two ways counts once."""
    seen: set[str] = set()
    found: list[Path] = []
    for place, inner, _ in os.walk(root, followlinks=True):
        inner[:] = sorted(name for name in inner if os.path.realpath(os.path.join(place, name)) not in seen)
        seen.update(os.path.realpath(os.path.join(place, name)) for name in inner)
        found.append(Path(place))
    return found


def named_videos(names: Iterable[str]) -> dict[Path, str]:
    """The videos that files, folders and patterns name, each once.

    Args:
        names: a file, whatever its ending; a folder, of which all videos count, those in folders within too; or a
            pattern such as `talks/*.mp4`.

    Returns:
        Each video, and its place below the folder, or below what comes before the first sign of the pattern.

    Raises:
        MmadError: a name stands for no video.
    """
    found: dict[Path, str] = {}
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            root = path
            inside = [each for folder in all_folders(path) for each in sorted(folder.iterdir())]
            inside = [each for each in inside if each.suffix.lower() in SUFFIXES]
        elif path.is_file():
            root, inside = path.parent, [path]
        else:
            root = next((each for each in path.parents if not glob.has_magic(str(each))), Path())
            inside = [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]
        inside = [each for each in inside if each.is_file()]
        if not inside:
            raise MmadError(
                f"videos={name}: there is no video ({', '.join(SUFFIXES)}); name a file, a folder or a pattern such as "
                f"'talks/*.mp4'"
            )
        for each in inside:
            found.setdefault(each, each.relative_to(root).as_posix())
    return found


def find_videos(ids: Iterable[str], places: Sequence[Sequence[Path]], *, on_fault: OnFault = refuse) -> dict[str, Path]:
    """The video of each clip: the file of its name, with one of the endings `SUFFIXES`.

    Folders are listed, not asked for a name: a case-insensitive file system would hand out another clip's
    video, since ids of MMA-52 may differ by letter case alone.

    Args:
        ids: clip ids.
        places: groups of folders, the likeliest group first; a later one is searched only for what is still
            missing.
        on_fault: told of clips with two files, which then have none.

    Returns:
        Path of each clip that was found: exact case first, otherwise a match in another case, if it is the
        only one and no other clip's own.
    """
    wanted = dict.fromkeys(ids)
    found: dict[str, Path] = {}
    strays: dict[str, dict[Path, None]] = {}
    torn: set[str] = set()
    for folders in places:
        if len(found) == len(wanted):
            break
        here: dict[str, Path] = {}
        for path in _videos(folders):
            name = path.name[: -len(path.suffix)]
            if name not in wanted:
                strays.setdefault(name.lower(), {})[path] = None
            elif name in found:
                continue
            elif name in here:
                torn.add(name)
                on_fault(_ambiguous(name, here[name], path))
            else:
                here[name] = path
        found |= here
    for clip in wanted:
        matches = list(strays.get(clip.lower(), ()))
        if clip in found or not matches:
            continue
        if len(matches) > 1:
            torn.add(clip)
            on_fault(_ambiguous(clip, *matches[:2]))
            continue
        found[clip] = matches[0]
    return {clip: path for clip, path in found.items() if clip not in torn}


def _videos(folders: Iterable[Path]) -> Iterable[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _ambiguous(clip: str, first: Path, second: Path) -> MmadError:
    return MmadError(
        f"clip {clip!r} could be {first} or {second}, expected one video; rename or remove the wrong one",
        kind="two_videos",
        clip=clip,
    )
