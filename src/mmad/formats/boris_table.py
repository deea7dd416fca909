"""BORIS's tables of aggregated events, one row per state or point event, whatever the version."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from mmad.errors import MmadError, OnFault
from mmad.formats.boris_observation import (
    ANNOTATORS,
    NO_SUBJECT,
    NOT_KNOWN,
    Observation,
    annotator_of,
    category_of,
    milliseconds,
    observation_ids,
    score_comment,
    seconds,
)
from mmad.formats.marks import Mark
from mmad.formats.table import refuse_line_breaks
from mmad.formats.whole_file import write_whole
from mmad.taxonomy import Taxonomy

# By what a column says: its names in the versions of BORIS, the best first.
_NAMES = {
    "observation": ("observation id",),
    "from": ("observation type",),
    "media": ("source", "media file", "media files", "media file path", "media file name"),
    "lengths": ("media duration (s)",),
    "offset": ("time offset (s)", "time offset"),
    "subject": ("subject",),
    "label": ("behavior", "behaviour"),
    "kind": ("behavior type", "behaviour type", "status"),
    "start": ("start (s)", "start"),
    "stop": ("stop (s)", "stop"),
    "comment": ("comment start",),
    "annotator": ANNOTATORS,
}
_NEEDED = ("observation", "label", "start", "stop")
_DELIMITERS = (",", "\t", ";")
_LINES_BEFORE = 100
_NO_MEDIA = {"", "na", "not found", "live observation"}
_COMMA = re.compile(r"[+-]?\d+,\d+")
# Digits that cannot be groups of three, as in `1,234` for a thousand.
_NO_THOUSANDS = re.compile(r"[+-]?(0\d*|\d{4,}),\d+|[+-]?\d+,(\d{1,2}|\d{4,})")


def parse_table(text: str, *, source: str, on_fault: OnFault) -> tuple[list[Mark], Counter[str], list[str]]:
    """The state events of a table, how often each point behaviour was left out, and the clips that have events.

    Args:
        text: the file's content, separated by commas, tabs or semicolons; lines before the header are passed over.
        source: name of the file, for errors.
        on_fault: told of rows that cannot be right.

    Raises:
        MmadError: it is no table of aggregated events, or not valid CSV.
    """
    lines = io.StringIO(text, newline="").readlines()
    before, delimiter, header = _header(lines, source=source)
    columns = _columns(header)
    rows: list[tuple[str, dict[str, str]]] = []
    # Strict, since otherwise a quote that is never closed takes all further rows into one field.
    reader = csv.reader(lines[before + 1 :], delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            where = f"{source}, line {before + 1 + reader.line_num}"
            if len(fields) == len(header):
                rows.append((where, {role: fields[place].strip() for role, place in columns.items()}))
            elif any(field.strip() for field in fields):
                on_fault(
                    MmadError(
                        f"{where}: {len(fields)} fields, the header has {len(header)}; complete or remove the row"
                    )
                )
    except csv.Error as error:
        raise MmadError(
            f"{source}, line {before + 1 + reader.line_num}: not valid CSV ({error}); export it again"
        ) from error
    decimal_comma = _decimal_comma([row[role] for _, row in rows for role in ("start", "stop")])
    marks: list[Mark] = []
    points: Counter[str] = Counter()
    for where, row in rows:
        kind = row.get("kind", "STATE").upper()
        if kind == "POINT":
            points[row["label"]] += 1
            continue
        try:
            if kind != "STATE":
                raise MmadError(f"{where}: behavior type is {row['kind']!r}, expected STATE or POINT; correct the row")
            for role in ("observation", "media", "subject", "label", "annotator"):
                refuse_line_breaks(row.get(role, ""), what=role, where=where)
            marks.append(_mark(row, decimal_comma=decimal_comma, where=where))
        except MmadError as fault:
            on_fault(fault)
    return marks, points, [mark.clip for mark in marks]


def write_boris_table(path: Path, marks: Sequence[Mark], *, taxonomy: Taxonomy | None = None) -> None:
    """Writes a CSV of aggregated events with BORIS's columns; times in milliseconds, in the order of the marks.

    What BORIS knows and marks do not, such as frame rate and date, is `NA` or empty. The annotator is an independent
    variable, and a score the comment `score=0.87`.

    Args:
        path: the CSV file; its folder is made.
        marks: of any clips.
        taxonomy: classes, of which the body groups become behavioural categories.

    Raises:
        MmadError: BORIS cannot hold a mark.
    """
    ids = observation_ids(marks)
    by_annotator = any(annotator is not None for _, annotator in ids)
    times = [milliseconds(mark) for mark in marks]
    observed: Counter[tuple[str, str | None, str | None]] = Counter()
    for mark, (start, end) in zip(marks, times, strict=True):
        observed[mark.clip, mark.annotator, mark.subject] += end - start
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        (
            *("Observation id", "Observation date", "Description", "Observation type", "Source", "Total length", "FPS"),
            *(("annotator",) if by_annotator else ()),
            *("Subject", "Observation duration by subject by observation", "Behavior", "Behavioral category"),
            *("Modifiers", "Behavior type", "Start (s)", "Stop (s)", "Duration (s)"),
            *("Image index start", "Image index stop", "Image file path start", "Image file path stop"),
            *("Comment start", "Comment stop"),
        )
    )
    for mark, (start, end) in zip(marks, times, strict=True):
        total = observed[mark.clip, mark.annotator, mark.subject]
        writer.writerow(
            (
                *(ids[mark.clip, mark.annotator], "", "", "Media file", f"{mark.clip}.mp4", NOT_KNOWN, NOT_KNOWN),
                *((mark.annotator or "",) if by_annotator else ()),
                *(mark.subject or NO_SUBJECT, _text(total), mark.label),
                *(category_of(mark.label, taxonomy) or "Not defined", "", "STATE"),
                *(_text(start), _text(end), _text(end - start), NOT_KNOWN, NOT_KNOWN, "", ""),
                *(score_comment(mark), ""),
            )
        )
    write_whole(Path(path), text.getvalue().encode("utf-8"))


def _header(lines: Sequence[str], *, source: str) -> tuple[int, str, list[str]]:
    """The number of lines before the header, what separates its fields, and these."""
    single = False
    for number, line in enumerate(lines[:_LINES_BEFORE]):
        for delimiter in _DELIMITERS:
            try:
                header = next(csv.reader([line], delimiter=delimiter), [])
            except csv.Error:
                continue
            columns = _columns(header)
            if all(role in columns for role in _NEEDED):
                return number, delimiter, header
            single |= "label" in columns and "time" in map(_plain, header)
    wanted = ", ".join(repr(_NAMES[role][0]) for role in _NEEDED)
    if single:
        raise MmadError(
            f"{source} is a table of single events, expected aggregated ones with the columns {wanted}; export it with "
            "'Aggregated events'"
        )
    raise MmadError(
        f"{source} is neither a BORIS project nor a table with the columns {wanted}; save the project, or export its "
        "aggregated events as CSV or TSV"
    )


def _columns(header: Sequence[str]) -> dict[str, int]:
    """The place of each column that is there."""
    plain = [_plain(name) for name in header]
    found = {role: [plain.index(name) for name in names if name in plain] for role, names in _NAMES.items()}
    return {role: places[0] for role, places in found.items() if places}


def _plain(name: str) -> str:
    return " ".join(name.lower().split())


def _mark(row: dict[str, str], *, decimal_comma: bool, where: str) -> Mark:
    def number(role: str, text: str) -> Decimal:
        if _COMMA.fullmatch(text):
            if not decimal_comma:
                raise MmadError(
                    f"{where}: {role} is {text!r}, which may be {text.replace(',', '.')} or {text.replace(',', '')}; "
                    "export the table with decimal points"
                )
            text = text.replace(",", ".")
        return seconds(text, what=role, where=where, fix="correct or remove the row")

    source = row.get("from", "").lower()
    files = () if source.startswith(("live", "from pictures")) else _files(row.get("media", ""))
    lengths = row.get("lengths", "").split("|")[0].split(";")
    known = len(files) == len(lengths) > 1
    offset = "" if source == "from pictures" else row.get("offset", "")
    observation = Observation(
        id=row["observation"],
        files=files,
        lengths=tuple(
            number("the media's length", length.strip()) if known and _plain(length) not in _NO_MEDIA else None
            for length in (lengths if known else files)
        ),
        offset=Decimal(0) if offset in ("", NOT_KNOWN) else number("the time offset", offset),
        annotator=annotator_of([(ANNOTATORS[0], row.get("annotator", ""))]),
    )
    return observation.mark(
        number("start", row["start"]),
        number("stop", row["stop"]),
        label=row["label"],
        subject=row.get("subject", ""),
        comment=row.get("comment", ""),
        where=where,
    )


def _files(source: str) -> tuple[str, ...]:
    """The first player's videos in `a.mp4`, `player #1:a.mp4;b.mp4|player #2:c.mp4` and the like."""
    first = re.split(r"[\s|]*player #\d+:", re.sub(r"^\s*player #1:", "", source))[0]
    return tuple(file.strip() for file in first.split(";") if _plain(file) not in _NO_MEDIA)


def _decimal_comma(times: Sequence[str]) -> bool:
    """Whether commas in times are certainly decimal: none has a point, and some cannot group thousands."""
    return not any("." in time for time in times) and any(_NO_THOUSANDS.fullmatch(time) for time in times)


def _text(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"
