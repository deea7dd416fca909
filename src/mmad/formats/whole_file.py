"""Writes files that appear whole or not at all, finds names that are free, and tells contents apart."""

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from mmad.errors import MmadError


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, replacing an old one only once all of the new one is there.

    Args:
        path: the file; its folder is made.
        content: its bytes.

    Raises:
        MmadError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the new name without its content
        os.replace(partial, path)
    except OSError as error:
        why = error.strerror or error
        raise MmadError(f"{path} cannot be written ({why}); choose another place, or make room") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def numbered(path: Path) -> Path:
    """The path with the next free number: metrics.csv gives metrics.1.csv, or metrics.2.csv where that exists."""
    pattern = re.compile(rf"{re.escape(path.stem)}\.(\d+){re.escape(path.suffix)}")
    taken = [int(found[1]) for each in path.parent.iterdir() if (found := pattern.fullmatch(each.name))]
    return path.with_name(f"{path.stem}.{max(taken, default=0) + 1}{path.suffix}")


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
