"""Losses of classes and boundaries, in float32 whatever the precision of the model.

Shape letters: B clips, P points, K classes, N positive points.
"""

import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss


def focal_loss(
    logits_BPK: Tensor, targets_BPK: Tensor, mask_BP: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Sigmoid focal loss, summed over valid points and classes; soft targets mix the two cases linearly.

    Args:
        logits_BPK: (B, P, K).
        targets_BPK: (B, P, K) in [0, 1].
        mask_BP: (B, P) bool, True = counts.
        alpha: weight of positives; negatives have 1 - alpha.
        gamma: how much sure answers are discounted.

    Returns:
        Scalar float32.

    Source: Lin et al., "Focal loss for dense object detection" (ICCV 2017), equation 5.
    """
    loss_BPK = sigmoid_focal_loss(logits_BPK.float(), targets_BPK.float(), alpha=alpha, gamma=gamma)
    return (loss_BPK * mask_BP[..., None]).sum()


def diou_loss(predicted_N2: Tensor, target_N2: Tensor, *, eps: float = 1e-8) -> Tensor:
    """1 - tIoU + squared distance of the centres in lengths of the enclosing segment, pair by pair.

    Neither unit nor origin matter: distances (left, right) from a common point go in as (-left, right).

    Args:
        predicted_N2: (N, 2) start and end.
        target_N2: (N, 2) start and end, same unit.
        eps: lower bound of the lengths that divide.

    Returns:
        (N,) float32 in [0, 2].

    Source: Zheng et al., "Distance-IoU loss" (AAAI 2020), equation 7, in one dimension.

    >>> diou_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 4.0]]))
    tensor([1.2500])
    """
    start_N, end_N = predicted_N2.float().unbind(1)
    true_start_N, true_end_N = target_N2.float().unbind(1)
    overlap_N = (torch.minimum(end_N, true_end_N) - torch.maximum(start_N, true_start_N)).clamp(min=0)
    union_N = (end_N - start_N) + (true_end_N - true_start_N) - overlap_N
    enclosing_N = torch.maximum(end_N, true_end_N) - torch.minimum(start_N, true_start_N)
    shift_N = (start_N + end_N - true_start_N - true_end_N) / 2
    return 1 - overlap_N / union_N.clamp(min=eps) + (shift_N / enclosing_N.clamp(min=eps)).square()
