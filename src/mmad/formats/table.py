"""CSV files with a header: rows by column name, and errors by line."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmad.errors import MmadError
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


def table_rows(text: str, *, columns: Sequence[str], source: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file, any line ends, last one with or without.

    Args:
        text: the file's content.
        columns: names that the header must have; others are passed on.
        source: name of the file, for errors.

    Yields:
        Line number and the row's fields by column name.

    Raises:
        MmadError: the file is empty, a column is missing, or a row has too few or too many fields.
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
                raise MmadError(
                    f"{source}, line {reader.line_num}: {count} fields, the header has {len(header)}; "
                    "complete or remove the row"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise MmadError(f"{source}, line {reader.line_num}: not valid CSV ({error}); export it again") from error
