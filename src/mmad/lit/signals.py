"""What becomes of signals that ask a job to stop; knows nothing of torch."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmad.errors import Stopped

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""SLURM sends the first before it takes a job's place away, and the second on request before time is up."""

_waiting: list[int] = []
_state = {"noting": False, "process": 0}


@contextmanager
def ended_by_signals(how_on: str) -> Iterator[None]:
    """Turns SIGTERM and SIGUSR1 into `Stopped` while a job runs, but where `noting` asks to wait.

    Args:
        how_on: how the job goes on, for the message.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers belong to the main thread
        return

    def handle(number: int, _: Any) -> None:
        if os.getpid() != _state["process"]:
            # A child that a library has forked is not the job.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif _state["noting"]:
            _waiting.append(number)
        else:
            raise Stopped(f"stopped by {signal.Signals(number).name}; {how_on}", signal=number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    _state.update(noting=False, process=os.getpid())
    _waiting.clear()
    try:
        yield
    finally:
        _state.update(noting=False)
        for number, handler in before.items():
            signal.signal(number, handler)


def note(noting: bool) -> None:
    """From now on signals are noted, or end the job at once."""
    _state.update(noting=noting)


def received() -> int:
    """The number of the first signal that was noted; 0 if none was."""
    return _waiting[0] if _waiting else 0
