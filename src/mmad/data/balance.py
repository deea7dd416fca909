"""How often classes occur among the training clips, and how often clips of rare classes are shown for it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmad.annotations import Clip
from mmad.errors import MmadError


def class_counts(clips: Sequence[Clip], *, classes: int) -> Tensor:
    """How many instances each class has.

    Args:
        clips: the training clips.
        classes: K.

    Returns:
        (K,) long.
    """
    labels = torch.tensor([instance.label for clip in clips for instance in clip.instances], dtype=torch.long)
    return labels.bincount(minlength=classes)


def repeat_share(threshold: object) -> float:
    """The threshold of `repeat_factors`.

    Raises:
        MmadError: it is no share of the clips.
    """
    # A configuration can hold anything, and its true is no number.
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise MmadError(
            f"data.repeat_threshold={threshold}: give a share of the clips in (0, 1], such as 0.05, or null."
        )
    return threshold


def repeat_factors(clips: Sequence[Clip], *, threshold: float) -> Tensor:
    """How many times each clip is shown in an epoch, on average: more than once if it holds a rare class.

    A class that a share f of the clips hold has the factor max(1, sqrt(threshold / f)), and a clip the greatest factor
    of its classes. A clip without an instance is shown once.

    Args:
        clips: the training clips.
        threshold: share of the clips, in (0, 1], below which a class is rare.

    Returns:
        (N,) float64, each at least 1.

    Raises:
        MmadError: the threshold is no such share.

    Source: Gupta et al., "LVIS: a dataset for large vocabulary instance segmentation" (CVPR 2019), repeat factor
    sampling, after Mahajan et al. (ECCV 2018).
    """
    threshold = repeat_share(threshold)
    labels_of = [{instance.label for instance in clip.instances} for clip in clips]
    holding: dict[int, int] = {}
    for labels in labels_of:
        for label in labels:
            holding[label] = holding.get(label, 0) + 1
    factor_of = {label: max(1.0, (threshold * len(clips) / number) ** 0.5) for label, number in holding.items()}
    factors = [max((factor_of[label] for label in labels), default=1.0) for labels in labels_of]
    return torch.tensor(factors, dtype=torch.float64)
