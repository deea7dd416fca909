"""What statistics.json holds: plain records that JSON can keep; times in seconds, shares in percent.

A share or a mean of nothing is None.
"""

from typing import TypedDict


class Spread(TypedDict):
    """How values are spread, over `n` of them.

    Args:
        n: number of values.
        mean, std: std is that of a sample (divided by n - 1), None for a single value.
        low, lower, median, upper, high: 5, 25, 50, 75 and 95 % of the values are at most this.
    """

    n: int
    mean: float | None
    std: float | None
    low: float | None
    lower: float | None
    median: float | None
    upper: float | None
    high: float | None


class Cut(TypedDict):
    """Percent of instances that a clip's ends cut off, or seem to.

    Args:
        start: begin with the clip, at 0 s.
        end: end with the clip's last frame or later.
        either: one of these, or both.
    """

    start: float | None
    end: float | None
    either: float | None


class Overlap(TypedDict):
    """What happens at the same time; two instances overlap if they share more than a single moment.

    Args:
        concurrency: percent of the clips' time in which 0, 1, 2, ... instances run, of whatever classes.
        highest: most instances that run at the same time.
        clips: percent of clips in which two instances overlap.
        any, own_group, own_class: percent of instances that overlap another one, another one of their body group,
            another one of their class.
        others: number of other instances that overlap an instance somewhere, mean over instances.
    """

    concurrency: list[float]
    highest: int
    clips: float | None
    any: float | None
    own_group: float | None
    own_class: float | None
    others: float | None


class Part(TypedDict):
    """A split, or all splits together: the columns of the MMAD paper's Table 1, and more.

    Args:
        clips, instances: how many.
        hours: length of all clips.
        mean_clip, mean_instance: seconds.
        subjects: how many people; None where that of some clip is not known.
        per_clip_mean, per_clip_least, per_clip_most: instances in a clip.
        per_clip: number of clips with 0, 1, 2, ... instances.
        overlap: what happens at the same time.
        cut: instances that the clips' ends cut.
    """

    clips: int
    instances: int
    hours: float
    mean_clip: float | None
    mean_instance: float | None
    subjects: int | None
    per_clip_mean: float | None
    per_clip_least: int | None
    per_clip_most: int | None
    per_clip: list[int]
    overlap: Overlap
    cut: Cut


class Category(TypedDict):
    """A class, or a body group.

    Args:
        code, name: of the class; a group has no code.
        group: body group; of a group, its own name.
        counts: instances in each split.
        shares: percent of the instances of each split; None in a split without instances.
        instances, share: the same over all splits.
        clips: clips with at least one instance.
        seconds: how long instances last, over all splits.
        cut: instances that the clips' ends cut, over all splits.
    """

    code: str
    name: str
    group: str
    counts: dict[str, int]
    shares: dict[str, float | None]
    instances: int
    share: float | None
    clips: int
    seconds: Spread
    cut: Cut


class LevelStatistics(TypedDict):
    """Classes, or body groups, in index order; matrices have a row and a column for each.

    Args:
        classes: what is known of each.
        clips_with_both: clips that hold instances of both, at the same time or not; the diagonal holds clips with the
            class.
        overlapping_pairs: pairs of overlapping instances, one of each; the diagonal holds pairs within the class.
    """

    classes: list[Category]
    clips_with_both: list[list[int]]
    overlapping_pairs: list[list[int]]


class Statistics(TypedDict):
    """What statistics.json holds.

    Args:
        splits: each by its name.
        all: all splits together.
        seconds: how long instances last, over all splits.
        beyond: instances that end more than half a frame after their clip.
        flat: whether there is only one body group, so that the body level tells no classes apart.
        action, body: both levels.
    """

    splits: dict[str, Part]
    all: Part
    seconds: Spread
    beyond: int
    flat: bool
    action: LevelStatistics
    body: LevelStatistics
