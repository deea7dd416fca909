"""Which videos are still to be seen, by which names, and whose files must stay."""

import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from mmad.data.header import forget, header, of_no_data_set
from mmad.errors import MmadError
from mmad.formats.annotated import check_name
from mmad.formats.labels import read_taxonomy, write_taxonomy
from mmad.prediction.files import ENDINGS, is_combined, told_of
from mmad.taxonomy import Taxonomy

COMBINED = "predictions.json"
"""Holds the detections of all videos, as `mmad-eval` and `mmad-view` read them."""

LABELS = "labels.csv"

_DELAY = 0.05
"""Seconds between the beginnings of sound and picture that are worth a word."""


def named(places: Mapping[Path, str]) -> dict[str, Path]:
    """Videos by a name of their own: their place without the ending, unless two differ in it alone.

    Args:
        places: of the videos, below what was asked for.

    Raises:
        MmadError: the results of two videos would have one name.

    >>> list(named({Path("lab/a/x.mp4"): "a/x.mp4", Path("lab/y.avi"): "y.avi", Path("lab/y.mov"): "y.mov"}))
    ['a/x', 'y.avi', 'y.mov']
    """
    short = {path: place.removesuffix(path.suffix) for path, place in places.items()}
    # In lower case, since a file system may not tell. This command writes two files of its own.
    times = Counter([*(name.lower() for name in short.values()), Path(COMBINED).stem, Path(LABELS).stem])
    names = {path: name if times[name.lower()] == 1 else places[path] for path, name in short.items()}
    written: dict[str, Path] = {}
    for path, name in names.items():
        for ending in ENDINGS:
            other = written.setdefault(f"{name}{ending}".lower(), path)
            if other != path:
                raise MmadError(
                    f"{path} and {other} would both give {name}{ending}; rename one, or name one of them alone with "
                    f"another output=..."
                )
    return {name: path for path, name in names.items()}


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        left: videos without results, by name.
        seconds: how long each of them is.
        faults: why others cannot be read, by name.
    """

    left: dict[str, Path]
    seconds: dict[str, float]
    faults: dict[str, str]

    def share(self, rank: int, ranks: int) -> dict[str, Path]:
        """The videos of one process: the longest first, each to who has least so far."""
        loads, mine = [0.0] * ranks, []
        for name in sorted(self.left, key=lambda name: -self.seconds[name]) if ranks > 1 else self.left:
            least = loads.index(min(loads))
            loads[least] += self.seconds[name]
            if least == rank:
                mine.append(name)
        return {name: self.left[name] for name in mine}


def planned(videos: Mapping[str, Path], output: Path, *, taxonomy: Taxonomy, made_by: Mapping[str, Any]) -> Plan:
    """Looks what is left to be done, and keeps the files of others.

    Args:
        videos: by name.
        output: folder of the results.
        taxonomy: the detector's classes; a table of them is written where there is none.
        made_by: `checkpoint` and `threshold` of the results.

    Raises:
        MmadError: results of another detector, threshold or video, or files that are none of ours, are there.
    """
    _check_own_files(output, taxonomy)
    left = {name: path for name, path in videos.items() if _is_left(name, path, output, made_by=made_by)}
    seconds: dict[str, float] = {}
    faults: dict[str, str] = {}
    for name, path in tqdm(left.items(), desc="open videos", unit="video", leave=False):
        try:
            check_name(path.stem, what="name", where=str(path))
            known = header(path)
        except (MmadError, OSError) as error:
            faults[name] = fault_of(error, path)
            continue
        seconds[name] = known.duration
        if known.delay > _DELAY:
            late = f"its picture begins {known.delay:.2f} s after its sound; times count from the picture"
            tqdm.write(f"warning: {path}: {late}", file=sys.stderr)
        forget()
    return Plan({name: path for name, path in left.items() if name not in faults}, seconds, faults)


def _check_own_files(output: Path, taxonomy: Taxonomy) -> None:
    """Sees to the two files of all videos.

    Raises:
        MmadError: a file of that name is there that this command did not write, or wrote for other classes.
    """
    combined, labels = output / COMBINED, output / LABELS
    if combined.exists() and not is_combined(combined):
        raise MmadError(f"{combined} exists and was not written by mmad-predict; choose another output=...")
    if not labels.exists():
        write_taxonomy(labels, taxonomy)
    elif read_taxonomy(labels) != taxonomy:
        raise MmadError(f"{labels} exists and holds other classes than the checkpoint; choose another output=...")


def _is_left(name: str, path: Path, output: Path, *, made_by: Mapping[str, Any]) -> bool:
    """Whether the results of a video are not there yet, or are of another state of it.

    Raises:
        MmadError: others are there.
    """
    results = output / f"{name}.json"
    if not results.exists():
        for other in (output / f"{name}{ending}" for ending in ENDINGS):
            if other.exists():
                raise MmadError(f"{other} exists and was not written by mmad-predict; choose another output=...")
        return True
    told = told_of(results)
    for what, said in (("checkpoint", "by another checkpoint"), ("threshold", "with another threshold")):
        if told[what] != made_by[what]:
            raise MmadError(f"{results} was made {said}; choose another output=..., or delete that folder")
    if told["video"]["path"] != _place(path, output):
        raise MmadError(f"{results} is of another video, {told['video']['path']}; choose another output=...")
    try:
        return told["unfinished"] or told["video"] != state_of(path, output)
    except OSError:
        return True


def fault_of(error: MmadError | OSError, path: Path) -> str:
    """The sentence on a faulty video, for which there are no annotations here."""
    if isinstance(error, MmadError):
        return str(of_no_data_set(error))
    return f"{path}: this video cannot be read ({error.strerror or error})"


def _place(path: Path, output: Path) -> str:
    """Where a video lies, as seen from the output."""
    try:
        return Path(os.path.relpath(path.resolve(), output.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()


def state_of(path: Path, output: Path) -> dict[str, Any]:
    """Where a video lies, and what changes when it does."""
    known = path.stat()
    return {
        "path": _place(path, output),
        "bytes": known.st_size,
        "changed_ns": known.st_mtime_ns,
    }
