"""Tells a file that was cut short by the length which its container announces."""

import os
from pathlib import Path
from typing import BinaryIO

_SEGMENT = 0x18538067
"""Id of the element of a Matroska file that holds everything but its header."""


def missing_bytes(path: Path) -> int:
    """How many bytes the container announces beyond the end of the file; 0 where it announces nothing.

    A demuxer takes a file that was cut short for a shorter one, whereas MP4, Matroska and AVI write down in front how
    long their parts are. MPEG streams do not, so that a cut one cannot be told.

    Args:
        path: a video file.

    Source: ISO/IEC 14496-12, section 4.2 (boxes); RFC 8794, section 4 (EBML); RIFF's chunk header.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        file.seek(0)
        if start[:4] == b"\x1a\x45\xdf\xa3":
            end = _end_of_segment(file)
        elif start[:4] == b"RIFF":
            end = int.from_bytes(start[4:8], "little") + 8
        elif start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            end = _end_of_boxes(file, size)
        else:
            end = 0
    return max(end - size, 0)


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Where the last box that holds pictures or their index ends."""
    end = place = 0
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        # 0 means "to the end of the file"; whatever else is too short is no box but something appended.
        if length < 8:
            break
        place += length
        if head[4:8] in (b"mdat", b"moov", b"moof"):
            end = place
    return end


def _end_of_segment(file: BinaryIO) -> int:
    _number(file, marked=True)
    header = _number(file)
    file.seek(header or 0, os.SEEK_CUR)
    if _number(file, marked=True) != _SEGMENT:
        return 0
    length = _number(file)
    # A recording that was written as it came does not know its length.
    return 0 if length is None else file.tell() + length


def _number(file: BinaryIO, *, marked: bool = False) -> int | None:
    """A number of variable length: its leading zero bits count the bytes that follow; None if it is "unknown".

    Args:
        file: open where the number begins.
        marked: keep the bit that marks the length, as ids do.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    raw = int.from_bytes(first + file.read(more), "big")
    bits = 7 * (more + 1)
    value = raw & ((1 << bits) - 1)
    if marked:
        return raw
    return None if value == (1 << bits) - 1 else value
