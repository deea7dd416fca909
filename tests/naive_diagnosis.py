"""Error analysis by plain loops: slow, without arrays, and so short that one can see that it is right.

Rows are tuples: a prediction is (clip, label, start, end, score), an instance of the ground truth (clip, label, start,
end); times are seconds. The matching, called `partner` throughout, is a list with one entry per prediction, in input
order: the index of its instance, or None. Gains and mAPs are fractions, not percent.

Source:
    DETAD (Alwassel et al., ECCV 2018) for matching, mAP_N, slices, buckets and the mode "detad"; the order of the tests
    in the mode "class_first" and its repairs follow TIDE (Bolya et al., ECCV 2020), own class first.
"""

import math

CLASS_FIRST = ("true positive", "duplicate", "localisation", "substitution", "extra label", "confusion", "background")
DETAD = ("true positive", "double detection", "wrong label", "localization", "confusion", "background")
KINDS = {"class_first": CLASS_FIRST, "detad": DETAD}
SLICES = 10
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CUT_OFF = {"class_first": 0.0, "detad": 0.05}
EDGES = {
    "coverage": (0, 0.2, 0.4, 0.6, 0.8, 1),
    "length": (0, 3, 5, 8, 9, math.inf),
    "instances": (-1, 2, 5, 7, math.inf),
    "overlapping": (-1, 0, 1, 2, math.inf),
    "edge": (-1, 0, 1),
    "same_class": (-1, 1, 2, math.inf),
}


def tiou(first, second):
    """Overlap over union of two rows' segments, whatever their clips."""
    overlap = max(0.0, min(first[3], second[3]) - max(first[2], second[2]))
    return overlap / max((first[3] - first[2]) + (second[3] - second[2]) - overlap, 1e-8)


def without_duplicates(truth):
    """Instances with an extent that are not within 1 ms of an earlier kept one of the same clip and class."""
    kept = []
    for clip, label, start, end in truth:
        twins = [k for k in kept if k[:2] == (clip, label) and max(abs(k[2] - start), abs(k[3] - end)) <= 1e-3]
        if end > start and not twins:
            kept.append((clip, label, start, end))
    return kept


def within_clips(truth, durations):
    """Instances with an extent that are no longer than their clip."""
    return [row for row in truth if row[2] < row[3] and (row[3] - row[2]) / durations[row[0]] <= 1]


def ranking(predictions, label):
    """Indices of the class's predictions, best score first, equal scores in input order."""
    return sorted((i for i, row in enumerate(predictions) if row[1] == label), key=lambda i: -predictions[i][4])


def count(truth):
    """Number of instances of each class that has any."""
    return {label: sum(row[1] == label for row in truth) for label in sorted({row[1] for row in truth})}


def normaliser(truth):
    """N: instances per class, over the classes that have any."""
    return len(truth) / len(count(truth))


def match(predictions, truth, threshold):
    """Greedy matching of each class: the free instance of highest tIoU from the threshold on, the last of equals."""
    partner, taken = [None] * len(predictions), set()
    for label in {row[1] for row in predictions}:
        for i in ranking(predictions, label):
            best = None
            for j, instance in enumerate(truth):
                overlap = tiou(predictions[i], instance)
                if instance[:2] != predictions[i][:2] or j in taken or overlap < threshold:
                    continue
                if best is None or overlap >= tiou(predictions[i], truth[best]):
                    best = j
            partner[i] = best
            taken.add(best)
    return partner


def precisions(hits, instances, n):
    """P_N = R N / (R N + FP) at each rank; with n = instances this is plain precision."""
    values = []
    for rank in range(1, len(hits) + 1):
        found = sum(hits[:rank])
        expected = found / instances * n
        values.append(expected / (expected + (rank - found)))
    return values


def area(hits, instances, n):
    """AP: precision, made non-increasing from the right, summed over the rises of recall."""
    precision = precisions(hits, instances, n)
    return sum(max(precision[k:]) / instances for k in range(len(hits)) if hits[k])


def ap_n(predictions, truth, partner):
    """Normalised AP of each class with ground truth."""
    return _aps(_listed(predictions, partner), count(truth), normaliser(truth))


def ap(predictions, truth, partner):
    """Plain AP of each class with ground truth."""
    listed = _listed(predictions, partner)
    return {label: _aps(listed, {label: n}, n)[label] for label, n in count(truth).items()}


