"""Tables say what the records say, in full in CSV and readably in Markdown and LaTeX, whatever is missing."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest

import sample
from mmad.average_precision import Protocol
from mmad.diagnosis import diagnose, measure
from mmad.diagnosis.records import Diagnosis, Numbers
from mmad.tables import Table, tables_of, to_csv, to_latex, to_markdown, write_tables

NUMBERS, DIAGNOSIS, COMPARISON = sample.numbers(), sample.diagnosis(), sample.comparison()
TABLES = tables_of(NUMBERS, DIAGNOSIS, COMPARISON)
ACTION = DIAGNOSIS["action"]


def records() -> tuple[Numbers, Diagnosis]:
    """Records with the letters that Markdown and LaTeX must escape."""
    numbers, diagnosis = sample.numbers(), sample.diagnosis()
    diagnosis["action"]["classes"][0]["name"] = "50 % wave & {bow}"
    diagnosis["action"]["confusion"]["names"][0] = "nod_ding | <b>"
    return numbers, diagnosis


def perfect() -> tuple[Numbers, Diagnosis]:
    """Predictions that are the ground truth, so that nothing is missed."""
    truth = sample.ground_truth()
    found = replace(truth, score=np.ones(len(truth)))
    return measure(found, truth, taxonomy=sample.TAXONOMY, draws=0), diagnose(found, truth, taxonomy=sample.TAXONOMY)


def detad() -> tuple[Numbers, Diagnosis]:
    return sample.numbers(), sample.diagnosis("detad")


every_kind = pytest.mark.parametrize("make", [records, sample.barren, perfect, detad])


def named(name: str, *, tables: list[Table] = TABLES) -> Table:
    (found,) = [table for table in tables if table.name == name]
    return found


def cells(table: Table, row: int) -> dict[str, object]:
    return dict(zip(table.header, table.rows[row], strict=True))


def markdown_cells(line: str) -> list[str]:
    """The cells of a Markdown row, of which an escaped bar is no end."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@every_kind
def test_every_row_fits_its_header(make):
    tables = tables_of(*make(), COMPARISON)
    assert len({table.name for table in tables}) == len(tables)
    for table in tables:
        assert table.rows
        assert all(len(row) == len(table.header) for row in table.rows), table.name


def test_which_tables_there_are():
    names = [table.name for table in TABLES]
    assert names[:4] == ["detection_map", "paper_row", "thresholds", "classes"]
    assert set(names) >= {"subjects", "false_positives", "gains", "false_negatives", "confusions", "co_occurrence"}
    assert set(names) >= {"boundaries", "calibration", "average_recall", "frame_map", "comparison", "evaluation"}
    numbers, diagnosis = sample.barren()
    diagnosis["action"]["classes"] = []
    left = [table.name for table in tables_of(numbers, diagnosis)]
    assert not set(left) & {"classes", "subjects", "confusions", "co_occurrence", "frame_map", "comparison"}
    assert {"detection_map", "thresholds", "gains", "boundaries"} <= set(left)


def test_records_may_come_from_their_files():
    """JSON turns tuples into lists."""
    read = json.loads(json.dumps([NUMBERS, DIAGNOSIS, COMPARISON]))
    assert [to_csv(table) for table in TABLES] == [to_csv(table) for table in tables_of(*read)]


def test_detection_map_has_the_papers_columns():
    table = named("detection_map")
    assert [row[0] for row in table.rows] == ["action", "body", "both (AVG)"]
    for row, level in enumerate((NUMBERS["action"], NUMBERS["body"])):
        for column, value, interval in (
            ("@0.2 (%)", level["map"]["0.2"], level["intervals"]["0.2"]),
            ("@0.5 (%)", level["map"]["0.5"], level["intervals"]["0.5"]),
            ("@0.7 (%)", level["map"]["0.7"], level["intervals"]["0.7"]),
            ("Avg (%)", level["avg"], level["intervals"]["avg"]),
        ):
            assert [cells(table, row)[f"{column}{end}"] for end in ("", " low", " high")] == [value, *interval]
    assert cells(table, 2)["Avg (%) high"] == NUMBERS["interval"][1]
    both = [NUMBERS[level]["map"][key] for level in ("action", "body") for key in ("0.2", "0.5", "0.7")]
    averages = [NUMBERS["action"]["avg"], NUMBERS["body"]["avg"], NUMBERS["avg"]]
    assert named("paper_row").rows == [(*both[:3], averages[0], *both[3:], *averages[1:])]
    assert table.title == "Detection-mAP, with 95 % intervals (bootstrap over 12 subjects)"
    assert named("detection_map", tables=tables_of(*sample.barren())).title == "Detection-mAP"


def test_other_thresholds_than_the_papers():
    protocol = Protocol(thresholds=(0.5, 0.95))
    numbers = measure(sample.predictions(), sample.ground_truth(), taxonomy=sample.TAXONOMY, draws=0, protocol=protocol)
    tables = tables_of(numbers, DIAGNOSIS)
    assert named("paper_row", tables=tables).header == (
        *("action @0.5 (%)", "action Avg (%)", "body @0.5 (%)", "body Avg (%)"),
        "AVG (%)",
    )
    assert [row[0] for row in named("thresholds", tables=tables).rows] == ["0.5", "0.95", "Avg"]


