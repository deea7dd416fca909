"""Ground truth to evaluate against, from an annotation file alone: no video is opened."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmad.annotations import Truth
from mmad.errors import MmadError
from mmad.formats.activitynet import read_truth
from mmad.formats.mma52 import read_annotation_csv, subject_of
from mmad.formats.table import read_text
from mmad.formats.videos import find_videos, subfolders
from mmad.taxonomy import Taxonomy


def read_ground_truth(
    path: Path,
    *,
    taxonomy: Taxonomy,
    subset: str | None = None,
    fps: float | None = None,
    end_inclusive: bool = False,
    ignore_labels: Sequence[str] = (),
    videos: Path | None = None,
) -> list[Truth]:
    """Ground truth of each clip from a released CSV file or a JSON file in ActivityNet's layout.

    Args:
        path: the file; which of the two it is, is seen from its content.
        taxonomy: the classes.
        subset: the part of a JSON file to take, such as `validation`; a CSV file is one split.
        fps: frames per second for a CSV file without the column `fps`.
        end_inclusive: for a CSV file, whether the end frame belongs to the action.
        ignore_labels: labels whose instances are left out, such as `Ambiguous` of THUMOS14; they need not be in
            the taxonomy, and their clips stay.
        videos: folder with `<id>.mp4`, or one folder deeper; clips whose video is not there have none.

    Returns:
        One entry per clip in the file's order; the subject is known where the file or the id says it, the
        duration of a JSON file where it says it.

    Raises:
        MmadError: the file is missing or faulty, its frames cannot become seconds, or `videos` is no folder.
    """
    path = Path(path)
    if read_text(path).lstrip().startswith(("{", "[")):
        truths = read_truth(path, taxonomy=taxonomy, subset=subset, ignore_labels=ignore_labels)
    else:
        truths = _from_csv(path, taxonomy=taxonomy, fps=fps, end_inclusive=end_inclusive, ignored=ignore_labels)
    return truths if videos is None else _with_videos(truths, Path(videos))


def _from_csv(
    path: Path, *, taxonomy: Taxonomy, fps: float | None, end_inclusive: bool, ignored: Sequence[str]
) -> list[Truth]:
    marked = read_annotation_csv(path, taxonomy=taxonomy, end_inclusive=end_inclusive, ignore_labels=ignored)
    truths = []
    for clip, known in marked.items():
        rate = known.fps or fps
        if rate is None:
            raise MmadError(
                f"{path} has no column 'fps', so its frames cannot become seconds; give fps, "
                "such as the 30 that published results assume"
            )
        if rate <= 0:
            raise MmadError(f"fps is {rate:g}, expected more than 0; give the frame rate of {path}")
        instances = known.instances(rate, end_inclusive=end_inclusive)
        truths.append(Truth(clip, instances, known.frames / rate, subject_of(clip)))
    return truths


def _with_videos(truths: list[Truth], folder: Path) -> list[Truth]:
    if not folder.is_dir():
        raise MmadError(f"{folder} is not a folder; give the one that holds the videos, or none")
    found = find_videos((truth.id for truth in truths), ([folder], subfolders(folder)))
    return [replace(truth, video=found.get(truth.id)) for truth in truths]
