"""The plain-loop error analysis against numbers worked out by hand, or by running DETAD's own code."""

import pytest

from naive_diagnosis import (
    CLASS_FIRST,
    DETAD,
    ap,
    ap_n,
    bucket_of,
    class_row,
    cut_off,
    false_negatives,
    false_positives,
    kinds,
    limited,
    match,
    mean,
    targets,
    wilson,
    without_duplicates,
)

A, B, C = range(3)
FIRST, SECOND = 0, 1
DURATIONS = {FIRST: 10.0, SECOND: 10.0}
TRUTH = [
    (FIRST, A, 0, 4),
    (FIRST, B, 1, 4),
    (FIRST, A, 6, 8),
    (SECOND, C, 2, 6),
    (SECOND, B, 2, 6),
    (SECOND, A, 7, 9),
]
PREDICTIONS = [
    (FIRST, A, 0, 4, 0.95),
    (FIRST, A, 0.2, 4, 0.90),
    (FIRST, B, 0, 4, 0.85),
    (FIRST, B, 0, 3.8, 0.80),
    (FIRST, C, 0, 4, 0.75),
    (FIRST, A, 6, 6.8, 0.70),
    (FIRST, C, 7, 9, 0.65),
    (FIRST, B, 9, 10, 0.60),
    (SECOND, B, 2, 6, 0.92),
    (SECOND, B, 2, 5.8, 0.55),
    (SECOND, C, 4, 6, 0.50),
    (SECOND, A, 6.6, 9, 0.45),
    (SECOND, A, 4, 8.5, 0.40),
]
AT = {"threshold": 0.5, "background": 0.1}


def near(*values: float):
    """To the four digits of the worked example."""
    return pytest.approx(values if len(values) > 1 else values[0], abs=5e-5)


def of_detad(row: dict, mode: str) -> dict:
    """Counts or gains by DETAD's six names; the two kinds that "class_first" makes of a wrong label are added up."""
    if mode == "detad":
        return row
    renamed = {
        "double detection": row["duplicate"],
        "wrong label": row["substitution"] + row["extra label"],
        "localization": row["localisation"],
        "confusion": row["confusion"],
        "background": row["background"],
    }
    return {"true positive": row["true positive"], **renamed} if "true positive" in row else renamed


def test_matching_of_the_worked_example():
    assert match(PREDICTIONS, TRUTH, 0.5) == [0, None, 1, None, None, None, None, None, 4, None, 3, 5, None]


def test_average_precision_of_the_worked_example():
    partner = match(PREDICTIONS, TRUTH, 0.5)
    normalised, plain = (by_class(PREDICTIONS, TRUTH, partner) for by_class in (ap_n, ap))
    assert [normalised[label] for label in (A, B, C)] == near(0.4667, 1, 0.5)
    assert [plain[label] for label in (A, B, C)] == near(0.5, 1, 0.3333)
    assert mean(normalised) == near(0.6556)
    assert mean(plain) == near(0.6111)


def test_kinds_of_the_worked_example():
    partner = match(PREDICTIONS, TRUTH, 0.5)
    true, duplicate, loose, _, extra, confusion, background = CLASS_FIRST
    assert kinds(PREDICTIONS, TRUTH, partner, **AT, mode="class_first") == [
        *(true, duplicate, true, duplicate, extra, loose, confusion, background),
        *(true, duplicate, true, true, loose),
    ]
    true, double, wrong, loose, confusion, background = DETAD
    assert kinds(PREDICTIONS, TRUTH, partner, **AT, mode="detad") == [
        *(true, double, true, wrong, wrong, loose, confusion, background),
        *(true, wrong, true, true, confusion),
    ]


def test_detad_asks_the_first_of_equal_tious():
    # Instances C and B of the second clip are at the same place; listing B first turns p9 into a double detection.
    truth = [TRUTH[k] for k in (0, 1, 2, 4, 3, 5)]
    found = kinds(PREDICTIONS, truth, match(PREDICTIONS, truth, 0.5), **AT, mode="detad")
    assert found[9] == "double detection"


@pytest.mark.parametrize("mode", ["class_first", "detad"])
def test_false_positives_of_the_worked_example(mode):
    found = false_positives(PREDICTIONS, TRUTH, **AT, mode=mode)
    assert found["base"] == near(0.6556)
    assert list(of_detad(found["removed"], mode).values()) == near(0.0190, 0.0556, 0.0190, 0.0556, 0)
    if mode == "detad":
        assert found["slices"][:3] == [[3, 1, 1, 1, 0, 0], [1, 0, 1, 0, 2, 1], [1, 0, 1, 0, 0, 0]]
        assert found["total"] == [5, 1, 3, 1, 2, 1]
    else:
        # Blocks as above; p3 and p9 are duplicates, p12 is a localisation error.
        assert found["slices"][:3] == [[3, 1, 1, 0, 1, 0, 0], [1, 1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 0, 0, 0]]
        assert found["total"] == [5, 3, 2, 0, 1, 1, 1]
    assert not any(map(any, found["slices"][3:]))
    assert found["idle"] == 1


