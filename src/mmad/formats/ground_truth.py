"""Ground truth to evaluate against, from an annotation file alone: no video is opened."""

from pathlib import Path

from mmad.annotations import as_segments
from mmad.errors import MmadError
from mmad.formats.activitynet import read_instances
from mmad.formats.mma52 import read_annotation_csv
from mmad.formats.table import read_text
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy


def read_ground_truth(
    path: Path,
    *,
    taxonomy: Taxonomy,
    subset: str | None = None,
    fps: float | None = None,
    end_inclusive: bool = False,
) -> dict[str, Segments]:
    """Ground truth of each clip from a released CSV file or a JSON file in ActivityNet's layout.

    Args:
        path: the file; which of the two it is, is seen from its content.
        taxonomy: the classes.
        subset: the part of a JSON file to take, such as `validation`; a CSV file is one split.
        fps: frames per second for a CSV file without the column `fps`.
        end_inclusive: for a CSV file, whether the end frame belongs to the action.

    Returns:
        Segments of each clip, float64 in seconds.

    Raises:
        MmadError: the file is missing or faulty, or its frames cannot become seconds.
    """
    path = Path(path)
    if read_text(path).lstrip().startswith(("{", "[")):
        marked = read_instances(path, taxonomy=taxonomy, subset=subset)
        return {clip: as_segments(instances) for clip, instances in marked.items()}
    truth = {}
    for clip, known in read_annotation_csv(path, taxonomy=taxonomy, end_inclusive=end_inclusive).items():
        rate = known.fps or fps
        if rate is None:
            raise MmadError(
                f"{path} has no column 'fps', so its frames cannot become seconds; give fps, "
                "such as the 30 that published results assume"
            )
        truth[clip] = as_segments(known.instances(rate, end_inclusive=end_inclusive))
    return truth
