"""What an evaluation gives: plain numbers, lists and dictionaries, ready for JSON, tables and figures.

Rates, precisions and mean APs are percentages; times are seconds; a value that does not exist is None.
"""

from typing import TypedDict

Interval = tuple[float, float]
"""Lower and upper bound of a 95 % interval."""


class LevelNumbers(TypedDict):
    """Detection-mAP of actions or bodies, in percent.

    Args:
        map: mean AP at each tIoU threshold, by the threshold's text such as `"0.5"`.
        avg: mean of `map`.
        per_class: mean over thresholds of each class that has ground truth.
        intervals: of each entry of `map`, and of `"avg"`; empty without a bootstrap.
        per_class_intervals: of each entry of `per_class`; None where no draw held the class.
        average_recall: share of the instances matched by the k best predictions of each clip, mean over classes and
            thresholds, by k as text.
    """

    map: dict[str, float]
    avg: float
    per_class: dict[str, float]
    intervals: dict[str, Interval]
    per_class_intervals: dict[str, Interval | None]
    average_recall: dict[str, float]


class SubjectRow(TypedDict):
    """Detection-mAP (mean over thresholds, percent) within the clips of one subject."""

    subject: str
    clips: int
    instances: int
    action: float
    body: float


class FrameMAP(TypedDict):
    """Per-frame mAP in percent, at so many frames per second."""

    rate: float
    action: float
    body: float


class Numbers(TypedDict):
    """What metrics.json holds.

    Args:
        action, body: both levels.
        avg: mean of both levels' `avg`.
        interval: of `avg`; None without a bootstrap.
        unit: what the bootstrap drew, `"subject"` or `"clip"`; None without one.
        units: how many of them there are.
        draws: how many draws were made.
        per_subject: by subject, largest number of instances first; empty where subjects are unknown.
        frame_map: None unless asked for.
        protocol: the settings of the evaluation.
        clips, instances, predictions: how many were evaluated.
        notes: sentences on what was unusual in the input.
    """

    action: LevelNumbers
    body: LevelNumbers
    avg: float
    interval: Interval | None
    unit: str | None
    units: int
    draws: int
    per_subject: list[SubjectRow]
    frame_map: FrameMAP | None
    protocol: dict[str, object]
    clips: int
    instances: int
    predictions: int
    notes: list[str]


class FalsePositives(TypedDict):
    """Kinds of predictions among the best of each class.

    Args:
        kinds: names; the first is "true positive".
        slices: (10, kinds) counts. A class with n instances gives its ranks (k-1) n + 1 to k n to slice k ("kG");
            slices pool all classes.
        total: (kinds,) counts over all slices.
        base: mAP_N in percent of the predictions in the slices.
        removed: by kind of error, points of mAP_N gained when its predictions are deleted.
        repaired: by kind of error, points of mAP_N gained when it is corrected instead; kinds that deletion corrects
            have the same value as in `removed`; "missed" stands for missed instances. Empty in DETAD mode.
        same_group: by kind of error that involves another class, how many of `total` have that class in the same
            body group; empty at body level.
        idle: how many background predictions cover no instance of any class at all.
    """

    kinds: list[str]
    slices: list[list[int]]
    total: list[int]
    base: float
    removed: dict[str, float]
    repaired: dict[str, float]
    same_group: dict[str, int]
    idle: int


class Bucket(TypedDict):
    """Instances whose characteristic lies in one interval, open on the left and closed on the right.

    Args:
        label: such as `"XS"`.
        above, up_to: the interval; None stands for infinity.
        instances: how many there are.
        missed: how many no prediction matched.
        rate: missed / instances in percent; None without instances.
        interval: Wilson's, of the rate; None without instances.
        map_n: mAP_N in percent of the classes that have instances here, see `false_negatives`; None without instances.
        classes: how many classes those are.
    """

    label: str
    above: float | None
    up_to: float | None
    instances: int
    missed: int
    rate: float | None
    interval: Interval | None
    map_n: float | None
    classes: int


