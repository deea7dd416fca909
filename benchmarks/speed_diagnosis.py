"""Times evaluation and error analysis on one core, beside plain loops: `python benchmarks/speed_diagnosis.py`.

Data are those of `speed_average_precision.py`: 104,000 predictions on 1,479 clips, the size of MMA-52's validation
split. The loops go class by class and prediction by prediction: they look up the instances of the clip, compute their
tIoU, sort it, and walk through thresholds and instances. The frame loop keeps instances in a pandas frame grouped by
clip, as the published evaluations of ActivityNet, OpenTAD and PointTAD do; the array loop in numpy arrays; the list
loop in Python lists by clip. All must give the same result. Ratios are of one run, in one thread.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from speed_average_precision import CLIPS, drawn_rows

from mmad.average_precision import TIOU_THRESHOLDS, average_precision
from mmad.diagnosis import compare, diagnose, measure
from mmad.matching import Rows, without_duplicates
from mmad.taxonomy import MMA52

Look = Callable[[int, np.ndarray], list[tuple[float, int]]]
Near = Callable[[Rows], Look]

AT_LEAST, ANALYSED, LIMIT_SECONDS = 100, 50_000, 3.0


def by_loop(predictions: Rows, truth: Rows, *, classes: int, near: Near) -> np.ndarray:
    """(K, T) average precision, class by class and prediction by prediction.

    Args:
        predictions, truth: what to match.
        classes: K.
        near: given the ground truth of a class, a function of clip and segment to (tIoU, row) pairs, best first.
    """
    truth = without_duplicates(truth)
    result = np.full((classes, len(TIOU_THRESHOLDS)), np.nan)
    for label in range(classes):
        mine = truth.take(truth.label == label)
        if not len(mine):
            continue
        look = near(mine)
        chosen = np.flatnonzero(predictions.label == label)
        order = chosen[np.argsort(-predictions.score[chosen], kind="stable")]
        hits = np.zeros((len(order), len(TIOU_THRESHOLDS)))
        taken = np.zeros((len(TIOU_THRESHOLDS), len(mine)), dtype=bool).tolist()
        for place, row in enumerate(order.tolist()):
            found = look(int(predictions.clip[row]), predictions.segment[row])
            for t, threshold in enumerate(TIOU_THRESHOLDS):
                for overlap, other in found:
                    if overlap < threshold:
                        break
                    if not taken[t][other]:
                        taken[t][other] = True
                        hits[place, t] = 1
                        break
        precision = hits.cumsum(axis=0) / np.arange(1, len(order) + 1)[:, None]
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        result[label] = (envelope * hits).sum(axis=0) / len(mine)
    return result


def by_frames(mine: Rows) -> Look:
    """Instances of a clip by pandas' groups, their tIoU by numpy."""
    frame = pd.DataFrame({"clip": mine.clip, "start": mine.segment[:, 0], "end": mine.segment[:, 1]})
    groups = frame.reset_index().groupby("clip")

    def look(clip: int, segment: np.ndarray) -> list[tuple[float, int]]:
        try:
            of_clip = groups.get_group(clip).reset_index(drop=True)
        except KeyError:
            return []
        return _best_first(segment, of_clip[["start", "end"]].values, of_clip["index"].values)

    return look


def by_arrays(mine: Rows) -> Look:
    """Instances of a clip by mask, their tIoU by numpy."""

    def look(clip: int, segment: np.ndarray) -> list[tuple[float, int]]:
        rows = np.flatnonzero(mine.clip == clip)
        if not len(rows):
            return []
        return _best_first(segment, mine.segment[rows], rows)

    return look


def _best_first(segment: np.ndarray, others: np.ndarray, rows: np.ndarray) -> list[tuple[float, int]]:
    start, end = np.maximum(segment[0], others[:, 0]), np.minimum(segment[1], others[:, 1])
    inter = np.clip(end - start, 0, None)
    union = (segment[1] - segment[0]) + (others[:, 1] - others[:, 0]) - inter
    overlap = inter / np.maximum(union, 1e-8)
    best = np.argsort(overlap, kind="stable")[::-1]
    return list(zip(overlap[best].tolist(), rows[best].tolist(), strict=True))


def by_lists(mine: Rows) -> Look:
    """Instances of a clip by dictionary, their tIoU one by one."""
    of_clip: dict[int, list[tuple[float, float, int]]] = defaultdict(list)
    for row, (clip, (start, end)) in enumerate(zip(mine.clip.tolist(), mine.segment.tolist(), strict=True)):
        of_clip[clip].append((start, end, row))

    def look(clip: int, segment: np.ndarray) -> list[tuple[float, int]]:
        if clip not in of_clip:
            return []
        first, last = segment.tolist()
        found = []
        for start, end, row in of_clip[clip]:
            inter = max(0.0, min(end, last) - max(start, first))
            found.append((inter / max((end - start) + (last - first) - inter, 1e-8), row))
        return sorted(found, reverse=True)

    return look


def seconds(work, *, repeats: int) -> tuple[float, object]:
    """Least CPU seconds of some runs, and the result."""
    best, result = np.inf, None
    for _ in range(repeats):
        begin = time.process_time()
        result = work()
        best = min(best, time.process_time() - begin)
    return best, result


def main() -> None:
    predictions, truth = drawn_rows()
    classes = len(MMA52.actions)
    fast, found = seconds(lambda: average_precision(predictions, truth, classes=classes), repeats=5)
    slow = {}
    for name, near in (("frame", by_frames), ("array", by_arrays), ("list", by_lists)):
        loop = partial(by_loop, predictions, truth, classes=classes, near=near)
        slow[name], expected = seconds(loop, repeats=1)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    print(f"{len(predictions):,} predictions, {len(truth):,} instances, {CLIPS:,} clips, 9 thresholds: {fast:.3f} s")
    for name, took in slow.items():
        print(f"{name} loop {took:.2f} s: {took / fast:.0f} times as long")

    some = predictions.take(np.sort(np.random.default_rng(0).permutation(len(predictions))[:ANALYSED]))
    lengths = np.full(CLIPS, 14.0)
    subjects = [str(clip % 37) for clip in range(CLIPS)]
    analysis, _ = seconds(lambda: diagnose(some, truth, taxonomy=MMA52, durations=lengths), repeats=3)
    print(f"full error analysis of {ANALYSED:,} predictions, both levels: {analysis:.2f} s")
    numbers, _ = seconds(lambda: measure(predictions, truth, taxonomy=MMA52, subjects=subjects), repeats=2)
    print(f"numbers of {len(predictions):,} with 1,000 bootstrap draws, both levels: {numbers:.2f} s")
    paired, _ = seconds(lambda: compare(some, predictions, truth, taxonomy=MMA52, subjects=subjects), repeats=2)
    print(f"paired comparison of {ANALYSED:,} with {len(predictions):,}, 1,000 draws: {paired:.2f} s")
    if slow["frame"] < AT_LEAST * fast or analysis >= LIMIT_SECONDS:
        raise SystemExit(f"expected the frame loop {AT_LEAST} times as long, and the analysis in {LIMIT_SECONDS} s")


if __name__ == "__main__":
    main()
