"""What annotators have to talk about, and the annotation they agree on."""

import csv
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_what_one_marked_twice_and_others_once_is_not_unmarked(tmp_path: Path) -> None:
    """That all agree on the one does not make the other unmarked: each marked something there."""
    made = panel({"anna": [("a", NOD, 1, 3), ("a", NOD, 1, 3)], "ben": [("a", NOD, 1, 3)]})
    case = only(made)
    assert (case.kind, case.what, case.disputed) == (PARTS, "different numbers of parts", 1)
    write_discussion(tmp_path / "discuss.csv", made, [case])
    (row,) = csv.DictReader((tmp_path / "discuss.csv").read_text().splitlines())
    assert (row["anna"], row["ben"]) == ("1.00 to 3.00; 1.00 to 3.00", "1.00 to 3.00")
    both = [("a", NOD, 2, 5)]
    case = only(
        panel({"anna": [("a", NOD, 1, 3), *both], "ben": [("a", NOD, 1, 3), *both], "carl": [("a", NOD, 1, 3)]})
    )
    assert (case.kind, case.what) == (PARTS, "anna and ben agree; different numbers of parts")
    assert len(case.rows) == 5


def test_what_all_agree_on_elsewhere_or_of_another_class_is_beside_the_point() -> None:
    nod, bow = ("a", NOD, 1, 3), ("a", BOW, 1, 3)
    case = only(panel({"anna": [nod, bow, ("a", NOD, 3, 5)], "ben": [nod, bow]}))
    assert (case.kind, case.what, len(case.rows)) == (MISSING, "not marked by ben", 1)
    first, second = told(panel({"anna": [nod, ("a", NOD, 2, 5)], "ben": [nod, ("a", BOW, 2, 5)]}))
    assert (first.kind, first.what) == (OTHER_CLASS, f"ben marked '{BOW}' there")
    assert second.what == f"anna marked '{NOD}' there"


def test_as_many_parts_of_each_differ_in_boundaries() -> None:
    parts = {"anna": [("a", NOD, 1, 3), ("a", NOD, 3, 5)], "ben": [("a", NOD, 1, 2), ("a", NOD, 2, 5)]}
    case = only(panel(parts))
    assert (case.kind, case.what, case.disputed) == (BOUNDARIES, "boundaries differ", 4)


def test_pairs_that_agree_in_turn_have_their_boundaries_to_talk_about() -> None:
    """Three overlapping nods, each of two annotators, so that nobody is alone with one and nobody missed any."""
    one, two, three = ("a", NOD, 1, 3), ("a", NOD, 2, 5), ("a", NOD, 4, 8)
    case = only(panel({"anna": [one, three], "ben": [one, two], "carl": [two, three]}))
    assert (case.kind, case.disputed) == (BOUNDARIES, 0)
    assert case.what == "anna and ben agree; ben and carl agree; anna and carl agree"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(THREE), st.sampled_from((NOD, BOW)), st.integers(0, 8), st.integers(1, 5)),
        min_size=1,
        max_size=12,
    )
)
def test_nobody_who_marked_the_class_there_is_said_not_to_have(rows: list[tuple[str, str, int, int]]) -> None:
    each = {name: [("a", label, s, s + n) for who, label, s, n in rows if who == name] for name in THREE}
    made = panel(each, seconds=20.0)
    for case in told(made):
        assert case.what
        named = case.what.partition("not marked by ")[2]
        for row in case.rows:
            start, end = made.rows.segment[row]
            for name in THREE:
                mine = [(s, e) for _, label, s, e in each[name] if label == TAXONOMY.actions[case.label]]
                assert name not in named or not any(s < end and start < e for s, e in mine)


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


def test_the_consensus_takes_over_clips_that_one_annotator_saw() -> None:
    """As when one clip of five is double coded."""
    said = {
        "anna": marked([("b", NOD, 1, 3), ("d", TIPTOE, 2, 4), ("d", TIPTOE, 1, 3)]),
        "ben": marked([("b", NOD, 1, 3), ("b", BOW, 5, 6), ("a", BOW, 0, 2)], clips=["b", "a", "c"]),
    }
    made = seat(said, taxonomy=TAXONOMY, seconds={})
    agreed = consensus(made, outcomes(made))
    assert agreed.clips == ["a", "b", "c", "d"]
    assert agreed.marks == [
        Mark("a", 0, 2, BOW),
        Mark("b", 1, 3, NOD),
        Mark("d", 1, 3, TIPTOE),
        Mark("d", 2, 4, TIPTOE),
    ]