class Characteristic(TypedDict):
    """One property of instances, in buckets.

    Args:
        name: such as `"coverage"`.
        unit: such as `"s"`; may be empty.
        buckets: in order.
        sensitivity: largest minus smallest `map_n` of its buckets, in points.
        impact: largest `map_n` minus that of all instances, in points.
        lowest, highest: smallest and largest `map_n`, divided by that of all instances; None if that is 0.
    """

    name: str
    unit: str
    buckets: list[Bucket]
    sensitivity: float
    impact: float
    lowest: float | None
    highest: float | None


class FalseNegatives(TypedDict):
    """Instances that no prediction matched, and mAP_N by kind of instance.

    Args:
        instances, missed, rate, interval: of all instances, as in `Bucket`.
        reasons: how many of the missed have: a prediction of their class that is too loose ("loose"), one that was
            matched with another instance ("taken"), a prediction of another class in their place ("other class"),
            none of these ("nothing").
        predictions_per_clip: mean; a detector that may say more misses less.
        map_n: mAP_N in percent of all predictions.
        characteristics: each with its buckets.
    """

    instances: int
    missed: int
    rate: float
    interval: Interval
    reasons: dict[str, int]
    predictions_per_clip: float
    map_n: float
    characteristics: list[Characteristic]


class ClassRow(TypedDict):
    """One class that has ground truth or predictions.

    Args:
        name, code: code is "" at body level.
        group: name of its body group.
        instances, predictions: counts.
        ap: AP in percent, mean over thresholds; None without ground truth.
        ap_50: AP in percent at the analysis' tIoU threshold; None without ground truth.
        best_score: the score at which F1 at that threshold is highest; predictions from there upwards are "kept". None
            where no prediction is right.
        kept: how many predictions that are.
        precision, recall, f1: of the kept ones, in percent; None without ground truth.
        errors: by kind of error, how many of the kept predictions; an instance that only a weaker prediction matches is
            missed here, so that a label in its place is a substitution.
        missed: instances that no kept prediction matched.
        onset, offset: median of predicted minus true, seconds, of kept predictions and the instances that they match
            at tIoU 0.1; None without a pair.
    """

    name: str
    code: str
    group: str
    instances: int
    predictions: int
    ap: float | None
    ap_50: float | None
    best_score: float | None
    kept: int
    precision: float | None
    recall: float | None
    f1: float | None
    errors: dict[str, int]
    missed: int
    onset: float | None
    offset: float | None


class Confusion(TypedDict):
    """What the kept predictions took for what.

    Args:
        names: the K classes with ground truth or kept predictions, in index order.
        codes: of the same classes; names at body level.
        groups: body group of each.
        matrix: (K + 1, K + 1) counts, rows true, columns predicted. Entry (i, j): predictions of class j that missed
            their class and lie best on an instance of class i; the diagonal holds the matched. The last row is
            background, the last column instances that nothing matched.
    """

    names: list[str]
    codes: list[str]
    groups: list[str]
    matrix: list[list[int]]


class Pair(TypedDict):
    """Two classes that occur at the same time.

    Args:
        first, second: names.
        pairs: pairs of overlapping instances.
        both, one, none: in how many of these pairs both, one or none of the instances were matched by kept predictions.
        true_seconds: time in which both are active.
        predicted_seconds: time in which kept predictions of both are active.
    """

    first: str
    second: str
    pairs: int
    both: int
    one: int
    none: int
    true_seconds: float
    predicted_seconds: float


class CoOccurrence(TypedDict):
    """Classes that occur at the same time, most frequent pair first.

    Args:
        pairs: with at least one pair of instances, or time predicted.
        alone, overlapping: instances without and with an overlapping instance of another class.
        recall_alone, recall_overlapping: share of those that kept predictions match, in percent.
        expected_both: percent of pairs of which both would be found if finding one told nothing of the other.
        both: percent of pairs of which both are found.
    """

    pairs: list[Pair]
    alone: int
    overlapping: int
    recall_alone: float | None
    recall_overlapping: float | None
    expected_both: float | None
    both: float | None


class Offsets(TypedDict):
    """Predicted minus true time, seconds, over `pairs` matched pairs: quartiles and mean of absolute values."""

    pairs: int
    median: float | None
    lower: float | None
    upper: float | None
    absolute: float | None


