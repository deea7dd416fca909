"""Settings with several runs: means and draws as of single runs, and the permutation test against evaluating anew."""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy import stats

from arrays import THREE
from mmad.average_precision import MMAD, detection_map
from mmad.diagnosis import compare, measure
from mmad.diagnosis.repeats import _averages, _exchanged, _of_runs, repeated
from mmad.errors import MmadError
from mmad.matching import Rows

CLIPS = 40
SUBJECTS = [f"s{clip // 8}" for clip in range(CLIPS)]


def ground_truth() -> Rows:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 8, 3 * CLIPS)
    return Rows(np.arange(3 * CLIPS) // 3, rng.integers(0, 3, 3 * CLIPS), np.stack([start, start + 2], axis=1))


def run(seed: int, spread: float) -> Rows:
    """Every instance, found with a spread of its ends in seconds."""
    truth, rng = ground_truth(), np.random.default_rng(seed)
    off = rng.normal(0, spread, truth.segment.shape)
    return Rows(truth.clip, truth.label, np.sort(truth.segment + off, axis=1), rng.random(len(truth)))


def compared(settings, **options):
    return repeated(settings, ground_truth(), taxonomy=THREE, **{"subjects": SUBJECTS, "draws": 300, **options})


def test_runs_are_measured_as_single_ones():
    runs = [run(1, 0.4), run(2, 0.5), run(3, 0.6)]
    reached, contrasts = compared({"only": runs}, baseline="only")
    assert contrasts == {}
    reports = [detection_map(each, ground_truth(), taxonomy=THREE) for each in runs]
    values = {
        "action": [report["action"]["avg"] for report in reports],
        "body": [report["body"]["avg"] for report in reports],
        "avg": [report["avg"] for report in reports],
    }
    for level, expected in values.items():
        assert reached["only"][level]["runs"] == pytest.approx(expected)
        assert reached["only"][level]["mean"] == pytest.approx(np.mean(expected))
        assert reached["only"][level]["deviation"] == pytest.approx(np.std(expected, ddof=1))


def test_a_single_run_has_the_intervals_of_measure_and_compare():
    first, second = run(1, 0.5), run(2, 0.3)
    reached, contrasts = compared({"a": [first], "b": [second]}, baseline="a")
    single = measure(first, ground_truth(), taxonomy=THREE, subjects=SUBJECTS, draws=300)
    assert reached["a"]["avg"]["interval"] == pytest.approx(single["interval"])
    assert reached["a"]["avg"]["deviation"] is None
    paired = compare(first, second, ground_truth(), taxonomy=THREE, subjects=SUBJECTS, draws=300)["avg"]
    assert contrasts["b"]["avg"]["difference"] == pytest.approx(paired["difference"])
    assert contrasts["b"]["avg"]["interval"] == pytest.approx(paired["interval"])


def test_runs_that_differ_widen_the_interval_by_students_t():
    alike, unlike = [run(1, 0.5)] * 3, [run(1, 0.5), run(2, 0.46), run(3, 0.54)]
    reached, contrasts = compared({"alike": alike, "unlike": unlike}, baseline="alike")
    people = np.diff(reached["alike"]["avg"]["interval"])[0] / 2
    values = reached["unlike"]["avg"]["runs"]
    runs = (np.mean(values) - stats.ttest_1samp(values, 0).confidence_interval(0.95).low).item()
    assert runs > people
    whole = np.diff(reached["unlike"]["avg"]["interval"])[0] / 2
    assert runs < whole < runs + people + 1
    low, high = contrasts["unlike"]["avg"]["interval"]
    assert 2 * runs < high - low < 2 * (runs + people + 1)


def test_spread_of_runs_is_that_of_welchs_test():
    first, second = np.array([60.1, 61.0, 62.3]), np.array([58.0, 63.5])
    known = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert _of_runs(first, second) == pytest.approx((known.high - known.low) / 2)
    known = stats.ttest_1samp(first, 0).confidence_interval(0.95)
    assert _of_runs(first) == pytest.approx((known.high - known.low) / 2)
    assert _of_runs(first, second[:1]) == 0


def test_intervals_hold_the_truth_when_trainings_vary():
    """Settings of one law, trained three times, over and over: 95 % of the intervals of their difference hold 0."""
    people, rng = [str(clip) for clip in range(CLIPS)], np.random.default_rng(7)
    held = []
    for trial in range(60):
        spreads = rng.uniform(0.2, 0.8, (2, 3))
        sides = {
            name: [run(1000 * trial + n, spread) for n, spread in enumerate(row)]
            for name, row in zip("ab", spreads, strict=True)
        }
        _, contrasts = compared(sides, baseline="a", subjects=people, draws=60)
        low, high = contrasts["b"]["avg"]["interval"]
        held.append(low <= 0 <= high)
    assert np.mean(held) > 0.87  # three standard deviations below 0.95


@pytest.mark.parametrize("runs", [(1, 1), (2, 2), (3, 2)])
def test_exchanges_equal_evaluating_the_mixtures_anew(runs):
    """All 2^5 ways to exchange five people against building the mixed predictions."""
    ways = np.array(list(itertools.product([0, 1], repeat=5)), dtype=np.float64)
    first, second = [run(n, 0.5) for n in range(runs[0])], [run(n + 9, 0.4) for n in range(runs[1])]
    subject_of = np.array([int(name[1]) for name in SUBJECTS])
    measured = partial(_averages, taxonomy=THREE, protocol=MMAD)
    found = _exchanged(first, second, measured=measured, truth=ground_truth(), unit_of=subject_of, side_DU=ways)

    def mixed(stays: Rows, comes: Rows, way) -> float:
        kept, taken = way[subject_of[stays.clip]] == 1, way[subject_of[comes.clip]] == 0
        parts = (stays.take(kept), comes.take(taken))
        rows = Rows(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("clip", "label", "segment", "score")))
        return detection_map(rows, ground_truth(), taxonomy=THREE)["avg"]

    pairs = list(zip(first, second, strict=False)) if runs[0] == runs[1] else list(itertools.product(first, second))
    expected = [np.mean([mixed(b, a, way) - mixed(a, b, way) for a, b in pairs]) for way in ways]
    assert found[2] == pytest.approx(np.array(expected))
    assert np.abs(found[2]).max() > 0.1
    # Nobody exchanged: what is seen.
    mean_of = [
        np.mean([detection_map(r, ground_truth(), taxonomy=THREE)["avg"] for r in side]) for side in (first, second)
    ]
    assert found[2][ways.sum(axis=1) == 5] == pytest.approx(mean_of[1] - mean_of[0])


