"""CSV files with a header: rows by column name, and errors by line."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.fields import nearest


def read_text(path: Path) -> str:
    """The text of a file, with or without a byte order mark.

    Raises:
        MmadError: the file is missing or is not UTF-8 text.
    """
    try:
        return decode(path.read_bytes(), source=str(path))
    except FileNotFoundError:
        raise MmadError(f"{path} does not exist; check the path") from None
    except IsADirectoryError:
        raise MmadError(f"{path} is a folder, expected a file; name the file in it") from None


def decode(content: bytes, *, source: str) -> str:
    """UTF-8 text of bytes that come from `source`.

    Raises:
        MmadError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MmadError(f"{source} is not a text file in UTF-8; save it as UTF-8") from None


def refuse_line_breaks(field: str, *, what: str, where: str) -> None:
    """Raises MmadError if a field that names something goes over several lines.

    Two stray quotes make one field of the lines between them, and the number of fields can be right all the same.

    Args:
        field: as the file holds it.
        what: its name, for the error.
        where: file and line, for the error.
    """
    if "\n" in field or "\r" in field:
        raise MmadError(f"{where}: {what} is {field!r}, expected no line break in it; correct the quotes before it")


def table_rows(
    text: str, *, columns: Sequence[str], source: str, on_fault: OnFault = refuse
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file, any line ends, last one with or without.

    Args:
        text: the file's content.
        columns: names that the header must have; others are passed on.
        source: name of the file, for errors.
        on_fault: told of rows with too few or too many fields, or with a line break in one of these columns, which are
            left out.

    Yields:
        Line number and the row's fields by column name.

    Raises:
        MmadError: the file is empty or no CSV, or a column is missing.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in reader.fieldnames or []]
        if not header:
            raise MmadError(f"{source} is empty, expected a header with {', '.join(columns)}; check the path")
        reader.fieldnames = header
        for name in columns:
            if name not in header:
                raise MmadError(
                    f"{source} has no column {name!r}, its header is {', '.join(filter(None, header))!r}; "
                    f"rename the nearest, {nearest(name, header)!r}, or add it"
                )
        for row in reader:
            if None in row or None in row.values():
                count = sum(value is not None for name, value in row.items() if name is not None)
                count += len(row.get(None, []))
                on_fault(
                    MmadError(
                        f"{source}, line {reader.line_num}: {count} fields, the header has {len(header)}; "
                        "complete or remove the row",
                        clip=row.get("video_id"),
                    )
                )
                continue
            try:
                for name in columns:
                    refuse_line_breaks(row[name], what=name, where=f"{source}, line {reader.line_num}")
            except MmadError as fault:
                on_fault(fault)
                continue
            yield reader.line_num, row
    except csv.Error as error:
        raise MmadError(f"{source}, line {reader.line_num}: not valid CSV ({error}); export it again") from error
