"""The one exception that a user is meant to read, and what becomes of it."""

from collections.abc import Callable


class MmadError(ValueError):
    """A mistake in input that its author can mend: says what was expected, what came, where, and the fix.

    Args:
        message: one sentence, `<place>: <what is wrong>; <the fix>`.
        kind: what is wrong in one word, for lists of faults; see `mmad.checks.faults.KINDS`.
        clip: id of the clip that is concerned, where there is one.
        split: the split of that clip, where the file tells it.
    """

    def __init__(self, message: str, *, kind: str = "row", clip: str | None = None, split: str | None = None) -> None:
        super().__init__(message)
        self.kind, self.clip, self.split = kind, clip, split


class Stopped(Exception):
    """A signal asked the work to end, and it ended in good order.

    Args:
        message: what was kept, and how to go on.
        signal: its number.
    """

    def __init__(self, message: str, *, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


OnFault = Callable[[MmadError], None]
"""What a reader does with a part that cannot be right: `refuse` the whole, or note the fault and go on without it."""


def of_split(split: str, on_fault: OnFault) -> OnFault:
    """The same, told of which split a fault is."""

    def told(fault: MmadError) -> None:
        fault.split = split
        on_fault(fault)

    return told


def refuse(fault: MmadError) -> None:
    """Ends reading at the first fault."""
    raise fault