def cut_off(predictions, truth, partner, theta):
    """The matching without the pairs at whose rank P_N is at most theta."""
    partner = list(partner)
    for label, instances in count(truth).items():
        order = ranking(predictions, label)
        hits = [partner[i] is not None for i in order]
        for i, precision in zip(order, precisions(hits, instances, normaliser(truth)), strict=True):
            if precision <= theta:
                partner[i] = None
    return partner


def mean(aps):
    """Mean AP."""
    return sum(aps.values()) / len(aps)


def limited(predictions, truth):
    """The best 10 n predictions of each class with n instances, in input order."""
    kept = set()
    for label, instances in count(truth).items():
        kept.update(ranking(predictions, label)[: SLICES * instances])
    return [row for i, row in enumerate(predictions) if i in kept]


def best_instance(prediction, truth, *, same_class):
    """Index of the instance of the clip with the highest tIoU, the first of equals, and that tIoU; None, 0 if none.

    Args:
        prediction: one row.
        truth: instances.
        same_class: True for instances of the prediction's class, False for those of other classes, None for all.
    """
    best = None
    for j, instance in enumerate(truth):
        wanted = same_class is None or (instance[1] == prediction[1]) == same_class
        if instance[0] != prediction[0] or not wanted:
            continue
        if best is None or tiou(prediction, instance) > tiou(prediction, truth[best]):
            best = j
    return best, 0.0 if best is None else tiou(prediction, truth[best])


def kinds(predictions, truth, partner, *, threshold, background, mode):
    """The kind of each prediction, in input order."""
    judge = {"class_first": _class_first, "detad": _detad}[mode]
    return [
        "true positive" if partner[i] is not None else judge(row, truth, set(partner), threshold, background)
        for i, row in enumerate(predictions)
    ]


def _class_first(row, truth, matched, threshold, background):
    """The kind of an unmatched prediction: its own class is looked at first."""
    _, own_tiou = best_instance(row, truth, same_class=True)
    other, other_tiou = best_instance(row, truth, same_class=False)
    if own_tiou >= threshold:
        return "duplicate"
    if own_tiou >= background:
        return "localisation"
    if other_tiou >= threshold:
        return "extra label" if other in matched else "substitution"
    return "confusion" if other_tiou >= background else "background"


def _detad(row, truth, _matched, threshold, background):
    """The kind of an unmatched prediction: only the instance that it overlaps best counts."""
    best, overlap = best_instance(row, truth, same_class=None)
    if best is None or overlap < background:
        return "background"
    if truth[best][1] == row[1]:
        return "double detection" if overlap >= threshold else "localization"
    return "wrong label" if overlap >= threshold else "confusion"


