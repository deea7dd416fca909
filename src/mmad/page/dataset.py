"""Writes the page of a data set: what its statistics say in words, figures and tables, in one HTML file."""

import base64
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from mmad.dataset.findings import findings
from mmad.dataset.records import Statistics
from mmad.dataset.tables import tables_of
from mmad.formats.whole_file import write_whole
from mmad.page.build import _asset, _digest
from mmad.tables.html import to_html
from mmad.tables.table import Table

_SECTIONS = {
    "size": ("Clips and instances", ("per_clip",), ("dataset",)),
    "balance": ("Balance of classes", ("shares",), ()),
    "durations": ("Durations", ("durations",), ()),
    "overlap": ("At the same time", ("concurrency", "together"), ("overlap", "groups_together", "classes_together")),
    "ends": ("Ends of clips", (), ()),
    "classes": ("Every class", (), ("groups", "classes")),
}
"""Heading, figures and tables of each section; its sentences have the section's name in `mmad.dataset.findings`."""

_FIGURES = {
    "per_clip": "How many instances the clips of each split have",
    "shares": "Share of the instances of each split, by class and by body group",
    "durations": "How long the instances of each class and each body group last",
    "concurrency": "How much of the time so many instances run at once",
    "together": "How often instances of two classes overlap",
}
_SMALL = ("per_clip", "concurrency")
_UNFOLDED = 12
"""Most rows of a table that is not folded."""


def write_dataset_page(
    path: Path,
    *,
    title: str,
    statistics: Statistics,
    figures: Mapping[str, bytes],
    about: Mapping[str, str],
) -> Path:
    """Writes one HTML file that holds its style and its figures, has no script, and fetches nothing.

    The file appears whole or not at all. Its content security policy lets nothing but its own style and pictures in.

    Args:
        path: the HTML file; its folder is made.
        title: heading of the page.
        statistics: as `mmad.dataset.describe` gives them.
        figures: SVG files by the names that `mmad.plots.dataset.draw_figures` gives; an absent one is left out.
        about: rows for the foot of the page, such as command, versions and date.

    Returns:
        The path.
    """
    said = findings(statistics)
    tables = {table.name: table for table in tables_of(statistics)}
    sections, links = [], []
    for name, (heading, drawings, listed) in _SECTIONS.items():
        parts = [_list(said.get(name, []))]
        parts += [_table(tables[each]) for each in listed if each in tables]
        parts += [_figure(each, figures[each]) for each in drawings if each in figures]
        if any(parts):
            links.append(f'<a href="#{name}">{heading}</a>')
            sections.append(f'<section id="{name}">\n<h2>{heading}</h2>\n' + "\n".join(parts) + "\n</section>")
    style = _asset("style.css") + _asset("dataset.css")
    values = {
        "title": escape(title),
        "policy": f"default-src 'none'; style-src '{_digest(style)}'; img-src data:; base-uri 'none'; "
        "form-action 'none'",
        "style": style,
        "links": "".join(links),
        "sections": "\n".join(sections),
        "about": "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in about.items()),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], _asset("dataset.html"))
    write_whole(Path(path), page.encode())
    return Path(path)


def _list(sentences: list[str]) -> str:
    if not sentences:
        return ""
    # No line shall begin with a sign of percent.
    lines = [f"<li>{escape(each).replace(' %', '&nbsp;%')}</li>" for each in sentences]
    return '<ul class="findings">\n' + "\n".join(lines) + "\n</ul>"


def _table(table: Table) -> str:
    written = f'<div class="scroll" tabindex="0">{to_html(table)}</div>'
    if len(table.rows) <= _UNFOLDED:
        return f'<div class="card"><h3>{escape(table.title)}</h3>{written}</div>'
    return f'<details class="card"><summary>{escape(table.title)}</summary>{written}</details>'


def _figure(name: str, svg: bytes) -> str:
    address = "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
    size = "small" if name in _SMALL else "wide"
    return f'<figure class="card"><img class="{size}" alt="{_FIGURES[name]}" src="{address}"></figure>'