def test_repairs_of_the_worked_example():
    found = false_positives(PREDICTIONS, TRUTH, **AT, mode="class_first")
    # A is hit, miss, hit (p5 now has g2), hit, and p12 is gone: at recall 1, P_N = 2 / 3 holds from rank 3 on.
    assert found["repaired"]["localisation"] == near((1 / 3 + 2 / 3 * 2 / 3 - 0.46667) / 3)
    # g2 is the only one missed, and p5 points at it.
    assert found["repaired"]["missed"] == 0
    for kind in ("duplicate", "extra label", "confusion", "background"):
        assert found["repaired"][kind] == found["removed"][kind]


@pytest.mark.parametrize("mode", ["class_first", "detad"])
def test_false_negatives_of_the_worked_example(mode):
    found = false_negatives(PREDICTIONS, TRUTH, DURATIONS, **AT, mode=mode)
    assert (found["missed"], found["instances"]) == (1, 6)
    assert found["reasons"] == {"loose": 1, "taken": 0, "other class": 0, "nothing": 0}
    assert found["map_n"] == near(0.6556)
    table = {
        name: [(row["missed"], row["instances"], row["map_n"]) for row in rows if row["instances"]]
        for name, rows in found["characteristics"].items()
    }
    # 0.2, 0.4 and 3.0 s lie on an edge and fall in the lower bucket.
    assert table == {
        "coverage": [(1, 2, near(0.1667)), (0, 4, near(0.8333))],
        "length": [(1, 3, near(0.5833)), (0, 3, near(0.8333))],
        "instances": [(1, 6, near(0.6556))],
        # g2 and g5 overlap nothing. A of those: n = 2 and miss, miss, hit, miss; P_N = 1 / (1 + 2).
        "overlapping": [(1, 2, near(1 / 6)), (0, 4, near((1 + 1 + 0.5) / 3))],
        # g0 starts with its clip. A of the others is as above.
        "edge": [(1, 5, near((1 / 6 + 1 + 0.5) / 3)), (0, 1, 1)],
        # Two As in the first clip, else one of each. A of the second: n = 1 and miss, miss, hit, miss; P_N = 2 / 4.
        "same_class": [(0, 4, near((0.5 + 1 + 0.5) / 3)), (1, 2, near(0.5))],
    }
    assert found["characteristics"]["instances"][1]["instances"] == 6


def test_substitutions_and_missed_instances_are_repaired():
    truth = [(0, A, 0, 4), (0, B, 6, 10), (0, B, 12, 14), (0, B, 16, 18)]
    predictions = [
        (0, A, 0, 4, 0.9),
        (0, A, 6, 10, 0.8),
        (0, A, 6, 9, 0.7),
        (0, B, 20, 22, 0.8),
        (0, B, 16, 18, 0.6),
    ]
    partner = match(predictions, truth, 0.5)
    found = kinds(predictions, truth, partner, **AT, mode="class_first")
    assert found == ["true positive", "substitution", "substitution", "background", "true positive"]
    assert targets(predictions, truth, partner, found) == {1: 1, 2: 1}
    numbers = false_positives(predictions, truth, **AT, mode="class_first")
    # N = 2. B before: miss, hit: AP_N = (2/3) / (5/3) / 3 = 0.13333; A stays at 1 throughout.
    assert numbers["base"] == near((1 + 0.13333) / 2)
    # B after: miss, hit (from A, behind the row of equal score), hit: P_N = .4 and .5714, AP_N = 2/3 * .5714.
    assert numbers["repaired"]["substitution"] == near((2 / 3 * 0.571429 - 0.133333) / 2)
    # The instance at 12 s is taken out, the one at 6 s has a substitution: n = 2, P_N = 1/2, AP_N = 1/4.
    assert numbers["repaired"]["missed"] == near((0.25 - 0.133333) / 2)
    assert numbers["removed"]["substitution"] == 0


def test_class_without_reachable_instances_leaves_the_mean():
    truth = [(0, A, 0, 4), (0, A, 5, 6), (0, B, 8, 9)]
    predictions = [(0, A, 0, 4, 0.9)]
    # A 1/2 and B 0; without what is missed, A alone is left, and it is perfect.
    found = false_positives(predictions, truth, **AT, mode="class_first")
    assert found["base"] == near(0.25)
    assert found["repaired"]["missed"] == near(0.75)


def test_each_instance_is_repaired_by_its_best_error_only():
    truth = [(0, A, 0, 10)]
    predictions = [(0, A, 0, 3, 0.5), (0, A, 0, 4, 0.9), (0, A, 20, 21, 0.7)]
    # The error at 0.9 becomes a hit ahead of the miss, the other goes.
    assert false_positives(predictions, truth, **AT, mode="class_first")["repaired"]["localisation"] == 1


def test_matching_takes_the_last_of_equal_tious_and_falls_back():
    truth = [(0, A, 0, 2), (0, A, 2, 4)]
    assert match([(0, A, 1, 3, 0.9), (0, A, 1, 3, 0.9), (0, A, 1, 3, 0.9)], truth, 0.3) == [1, 0, None]


