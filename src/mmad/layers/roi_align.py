"""RoIAlign over time: features of fixed length of segments of any length.

Shape letters: B clips, T feature steps, C channels, Q segments, N bins of a segment.
"""

from math import ceil

import torch
from torch import Tensor

from mmad.layers.interpolation import hats


def roi_align_1d(x_BTC: Tensor, mask_BT: Tensor, spans_BQ2: Tensor, *, bins: int) -> Tensor:
    """Means of the features in equal parts of a segment, interpolated linearly between steps.

    A segment shorter than a step is taken to be a step long from its start on. Beyond a clip's last valid step that
    step goes on, so that padding is never read. Up to a window's end this is torchvision's `roi_align` on a picture of
    height 1, as a product with a matrix, which sums its gradients in a fixed order on every device.

    Args:
        x_BTC: (B, T, C), finite where the mask is False.
        mask_BT: (B, T) bool, True = valid step; valid steps come first.
        spans_BQ2: (B, Q, 2) start and end in [0, valid steps], where step i lies at i; they get no gradient.
        bins: N.

    Returns:
        (B, Q, C, N).

    Source: He et al., "Mask R-CNN" (ICCV 2017), section 3, in one dimension.
    """
    steps = x_BTC.shape[1]
    with torch.no_grad():
        last_B111 = (mask_BT.sum(dim=1) - 1).to(x_BTC)[:, None, None, None]
        # Spans that are no numbers are told by the loss, not by a crash here.
        start_BQ, end_BQ = spans_BQ2.to(x_BTC).nan_to_num().unbind(-1)
        bin_BQ = (end_BQ - start_BQ).clamp(min=1) / bins
        # A bin is read once for each step that it is long, or has begun to be.
        samples_BQ11 = bin_BQ.ceil()[..., None, None]
        share_BQ1k = (torch.arange(ceil(steps / bins), device=x_BTC.device) + 0.5) / samples_BQ11
        place_BQNk = torch.arange(bins, device=x_BTC.device)[:, None] + share_BQ1k
        place_BQNk = start_BQ[..., None, None] + place_BQNk * bin_BQ[..., None, None]
        counts_BQ1k = (share_BQ1k < 1) / samples_BQ11
        weight_BQNT = torch.zeros((*start_BQ.shape, bins, steps), dtype=x_BTC.dtype, device=x_BTC.device)
        for place_BQN, count_BQ1 in zip(place_BQNk.minimum(last_B111).unbind(-1), counts_BQ1k.unbind(-1), strict=True):
            weight_BQNT += hats(place_BQN, steps) * count_BQ1[..., None]
    return (weight_BQNT.flatten(1, 2) @ x_BTC).unflatten(1, (-1, bins)).mT
