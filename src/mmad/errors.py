"""The one exception that a user is meant to read."""


class MmadError(ValueError):
    """A mistake in input that its author can mend: says what was expected, what came, where, and the fix."""
