"""Keeps two processes from working in one folder."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmad.errors import MmadError


@contextmanager
def alone_in(folder: Path, *, seconds: float = 10.0) -> Iterator[None]:
    """Keeps other processes from working in a run's folder.

    Args:
        folder: is made.
        seconds: to wait for one that is just ending.

    Raises:
        MmadError: one does.
    """
    try:
        import fcntl
    except ImportError:  # no such lock on Windows
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    with (folder / ".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise MmadError(
                        f"{folder}: another process is at work there; wait for it, or choose another folder"
                    ) from None
                time.sleep(0.2)
            except OSError:
                break  # a file system without locks
        yield
