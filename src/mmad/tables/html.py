"""How a page writes a table."""

from html import escape

from mmad.tables.table import Table, _numeric, _shown


def to_html(table: Table) -> str:
    """The table as an HTML element with its title as caption; cells of numbers have the class `number`.

    Args:
        table: names in it may hold any letters.
    """
    header, rows = _shown(table, minus="\N{MINUS SIGN}", none="\N{EN DASH}")
    looks = [' class="number"' if numeric else "" for numeric in _numeric(table)]
    head = "".join(f'<th scope="col"{look}>{escape(cell)}</th>' for cell, look in zip(header, looks, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{look}>{escape(cell)}</td>" for cell, look in zip(row, looks, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f"<table><caption>{escape(table.title)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
        "</table>"
    )
