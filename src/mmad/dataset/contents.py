"""The clips of a data set by split, from its annotations alone where these suffice."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

from tqdm.auto import tqdm

from mmad.annotations import Clip, Truth
from mmad.data.sources.source import SPLITS, Source
from mmad.formats.marks import truths_of

UNSPLIT = "all clips"
"""Name of the only part of a data set whose clips have no splits yet."""


def clips_by_split(source: Source) -> dict[str, Sequence[Clip | Truth]]:
    """The clips of each split; videos are opened only where the annotations do not say how long every clip is.

    Warns if the data set has no splits, and makes it one part.

    Args:
        source: of the data set.

    Returns:
        The usual splits first, others in the order of their first clip.

    Raises:
        MmadError: the annotations are faulty, only some clips have a split, or a video that is needed is absent.
    """
    known = source.annotations
    if source.dealt:
        split_of = source.split_of
    else:
        warnings.warn(f"{source.root}: clips have no splits, so all are counted as one part", stacklevel=2)
        split_of = dict.fromkeys(known.clips, UNSPLIT)
    truths = truths_of(known.marks, taxonomy=source.taxonomy, clips=known.clips, durations=known.durations)
    truths = [replace(truth, subject=truth.subject or known.subjects.get(truth.id)) for truth in truths]
    there = dict.fromkeys(split_of[truth.id] for truth in truths)
    parts: dict[str, list[Clip | Truth]] = {part: [] for part in (*SPLITS, *there) if part in there}
    for clip in _with_lengths(truths, source):
        parts[split_of[clip.id]].append(clip)
    return dict(parts)


def _with_lengths(truths: Sequence[Truth], source: Source) -> Sequence[Clip | Truth]:
    """Clips with the length of a frame where that is known, otherwise with their own length only."""
    frames, fps = source.annotations.frames, source.annotations.fps
    if all(truth.duration is not None for truth in truths):
        # The path is where a video would be; nobody opens it.
        return [
            Clip(t.id, source.root / f"{t.id}.mp4", t.subject, fps[t.id], frames[t.id], t.instances)
            if t.id in frames and t.id in fps
            else t
            for t in truths
        ]
    videos, found = source.videos, []
    for truth in tqdm(truths, desc="open videos", unit="clip", leave=False):
        header = source.manifest.header(videos[truth.id])
        found.append(Clip(truth.id, videos[truth.id], truth.subject, header.fps, header.frames, truth.instances))
    return found
