"""The page of a data set holds its sentences, tables and figures, lets nothing else in, and fits a telephone."""

import re
from pathlib import Path
from typing import Any

import pytest

import sample
from mmad.annotations import Truth
from mmad.dataset import describe, findings, tables_of
from mmad.dataset.records import Statistics
from mmad.page.dataset import write_dataset_page
from mmad.plots.dataset import draw_figures, write_figures
from mmad.taxonomy import MMA52, Taxonomy

HOSTILE = "<img src=x onerror=\"document.title='owned'\">{{style}}"
ENDING = "</style><script>document.title='owned'</script><!--"
TAXONOMY = Taxonomy.from_rows(
    tuple(
        (code, {0: HOSTILE, 2: ENDING}.get(index, name), MMA52.bodies[body])
        for index, (code, name, body) in enumerate(zip(MMA52.codes, MMA52.actions, MMA52.body_of, strict=True))
    )
)


def statistics() -> Statistics:
    clips = sample.clips()
    return describe({"train": clips[:16], HOSTILE: clips[16:], "test": [Truth("z", (), 9.0)]}, taxonomy=TAXONOMY)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    figures = write_figures(folder / "figures", draw_figures(statistics()), formats=["svg"])
    return write_dataset_page(
        folder / "statistics.html",
        title=ENDING,
        statistics=statistics(),
        figures={name: paths[0].read_bytes() for name, paths in figures.items()},
        about={"<b>data</b>": ENDING},
    )


def test_the_file_has_no_script_and_loads_nothing(built: Path) -> None:
    text = built.read_text()
    assert not re.search(r"<script|<link|@import|<iframe|https?://|\son\w+=(?!\"|&)", text.replace(HOSTILE, ""))
    assert text.count("<img") == text.count('src="data:image/svg+xml;base64,') == 5
    assert "default-src 'none'; style-src 'sha256-" in text
    assert "unsafe-inline" not in text


def test_nothing_to_show_leaves_no_empty_section(tmp_path: Path) -> None:
    bare = describe({"test": [Truth("a", (), 9.0)]}, taxonomy=MMA52)
    page = write_dataset_page(tmp_path / "new" / "page.html", title="Bare", statistics=bare, figures={}, about={})
    text = page.read_text()
    assert re.findall(r'<section id="(\w+)">', text) == ["size", "classes"]
    assert text.count("<a href=") == 2


@pytest.mark.parametrize("width", [1280, 390])
def test_a_reader_sees_every_sentence_table_and_figure(browser: Any, built: Path, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url[:5] not in ("data:", "file:") else None)
    page.goto(built.as_uri())
    said = [sentence for part in findings(statistics()).values() for sentence in part]
    assert [each.replace("\N{NO-BREAK SPACE}", " ") for each in page.locator("li").all_inner_texts()] == said
    assert page.locator("caption").count() == len(tables_of(statistics()))
    assert page.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 200 && each.alt)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("h1").inner_text() == page.title() == ENDING
    context.close()
    assert complaints == []


def test_a_table_of_classes_unfolds_with_a_row_for_each(browser: Any, built: Path) -> None:
    page = browser.new_page()
    page.goto(built.as_uri())
    table = page.locator("#classes details")
    assert not table.locator("tbody").is_visible()
    table.locator("summary").click()
    assert table.locator("tbody tr").count() == 52
    assert HOSTILE in table.locator("tbody tr td:nth-child(2)").first.inner_text()
    page.close()


def test_darkness_changes_the_page_and_not_the_figures(browser: Any, built: Path) -> None:
    found = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(built.as_uri())
        found[scheme] = [
            page.evaluate(f"getComputedStyle(document.querySelector('{what}')).backgroundColor")
            for what in ("body", "div.card", "figure.card")
        ]
        context.close()
    assert found["light"][:2] != found["dark"][:2]
    assert found["light"][2] == found["dark"][2] == "rgb(255, 255, 255)"
