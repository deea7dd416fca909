"""Tables of settings say the same in Markdown, LaTeX, CSV and on the terminal, beside the paper's numbers."""

import csv
import io
import re

import pytest

from made import record
from mmad.tables import to_csv, to_latex, to_markdown
from mmad.tables.settings import costs, everything, results, tables_of, thresholds, to_document, to_floats, to_text
from mmad.tables.table import Table

RECORD = record()


def cells(table: Table, row: int) -> dict[str, object]:
    return dict(zip(table.header, table.rows[row], strict=True))


def test_the_main_table_has_a_row_per_setting_and_the_papers_average() -> None:
    table = results(RECORD)
    first = cells(table, 0)
    assert first["AVG (%)"] == 61
    assert (first["AVG (%) low"], first["AVG (%) high"], first["SD (%)"]) == (58.5, 63.25, 2**0.5)
    assert (first["paper, AVG (%)"], first["runs"], first["difference (points)"]) == (23.43, 2, None)
    assert first["trained in backbone (2^20)"] == pytest.approx(1.804, abs=0.0005)
    assert (first["paper (2^20)"], first["s per epoch"], first["peak memory (GiB)"]) == (1.8, 4.5, 1.5)
    second = cells(table, 1)
    assert (second["difference (points)"], second["p (0-1)"], second["SD (%)"]) == (-11, 1 / 1001, None)
    third = cells(table, 2)
    assert (third["setting"], third["AVG (%)"], third["paper, AVG (%)"], third["runs"]) == ("TadTR", None, 13.41, 0)
    assert "paper, action (%)" not in table.header


def test_where_the_paper_has_no_average_its_action_level_stands_beside_ours() -> None:
    changed = record()
    for row in changed["rows"]:
        row["paper"] = {"action": {"avg": 18.16}} if row["paper"] else {}
    table = results(changed)
    assert table.header[1:5] == ("action Avg (%)", "body Avg (%)", "paper, action (%)", "AVG (%)")
    assert [cells(table, row)["paper, action (%)"] for row in range(3)] == [18.16, None, 18.16]


def test_columns_without_any_value_are_left_out() -> None:
    changed = record()
    for row in changed["rows"]:
        row["paper"], row["cost"], row["contrast"] = {}, None, None
    assert results(changed).header == (
        "setting",
        "action Avg (%)",
        "body Avg (%)",
        "AVG (%)",
        "AVG (%) low",
        "AVG (%) high",
        "SD (%)",
        "runs",
    )
    assert [table.name for table in tables_of(changed)] == ["results", "thresholds"]


def test_thresholds_have_means_deviations_and_the_papers_row() -> None:
    table = thresholds(RECORD)
    assert [row[:2] for row in table.rows] == [
        ("DSTA_1 | <b>", "mean of 2 runs"),
        ("DSTA_1 | <b>", "SD"),
        ("DSTA_1 | <b>", "paper"),
        ("tia", "1 run"),
        ("TadTR", "paper"),
    ]
    mean, deviation, paper = (cells(table, row) for row in range(3))
    assert (mean["action @0.5 (%)"], mean["body Avg (%)"], mean["AVG (%)"]) == (40 + 1 / 3, 61, 61)
    assert (deviation["body @0.7 (%)"], deviation["AVG (%)"]) == (0.5, 2**0.5)
    assert (paper["action @0.2 (%)"], paper["action @0.5 (%)"], paper["action Avg (%)"]) == (30.5, None, 18.16)
    assert (paper["body Avg (%)"], paper["AVG (%)"]) == (28.7, 23.43)


def test_thresholds_that_were_not_evaluated_stay_empty() -> None:
    changed = record()
    for row in changed["rows"][:2]:
        assert row["reached"] is not None
        row["reached"]["map"] = {level: {"0.5": each["0.5"]} for level, each in row["reached"]["map"].items()}
    first = cells(thresholds(changed), 0)
    assert (first["action @0.2 (%)"], first["action @0.5 (%)"]) == (None, 40 + 1 / 3)


def test_costs_are_exact() -> None:
    (row,) = costs(RECORD).rows
    assert row[1:] == (22_000_000, 12_345_678, 1_891_620, 20, 4.5, 1.5, 1.5, 1, "H100")


def test_csv_has_every_number_in_full_precision() -> None:
    first, second, third = csv.DictReader(io.StringIO(to_csv(everything(RECORD))))
    assert float(first["action @0.9 (%)"]) == 40 + 1 / 3
    assert float(first["AVG SD (%)"]) == 2**0.5
    assert (first["seeds"], first["trained in backbone"], first["paper body Avg (%)"]) == ("0 1", "1891620", "28.7")
    assert float(second["body Avg p (0-1)"]) == 1 / 1001
    assert (second["AVG difference (points) low"], second["AVG (%) high"]) == ("-13.5", "52.0")
    assert (third["AVG (%)"], third["paper AVG (%)"], third["seeds"]) == ("", "13.41", "")


@pytest.mark.parametrize("table", tables_of(RECORD), ids=lambda table: table.name)
def test_all_forms_show_the_same_numbers(table: Table) -> None:
    def numbers(text: str) -> list[str]:
        return re.findall(r"(?<![\w@^.-])[+-]?\d+(?:\.\d+)?(?![\w^])", text)

    markdown = numbers("\n".join(to_markdown(table).splitlines()[2:]))
    latex = to_latex(table).replace("$-$", "-").partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    assert markdown == numbers(latex)
    text = to_text(table)
    rows = text.splitlines()[-len(table.rows) :]
    assert markdown == numbers("\n".join(rows))
    assert len(markdown) > 5


def test_a_terminal_shows_columns_below_their_words() -> None:
    lines = to_text(results(RECORD)).splitlines()
    assert len({len(line) for line in lines[-4:-2]}) == 1
    assert max(map(len, lines)) < 140
    column = lines[-4].index("(GiB)")
    assert lines[-3][column + 1 : column + 5] == "1.50"
    assert lines[-3].startswith("DSTA_1 | <b>  ")
    assert "61.00 [58.50, 63.25]" in lines[-3]


def test_the_document_escapes_names_and_tells_everything() -> None:
    document = to_document(RECORD)
    assert document.startswith("# Methods & \\<more\\>\n\nDetection-mAP on val: 1,475 clips, 4,735 instances.\n")
    assert r"DSTA\_1 \| \<b\>" in document
    assert "- tia: seed 1 failed: \\<script\\>alert\\_(1)\\</script\\> (sweep/4).\n" in document
    assert re.findall(r"^## (.*)$", document, re.MULTILINE) == [
        "Detection-mAP by tIoU threshold",
        "What the runs cost, mean over the runs of a setting",
        "What the columns mean",
    ]
    assert document.endswith("- Intervals are of 95 %.\n")


def test_latex_has_a_float_per_table_and_the_sentences_as_comments() -> None:
    text = to_floats(RECORD)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3
    assert r"DSTA\_1 \textbar{} \textless{}b\textgreater{} & 61.00 & 61.00 & 61.00 [58.50, 63.25]" in text
    assert "\n% Intervals are of 95 %.\n" in text


def test_no_finished_run_gives_a_document_all_the_same() -> None:
    changed = record()
    changed["rows"], changed["split"], changed["meaning"] = changed["rows"][2:], None, []
    document = to_document(changed)
    assert document.startswith("# Methods & \\<more\\>\n\n| setting ")
    assert "What the columns mean" not in document
