"""From segments to labels of single feature steps, and from scores of single steps back to segments.

A step i spans [i, i + 1): it belongs to an instance if its middle, i + 0.5, does, and a run of steps spans all of them.

Shape letters: B clips, T feature steps, K classes, M ground-truth instances, H thresholds, R runs.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmad.segments import Segments


def padded_targets(targets: list[Segments], *, classes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The instances of all clips side by side, with one row more than any clip has.

    Args:
        targets: ground truth of B clips, in feature steps.
        classes: K.

    Returns:
        (B, M, 2) float segments and (B, M, K) float one-hot classes, which are zero in rows without an instance.
    """
    segments_BM2 = pad_sequence([target["segments"].float() for target in targets], batch_first=True)
    labels_BM = pad_sequence([target["labels"] for target in targets], batch_first=True, padding_value=classes)
    one_hot_BMK = F.one_hot(F.pad(labels_BM, (0, 1), value=classes), classes + 1)[..., :-1].float()
    return F.pad(segments_BM2, (0, 0, 0, 1)).to(device), one_hot_BMK.to(device)


def frame_labels(targets: list[Segments], mask_BT: Tensor, *, classes: int) -> Tensor:
    """Which classes are performed at each feature step.

    An instance that lies between the middles of two steps has the step nearest to its own middle; of two as near, the
    later one.

    Args:
        targets: ground truth of B clips, in feature steps.
        mask_BT: (B, T) bool, True = valid step.
        classes: K.

    Returns:
        (B, T, K) float, 0 or 1; 0 where the mask is False.
    """
    segments_BM2, one_hot_BMK = padded_targets(targets, classes=classes, device=mask_BT.device)
    middle_T = torch.arange(mask_BT.shape[1], device=mask_BT.device) + 0.5
    start_BM1, end_BM1 = segments_BM2[..., None].unbind(2)
    inside_BMT = (start_BM1 <= middle_T) & (middle_T < end_BM1)
    offset_BMT = middle_T - (start_BM1 + end_BM1) / 2
    nearest_BMT = (offset_BMT > -0.5) & (offset_BMT <= 0.5)
    belongs_BMT = inside_BMT | (nearest_BMT & ~inside_BMT.any(dim=2, keepdim=True))
    return highest(belongs_BMT.float(), one_hot_BMK) * mask_BT[..., None]


def highest(value_BMT: Tensor, one_hot_BMK: Tensor) -> Tensor:
    """(B, T, K): the highest value that any instance of a class has at a step, 0 without an instance.

    Args:
        value_BMT: (B, M, T) not below 0, of each instance at each step.
        one_hot_BMK: (B, M, K) class of each instance; M is 1 at least.
    """
    return (value_BMT[..., None] * one_hot_BMK[:, :, None]).amax(dim=1)


def moving_average(scores_KT: Tensor, *, taps: int) -> Tensor:
    """(K, T) means over each step and its neighbours; the first and the last step go on beyond the ends.

    Args:
        scores_KT: (K, T).
        taps: odd number of steps, 1 for no change.
    """
    half = taps // 2
    return F.avg_pool1d(F.pad(scores_KT[None], (half, half), mode="replicate"), taps, stride=1)[0]


def segments_of(
    scores_TK: Tensor, *, thresholds: Sequence[float], smoothing: int = 1, score_threshold: float = 0.0
) -> Segments:
    """The runs of steps that score at least as high as any of several thresholds, by how they stand out.

    A run's score is its mean less the mean of its flanks, a quarter of its length on either side. The mean alone would
    favour the tips of long runs, which high thresholds cut out. Flanks begin where smoothing no longer brings in what
    lies in the run: else runs that are too wide, whose flanks are free of it, come first. Beyond the clip's ends there
    is no flank, and without any flank nothing is taken off. A run that several thresholds have in common counts once.

    Args:
        scores_TK: (T, K) in [0, 1], of the valid steps of one clip; T is 1 at least.
        thresholds: H numbers in (0, 1].
        smoothing: odd number of steps whose mean replaces each score before all else; 1 for none.
        score_threshold: segments score more than this.

    Returns:
        Segments in feature steps within [0, T], best first; those of one class overlap.

    Source: Shou et al., AutoLoc (ECCV 2018), for the contrast of inside and outside.

    >>> segments_of(torch.tensor([[0.0], [0.5], [1.0], [0.5], [0.0]]), thresholds=(0.4, 0.9))["segments"]
    tensor([[1., 4.],
            [2., 3.]])
    """
    smooth_KT = moving_average(scores_TK.T, taps=smoothing)
    steps = smooth_KT.shape[1]
    above_KHT = smooth_KT[:, None] >= smooth_KT.new_tensor(thresholds)[:, None]
    change_KHT = F.pad(above_KHT.int(), (1, 1)).diff()
    # Both come class by class, threshold by threshold and in order of time, so that starts and ends are pairs.
    label_R, _, start_R = (change_KHT == 1).nonzero(as_tuple=True)
    end_R = (change_KHT == -1).nonzero(as_tuple=True)[2]
    label_R, start_R, end_R = torch.stack([label_R, start_R, end_R], dim=1).unique(dim=0).unbind(1)

    sums_KT = F.pad(smooth_KT.double().cumsum(dim=1), (1, 0))

    def total(first_R: Tensor, end_R: Tensor) -> Tensor:
        return sums_KT[label_R, end_R] - sums_KT[label_R, first_R]

    length_R = end_R - start_R
    flank_R, gap = (length_R // 4).clamp(min=1), smoothing // 2
    before_R, after_R = (start_R - gap).clamp(min=0), (end_R + gap).clamp(max=steps)
    first_R, last_R = (before_R - flank_R).clamp(min=0), (after_R + flank_R).clamp(max=steps)
    flanks_R = before_R - first_R + last_R - after_R
    outer_R = (total(first_R, before_R) + total(after_R, last_R)) / flanks_R.clamp(min=1)
    scores_R = (total(start_R, end_R) / length_R - outer_R).float()

    best = scores_R.argsort(descending=True, stable=True)
    best = best[scores_R[best] > score_threshold]
    segments_R2 = torch.stack([start_R, end_R], dim=1)[best].float()
    return {"segments": segments_R2, "labels": label_R[best], "scores": scores_R[best].clamp(max=1.0)}