class Boundaries(TypedDict):
    """Errors at both ends, of kept predictions and the instances that they match at tIoU 0.1.

    Args:
        onset, offset: over all pairs.
        by_length: (bucket label, onset, offset) of the instances' length buckets.
        edges: upper bounds of the histogram's bins in seconds; the first bin has no lower, the last no upper bound.
        onset_histogram, offset_histogram: counts, one more than edges.
        within: by tolerance in seconds as text, percent of pairs with (onset, offset) no further off.
        length_ratio: median of predicted over true length; None without a pair.
    """

    onset: Offsets
    offset: Offsets
    by_length: list[tuple[str, Offsets, Offsets]]
    edges: list[float]
    onset_histogram: list[int]
    offset_histogram: list[int]
    within: dict[str, tuple[float, float]]
    length_ratio: float | None


class Bin(TypedDict):
    """Predictions with like scores: bounds, count, mean score, and share of true positives."""

    above: float
    up_to: float
    count: int
    score: float
    precision: float


class Calibration(TypedDict):
    """Whether a score of 0.7 is right in 7 of 10 cases.

    Args:
        bins: those that hold predictions, lowest score first; score and precision are fractions. None if scores leave
            [0, 1].
        error: expected calibration error, a fraction: mean |score - precision|, weighted by count; None without bins.
        by_group: error of each body group.
    """

    bins: list[Bin] | None
    error: float | None
    by_group: dict[str, float]


class LevelDiagnosis(TypedDict):
    """All analyses of one level.

    Args:
        false_negatives: counting every prediction, however low its score.
        kept_misses: the same, counting kept predictions only; see `ClassRow.best_score`.
    """

    false_positives: FalsePositives
    false_negatives: FalseNegatives
    kept_misses: FalseNegatives
    classes: list[ClassRow]
    confusion: Confusion
    co_occurrence: CoOccurrence
    boundaries: Boundaries
    calibration: Calibration


class Diagnosis(TypedDict):
    """What diagnosis.json holds: mode ("class_first" or "detad"), tIoU thresholds, and both levels."""

    mode: str
    threshold: float
    background: float
    action: LevelDiagnosis
    body: LevelDiagnosis


class Difference(TypedDict):
    """Percentages of two predictions, second minus first, and the paired interval of that; None without a draw."""

    first: float
    second: float
    difference: float
    interval: Interval | None


class Comparison(TypedDict):
    """What comparison.json holds.

    Args:
        first, second: names of the two.
        unit, units, draws: of the bootstrap, as in `Numbers`.
        avg: mean of both levels.
        action, body: by threshold and "avg".
        per_class: actions with ground truth.
        per_body: body groups with ground truth.
    """

    first: str
    second: str
    unit: str
    units: int
    draws: int
    avg: Difference
    action: dict[str, Difference]
    body: dict[str, Difference]
    per_class: dict[str, Difference]
    per_body: dict[str, Difference]


class ShownTruth(TypedDict):
    """An instance on the page: seconds, class index, the prediction that matches it, and why none does.

    Args:
        match: index into the clip's `predictions`; None if none matched, or the match is not shown.
        missed: None where a kept prediction matched, else a reason of `LevelDiagnosis.kept_misses`.
    """

    start: float
    end: float
    label: int
    match: int | None
    missed: str | None


class ShownPrediction(TypedDict):
    """A prediction on the page.

    Args:
        start, end: seconds.
        label: class index.
        score: as predicted.
        kind: index into `FalsePositives.kinds` of the action level.
        tiou: best tIoU with an instance of its class; None if the clip has none.
        other: best tIoU with an instance of another class; None if the clip has none.
        truth: index into the clip's `truth` of the instance of its class that it overlaps best (the matched one where
            it is matched); None if none.
        other_truth: index of the instance of another class that it overlaps best; None if none.
    """

    start: float
    end: float
    label: int
    score: float
    kind: int
    tiou: float | None
    other: float | None
    truth: int | None
    other_truth: int | None


class ShownClip(TypedDict):
    """A clip on the page.

    Args:
        id, subject: subject is None where unknown.
        duration: seconds; the last end of anything in it where unknown.
        video: address relative to the page, absolute, or a data address; None without a video.
        truth, predictions: predictions best score first.
        hidden: how many predictions were left out; none of them is kept or claims an instance.
    """

    id: str
    subject: str | None
    duration: float
    video: str | None
    truth: list[ShownTruth]
    predictions: list[ShownPrediction]
    hidden: int
