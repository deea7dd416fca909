"""A table, and how Markdown, LaTeX and CSV write it."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmad.diagnosis.records import Interval
from mmad.formats.whole_file import write_whole

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """Rows under a header.

    Args:
        name: of its files.
        title: what it shows, in a few words.
        header: names of the columns. The ending of a name gives its unit, and with it the decimals: (s) and (0-1) have
            three, (points) a sign. `x`, `x low` and `x high` side by side are a value and the ends of its interval,
            which Markdown and LaTeX show as one.
        rows: as many cells each; None where there is no value.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


def ends(interval: Interval | None) -> tuple[float | None, float | None]:
    """Cells of an interval, which may not exist."""
    return (None, None) if interval is None else (interval[0], interval[1])


def with_ends(*columns: str) -> tuple[str, ...]:
    """Each column, followed by those of its interval."""
    return tuple(f"{column}{end}" for column in columns for end in ("", " low", " high"))


def to_markdown(table: Table) -> str:
    """The table as a GitHub-flavoured Markdown table, columns aligned, without its title."""
    header, rows = _shown(table, minus="-", none="-")
    lines = [[_markdown(cell) for cell in line] for line in (header, *rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    right = _numeric(table)

    def joined(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = joined("-" * (width - 1) + ":" if end else "-" * width for width, end in zip(widths, right, strict=True))
    body = [
        joined(
            cell.rjust(width) if end else cell.ljust(width)
            for cell, width, end in zip(line, widths, right, strict=True)
        )
        for line in lines
    ]
    return "\n".join([body[0], rule, *body[1:]]) + "\n"


def to_latex(table: Table) -> str:
    """The table as a LaTeX float with its title as caption; the document needs the package booktabs."""
    header, rows = _shown(table, minus="$-$", none="--")
    columns = "".join("r" if end else "l" for end in _numeric(table))
    lines = [" & ".join(_latex(cell) for cell in line) + r" \\" for line in (header, *rows)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.title)}}}",
            rf"\label{{tab:{table.name.replace('_', '-')}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def to_csv(table: Table) -> str:
    """The table as CSV in full precision, empty where there is no value."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return text.getvalue()


def write_tables(folder: Path, tables: Sequence[Table]) -> list[Path]:
    """Writes `tables.md` with all tables, then `<name>.csv` and `<name>.tex` of each.

    Args:
        folder: is made.
        tables: with different names.

    Returns:
        The files written, in this order.
    """
    document = "\n".join(f"## {_markdown(table.title)}\n\n{to_markdown(table)}" for table in tables)
    contents = {"tables.md": document}
    for table in tables:
        contents |= {f"{table.name}.csv": to_csv(table), f"{table.name}.tex": to_latex(table)}
    for name, text in contents.items():
        write_whole(folder / name, text.encode())
    return [folder / name for name in contents]


class _Number(str):
    """A number as shown, in which nothing is to be escaped."""


def _shown(table: Table, *, minus: str, none: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows as text, each interval joined with its value; signs as asked for."""
    header, joined = list(table.header), _intervals(table)
    skipped = {column + offset for column in joined for offset in (1, 2)}
    shown = [column for column in range(len(header)) if column not in skipped]
    rows = []
    for row in table.rows:
        texts = [_text(value, name) for value, name in zip(row, header, strict=True)]
        cells = []
        for column in shown:
            text = texts[column]
            if text is not None and column in joined and texts[column + 1] is not None:
                text = _Number(f"{text} [{texts[column + 1]}, {texts[column + 2]}]")
            if text is None:
                text = _Number(none)
            elif isinstance(text, _Number):
                text = _Number(text.replace("-", minus))
            cells.append(text)
        rows.append(cells)
    return [header[column] for column in shown], rows


def _intervals(table: Table) -> set[int]:
    """The columns that are followed by both ends of an interval."""
    header = table.header
    return {i for i, name in enumerate(header) if header[i + 1 : i + 3] == (f"{name} low", f"{name} high")}


def _numeric(table: Table) -> list[bool]:
    """Whether each shown column holds numbers."""
    joined = _intervals(table)
    columns = [i for i in range(len(table.header)) if i - 1 not in joined and i - 2 not in joined]
    return [not any(isinstance(row[column], str) for row in table.rows) for column in columns]


def _text(value: Cell, column: str) -> str | None:
    """A cell in the decimals of its column; None where there is no value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return _Number(value)
    unit = column.removesuffix(" low").removesuffix(" high")
    decimals = 3 if unit.endswith(("(s)", "(0-1)")) else 2
    rounded = round(value, decimals) + 0.0  # no -0.00
    return _Number(f"{rounded:{'+' if unit.endswith('(points)') else ''}.{decimals}f}")


def _markdown(text: str) -> str:
    if isinstance(text, _Number):
        return text
    escaped = "".join(f"\\{letter}" if letter in "\\`*_<>|" else letter for letter in text)
    return " ".join(escaped.split())


_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # After the end of a row these two would be arguments of it.
    "[": "{[}",
    "*": "{*}",
}


def _latex(text: str) -> str:
    if isinstance(text, _Number):
        return text
    return " ".join("".join(_LATEX.get(letter, letter) for letter in text).split())
