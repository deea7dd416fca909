"""Faults of a data set: what kinds there are, how grave each is, and one record per fault."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from mmad.errors import MmadError

Severity = Literal["error", "warning"]


class Kind(NamedTuple):
    """A kind of fault.

    Args:
        severity: an error makes results wrong or training impossible; a warning is worth to know.
        blocks: whether training refuses the data.
        title: what is wrong, as the heading of a list of such faults.
    """

    severity: Severity
    blocks: bool
    title: str


KINDS = {
    "data": Kind("error", True, "the data set cannot be read"),
    "row": Kind("error", True, "rows that cannot be read"),
    "label": Kind("error", True, "classes that are not in the table of classes"),
    "segment": Kind("error", True, "segments that do not last, or begin before the clip"),
    "beyond": Kind("error", True, "segments that end beyond their clip"),
    "disagreement": Kind("error", True, "rows of one clip that contradict each other"),
    "manifest": Kind("error", True, "a manifest that is none"),
    "missing_split": Kind("error", True, "splits that training asks for and that are not there"),
    "clip_in_splits": Kind("error", True, "clips that are there twice"),
    "no_split": Kind("error", True, "clips without a split"),
    "missing_video": Kind("error", True, "clips without a video"),
    "two_videos": Kind("error", True, "clips with two videos"),
    "empty_video": Kind("error", True, "videos without content"),
    "no_picture": Kind("error", True, "videos without a picture"),
    "unreadable_video": Kind("error", True, "videos that cannot be read"),
    "slow_video": Kind("error", True, "videos that take too long or crash the decoder"),
    "duplicate": Kind("error", False, "rows that are there twice"),
    "two_annotators": Kind("error", False, "clips in which two annotators marked the same"),
    "subject_in_splits": Kind("error", False, "people who are in two splits"),
    "frame_count": Kind("warning", False, "videos with another length than their annotation says"),
    "fps": Kind("warning", False, "videos with another frame rate than their annotation says"),
    "variable_rate": Kind("warning", False, "videos of variable frame rate"),
    "slow_reader": Kind("warning", False, "videos that only the slower reader reads rightly"),
    "untrained_class": Kind("warning", False, "classes without a training instance"),
    "lost_instance": Kind("warning", False, "instances that label assignment loses"),
    "similar_labels": Kind("warning", False, "labels that may be one"),
    "exclusion": Kind("warning", False, "rows of exclude.csv to look at"),
    "no_instances": Kind("warning", False, "splits without an instance"),
    "unused": Kind("warning", False, "what is there and not used"),
    "remark": Kind("warning", False, "remarks of the readers"),
}
"""By name, the gravest first; `MmadError.kind` is one of them."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Args:
        kind: one of `KINDS`.
        message: one sentence that says where it is, what is wrong and how to mend it.
        clip: the clip that is concerned, where it is one.
        split: its split, where the file tells it.
    """

    kind: str
    message: str
    clip: str | None = None
    split: str | None = None

    @property
    def severity(self) -> Severity:
        """Whether it is an error or a warning."""
        return KINDS[self.kind].severity

    @property
    def blocks(self) -> bool:
        """Whether training refuses the data because of it."""
        return KINDS[self.kind].blocks

    def place(self, root: Path) -> tuple[str | None, int | None]:
        """File and line that the message begins with, as far as it does.

        Args:
            root: folder of the data set; the file is named from there.
        """
        if not self.message.startswith(f"{root}{os.sep}"):
            return None, None
        rest = self.message.removeprefix(f"{root}{os.sep}")
        # A name may hold what ends it in a sentence.
        for found in re.finditer(r"(?:, line (\d+))?[:,] ", rest):
            if (root / rest[: found.start()]).is_file():
                return rest[: found.start()], None if found[1] is None else int(found[1])
        return None, None

    @property
    def fix(self) -> str | None:
        """What the message advises, after its last semicolon."""
        return self.message.rpartition("; ")[2] if "; " in self.message else None

    @classmethod
    def of(cls, error: MmadError, *, clip: str | None = None) -> "Fault":
        """The fault that an error tells of."""
        return cls(error.kind, str(error), error.clip or clip, error.split)


def sorted_faults(faults: Iterable[Fault]) -> list[Fault]:
    """Faults by kind, the gravest first, each once, otherwise in their order."""
    rank = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(dict.fromkeys(faults), key=lambda fault: rank[fault.kind])
