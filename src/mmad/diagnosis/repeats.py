"""Settings that were each trained several times: what they reach on average, and whether two of them differ.

Letters: R runs of a setting, D draws, U units (subjects or clips).
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypedDict

import numpy as np
from scipy.stats import t as student_t

from mmad.average_precision import MMAD, Protocol, levels
from mmad.diagnosis.numbers import DRAWS, units_of
from mmad.diagnosis.records import Interval
from mmad.diagnosis.uncertainty import draw_weights, interval, mean_of_classes, weighted_average_precision
from mmad.errors import MmadError
from mmad.matching import Integers, Reals, Rows
from mmad.taxonomy import Taxonomy

LEVELS = ("action", "body", "avg")


class Repeated(TypedDict):
    """What the runs of one setting reach, in percent.

    Args:
        runs: mean AP over thresholds and classes of each run.
        mean: of the runs.
        deviation: standard deviation of the runs; None for a single one.
        interval: 95 %, of the mean, were other people shown and, with two runs or more, the setting trained anew; None
            with fewer than two people.
    """

    runs: list[float]
    mean: float
    deviation: float | None
    interval: Interval | None


class Contrast(TypedDict):
    """How far two settings differ, in percent, the second minus the first.

    Args:
        difference: of the means over runs.
        interval: 95 %, paired in people, were others shown and, with two runs or more of each, both trained anew; None
            with fewer than two people.
        p: of these very runs: share of the random exchanges of the two settings' predictions, person by person, that
            give a difference as large as this one or larger, in either direction. Where trainings vary, it is small
            by luck of their seeds too; the interval is what speaks of settings. None with fewer than two people.
    """

    difference: float
    interval: Interval | None
    p: float | None


def repeated(
    settings: Mapping[str, Sequence[Rows]],
    ground_truth: Rows,
    *,
    taxonomy: Taxonomy,
    subjects: Sequence[str | None] | None = None,
    baseline: str,
    protocol: Protocol = MMAD,
    draws: int = DRAWS,
) -> tuple[dict[str, dict[str, Repeated]], dict[str, dict[str, Contrast]]]:
    """Means of settings over their runs with intervals, and their differences from a baseline.

    The bootstrap draws people, the same for all settings. Its intervals are widened by the spread of the runs, with
    Student's t for their small number, as independent errors add. The test exchanges the two settings' predictions for
    randomly chosen people and measures again (a permutation test of the runs that there are).

    Args:
        settings: by name, the scored rows of each run, clips numbered from 0 as in `ground_truth`.
        ground_truth: M rows with action labels, in seconds.
        taxonomy: the body group of each class.
        subjects: by clip number, who is shown; without them clips are drawn.
        baseline: name of the setting that the others are compared with.
        protocol: how to count.
        draws: of the bootstrap and of the test.

    Returns:
        For each setting what it reaches, and for each but the baseline how it differs, at the levels `action`, `body`
        and `avg`, their mean.

    Raises:
        MmadError: there is no such baseline, a setting has no run, or as in `mmad.average_precision.detection_map`.
    """
    if baseline not in settings:
        raise MmadError(f"there is no setting {baseline!r} to compare with; choose one of {', '.join(settings)}")
    if empty := [name for name, runs in settings.items() if not runs]:
        raise MmadError(f"setting {empty[0]!r} has no run; train it, or leave it out")
    clips = 1 + max(int(rows.clip.max(initial=-1)) for runs in settings.values() for rows in (*runs, ground_truth))
    numbers = np.arange(max(clips, len(subjects or ())))
    units = units_of(numbers, subjects, unit=None)
    weights_DU = draw_weights(len(units.names), draws=draws)
    measured = partial(_averages, ground_truth=ground_truth, taxonomy=taxonomy, protocol=protocol)
    whole_1U = np.ones((1, len(units.names)))
    # The first column is the whole, the others are draws.
    of_run = {
        name: np.stack(
            [measured(run, unit_of=units.of_clip, weights_DU=np.concatenate([whole_1U, weights_DU])) for run in runs]
        )
        for name, runs in settings.items()
    }
    drawn = {name: values[..., 1:].mean(axis=0) for name, values in of_run.items()}
    reached = {
        name: {level: _repeated(values_RLD[:, number, 0], drawn[name][number]) for number, level in enumerate(LEVELS)}
        for name, values_RLD in of_run.items()
    }
    side_DU = np.random.default_rng(1).integers(0, 2, size=(draws, len(units.names))).astype(np.float64)
    contrasts: dict[str, dict[str, Contrast]] = {}
    for name, runs in settings.items():
        if name == baseline:
            continue
        exchanged_LD = _exchanged(
            settings[baseline], runs, measured=measured, truth=ground_truth, unit_of=units.of_clip, side_DU=side_DU
        )
        contrasts[name] = {}
        for number, level in enumerate(LEVELS):
            difference = reached[name][level]["mean"] - reached[baseline][level]["mean"]
            change_D = drawn[name][number] - drawn[baseline][number]
            contrasts[name][level] = {
                "difference": difference,
                "interval": _widened(
                    interval(difference, change_D, lowest=-100.0),
                    _of_runs(of_run[name][:, number, 0], of_run[baseline][:, number, 0]),
                    lowest=-100.0,
                ),
                "p": None if len(units.names) < 2 else _share(exchanged_LD[number], difference),
            }
    return reached, contrasts


def _averages(
    predictions: Rows,
    *,
    ground_truth: Rows,
    unit_of: Integers,
    weights_DU: Reals,
    taxonomy: Taxonomy,
    protocol: Protocol,
) -> Reals:
    """(3, D) mean AP in percent at `LEVELS`, if every unit counted as often as its weight says."""
    action_D, body_D = (
        100
        * mean_of_classes(
            weighted_average_precision(level, unit_of, weights_DU), all_classes=protocol.all_classes
        ).mean(axis=1)
        for level in levels(predictions, ground_truth, taxonomy=taxonomy, protocol=protocol)
    )
    return np.stack([action_D, body_D, (action_D + body_D) / 2])


def _of_runs(*sides: Reals) -> float:
    """Half the 95 % interval that the spread of runs alone gives a mean, or a difference of means; 0 for single runs.

    Args:
        sides: one or two settings' values, one of each run.

    Source: Welch, "The generalization of Student's problem when several different population variances are involved"
        (1947).
    """
    if min(map(len, sides)) < 2:
        return 0.0
    squares = np.array([side.var(ddof=1) / len(side) for side in sides])
    if not squares.sum():
        return 0.0
    freedom = squares.sum() ** 2 / (squares**2 / np.array([len(side) - 1 for side in sides])).sum()
    return float(student_t.ppf(0.975, freedom) * np.sqrt(squares.sum()))


def _widened(bounds: Interval | None, half: float, *, lowest: float = 0.0) -> Interval | None:
    """The interval, made wider by an independent error with the half width `half`."""
    if bounds is None or half == 0:
        return bounds
    middle, own = (bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / 2
    both = float(np.hypot(own, half))
    return max(middle - both, lowest), min(middle + both, 100.0)


def _repeated(runs_R: Reals, drawn_D: Reals) -> Repeated:
    mean = float(runs_R.mean())
    return {
        "runs": runs_R.tolist(),
        "mean": mean,
        "deviation": float(runs_R.std(ddof=1)) if len(runs_R) > 1 else None,
        "interval": _widened(interval(mean, drawn_D), _of_runs(runs_R)),
    }


def _exchanged(
    first: Sequence[Rows],
    second: Sequence[Rows],
    *,
    measured: "partial[Reals]",
    truth: Rows,
    unit_of: Integers,
    side_DU: Reals,
) -> Reals:
    """(L, D) differences of the means over runs where people with a 0 in `side_DU` have exchanged sides.

    Both sides stand in one ranking, as clips of two copies of everybody; a person counts in one of the copies. Runs are
    exchanged in pairs; where one side has more, each run of one side with each of the other.
    """
    clips, (draws, units) = len(unit_of), side_DU.shape
    there, exchanged = np.concatenate([side_DU, 1 - side_DU], axis=1), np.concatenate([1 - side_DU, side_DU], axis=1)
    doubled = _joined(truth, truth, clips=clips)
    of_both = np.concatenate([unit_of, unit_of + units])
    pairs = zip(first, second, strict=True) if len(first) == len(second) else itertools.product(first, second)
    differences = []
    for one, other in pairs:
        rows = _joined(one, other, clips=clips)
        values = measured(rows, ground_truth=doubled, unit_of=of_both, weights_DU=np.concatenate([there, exchanged]))
        differences.append(values[:, draws:] - values[:, :draws])
    return np.mean(differences, axis=0)


def _joined(first: Rows, second: Rows, *, clips: int) -> Rows:
    """Both rows, the clips of the second as further clips."""
    score = None if first.score is None or second.score is None else np.concatenate([first.score, second.score])
    return Rows(
        np.concatenate([first.clip, second.clip + clips]),
        np.concatenate([first.label, second.label]),
        np.concatenate([first.segment, second.segment]),
        score,
    )


def _share(exchanged_D: Reals, difference: float) -> float:
    """Share of differences at least as large, the one seen counted in.

    Source: Phipson and Smyth, "Permutation P-values should never be zero" (2010).
    """
    return float((1 + (np.abs(exchanged_D) >= abs(difference) - 1e-9).sum()) / (1 + len(exchanged_D)))