def test_equal_settings_give_p_one_and_clearly_unequal_ones_the_smallest_p():
    same, worse = [run(1, 0.4), run(2, 0.4)], [run(3, 1.5), run(4, 1.5)]
    people = [f"s{clip // 2}" for clip in range(CLIPS)]
    _, contrasts = compared({"a": same, "same": same, "worse": worse}, baseline="a", subjects=people)
    assert contrasts["same"]["avg"]["difference"] == 0
    assert contrasts["same"]["avg"]["p"] == 1
    low, high = contrasts["same"]["avg"]["interval"]
    assert low == pytest.approx(-high)  # people cancel, what is left is the spread of the runs
    assert contrasts["worse"]["avg"]["difference"] < -20
    assert contrasts["worse"]["avg"]["p"] == pytest.approx(1 / 301)


def test_p_is_uniform_where_settings_are_alike():
    """Two sets of runs with the same spread, again and again: p falls below a quarter about a quarter of the time."""
    people = [str(clip) for clip in range(CLIPS)]
    values = []
    for trial in range(60):
        pair = {"a": [run(100 + 2 * trial, 0.5)], "b": [run(101 + 2 * trial, 0.5)]}
        _, contrasts = compared(pair, baseline="a", subjects=people, draws=99)
        values.append(contrasts["b"]["avg"]["p"])
    below = np.mean(np.array(values) <= 0.25)
    assert 0.08 < below < 0.42  # four standard deviations of a share of 60
    assert np.mean(values) == pytest.approx(0.5, abs=0.15)


def test_one_person_gives_neither_interval_nor_p():
    reached, contrasts = compared({"a": [run(1, 0.4)], "b": [run(2, 0.4)]}, baseline="a", subjects=["x"] * CLIPS)
    assert reached["a"]["avg"]["interval"] is None
    assert contrasts["b"]["avg"]["interval"] is None
    assert contrasts["b"]["avg"]["p"] is None


def test_wrong_settings_are_named():
    with pytest.raises(MmadError, match="no setting 'c' to compare with; choose one of a, b"):
        compared({"a": [run(1, 0.4)], "b": [run(1, 0.4)]}, baseline="c")
    with pytest.raises(MmadError, match="setting 'b' has no run"):
        compared({"a": [run(1, 0.4)], "b": []}, baseline="a")
