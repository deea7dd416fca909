"""What annotators have to talk about, and the annotation they agree on."""

import csv
from pathlib import Path

from mmad.dataset.agreement import agreement, outcomes
from mmad.dataset.agreement_tables import agreement_tables
from mmad.dataset.annotators import Panel, seat
from mmad.dataset.discussion import BOUNDARIES, MISSING, OTHER_CLASS, PARTS, Case, cases, consensus, write_discussion
from mmad.formats.csv_marks import read_csv_marks, write_csv_marks
from mmad.formats.marks import Mark
from panels import BOW, NOD, TAXONOMY, TIPTOE, marked, panel

THREE = ("anna", "ben", "carl")


def told(made: Panel) -> list[Case]:
    return cases(made, outcomes(made))


def only(made: Panel) -> Case:
    (case,) = told(made)
    return case


def test_what_all_agree_on_is_no_case() -> None:
    assert told(panel({name: [("a", NOD, 1, 3)] for name in THREE})) == []


def test_boundaries_differ() -> None:
    ends = (3.0, 4.0, 5.0)
    case = only(panel({name: [("a", NOD, 1, end)] for name, end in zip(THREE, ends, strict=True)}))
    assert (case.kind, case.what, case.disputed) == (BOUNDARIES, "boundaries differ", 3)
    case = only(panel({name: [("a", NOD, 1, end)] for name, end in zip(THREE, (3, 3, 5), strict=True)}))
    assert (case.kind, case.what, case.disputed) == (BOUNDARIES, "anna and ben agree; other boundaries by carl", 1)


def test_not_marked_by_all() -> None:
    case = only(panel({"anna": [("a", NOD, 1, 3)], "ben": [], "carl": []}))
    assert (case.kind, case.what, case.disputed) == (MISSING, "not marked by ben and carl", 1)
    case = only(panel({"anna": [("a", NOD, 1, 3)], "ben": [("a", NOD, 1, 3)], "carl": []}))
    assert (case.kind, case.what, case.disputed) == (MISSING, "anna and ben agree; not marked by carl", 0)


def test_who_did_not_see_a_clip_is_not_missed_in_it() -> None:
    said = {
        "anna": marked([("a", NOD, 1, 3)]),
        "ben": marked([], clips=["a", "b"]),
        "carl": marked([], clips=["b"]),
    }
    assert only(seat(said, taxonomy=TAXONOMY, seconds={})).what == "not marked by ben"


def test_one_long_or_two_short() -> None:
    case = only(panel({"anna": [("a", NOD, 1, 5)], "ben": [("a", NOD, 1, 2.9), ("a", NOD, 3.1, 5)]}))
    assert (case.kind, case.what, case.disputed) == (PARTS, "different numbers of parts", 3)


def test_another_class_for_the_same_time() -> None:
    made = panel({"anna": [("a", NOD, 1, 3)], "ben": [("a", BOW, 1, 3.1)]})
    first, second = told(made)
    assert (first.kind, first.what) == (OTHER_CLASS, f"ben marked '{BOW}' there")
    assert second.what == f"anna marked '{NOD}' there"
    tables = {table.name: table for table in agreement_tables(agreement(made), [first, second])}
    assert tables["confused_classes"].rows == [(BOW, NOD, 1)], "told by both, counted once"


def test_what_others_confirm_is_no_other_name() -> None:
    """All saw the tiptoe; that ben marked it is no reason why he did not mark the nod."""
    tiptoe = ("a", TIPTOE, 1, 3)
    case = only(panel({"anna": [("a", NOD, 1, 3), tiptoe], "ben": [tiptoe], "carl": [tiptoe]}))
    assert (case.kind, case.what) == (MISSING, "not marked by ben and carl")


def test_clips_with_most_disputes_come_first_and_the_table_says_who_marked_what(tmp_path: Path) -> None:
    each = {
        "anna": [("a", NOD, 1, 3), ("b", NOD, 1, 3), ("b", BOW, 0, 1)],
        "ben": [("b", NOD, 2, 3), ("c", NOD, 1, 3), ("c", TIPTOE, 4, 5)],
    }
    made = panel(each, clips=("a", "b", "c"))
    write_discussion(tmp_path / "new" / "discuss.csv", made, told(made))
    rows = list(csv.DictReader((tmp_path / "new" / "discuss.csv").read_text().splitlines()))
    assert [(row["clip"], row["class"]) for row in rows] == [
        ("b", BOW),
        ("b", NOD),
        ("c", NOD),
        ("c", TIPTOE),
        ("a", NOD),
    ]
    assert (rows[1]["start"], rows[1]["end"], rows[1]["disputed"]) == ("1.00", "3.00", "2")
    assert (rows[1]["anna"], rows[1]["ben"]) == ("1.00 to 3.00", "2.00 to 3.00")
    assert rows[0]["ben"] == ""


def test_the_table_says_who_did_not_see_a_clip(tmp_path: Path) -> None:
    said = {"anna": marked([("a", NOD, 1, 3)]), "ben": marked([], clips=["a"]), "carl": marked([], clips=["b"])}
    made = seat(said, taxonomy=TAXONOMY, seconds={})
    write_discussion(tmp_path / "discuss.csv", made, told(made))
    assert next(csv.DictReader((tmp_path / "discuss.csv").read_text().splitlines()))["carl"] == "clip not seen"


def test_the_consensus_is_the_median_of_those_who_agree(tmp_path: Path) -> None:
    each = {
        "anna": [("a", NOD, 1.0, 3.0), ("a", BOW, 4.0, 6.0), ("a", TIPTOE, 7.0, 8.0)],
        "ben": [("a", NOD, 1.0, 3.1), ("a", BOW, 4.1, 6.0)],
        "carl": [("a", NOD, 1.1, 3.1), ("a", BOW, 4.0, 5.0)],
    }
    made = panel(each, clips=("a", "b"))
    agreed = consensus(made, outcomes(made))
    assert agreed.marks == [Mark("a", 1.0, 3.1, NOD), Mark("a", 4.05, 6.0, BOW)]
    write_csv_marks(tmp_path / "annotations.csv", agreed)
    again = read_csv_marks(tmp_path / "annotations.csv")
    assert (again.marks, again.clips) == (agreed.marks, ["a", "b"]), "clip b, in which nobody saw anything, stays"


def test_every_segment_is_settled_or_in_a_case() -> None:
    each = {
        "anna": [("a", NOD, 1, 3), ("a", NOD, 5, 6), ("a", BOW, 2, 4)],
        "ben": [("a", NOD, 1, 3), ("a", BOW, 2, 5)],
        "carl": [("a", NOD, 1, 3), ("a", NOD, 5, 6.4)],
    }
    made = panel(each)
    shares = agreement(made)["action"]["overall"]
    found = told(made)
    assert sum(case.disputed for case in found) == round(shares["dispute"] * shares["segments"] / 100) == 4
    rows = [row for case in found for row in case.rows]
    assert len(rows) == len(set(rows)) == 7 - 3
