"""The metric gives one result however clips are spread over updates and processes."""

import multiprocessing
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing

from mmad.average_precision import Protocol, detection_map
from mmad.errors import MmadError
from mmad.matching import Rows
from mmad.metrics import DetectionMAP, evaluate_predictions
from mmad.segments import Segments, empty_segments
from mmad.taxonomy import MMA52

CLIPS = 7


def drawn(clip: int) -> tuple[Segments, Segments]:
    """Predictions and ground truth of a clip, with many ties; clip 3 lacks the first, clip 5 the second."""
    rng = torch.Generator().manual_seed(clip)
    start = torch.rand(6, 1, generator=rng) * 10
    target: Segments = {
        "segments": torch.cat([start, start + 1 + torch.rand(6, 1, generator=rng)], dim=1),
        "labels": torch.randint(0, 4, (6,), generator=rng),
    }
    moved = target["segments"].repeat(3, 1) + 0.3 * torch.randn(18, 2, generator=rng)
    pred: Segments = {
        "segments": moved.sort(dim=1).values,
        "labels": torch.randint(0, 4, (18,), generator=rng),
        "scores": torch.randint(1, 4, (18,), generator=rng) / 4,
    }
    if clip == 3:
        pred = empty_segments(scored=True)
    return pred, empty_segments() if clip == 5 else target


def fed(metric: DetectionMAP, *batches: list[int]) -> DetectionMAP:
    for batch in batches:
        preds, targets = zip(*(drawn(clip) for clip in batch), strict=True)
        metric.update(list(preds), list(targets), batch)
    return metric


def expected_report():
    """All clips in order, straight into the pure function."""
    sides = []
    for side in (0, 1):
        parts = [drawn(clip)[side] for clip in range(CLIPS)]
        counts = [len(part["labels"]) for part in parts]
        sides.append(
            Rows(
                np.repeat(np.arange(CLIPS), counts),
                torch.cat([part["labels"] for part in parts]).numpy(),
                torch.cat([part["segments"] for part in parts]).double().numpy(),
                None if side else torch.cat([part["scores"] for part in parts]).double().numpy(),
            )
        )
    return detection_map(*sides, taxonomy=MMA52)


def test_equals_the_pure_function():
    report = fed(DetectionMAP(MMA52), [0, 1, 2], [3, 4], [5, 6]).compute()
    assert report == expected_report()
    assert 0 < report["avg"] < 100


def test_batches_and_order_do_not_matter():
    assert fed(DetectionMAP(MMA52), [6], [4, 0, 5], [3, 2, 1]).compute() == expected_report()


def test_clip_seen_before_is_ignored():
    metric = fed(DetectionMAP(MMA52), [0, 1, 2, 1], [3, 4, 5, 6], [0])
    # Other content under a known id is ignored as well.
    metric.update([drawn(6)[0]], [drawn(4)[1]], torch.tensor([2]))
    assert metric.compute() == expected_report()


def test_known_clip_stays_known_if_its_first_update_was_empty():
    metric = fed(DetectionMAP(MMA52), list(range(CLIPS)))
    metric.update([drawn(0)[0]], [drawn(0)[1]], [3])
    metric.update([drawn(0)[0]], [drawn(0)[1]], [5])
    assert metric.compute() == expected_report()


def test_forward_gathers_as_update_does():
    metric = DetectionMAP(MMA52)
    for batch in ([0, 1], [2, 3, 1], [4, 5, 6]):
        preds, targets = zip(*(drawn(clip) for clip in batch), strict=True)
        metric(list(preds), list(targets), batch)
    assert metric.compute() == expected_report()


def test_reset_forgets_clips():
    metric = fed(DetectionMAP(MMA52), list(range(CLIPS)))
    metric.reset()
    assert fed(metric, [2, 4], [0, 1, 3, 5, 6]).compute() == expected_report()


def test_numbers_keep_float64_and_half_inputs_are_accepted():
    # A tIoU of exactly 0.3 must not be lost, and bfloat16 must not be what is stored.
    target: Segments = {
        "segments": torch.tensor([[0.0, 10.0]], dtype=torch.float64),
        "labels": torch.tensor([9]),
    }
    pred: Segments = {
        "segments": torch.tensor([[0.0, 3.0]], dtype=torch.bfloat16),
        "labels": torch.tensor([9]),
        "scores": torch.tensor([0.5], dtype=torch.half, requires_grad=True),
    }
    metric = DetectionMAP(MMA52, protocol=Protocol((0.3,))).half()
    metric.update([pred], [target], [0])
    assert metric.compute()["action"]["map"] == {"0.3": 100}


def test_no_ground_truth_is_an_error_and_not_nan():
    metric = fed(DetectionMAP(MMA52), [5])
    with pytest.raises(MmadError, match="no instance"):
        metric.compute()


def test_nothing_seen_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns of a compute without update
        with pytest.raises(MmadError, match="no instance"):
            DetectionMAP(MMA52).compute()


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="zip"):
        DetectionMAP(MMA52).update([drawn(0)[0]], [drawn(0)[1]], [0, 1])


def worker(rank: int, folder: str) -> None:
    """One of two processes; what it computes goes into a file."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    reports = []
    # Clip 2 on both ranks; a rank without any clip; a rank whose only clip lacks predictions.
    for shards in (([0, 2, 4, 6, 3], [1, 5, 2]), ([], range(CLIPS)), ([0, 1, 2, 4, 5, 6], [3])):
        metric = DetectionMAP(MMA52)
        for clip in shards[rank]:
            preds, targets = drawn(clip)
            if clip == 2 and clip in shards[0] and rank == 1:
                preds = drawn(6)[0]  # ignored: the lower rank's rows count
            metric.update([preds], [targets], [clip])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a rank without clips computes before any update
            reports.append(metric.compute())
        assert len(metric.seen) == len(shards[rank])  # unsynced again
    torch.save(reports, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_report_of_one(tmp_path):
    # A fork server imports torchmetrics once for both, which takes most of the time.
    multiprocessing.set_forkserver_preload(["torchmetrics"])
    torch.multiprocessing.start_processes(worker, args=(str(tmp_path),), nprocs=2, start_method="forkserver")
    expected = expected_report()
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt") == [expected] * 3


def named(side: int) -> dict[str, Segments]:
    return {f"clip{clip}": drawn(clip)[side] for clip in range(CLIPS)}


def test_predictions_by_name():
    assert evaluate_predictions(named(0), named(1), taxonomy=MMA52) == expected_report()


def test_clip_without_predictions_is_missed_with_a_warning():
    some = named(0)
    del some["clip3"]  # which has none anyway
    with pytest.warns(UserWarning, match="1 of 7 clips have no predictions, the first is 'clip3'"):
        assert evaluate_predictions(some, named(1), taxonomy=MMA52) == expected_report()


def test_predictions_of_an_unknown_clip_are_an_error():
    more = named(0) | {"clip77": drawn(0)[0]}
    with pytest.raises(MmadError, match=r"clip 'clip77', which the ground truth lacks \(1 of 8 clips\); evaluate"):
        evaluate_predictions(more, named(1), taxonomy=MMA52)
