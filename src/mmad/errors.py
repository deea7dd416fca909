"""The one exception that a user is meant to read, and what becomes of it."""

from collections.abc import Callable


class MmadError(ValueError):
    """A mistake in input that its author can mend: says what was expected, what came, where, and the fix.

    Args:
        message: one sentence, `<place>: <what is wrong>; <the fix>`.
        kind: what is wrong in one word, for lists of faults; see `mmad.checks.faults.KINDS`.
        clip: id of the clip that is concerned, where there is one.
    """

    def __init__(self, message: str, *, kind: str = "row", clip: str | None = None) -> None:
        super().__init__(message)
        self.kind, self.clip = kind, clip


OnFault = Callable[[MmadError], None]
"""What a reader does with a part that cannot be right: `refuse` the whole, or note the fault and go on without it."""


def refuse(fault: MmadError) -> None:
    """Ends reading at the first fault."""
    raise fault
