"""Settings that were each trained several times: what they reach on average, and whether two of them differ.

Letters: R runs of a setting, D draws, U units (subjects or clips).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypedDict

import numpy as np

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
        interval: of the mean, were other people shown and the runs repeated; None where nothing can vary.
    """

    runs: list[float]
    mean: float
    deviation: float | None
    interval: Interval | None


class Contrast(TypedDict):
    """How far two settings differ, in percent, the second minus the first.

    Args:
        difference: of the means over runs.
        interval: paired, were other people shown and the runs repeated.
        p: share of the random exchanges of the two settings' predictions, person by person, that give a difference as
            large as this one or larger, in either direction; None with fewer than two people.
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

    The bootstrap draws people, the same for all settings, and within each setting runs. The test exchanges the two
    settings' predictions for randomly chosen people and measures again (a permutation test): it speaks of the runs that
    there are, the interval of others too.

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
    drawn = {
        name: _with_runs_drawn(values[..., 1:], seed=number) for number, (name, values) in enumerate(of_run.items())
    }
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
                "interval": interval(difference, change_D, lowest=-100.0),
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


def _with_runs_drawn(values_RLD: Reals, *, seed: int) -> Reals:
    """(L, D) means over as many runs as there are, drawn with replacement anew in each draw."""
    runs, _, draws = values_RLD.shape
    share_DR = np.random.default_rng([seed, runs]).multinomial(runs, np.full(runs, 1 / runs), size=draws) / runs
    return np.einsum("dr,rld->ld", share_DR, values_RLD)


def _repeated(runs_R: Reals, drawn_D: Reals) -> Repeated:
    mean = float(runs_R.mean())
    return {
        "runs": runs_R.tolist(),
        "mean": mean,
        "deviation": float(runs_R.std(ddof=1)) if len(runs_R) > 1 else None,
        "interval": interval(mean, drawn_D),
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
    exchanged in pairs; where one side has more, the others pair with its first ones again.
    """
    clips, (draws, units) = len(unit_of), side_DU.shape
    there, exchanged = np.concatenate([side_DU, 1 - side_DU], axis=1), np.concatenate([1 - side_DU, side_DU], axis=1)
    doubled = _joined(truth, truth, clips=clips)
    of_both = np.concatenate([unit_of, unit_of + units])
    pairs = max(len(first), len(second))
    differences = []
    for number in range(pairs):
        rows = _joined(first[number % len(first)], second[number % len(second)], clips=clips)
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
