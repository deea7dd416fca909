"""Writes the page of a table of settings: the tables, the figure, and every run with its state and report."""

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from mmad.comparison.records import Record, RunRecord
from mmad.formats.whole_file import write_whole
from mmad.page.build import _asset, _digest
from mmad.tables.html import to_html
from mmad.tables.settings import on, tables_of

_LINKS = {"thresholds": "Thresholds", "costs": "Cost"}
"""Short names of the further tables."""

_OWN = ("settings", "meaning", "runs")
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


def write_settings_page(
    path: Path,
    record: Record,
    *,
    figure: Path | None,
    reports: Mapping[str, str],
    about: Mapping[str, str],
) -> Path:
    """Writes one HTML file that holds its style and its figure, has no script, and fetches nothing.

    The file appears whole or not at all. Its content security policy lets nothing but its own style and pictures in.

    Args:
        path: the HTML file; its folder is made.
        record: what the settings reach.
        figure: an SVG or PNG file to show; None for none.
        reports: address of the report of each run that has one, by the run's folder as the record has it.
        about: rows for the foot of the page, such as command, versions and date.

    Returns:
        The path.
    """
    first, *others = tables_of(record)
    links = {"settings": "Settings", **_LINKS, "meaning": "Meaning of the columns", "runs": "Runs"}
    notes = _list(record["notes"], "findings")
    parts = {
        "settings": [
            _paragraph(on(record)),
            _card(to_html(first)),
            f'<div class="note">{notes}</div>' if notes else "",
            _figure(figure),
        ],
        **{table.name: [_card(to_html(table))] for table in others},
        "meaning": [_list(record["meaning"], "findings")],
        "runs": [_card(_runs(record["runs"], reports))],
    }
    headings = {**{table.name: table.title for table in others}, **{name: links[name] for name in _OWN}}
    shown = {name: "\n".join(filter(None, inside)) for name, inside in parts.items()}
    shown = {name: inside for name, inside in shown.items() if inside}
    style = _asset("style.css") + _asset("dataset.css") + _asset("settings.css")
    values = {
        "title": escape(record["title"]),
        "policy": f"default-src 'none'; style-src '{_digest(style)}'; img-src data:; base-uri 'none'; "
        "form-action 'none'",
        "style": style,
        "links": "".join(f'<a href="#{name}">{escape(links[name])}</a>' for name in shown),
        "sections": "\n".join(
            f'<section id="{name}">\n<h2>{escape(headings[name])}</h2>\n{inside}\n</section>'
            for name, inside in shown.items()
        ),
        "about": "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in about.items()),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], _asset("dataset.html"))
    write_whole(Path(path), page.encode())
    return Path(path)


def _runs(runs: Sequence[RunRecord], reports: Mapping[str, str]) -> str:
    """Every run: its setting, seed, state, AVG, and the way to its report."""
    rows = []
    for run in runs:
        state = run["state"] if run["counts"] or run["state"] != "finished" else "finished, in no row"
        if state == "older":
            state = "finished, but a newer run of its seed counts"
        avg = "\N{EN DASH}" if run["avg"] is None else f"{run['avg']:.2f}"
        place = escape(run["folder"])
        if (address := reports.get(run["folder"])) is not None:
            place = f'<a href="{escape(address)}">{place}</a>'
        seed = "\N{EN DASH}" if run["seed"] is None else str(run["seed"])
        rows.append(
            f'<tr><td>{escape(run["setting"])}</td><td class="number">{seed}</td><td>{escape(state)}</td>'
            f'<td class="number">{avg}</td><td>{place}</td></tr>'
        )
    head = '<th scope="col">setting</th><th scope="col" class="number">seed</th><th scope="col">state</th>'
    head += '<th scope="col" class="number">AVG (%)</th><th scope="col">folder, with its report</th>'
    body = "\n".join(rows)
    head = f"<thead><tr>{head}</tr></thead>"
    return f'<table class="runs"><caption>Runs</caption>\n{head}\n<tbody>\n{body}\n</tbody></table>'


def _card(table: str) -> str:
    return f'<div class="card"><div class="scroll" tabindex="0">{table}</div></div>'


def _paragraph(sentence: str) -> str:
    return f'<p class="lead">{escape(sentence)}</p>' if sentence else ""


def _list(sentences: Sequence[str], look: str) -> str:
    if not sentences:
        return ""
    # No line shall begin with a sign of percent.
    lines = [f"<li>{escape(each).replace(' %', '&nbsp;%')}</li>" for each in sentences]
    return f'<ul class="{look}">\n' + "\n".join(lines) + "\n</ul>"


def _figure(figure: Path | None) -> str:
    if figure is None:
        return ""
    address = f"data:{_KINDS[figure.suffix]};base64," + base64.b64encode(figure.read_bytes()).decode("ascii")
    return f'<figure class="card"><img alt="AVG of each setting: runs, mean and interval" src="{address}"></figure>'
