"""The page of a table of settings holds tables, figure and runs, lets nothing else in, and leads to the reports."""

import re
from pathlib import Path
from typing import Any

import pytest

from made import record
from mmad.page.settings import write_settings_page
from mmad.plots import style
from mmad.plots.settings import settings_figure

HOSTILE = "<img src=x onerror=\"document.title='owned'\">{{style}}"
RECORD = record()
RECORD["rows"][1]["name"] = RECORD["runs"][2]["setting"] = HOSTILE


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    averages = {row["name"]: row["reached"]["avg"]["avg"] for row in RECORD["rows"] if row["reached"] is not None}
    (svg,) = style.save(settings_figure(averages, title="AVG"), folder / "table", formats=["svg"])
    report = folder / "sweep" / "a b#1" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<title>The report</title>")
    addresses = {"sweep/a b#1": "sweep/a%20b%231/report.html"}
    return write_settings_page(
        folder / "table.html", RECORD, figure=svg, reports=addresses, about={"<b>runs</b>": HOSTILE}
    )


def test_the_file_has_no_script_and_loads_nothing(built: Path) -> None:
    text = built.read_text()
    assert not re.search(r"<script|<link|@import|<iframe|https?://|\son\w+=(?!\"|&)", text)
    assert text.count("<img") == text.count('src="data:image/svg+xml;base64,') == 1
    assert "default-src 'none'; style-src 'sha256-" in text
    assert "unsafe-inline" not in text
    assert "<more>" not in text


def test_without_figure_and_notes_there_is_no_empty_part(tmp_path: Path) -> None:
    bare = record()
    bare["notes"], bare["meaning"] = [], []
    page = write_settings_page(tmp_path / "new" / "table.html", bare, figure=None, reports={}, about={})
    text = page.read_text()
    assert re.findall(r'<section id="(\w+)">', text) == ["settings", "thresholds", "costs", "runs"]
    assert re.findall(r'<a href="([^"]*)">', text) == ["#settings", "#thresholds", "#costs", "#runs"]
    assert 'class="note"' not in text
    assert "<figure" not in text


@pytest.mark.parametrize("width", [1280, 390])
def test_a_reader_sees_tables_figure_notes_and_runs(browser: Any, built: Path, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url[:5] not in ("data:", "file:") else None)
    page.goto(built.as_uri())
    assert page.title() == page.locator("h1").inner_text() == RECORD["title"]
    assert page.locator("#settings tbody tr td:first-child").all_inner_texts() == [r["name"] for r in RECORD["rows"]]
    assert page.locator(".note li").all_inner_texts() == RECORD["notes"]
    assert page.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 200 && each.alt)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    states = page.locator("#runs tbody tr td:nth-child(3)").all_inner_texts()
    assert states == [
        "finished",
        "finished",
        "finished",
        "finished, but a newer run of its seed counts",
        "failed: <script>",
        "finished, in no row",
    ]
    assert page.locator("#runs tbody tr td:nth-child(4)").all_inner_texts()[3:5] == ["49.00", "\N{EN DASH}"]
    context.close()
    assert complaints == []


def test_a_run_leads_to_its_report(browser: Any, built: Path) -> None:
    page = browser.new_page()
    page.goto(built.as_uri())
    (link,) = page.locator("#runs a").all()
    link.click()
    assert page.title() == "The report"
    page.close()