def slices(predictions, truth, kind_of, names):
    """(10, kinds) counts: ranks (k-1) n + 1 to k n of a class with n instances are in slice k."""
    table = [[0] * len(names) for _ in range(SLICES)]
    for label, instances in count(truth).items():
        for rank, i in enumerate(ranking(predictions, label)):
            table[rank // instances][names.index(kind_of[i])] += 1
    return table


def _listed(predictions, partner):
    """(label, score, hit) of each prediction, in input order."""
    return [(row[1], row[4], match is not None) for row, match in zip(predictions, partner, strict=True)]


def _aps(listed, counts, n):
    """Normalised AP by class, of rows as `_listed` gives them; equal scores count in the order of the rows."""
    result = {}
    for label, instances in counts.items():
        own = sorted((row for row in listed if row[0] == label), key=lambda row: -row[1])
        result[label] = area([hit for _, _, hit in own], instances, n)
    return result


def removed(predictions, truth, partner, kind_of, kind):
    """mAP_N gained when all predictions of the kind are deleted and all matches stay."""
    left = [row for row, k in zip(_listed(predictions, partner), kind_of, strict=True) if k != kind]
    after = _aps(left, count(truth), normaliser(truth))
    return mean(after) - mean(ap_n(predictions, truth, partner))


def targets(predictions, truth, partner, kind_of):
    """By index of a localisation or substitution error, the unmatched instance that it should have found."""
    result = {}
    for i, row in enumerate(predictions):
        if kind_of[i] in ("localisation", "substitution"):
            best, _ = best_instance(row, truth, same_class=kind_of[i] == "localisation")
            if best not in partner:
                result[i] = best
    return result


def repaired(predictions, truth, partner, kind_of, kind):
    """mAP_N gained when errors of the kind are corrected, in the mode "class_first".

    The best prediction that points at an unmatched instance becomes a true positive of it; other errors of the kind are
    deleted. "missed" takes the instances that nothing points at out of the ground truth.
    """
    before, counts, n = mean(ap_n(predictions, truth, partner)), count(truth), normaliser(truth)
    target = targets(predictions, truth, partner, kind_of)
    listed = _listed(predictions, partner)
    if kind == "missed":
        for j, instance in enumerate(truth):
            if j not in partner and j not in target.values():
                counts[instance[1]] -= 1
        left = {label: instances for label, instances in counts.items() if instances}
        return mean(_aps(listed, left, n)) - before if left else 0.0

    best_of = {}
    for i in sorted(target, key=lambda i: -predictions[i][4]):
        if kind_of[i] == kind:
            best_of.setdefault(target[i], i)
    stay, moved = [], []
    for i, row in enumerate(listed):
        if kind_of[i] != kind:
            stay.append(row)
        elif i in best_of.values():
            label = truth[target[i]][1]
            # A row that changes class comes after the rows of that class with the same score.
            (stay if label == row[0] else moved).append((label, row[1], True))
    return mean(_aps(stay + moved, counts, n)) - before


def values_of(truth, durations):
    """By characteristic, the value of each instance."""
    return {
        "coverage": [(row[3] - row[2]) / durations[row[0]] for row in truth],
        "length": [row[3] - row[2] for row in truth],
        "instances": [sum(other[0] == row[0] for other in truth) for row in truth],
        "overlapping": [
            sum(other[0] == row[0] and other[1] != row[1] and tiou(other, row) > 0 for other in truth) for row in truth
        ],
        "edge": [int(row[2] <= 0.1 or row[3] >= durations[row[0]] - 0.1) for row in truth],
        "same_class": [sum(other[:2] == row[:2] for other in truth) for row in truth],
    }


def bucket_of(value, edges):
    """Index of the interval, open on the left and closed on the right, the lowest edge included."""
    value = round(value, 6)
    for k in range(len(edges) - 1):
        if edges[k] < value <= edges[k + 1] or (k == 0 and value == edges[0]):
            return k
    return None


def sensitivity(predictions, truth, partner, chosen):
    """mAP_N of the chosen instances; predictions that matched another one are left out. None if none is chosen."""
    counts = count([row for j, row in enumerate(truth) if j in chosen])
    listed = [row for row, j in zip(_listed(predictions, partner), partner, strict=True) if j is None or j in chosen]
    return mean(_aps(listed, counts, normaliser(truth))) if counts else None


def characteristics(predictions, truth, durations, *, threshold, theta):
    """By characteristic, its buckets: instances, missed, mAP_N and number of classes of each."""
    partner = match(predictions, truth, threshold)
    found = cut_off(predictions, truth, partner, theta)
    result = {}
    for name, values in values_of(truth, durations).items():
        result[name] = []
        for k in range(len(EDGES[name]) - 1):
            chosen = {j for j, value in enumerate(values) if bucket_of(value, EDGES[name]) == k}
            result[name].append(
                {
                    "instances": len(chosen),
                    "missed": sum(j not in found for j in chosen),
                    "map_n": sensitivity(predictions, truth, partner, chosen),
                    "classes": len({truth[j][1] for j in chosen}),
                }
            )
    return result


def reason(instance, predictions, *, threshold, background):
    """Why an instance was missed, by the predictions of its clip."""
    rows = [row for row in predictions if row[0] == instance[0]]
    own = max((tiou(row, instance) for row in rows if row[1] == instance[1]), default=0.0)
    other = max((tiou(row, instance) for row in rows if row[1] != instance[1]), default=0.0)
    if background <= own < threshold:
        return "loose"
    if own >= threshold:
        return "taken"
    return "other class" if other >= threshold else "nothing"


def same_group(predictions, truth, kind_of, group_of, kind):
    """How many errors of the kind have the other class in their own body group."""
    total = 0
    for row, k in zip(predictions, kind_of, strict=True):
        if k == kind:
            best, _ = best_instance(row, truth, same_class=False)
            total += group_of[truth[best][1]] == group_of[row[1]]
    return total


def false_positives(predictions, truth, *, threshold, background, mode, group_of=None):
    """What `FalsePositives` holds; group_of gives the body group of each class."""
    predictions = limited(predictions, truth)
    partner = match(predictions, truth, threshold)
    kind_of = kinds(predictions, truth, partner, threshold=threshold, background=background, mode=mode)
    names = KINDS[mode]
    table = slices(predictions, truth, kind_of, names)
    whole = (predictions, truth, partner, kind_of)
    fixable = (*names[1:], "missed") if mode == "class_first" else ()
    cross = [name for name in ("substitution", "extra label", "wrong label", "confusion") if name in names]
    idle = [
        row
        for row, kind in zip(predictions, kind_of, strict=True)
        if kind == "background" and best_instance(row, truth, same_class=None)[1] == 0
    ]
    return {
        "kinds": list(names),
        "slices": table,
        "total": [sum(column) for column in zip(*table, strict=True)],
        "base": mean(ap_n(predictions, truth, partner)),
        "removed": {kind: removed(*whole, kind) for kind in names[1:]},
        "repaired": {kind: repaired(*whole, kind) for kind in fixable},
        "same_group": {k: same_group(predictions, truth, kind_of, group_of, k) for k in cross} if group_of else {},
        "idle": len(idle),
    }


def wilson(missed, instances):
    """Wilson's 95 % interval of a share."""
    z, share = 1.959963984540054, missed / instances
    centre = (share + z * z / (2 * instances)) / (1 + z * z / instances)
    half = z / (1 + z * z / instances) * math.sqrt(share * (1 - share) / instances + (z / (2 * instances)) ** 2)
    return centre - half, centre + half


def false_negatives(predictions, truth, durations, *, threshold, background, mode):
    """What `FalseNegatives` holds."""
    partner = match(predictions, truth, threshold)
    found = cut_off(predictions, truth, partner, CUT_OFF[mode])
    missed = [row for j, row in enumerate(truth) if j not in found]
    reasons = [reason(row, predictions, threshold=threshold, background=background) for row in missed]
    return {
        "instances": len(truth),
        "missed": len(missed),
        "reasons": {name: reasons.count(name) for name in ("loose", "taken", "other class", "nothing")},
        "map_n": mean(ap_n(predictions, truth, partner)),
        "characteristics": characteristics(predictions, truth, durations, threshold=threshold, theta=CUT_OFF[mode]),
    }


def f1(predictions, truth, partner, label, score):
    """F1 of the class's predictions with at least the score."""
    kept = [i for i, row in enumerate(predictions) if row[1] == label and row[4] >= score]
    return 2 * sum(partner[i] is not None for i in kept) / (len(kept) + count(truth)[label])


def class_row(predictions, truth, label, scores, *, threshold, background, mode):
    """What `ClassRow` holds without names and times, when each class keeps predictions with at least its score.

    An instance counts as matched if a kept prediction matched it. "f1" is the highest that any score gives.

    Args:
        predictions, truth: rows.
        label: class of the row.
        scores: by class, the lowest score that is kept; None keeps none.
        threshold, background, mode: as in `kinds`.
    """
    partner = match(predictions, truth, threshold)
    keeps = [scores[row[1]] is not None and row[4] >= scores[row[1]] for row in predictions]
    kept_partner = [j if keep else None for j, keep in zip(partner, keeps, strict=True)]
    kind_of = kinds(predictions, truth, kept_partner, threshold=threshold, background=background, mode=mode)
    own = [i for i, row in enumerate(predictions) if row[1] == label]
    kept = [i for i in own if keeps[i]]
    found = sum(partner[i] is not None for i in kept)
    row = {
        "instances": count(truth).get(label, 0),
        "predictions": len(own),
        "kept": len(kept),
        "errors": {kind: sum(kind_of[i] == kind for i in kept) for kind in KINDS[mode][1:]},
        "missed": count(truth).get(label, 0) - found,
    }
    if not row["instances"]:
        return row | dict.fromkeys(("ap", "ap_50", "precision", "recall", "f1"))
    tenths = [ap(predictions, truth, match(predictions, truth, t)) for t in TENTHS]
    return row | {
        "ap": mean({k: aps[label] for k, aps in enumerate(tenths)}),
        "ap_50": ap(predictions, truth, partner)[label],
        "precision": found / len(kept) if kept else 0.0,
        "recall": found / row["instances"],
        "f1": max((f1(predictions, truth, partner, label, predictions[i][4]) for i in own), default=0.0),
    }
