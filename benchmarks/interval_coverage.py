"""How often 95 % intervals of Detection-mAP hold what they should: `python benchmarks/interval_coverage.py`.

From a drawn population of 4,000 people (four clips each, 22 classes of which some are rare, people and classes of
different difficulty), test sets of few people are taken again and again, and it is counted how often the bootstrap's
interval holds the mean AP of the whole population. Three ways to make an interval of the same draws are compared: the
percentiles of the draws; the basic interval, which reports use; and the bias-corrected accelerated one (BCa). Takes a
few minutes.
"""

import numpy as np
from scipy.stats import norm

from mmad.average_precision import Ranking, ranking
from mmad.diagnosis.uncertainty import draw_weights, interval, mean_of_classes, weighted_average_precision
from mmad.matching import Rows

PEOPLE, CLIPS, CLASSES = 4000, 4, 22
TEST_SETS, DRAWS = 200, 400


def population(rng: np.random.Generator, *, skew: float) -> tuple[Rows, Rows]:
    """Predictions and ground truth of everybody; classes are the rarer the higher the skew."""
    share = 1 / np.arange(1, CLASSES + 1) ** skew
    share /= share.sum()
    clips = PEOPLE * CLIPS
    clip = np.repeat(np.arange(clips), rng.poisson(3, clips).clip(1))
    label = rng.choice(CLASSES, len(clip), p=share)
    start = rng.uniform(0, 8, len(clip))
    segment = np.stack([start, start + rng.gamma(2, 1.2, len(clip)) + 0.3], axis=1)
    ease, simple = rng.normal(0, 0.8, PEOPLE), rng.normal(0, 0.8, CLASSES)
    of_person = ease[clip // CLIPS]
    off = rng.normal(0, 0.12, (len(clip), 2)) * np.exp(-0.4 * of_person)[:, None] * np.diff(segment)
    false = np.repeat(np.arange(clips), rng.poisson(8, clips))
    false_start = rng.uniform(0, 9, len(false))
    false_segment = np.stack([false_start, false_start + rng.gamma(2, 1.2, len(false)) + 0.2], axis=1)
    predictions = Rows(
        np.concatenate([clip, false]),
        np.concatenate([label, rng.choice(CLASSES, len(false), p=0.5 * share + 0.5 / CLASSES)]),
        np.concatenate([np.sort(segment + off, axis=1), false_segment]),
        np.concatenate([rng.normal(1 + of_person + simple[label], 1), rng.normal(-1, 1, len(false))]),
    )
    return predictions, Rows(clip, label, segment)


def taken(rows: Rows, number_of_clip: np.ndarray) -> Rows:
    kept = rows.take(number_of_clip[rows.clip] >= 0)
    return Rows(number_of_clip[kept.clip], kept.label, kept.segment, kept.score)


def intervals(test: Ranking, people: int, *, seed: int) -> dict[str, tuple[float, float]]:
    unit = np.repeat(np.arange(people), CLIPS)

    def means(weights: np.ndarray) -> np.ndarray:
        return 100 * mean_of_classes(weighted_average_precision(test, unit, weights)).mean(axis=1)

    whole = means(np.ones((1, people)))[0]
    draws = means(draw_weights(people, draws=DRAWS, seed=seed))
    without = means(1 - np.eye(people))
    away = without.mean() - without
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    bias = norm.ppf(np.clip((draws < whole).mean(), 0.5 / DRAWS, 1 - 0.5 / DRAWS))
    moved = [bias + z for z in norm.ppf([0.025, 0.975])]
    shares = [100 * norm.cdf(bias + z / (1 - acceleration * z)) for z in moved]
    return {
        "percentiles": tuple(np.percentile(draws, [2.5, 97.5])),
        "basic": interval(whole, draws),
        "BCa": tuple(np.percentile(draws, shares)),
    }


def main() -> None:
    print("| people | skew of classes | percentiles | basic | BCa |\n|---|---|---|---|---|")
    for people, skew in ((24, 0.7), (24, 1.2), (37, 1.2), (100, 0.7), (200, 0.7)):
        rng = np.random.default_rng(1)
        predictions, truth = population(rng, skew=skew)
        true = 100 * np.nanmean(ranking(predictions, truth, classes=CLASSES).average_precision())
        held: dict[str, int] = {}
        for number in range(TEST_SETS):
            chosen = rng.choice(PEOPLE, people, replace=False)
            number_of_clip = np.full(PEOPLE * CLIPS, -1)
            number_of_clip[(chosen[:, None] * CLIPS + np.arange(CLIPS)).ravel()] = np.arange(people * CLIPS)
            test = ranking(taken(predictions, number_of_clip), taken(truth, number_of_clip), classes=CLASSES)
            for name, (low, high) in intervals(test, people, seed=number).items():
                held[name] = held.get(name, 0) + (low <= true <= high)
        cells = " | ".join(f"{100 * held[name] / TEST_SETS:.0f} %" for name in ("percentiles", "basic", "BCa"))
        print(f"| {people} | {skew} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