def test_all_thresholds_of_both_levels():
    table = named("thresholds")
    assert [row[0] for row in table.rows] == [*(f"0.{i}" for i in range(1, 10)), "Avg"]
    for level in ("action", "body"):
        shown = [cells(table, row)[f"{level} (%)"] for row in range(10)]
        assert shown == [*NUMBERS[level]["map"].values(), NUMBERS[level]["avg"]]


def test_main_error_of_a_class():
    table, rows = named("classes"), ACTION["classes"]
    assert [row[1] for row in table.rows] == [row["name"] for row in rows]
    kinds = set()
    for place, row in enumerate(rows):
        shown = cells(table, place)
        largest = max(row["errors"].values()) or None
        assert shown["of this kind"] == largest
        assert row["errors"].get(shown["main error"]) == largest
        assert (shown["AP (%)"], shown["AP@0.5 (%)"]) == (row["ap"], row["ap_50"])
        low, high = NUMBERS["action"]["per_class_intervals"].get(row["name"]) or (None, None)
        assert (shown["AP (%) low"], shown["AP (%) high"]) == (low, high)
        kinds.add(shown["main error"])
    assert len(kinds) > 3
    assert None in kinds
    assert cells(table, [row["ap"] for row in rows].index(None))["class"] == sample.TAXONOMY.actions[sample.UNSEEN]


def test_slices_add_up():
    table, profile = named("false_positives"), ACTION["false_positives"]
    assert [row[1] for row in table.rows[:11]] == [*(f"{k}G" for k in range(1, 11)), "all"]
    assert [list(row[2:-1]) for row in table.rows[:10]] == profile["slices"]
    for column in (*profile["kinds"], "predictions"):
        place = table.header.index(column)
        assert sum(row[place] for row in table.rows[:10]) == table.rows[10][place] > 0


def test_gains_name_every_kind():
    table, profile = named("gains"), ACTION["false_positives"]
    kinds = [*profile["kinds"][1:], "missed"]
    assert [row[1] for row in table.rows[:7]] == kinds
    missed = cells(table, 6)
    assert (missed["removed (points)"], missed["predictions"]) == (None, None)
    assert missed["repaired (points)"] == profile["repaired"]["missed"]
    for place, kind in enumerate(kinds[:-1]):
        shown = cells(table, place)
        assert shown["in the same body group"] == profile["same_group"].get(kind)
        assert shown["on no instance at all"] == (profile["idle"] if kind == "background" else None)
        assert shown["removed (points)"] == profile["removed"][kind]
    assert profile["same_group"]["extra label"] > 0
    assert profile["idle"] > 0


def test_buckets_keep_their_place_when_empty():
    rows = [row for row in named("false_negatives").rows if row[0] == "action"]
    assert rows[0][1:4] == ("all instances", None, None)
    lengths = [row for row in rows if row[1] == "length (s)"]
    assert [row[2:4] for row in lengths] == [
        *(("XS", "(0, 3]"), ("S", "(3, 5]"), ("M", "(5, 8]"), ("L", "(8, 9]"), ("XL", "(9, inf)"))
    ]
    assert lengths[-1][4:] == (0, *(0, None, None, None) * 2, None, 0)
    ((every, kept),) = [
        (one["buckets"][0], same["buckets"][0])
        for one, same in zip(
            ACTION["false_negatives"]["characteristics"], ACTION["kept_misses"]["characteristics"], strict=True
        )
        if one["name"] == "length"
    ]
    assert every["missed"] < kept["missed"]
    assert lengths[0][4:] == (
        every["instances"],
        *(every["missed"], every["rate"], *every["interval"]),
        *(kept["missed"], kept["rate"], *kept["interval"]),
        *(every["map_n"], every["classes"]),
    )


def test_reasons_are_those_of_all_and_of_kept_predictions():
    rows = [row[1:4] for row in named("misses").rows if row[0] == "action"]
    parts = (("all", ACTION["false_negatives"]), ("kept", ACTION["kept_misses"]))
    assert rows == [(which, reason, n) for which, part in parts for reason, n in part["reasons"].items()]


def test_confusions_are_of_two_classes_largest_first():
    confusion = ACTION["confusion"]
    matrix, group = np.array(confusion["matrix"]), dict(zip(confusion["names"], confusion["groups"], strict=True))
    between = matrix[:-1, :-1] - np.diag(np.diag(matrix[:-1, :-1]))
    rows = [row for row in named("confusions").rows if row[0] == "action"]
    counts = [row[3] for row in rows]
    assert counts == sorted(between[between > 0].tolist(), reverse=True)[: len(counts)]
    assert len(counts) == min((between > 0).sum(), 30)
    assert counts[0] > counts[-1]
    for _, true, predicted, count, share, together in rows:
        i, j = confusion["names"].index(true), confusion["names"].index(predicted)
        assert count == between[i, j]
        assert share == pytest.approx(100 * count / matrix[i].sum())
        assert together == ("yes" if group[true] == group[predicted] else "no")
    assert {row[-1] for row in rows} == {"yes", "no"}


