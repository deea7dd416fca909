"""What a BORIS project and BORIS's table share: an observation of one or several videos, its clock and its names."""

import math
import re
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import PureWindowsPath

from mmad.errors import MmadError
from mmad.formats.annotated import check_name
from mmad.formats.marks import Mark
from mmad.taxonomy import Taxonomy

NO_SUBJECT = "No focal subject"
NOT_KNOWN = "NA"
ANNOTATORS = ("annotator", "observer", "coder", "rater")
"""Names of the independent variable that says who marked an observation."""

# BORIS refuses times beyond.
_LAST_SECOND = 2**31 - 1
_SCORE = re.compile(r"score\s*[=:]?\s*([+-]?[\d.]+(?:e[+-]?\d+)?)", re.IGNORECASE)


@dataclass(frozen=True)
class Observation:
    """One observation in BORIS.

    BORIS counts an event's time from the beginning of the first player's first video, goes on counting through the
    videos that this player shows one after another, and adds the observation's time offset. The offsets of the other
    players only align these with the first.

    Args:
        id: its name in the project.
        files: paths or names of the first player's videos, in playing order; empty for a live observation.
        lengths: seconds of each of these, None where unknown; needed of all but the last.
        offset: seconds that were added to the time in the video.
        annotator: who marked it, where the file says it.
    """

    id: str
    files: tuple[str, ...] = ()
    lengths: tuple[Decimal | None, ...] = ()
    offset: Decimal = Decimal(0)
    annotator: str | None = None

    def mark(self, start: Decimal, stop: Decimal, *, label: str, subject: str, comment: str, where: str) -> Mark:
        """The mark of one state event, in seconds from the first frame of its own video.

        Args:
            start, stop: times as the file has them, seconds.
            label: code of the behaviour.
            subject: its name, empty or `No focal subject` if there is none.
            comment: that of the start; `score=0.87` is the score of a prediction.
            where: file and place in it, for errors.

        Raises:
            MmadError: there is no clip or label, a name has a line break, the event does not last, or it lies in two
                videos.
        """
        clip, begin = self._video(start - self.offset, stop - self.offset, where=where)
        first, last = (float(time - self.offset - begin) for time in (start, stop))
        label, subject = label.strip(), subject.strip()
        if not clip or not label:
            raise MmadError(f"{where}: the {'behavior' if clip else 'observation id'} is empty; name it in BORIS")
        if not 0 <= first < last:
            raise MmadError(
                f"{where}: {label!r} lasts from {first:g} to {last:g} s of {clip!r}, expected 0 <= start < stop; "
                "correct the event or the observation's time offset"
            )
        for what, name in (("clip", clip), ("behavior", label), ("subject", subject), ("annotator", self.annotator)):
            if name:
                check_name(name, what=what, where=where)
        subjects = None if subject.lower() in ("", NO_SUBJECT.lower()) else subject
        return Mark(clip, first, last, label, subjects, self.annotator, _score(comment), where)

    def _video(self, start: Decimal, stop: Decimal, *, where: str) -> tuple[str, Decimal]:
        """The clip that an event lies in, and the second at which it begins to play."""
        begin = Decimal(0)
        for file, length in zip(self.files[:-1], self.lengths, strict=False):
            if length is None:
                raise MmadError(
                    f"{where}: the observation plays {len(self.files)} videos one after another and the length of "
                    f"{file!r} is not in the file; open the observation in BORIS, which measures it, and save again"
                )
            if start < begin + length:
                if stop > begin + length:
                    raise MmadError(
                        f"{where}: the event from {start} to {stop} s begins in {file!r} and ends in the next video; "
                        "stop it at the end of the first and start it again"
                    )
                return clip_of(file), begin
            begin += length
        return (clip_of(self.files[-1]) if self.files else "") or self.id.strip(), begin


