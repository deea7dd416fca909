"""Brings predictions and ground truth of the same clips together."""

from collections.abc import Mapping, Sequence

from mmad.errors import MmadError
from mmad.segments import Segments, empty_segments

UNKNOWN = ("error", "ignore", "count")


def pair_up(
    predictions: Mapping[str, Segments], clips: Sequence[str], *, unknown: str = "error"
) -> tuple[dict[str, Segments], list[str]]:
    """Predictions of the clips of a ground truth, in its order, and sentences on what did not fit.

    Args:
        predictions: predictions of each clip; a clip that is missing here gets none.
        clips: ids of the ground truth's clips.
        unknown: what happens to predictions for other clips: "error"; "ignore" leaves them out; "count" appends their
            clips, where all of them are false positives.

    Raises:
        MmadError: predictions are for a clip that the ground truth does not know, or `unknown` is none of these.
    """
    if unknown not in UNKNOWN:
        raise MmadError(f"unknown_clips={unknown}: choose {', '.join(UNKNOWN)}.")
    known, notes = dict.fromkeys(clips), []
    others = [clip for clip in predictions if clip not in known]
    if others and unknown == "error":
        raise MmadError(
            f"predictions are for clip {others[0]!r}, which the ground truth lacks ({len(others)} of "
            f"{len(predictions)} clips); evaluate against the split that was predicted, or use unknown_clips=ignore"
        )
    if others:
        how = "were left out" if unknown == "ignore" else "count as false positives"
        notes.append(
            f"{len(others)} of {len(predictions)} predicted clips are not in the ground truth, the first is "
            f"{others[0]!r}; their predictions {how}."
        )
    missing = [clip for clip in clips if clip not in predictions]
    if missing:
        notes.append(
            f"{len(missing)} of {len(clips)} clips have no predictions, the first is {missing[0]!r}; their actions "
            f"count as missed (of a file with several splits, evaluate one by subset)."
        )
    chosen = [*clips, *(others if unknown == "count" else [])]
    return {clip: predictions.get(clip, empty_segments(scored=True)) for clip in chosen}, notes
