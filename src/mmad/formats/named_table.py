"""Tables with a header, separated by commas, semicolons or tabs, whose columns go by one of several names."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.fields import nearest, real_number
from mmad.formats.table import read_text, refuse_line_breaks

_DELIMITERS = (",", ";", "\t")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_VIDEO = re.compile(r"\.(mp4|m4v|avi|mov|mkv|webm|mpe?g|m?ts|m2ts|wmv|flv|ogv|3gp)$", re.IGNORECASE)


@dataclass(frozen=True)
class NamedTable:
    """A table of which some columns are known.

    Args:
        source: name of the file, for errors.
        header: names of its columns as the file writes them.
        columns: position of each known column that the file has.
        rows: line number and fields; lines without anything are left out.
        delimiter: what separates the fields.
        names: the names that each known column may have.
    """

    source: str
    header: list[str]
    columns: dict[str, int]
    rows: list[tuple[int, list[str]]]
    delimiter: str
    names: Mapping[str, Sequence[str]]

    def require(self, column: str, *, what: str) -> None:
        """Raises MmadError if the file lacks a column.

        Args:
            column: a key of `names`.
            what: what the column says, for the error.
        """
        if column in self.columns:
            return
        free = [name for place, name in enumerate(self.header) if name and place not in self.columns.values()]
        fix = f"rename the nearest, {nearest(self.names[column][0], free)!r}, if it is that, or add" if free else "add"
        raise MmadError(
            f"{self.source} has no column for {what} ({', '.join(self.names[column])}), its header is "
            f"{', '.join(filter(None, self.header))!r}; {fix} one"
        )

    def fields(self, *, on_fault: OnFault = refuse) -> Iterator[tuple[str, dict[str, str]]]:
        """The place and the known fields of each row, without spaces around them.

        Args:
            on_fault: told of rows of another length, and of those with a line break in a known field.
        """
        for line, row in self.rows:
            where = f"{self.source}, line {line}"
            if len(row) == len(self.header):
                fields = {column: row[place].strip() for column, place in self.columns.items()}
                try:
                    for column, field in fields.items():
                        refuse_line_breaks(field, what=column, where=where)
                except MmadError as fault:
                    on_fault(fault)
                else:
                    yield where, fields
            else:
                place = self.columns.get("clip", len(row))
                on_fault(
                    MmadError(
                        f"{where}: {len(row)} fields, the header has {len(self.header)}; complete or remove the row",
                        clip=clip_id(row[place]) if place < len(row) else None,
                    )
                )

    def number(self, text: str, *, what: str, where: str) -> float:
        """A finite number; `0,5` is one where semicolons separate the fields, as spreadsheets then write it.

        Raises:
            MmadError: it is no number or not finite.
        """
        if self.delimiter == ";" and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        return real_number(text, what=what, where=where)


def read_named_table(path: Path, *, names: Mapping[str, Sequence[str]]) -> NamedTable:
    """Reads a table; the delimiter is the one that finds most of the known columns in the header.

    Args:
        path: the file.
        names: by column, the names that it may have, the likeliest first; if a file has several, that one counts.
            Case does not count, and `Start (s)` is `start_s`.

    Raises:
        MmadError: the file is missing, empty or not valid, or has a known column twice.
    """
    source = str(path)
    text = read_text(Path(path))
    known = {name for each in names.values() for name in each}
    delimiter = max(_DELIMITERS, key=lambda mark: sum(_plain(name) in known for name in _header(text, mark)))
    rows: list[tuple[int, list[str]]] = []
    # Strict, since otherwise a quote that is never closed takes all further rows into one field.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows.extend((reader.line_num, row) for row in reader if any(field.strip() for field in row))
    except csv.Error as error:
        raise MmadError(f"{source}, line {reader.line_num}: not valid CSV ({error}); export it again") from error
    if not rows:
        raise MmadError(f"{source} is empty, expected a header; check the path")
    header = [name.strip() for name in rows[0][1]]
    plain = [_plain(name) for name in header]
    columns = {}
    for column, accepted in names.items():
        name = next((name for name in accepted if name in plain), None)
        if name is None:
            continue
        if plain.count(name) > 1:
            raise MmadError(f"{source} has {plain.count(name)} columns {name!r}, expected one; rename or remove one")
        columns[column] = plain.index(name)
    return NamedTable(source, header, columns, rows[1:], delimiter, names)


def clip_id(name: str) -> str:
    r"""The id of a clip that is given by its id, its file's name or its path.

    >>> clip_id("day 1/talk_03.MP4"), clip_id("C:\\videos\\a.mov"), clip_id("901_01_0001_(1).")
    ('talk_03', 'a', '901_01_0001_(1).')
    """
    return _VIDEO.sub("", re.split(r"[/\\]", name)[-1]).strip()


def folder_of(name: str) -> str:
    """The folder that a clip's name begins with, empty if there is none."""
    return re.sub(r"[^/\\]*$", "", name).replace("\\", "/")


def _header(text: str, delimiter: str) -> list[str]:
    """The first line that is not empty."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _plain(name: str) -> str:
    """A column's name in small letters, with `_` for whatever separates its words."""
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")