def test_differences_that_are_none_of_chance():
    compared = sample.comparison()
    compared["per_body"]["head"]["interval"] = None
    table = named("comparison", tables=tables_of(NUMBERS, DIAGNOSIS, compared))
    differences = {("both", "AVG"): compared["avg"]}
    for level in ("action", "body"):
        keys = [*NUMBERS[level]["map"], "avg"]
        differences |= {(level, "Avg" if key == "avg" else f"@{key}"): compared[level][key] for key in keys}
    differences |= {("action", name): one for name, one in compared["per_class"].items()}
    differences |= {("body", name): one for name, one in compared["per_body"].items()}
    assert [row[:2] for row in table.rows] == list(differences)
    for row, one in zip(table.rows, differences.values(), strict=True):
        low, high = one["interval"] or (None, None)
        assert row[2:7] == (one["first"], one["second"], one["difference"], low, high)
        assert row[7] == (None if low is None else "no" if low <= 0 <= high else "yes")
    assert {row[7] for row in table.rows} == {"yes", "no", None}
    assert table.header[2:4] == ("standard adapter (%)", "DSTA (%)")
    assert "standard adapter" in table.title


@every_kind
def test_csv_holds_every_number_in_full(make):
    for table in tables_of(*make(), COMPARISON):
        header, *rows = csv.reader(io.StringIO(to_csv(table)))
        assert tuple(header) == table.header
        assert len(rows) == len(table.rows)
        for read, row in zip(rows, table.rows, strict=True):
            back = [float(text) if isinstance(value, float) else text for text, value in zip(read, row, strict=True)]
            assert back == [value if isinstance(value, float) else "" if value is None else str(value) for value in row]


@every_kind
def test_markdown_rows_have_as_many_cells_and_stand_in_columns(make):
    for table in tables_of(*make(), COMPARISON):
        lines = to_markdown(table).splitlines()
        assert len(lines) == 2 + len(table.rows)
        assert len({len(markdown_cells(line)) for line in lines}) == 1, table.name
        assert len({len(line) for line in lines}) == 1, table.name


def test_markdown_joins_intervals_and_rounds():
    table = Table(
        "x",
        "X",
        ("name", "AP (%)", "AP (%) low", "AP (%) high", "onset (s)", "gain (points)", "n"),
        [("a|b_c", 12.3456, 1.0, 20.0, -0.0341, -0.001, 3), ("<b>", 7.0, None, None, None, 2.5, 1200)],
    )
    header, rule, *rows = map(markdown_cells, to_markdown(table).splitlines())
    assert header == ["name", "AP (%)", "onset (s)", "gain (points)", "n"]
    assert [cell.endswith(":") for cell in rule] == [False, True, True, True, True]
    assert rows == [
        [r"a\|b\_c", "12.35 [1.00, 20.00]", "-0.034", "+0.00", "3"],
        [r"\<b\>", "7.00", "-", "+2.50", "1200"],
    ]


def test_latex_escapes_what_is_text_and_only_that():
    table = Table(
        "two_words",
        "50 % of A & B_1",
        ("name", "x (%)", "x (%) low", "x (%) high"),
        [("a & b_c 5 % #1 {x} $ ~ ^ \\ <b>", -1.5, -2.0, 3.0), ("[y]", None, None, None)],
    )
    lines = to_latex(table).splitlines()
    assert r"\caption{50 \% of A \& B\_1}" in lines
    assert r"\label{tab:two-words}" in lines
    assert r"\begin{tabular}{lr}" in lines
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    text = (
        r"a \& b\_c 5 \% \#1 \{x\} \$ \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{}b\textgreater{}"
    )
    assert body == [rf"{text} & $-$1.50 [$-$2.00, 3.00] \\", r"{[}y] & -- \\"]


@every_kind
def test_latex_rows_have_as_many_cells_as_columns(make):
    for table in tables_of(*make(), COMPARISON):
        lines = to_latex(table).splitlines()
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", "\n".join(lines))[1]
        rows = [line for line in lines if line.endswith(r" \\")]
        assert len(rows) == 1 + len(table.rows)
        assert all(len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1 for row in rows), table.name


def test_files(tmp_path):
    paths = write_tables(tmp_path / "new", TABLES)
    assert paths[0] == tmp_path / "new" / "tables.md"
    assert sorted(path.name for path in paths) == sorted(path.name for path in (tmp_path / "new").iterdir())
    assert len(paths) == 1 + 2 * len(TABLES)
    document = paths[0].read_text(encoding="utf-8")
    assert [line for line in document.splitlines() if line.startswith("## ")][2].startswith("## Mean AP at each tIoU")
    assert all(to_markdown(table) in document for table in TABLES)
    assert (tmp_path / "new" / "gains.csv").read_text(encoding="utf-8") == to_csv(named("gains"))
    assert (tmp_path / "new" / "gains.tex").read_text(encoding="utf-8") == to_latex(named("gains"))
