"""Reads one field of a file: numbers and class labels, and says which field was wrong."""

import difflib
import math
import reprlib
from collections.abc import Collection

from mmad.errors import MmadError
from mmad.taxonomy import Taxonomy

# A field may hold the rest of a damaged file.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def real_number(value: object, *, what: str, where: str) -> float:
    """A finite number.

    Args:
        value: what the file holds, text or number.
        what: name of the field, for the error.
        where: file and line or clip, for the error.

    Raises:
        MmadError: it is no number or not finite.
    """
    number = _number(value)
    if not math.isfinite(number):
        raise MmadError(f"{where}: {what} is {_SHORT.repr(value)}, expected a finite number; correct or remove the row")
    return number


def whole_number(value: object, *, what: str, where: str) -> int:
    """A whole number; 12, '12' and '12.0' are, '12.5' is not.

    Args:
        value: what the file holds, text or number.
        what: name of the field, for the error.
        where: file and line or clip, for the error.

    Raises:
        MmadError: it is no whole number.
    """
    number = _number(value)
    if not number.is_integer():
        raise MmadError(f"{where}: {what} is {_SHORT.repr(value)}, expected a whole number; correct or remove the row")
    return int(number)


def _number(value: object) -> float:
    """A number, NaN if it is none. Python takes true and 1_0 for numbers, no other program does."""
    if isinstance(value, bool) or "_" in str(value):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def label_index(value: object, *, taxonomy: Taxonomy, where: str) -> int:
    """The class index of a label that is given by name or by index.

    Args:
        value: action name (any case), or class index as number or text.
        taxonomy: the classes.
        where: file and line or clip, for the error.

    Raises:
        MmadError: no such class.
    """
    text = str(value).strip()
    named = taxonomy.index_of.get(text, taxonomy.index_of.get(text.lower()))
    if named is not None:
        return named
    number = _number(text)
    if math.isnan(number):
        near = nearest(text.lower(), taxonomy.actions)
        raise MmadError(
            f"{where}: unknown label {_SHORT.repr(text)}; the nearest class is {near!r}, or give an index", kind="label"
        )
    if not (number.is_integer() and 0 <= number < len(taxonomy.actions)):
        raise MmadError(
            f"{where}: class is {text[:80]}, expected 0 to {len(taxonomy.actions) - 1}; "
            "correct the row or use the taxonomy of this data",
            kind="label",
        )
    return int(number)


def is_ignored(value: object, *, ignored: Collection[str], taxonomy: Taxonomy) -> bool:
    """Whether a label is one of those to leave out, be it written by name or by index.

    Args:
        value: the label as `label_index` takes it; it need not be in the taxonomy.
        ignored: names to leave out, exactly as the file or the taxonomy writes them.
        taxonomy: the classes.
    """
    if not ignored:
        return False
    if str(value).strip() in ignored:
        return True
    try:
        return taxonomy.actions[label_index(value, taxonomy=taxonomy, where="")] in ignored
    except MmadError:
        return False


def nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    """The known word that is written most like this one."""
    return difflib.get_close_matches(word, known, n=1, cutoff=0.0)[0]