def seconds(value: object, *, what: str, where: str, fix: str = "correct it in BORIS") -> Decimal:
    """A time exactly as the file has it.

    Args:
        value: number or text.
        what: name of the field, for the error.
        where: file and place in it, for the error.
        fix: what to do, for the error.

    Raises:
        MmadError: it is no finite number, or so large that BORIS would refuse it.
    """
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            # Python reads `1_0` as ten.
            number = Decimal(str(value).strip().replace("_", "?"))
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite() and abs(number) <= _LAST_SECOND:
            return number
    raise MmadError(f"{where}: {what} is {reprlib.repr(value)}, expected seconds up to {_LAST_SECOND}; {fix}")


def clip_of(file: str) -> str:
    """The name of a video without folder, in the manner of any system, and without ending."""
    return PureWindowsPath(file.strip()).stem


def category_of(label: str, taxonomy: Taxonomy | None) -> str:
    """The body group of a class; empty if it is not known or the only one."""
    if taxonomy is None or taxonomy.flat or label not in taxonomy.index_of:
        return ""
    return taxonomy.bodies[taxonomy.body_of[taxonomy.index_of[label]]]


def score_comment(mark: Mark) -> str:
    """The comment that keeps the score of a prediction, in full precision."""
    return "" if mark.score is None else f"score={float(mark.score)!r}"


def milliseconds(mark: Mark) -> tuple[int, int]:
    """Start and end of a mark, rounded as BORIS rounds times.

    Raises:
        MmadError: BORIS cannot hold the mark: it does not last a millisecond, its score is not finite, or a name is
            empty or has a character with a meaning of its own there.
    """
    at = f"{mark.where}: " if mark.where else ""
    for what, name in (("clip id", mark.clip), ("label", mark.label), ("subject", mark.subject)):
        if name is not None and not _is_name(name):
            raise MmadError(f"{at}{what} {name!r} is empty or has '|' or a control character; rename it")
    if clip_of(f"{mark.clip}.mp4") != mark.clip or ";" in mark.clip:
        raise MmadError(f"{at}clip id {mark.clip!r} cannot be the name of one video; use an id without path and ';'")
    if mark.score is not None and not math.isfinite(mark.score):
        raise MmadError(f"{at}the score of {mark.label!r} in {mark.clip!r} is {mark.score}; expected a finite number")
    if math.isfinite(mark.start) and math.isfinite(mark.end):
        start, end = round(mark.start * 1000), round(mark.end * 1000)
        if 0 <= start < end <= _LAST_SECOND * 1000:
            return start, end
    raise MmadError(
        f"{at}segment [{mark.start:g}, {mark.end:g}] s of {mark.label!r} in {mark.clip!r}, expected 0 <= start < end "
        "with a millisecond between them; correct or drop it"
    )


def observation_ids(marks: Iterable[Mark]) -> dict[tuple[str, str | None], str]:
    """A name for what each annotator marked in each clip: the clip's id, if it has a single annotator."""
    pairs = list(dict.fromkeys((mark.clip, mark.annotator) for mark in marks))
    annotators = Counter(clip for clip, _ in pairs)
    alone = {clip for clip, count in annotators.items() if count == 1}
    taken = set(alone)
    ids = {}
    for clip, annotator in pairs:
        name = clip if clip in alone else f"{clip} ({annotator or 'no annotator'})"
        while clip not in alone and name in taken:
            name += "'"
        taken.add(name)
        ids[clip, annotator] = name
    return ids


def annotator_of(variables: Sequence[tuple[str, object]]) -> str | None:
    """Who marked an observation, by its independent variables."""
    named = {name.strip().lower(): value.strip() for name, value in variables if isinstance(value, str)}
    return next((named[name] for name in ANNOTATORS if named.get(name, NOT_KNOWN) not in ("", NOT_KNOWN)), None)


def _score(comment: str) -> float | None:
    found = _SCORE.fullmatch(comment.strip())
    try:
        score = float(found[1]) if found else math.nan
    except ValueError:
        return None
    return score if math.isfinite(score) else None


def _is_name(name: str) -> bool:
    return bool(name.strip()) and "|" not in name and not any(unicodedata.category(c) in ("Cc", "Cs") for c in name)
