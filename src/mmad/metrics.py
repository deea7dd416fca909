"""Detection-mAP as a torchmetrics metric, and of predictions that are at hand as a whole."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from mmad.average_precision import MMAD, DetectionReport, Protocol, detection_map
from mmad.matching import Rows
from mmad.pairing import pair_up
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy

_RANK_BITS = 40
_COLUMNS = {"seen": 2, "predictions": 6, "truths": 5}


class DetectionMAP(Metric):
    """Detection-mAP of actions and body groups over all clips of a split.

    The result does not depend on how clips are spread over batches and processes. A clip that comes again
    (samplers repeat clips to make ranks even) is ignored: the lowest rank's first update counts. Call
    `update`, then `compute` on every rank, then `reset`.

    Args:
        taxonomy: names of the classes and the body group of each.
        protocol: how to count.

    >>> from mmad.taxonomy import MMA52
    >>> metric = DetectionMAP(MMA52)
    >>> truth = {"segments": torch.tensor([[0.0, 2.0]]), "labels": torch.tensor([9])}
    >>> found = {"segments": torch.tensor([[0.0, 1.5]]), "labels": torch.tensor([9]), "scores": torch.tensor([0.8])}
    >>> metric.update([found], [truth], clip_ids=[0])
    >>> metric.compute()["action"]["map"]["0.7"]
    100.0
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    seen: list[Tensor]
    predictions: list[Tensor]
    truths: list[Tensor]

    def __init__(self, taxonomy: Taxonomy, *, protocol: Protocol = MMAD) -> None:
        super().__init__()
        self.taxonomy = taxonomy
        self.protocol = protocol
        self._turn = 0
        # Rows are int64, real numbers as the bits of their float64: no rounding, and MPS has no float64.
        for name in _COLUMNS:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, preds: list[Segments], targets: list[Segments], clip_ids: Sequence[int]) -> None:
        """Adds clips, each whole: merge the windows of a clip first.

        Args:
            preds: predictions of each clip, seconds, with scores.
            targets: ground truth of each clip, seconds.
            clip_ids: number of each clip, unique in the split.
        """
        for pred, target, clip in zip(preds, targets, clip_ids, strict=True):
            key = [int(clip), _rank() << _RANK_BITS | self._turn]
            self._turn += 1  # not reset: torchmetrics' `forward` resets and merges states in between
            self.seen.append(torch.tensor([key], device=self.device))
            times = pred["segments"].detach().cpu().double()
            scores = pred["scores"].detach().cpu().double()
            self.predictions.append(self._pack(key, pred["labels"], torch.cat([times, scores[:, None]], dim=1)))
            self.truths.append(self._pack(key, target["labels"], target["segments"].detach().cpu().double()))

    def compute(self) -> DetectionReport:
        """The report of `detection_map` over every clip seen, in percent.

        Raises:
            MmadError: no ground truth was seen, or a score is NaN.
        """
        seen = self._rows("seen").cpu().numpy()
        seen = seen[np.lexsort((seen[:, 1], seen[:, 0]))]
        _, first = np.unique(seen[:, 0], return_index=True)
        winners = seen[first, 1]
        return detection_map(
            _unpack(self._rows("predictions"), winners),
            _unpack(self._rows("truths"), winners),
            taxonomy=self.taxonomy,
            protocol=self.protocol,
        )

    def _pack(self, key: list[int], labels: Tensor, reals: Tensor) -> Tensor:
        """Rows (clip, turn, label, bits of the reals) on the metric's device."""
        labels = labels.detach().cpu().long()
        keys = torch.tensor([key]).expand(len(labels), 2)
        return torch.cat([keys, labels[:, None], reals.contiguous().view(torch.int64)], dim=1).to(self.device)

    def _rows(self, name: str) -> Tensor:
        """A state as one tensor, be it a list, an empty list or already gathered."""
        state = getattr(self, name)
        if isinstance(state, Tensor):
            return state
        return torch.cat([self._no_rows(name), *state])

    def _no_rows(self, name: str) -> Tensor:
        return torch.zeros(0, _COLUMNS[name], dtype=torch.int64, device=self.device)

    def _sync_dist(self, dist_sync_fn: Callable = gather_all_tensors, process_group: Any | None = None) -> None:
        """Gathers the states; a rank without clips takes part with empty rows of the right shape and type."""
        for name in _COLUMNS:
            if not len(getattr(self, name)):
                setattr(self, name, [self._no_rows(name)])
        super()._sync_dist(dist_sync_fn, process_group)


def evaluate_predictions(
    predictions: Mapping[str, Segments],
    ground_truth: Mapping[str, Segments],
    *,
    taxonomy: Taxonomy,
    protocol: Protocol = MMAD,
) -> DetectionReport:
    """Detection-mAP of predictions by clip, such as a file holds.

    Args:
        predictions: predictions of each clip in seconds, with scores; a clip that is missing here has none.
        ground_truth: ground truth of each clip in seconds.
        taxonomy: names of the classes and the body group of each.
        protocol: how to count.

    Returns:
        The report of `detection_map`, in percent.

    Raises:
        MmadError: predictions are for a clip that the ground truth does not know, or as in `detection_map`.
    """
    table, notes = pair_up(predictions, list(ground_truth))
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return detection_map(
        Rows.of(list(table.values())), Rows.of(list(ground_truth.values())), taxonomy=taxonomy, protocol=protocol
    )


def _rank() -> int:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if ready else 0


def _unpack(packed: Tensor, winners: np.ndarray) -> Rows:
    """Rows of the updates that count, by clip: so ties in score do not depend on the order of updates."""
    packed = packed.cpu()
    packed = packed[torch.isin(packed[:, 1], torch.from_numpy(winners))]
    packed = packed[packed[:, 0].argsort(stable=True)]
    reals = packed[:, 3:].contiguous().view(torch.float64).numpy()
    scores = reals[:, 2] if reals.shape[1] == 3 else None
    return Rows(packed[:, 0].numpy(), packed[:, 2].numpy(), reals[:, :2], scores)