def test_limit_keeps_ten_per_instance_of_a_class_and_the_first_of_equals():
    truth = [(0, A, 0, 2)]
    predictions = [(0, A, 5, 6, 0.1)] + [(0, A, start, start + 1, 0.5) for start in range(10, 20)] + [(0, B, 0, 2, 0.9)]
    assert limited(predictions, truth) == predictions[1:11]
    assert limited([*predictions, (0, A, 0, 2, 0.5)], truth) == predictions[1:11]


def test_cut_off_erases_matches_of_low_precision():
    truth = [(0, A, 0, 2)]
    misses = [(0, A, 30, 31, 0.9)] * 19
    predictions = [*misses, (0, A, 0, 2, 0.1)]
    partner = match(predictions, truth, 0.5)
    assert cut_off(predictions, truth, partner, 0.05) == [None] * 20  # P_N is 1 / 20, which is not above
    assert cut_off(predictions[1:], truth, partner[1:], 0.05) == partner[1:]
    missed = {m: false_negatives(predictions, truth, {0: 40}, **AT, mode=m)["missed"] for m in ("class_first", "detad")}
    assert missed == {"class_first": 0, "detad": 1}


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ([(0, A, 0, 1, 0.9)], "loose"),
        ([(0, B, 0, 4, 0.9), (0, A, 0, 1, 0.9)], "loose"),
        ([(0, B, 0, 4, 0.9)], "other class"),
        ([(0, B, 0, 1, 0.9), (1, A, 0, 4, 0.9)], "nothing"),
        ([], "nothing"),
    ],
)
def test_reasons(predictions, expected):
    reasons = false_negatives(predictions, [(0, A, 0, 4)], {0: 10}, **AT, mode="class_first")["reasons"]
    assert {name for name, number in reasons.items() if number} == {expected}


def test_reason_of_an_instance_whose_only_prediction_is_matched_elsewhere():
    truth = [(0, A, 0, 4), (0, A, 1, 4)]
    reasons = false_negatives([(0, A, 0, 4, 0.9)], truth, {0: 10}, **AT, mode="class_first")["reasons"]
    assert reasons["taken"] == 1


@pytest.mark.parametrize(
    ("value", "bucket"), [(0, 0), (0.2, 0), (0.2 + 4e-7, 0), (0.200001, 1), (1, 4), (1.1, None), (3 * 0.2, 2)]
)
def test_buckets_are_closed_on_the_right(value, bucket):
    assert bucket_of(value, (0, 0.2, 0.4, 0.6, 0.8, 1)) == bucket


def test_duplicates_are_those_of_a_kept_instance():
    steps = [(0, A, 0, 2), (0, A, 0.0008, 2.0008), (0, A, 0.0016, 2.0016), (0, B, 0, 2), (0, B, 1, 1)]
    assert without_duplicates(steps) == [steps[0], steps[2], steps[3]]


def test_class_row_of_the_worked_example():
    row = class_row(PREDICTIONS, TRUTH, A, {A: 0.45, B: 0.85, C: 0.5}, **AT, mode="class_first")
    # p0, p1, p5 and p11: hit, duplicate, localisation error, hit. F1 = 4 / 7 beats 2 / 4 of p0 alone and 4 / 8 of all.
    assert (row["kept"], row["precision"], row["recall"], row["f1"]) == (4, 0.5, near(2 / 3), near(4 / 7))
    assert {kind for kind, number in row["errors"].items() if number} == {"duplicate", "localisation"}
    assert (row["missed"], row["ap_50"]) == (1, near(0.5))
    # To tIoU 0.3, p5 is a hit as well: hit, miss, hit, hit gives (1 + 3/4 + 3/4) / 3; 6.8 - 6 s in binary is too little
    # for 0.4. At 0.9, p11 (.83) is none.
    assert row["ap"] == near((3 * 2.5 / 3 + 5 * 0.5 + 1 / 3) / 9)


def test_class_without_ground_truth_has_counts_only():
    row = class_row([(0, B, 0, 2, 0.4)], [(0, A, 0, 2)], B, {A: None, B: None}, **AT, mode="detad")
    assert (row["predictions"], row["kept"], row["ap"], row["f1"]) == (1, 0, None, None)


@pytest.mark.parametrize(("lowest", "kind"), [(0.5, "extra label"), (0.7, "substitution")])
def test_matches_that_are_not_kept_do_not_make_a_label_extra(lowest, kind):
    predictions = [(0, A, 0, 2, 0.9), (0, B, 0, 2, 0.5)]
    row = class_row(predictions, [(0, B, 0, 2), (0, A, 5, 6)], A, {A: 0.9, B: lowest}, **AT, mode="class_first")
    assert {name for name, number in row["errors"].items() if number} == {kind}


def test_wilson_interval():
    # Wilson (1927); 1 of 10 as any table of the interval gives it.
    assert wilson(1, 10) == near(0.0179, 0.4042)
    assert wilson(0, 10) == near(0, 0.2775)
