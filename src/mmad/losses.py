"""Losses of classes and boundaries, in float32 whatever the precision of the model.

Shape letters: B clips, P points, K classes, N positive points or matched queries.
"""

import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from mmad.segments import paired_tiou


def focal_loss(
    logits_BPK: Tensor,
    targets_BPK: Tensor,
    mask_BP: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    weight_K: Tensor | None = None,
    scale_BPK: Tensor | None = None,
) -> Tensor:
    """Sigmoid focal loss, summed over valid points and classes; soft targets mix the two cases linearly.

    Args:
        logits_BPK: (B, P, K).
        targets_BPK: (B, P, K) in [0, 1].
        mask_BP: (B, P) bool, True = counts.
        alpha: weight of positives; negatives have 1 - alpha.
        gamma: how much sure answers are discounted.
        weight_K: (K,) weight of each class's positives, beside alpha; negatives keep theirs. None for 1.
        scale_BPK: (B, P, K) weight of each point in each class. None for 1.

    Returns:
        Scalar float32.

    Source: Lin et al., "Focal loss for dense object detection" (ICCV 2017), equation 5.
    """
    loss_BPK = sigmoid_focal_loss(logits_BPK.float(), targets_BPK.float(), alpha=alpha, gamma=gamma)
    if weight_K is not None:
        loss_BPK = loss_BPK * (1 + targets_BPK.float() * (weight_K - 1))
    if scale_BPK is not None:
        loss_BPK = loss_BPK * scale_BPK
    return (loss_BPK * mask_BP[..., None]).sum()


def focal_cost(logits: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """How much more focal loss a class costs where it should be than where it should not be.

    Args:
        logits: any shape.
        alpha, gamma: see `focal_loss`.

    Returns:
        Like the logits, float32; the lower, the sooner a query should answer for the class.

    Source: Zhu et al., "Deformable DETR" (ICLR 2021), the matching cost of the authors' code.
    """
    logits = logits.float()
    present, absent = (
        sigmoid_focal_loss(logits, target, alpha=alpha, gamma=gamma)
        for target in (torch.ones_like(logits), torch.zeros_like(logits))
    )
    return present - absent


def smoothed(targets_BPK: Tensor, *, share: float) -> Tensor:
    """Class targets of which a share is spread evenly over the K classes and the background.

    Args:
        targets_BPK: (B, P, K) in [0, 1].
        share: in [0, 1); 0 changes nothing.

    Returns:
        (B, P, K): targets * (1 - share) + share / (K + 1).

    Source: Zhang et al., ActionFormer (ECCV 2022), `train_label_smoothing` of the authors' code; Szegedy et al.,
    "Rethinking the Inception architecture for
    computer vision" (CVPR 2016), section 7.

    >>> smoothed(torch.tensor([[[1.0, 0.0, 0.0]]]), share=0.2)
    tensor([[[0.8500, 0.0500, 0.0500]]])
    """
    return targets_BPK * (1 - share) + share / (targets_BPK.shape[-1] + 1)


def class_balanced_weights(counts_K: Tensor, *, beta: float) -> Tensor:
    """Weights of the classes' positives by the effective number of their instances, (1 - beta^n) / (1 - beta).

    The paper weighs a whole sample, in all K sigmoids, by its one class. Here a point weighs in the sigmoids of its own
    classes only. That raises the scores of rare classes just as well, since their positives gain against negatives. But
    a point may have several classes, and other classes than its own may go on there too, since it serves its shortest
    segment: as negatives of a rare class's point they would be pushed down with its large weight, wrongly.

    The paper's weights sum to K over the classes. Where some are much rarer than most, this leaves the frequent ones
    nearly no weight. Here the average instance has weight 1, so that the loss keeps its size beside the boundaries'.

    Args:
        counts_K: (K,) training instances of each class.
        beta: in [0, 1); 0 gives equal weights, and the nearer to 1, the nearer they come to 1 / n.

    Returns:
        (K,) float32, (1 - beta) / (1 - beta^n) scaled so that their mean over all instances is 1; 1 for a class without
        an instance.

    Source: Cui et al., "Class-balanced loss based on effective number of samples" (CVPR 2019), sections 3
    and 4, with the two differences above.

    >>> class_balanced_weights(torch.tensor([1, 2, 0]), beta=0.5)
    tensor([1.2857, 0.8571, 1.0000])
    """
    counts_K = counts_K.double()
    known_K = counts_K > 0
    # 1 - beta^n without the digits that 1 - (almost 1) loses.
    weight_K = 1 / -torch.expm1(counts_K.clamp(min=1) * torch.tensor(beta, dtype=torch.float64).log())
    scale = counts_K.sum() / (counts_K * weight_K).sum()
    return torch.where(known_K, weight_K * scale, 1.0).float()


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


def tiou_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - tIoU, pair by pair; segments that do not meet have no gradient.

    Args:
        predicted: (..., 2) start and end.
        target: (..., 2) start and end, same unit; leading axes broadcast.

    Returns:
        (...) float32 in [0, 1].

    >>> tiou_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 3.0]]))
    tensor([0.6667])
    """
    return 1 - paired_tiou(predicted.float(), target.float())


def l1_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Distance of two centres plus difference of two lengths, pair by pair.

    Args:
        predicted: (..., 2) start and end.
        target: (..., 2) start and end, same unit; leading axes broadcast.

    Returns:
        (...) float32, in the unit of the segments.

    Source: Liu et al., "End-to-end temporal action detection with transformer" (TIP 2022), the authors' code.

    >>> l1_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 5.0]]))
    tensor([4.])
    """
    start, end = (predicted.float() - target.float()).unbind(-1)
    return ((start + end) / 2).abs() + (end - start).abs()
