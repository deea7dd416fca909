"""Reads one field of a file: numbers and class labels, and says which field was wrong."""

import difflib
import math
from collections.abc import Collection

from mmad.errors import MmadError
from mmad.taxonomy import Taxonomy


def real_number(value: object, *, what: str, where: str) -> float:
    """A finite number.

    Args:
        value: what the file holds, text or number.
        what: name of the field, for the error.
        where: file and line or clip, for the error.

    Raises:
        MmadError: it is no number or not finite.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise MmadError(f"{where}: {what} is {value!r}, expected a finite number; correct or remove the row")
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
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not number.is_integer():
        raise MmadError(f"{where}: {what} is {value!r}, expected a whole number; correct or remove the row")
    return int(number)


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
    try:
        number = float(text)
    except ValueError:
        near = nearest(text.lower(), taxonomy.actions)
        raise MmadError(f"{where}: unknown label {text!r}; the nearest class is {near!r}, or give an index") from None
    if not (number.is_integer() and 0 <= number < len(taxonomy.actions)):
        raise MmadError(
            f"{where}: class is {text}, expected 0 to {len(taxonomy.actions) - 1}; "
            "correct the row or use the taxonomy of this data"
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
