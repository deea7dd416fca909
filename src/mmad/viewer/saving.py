"""The corrections on disk: a journal to which every edit is added before it counts, and a table made from it."""

import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from mmad.errors import MmadError
from mmad.formats.annotated import Annotations, check_name
from mmad.formats.csv_marks import write_csv_marks
from mmad.formats.marks import Mark
from mmad.formats.whole_file import numbered, write_whole
from mmad.viewer.names import file_names

Segment = dict[str, Any]
"""One segment of the corrections: id, start and end in seconds, label, and whether somebody has checked it."""

Operation = dict[str, Any]
"""What somebody did: `{"key", "do": "edit", "remove": [ids], "put": [segments]}`, or `"do"` is `undo` or `redo`.

The key is the page's, so that an operation that is sent twice counts once.
"""

_PAUSE = 0.7
"""Seconds from an edit to the new table, so that a series of edits writes it once."""
_LATEST = 50
"""Edits that the table may lack where a process was killed before it wrote them."""


class Outdated(Exception):
    """The page edits a state that is no longer the newest one."""


class Unwritten(MmadError):
    """An edit is right, but did not get to the disk."""


@dataclass
class Edited:
    """The corrections of one clip and how they came about.

    Args:
        segments: by id.
        done: what undoes each edit, the last one last.
        undone: what does again what was undone.
        keys: of the operations so far; their number is the version of the state.
    """

    segments: dict[str, Segment] = field(default_factory=dict)
    done: list[Operation] = field(default_factory=list)
    undone: list[Operation] = field(default_factory=list)
    keys: dict[str, None] = field(default_factory=dict)

    def follow(self, operation: Operation) -> None:
        """Does what the operation says; undoing where nothing is done leaves all as it is."""
        self.keys[operation["key"]] = None
        if operation["do"] == "edit":
            self.done.append(self._patch(operation))
            self.undone.clear()
        elif operation["do"] == "undo" and self.done:
            self.undone.append(self._patch(self.done.pop()))
        elif operation["do"] == "redo" and self.undone:
            self.done.append(self._patch(self.undone.pop()))

    def _patch(self, change: Operation) -> Operation:
        """Takes out and puts in; returns the change that would undo it."""
        ids = [segment["id"] for segment in change["put"]]
        before = [self.segments.pop(id) for id in dict.fromkeys([*change["remove"], *ids]) if id in self.segments]
        self.segments.update((segment["id"], segment) for segment in change["put"])
        kept = {segment["id"] for segment in before}
        return {"remove": [id for id in ids if id not in kept], "put": before}

    def told(self) -> dict[str, Any]:
        """The state as the page takes it."""
        return {
            "version": len(self.keys),
            "segments": list(self.segments.values()),
            "done": list(self.done),
            "undone": list(self.undone),
        }


class Corrections:
    """The corrections of all clips, in a folder or a table of their own.

    Beside the table `corrections.csv` lies `corrections.journal.jsonl`: an operation a line, on the disk before the
    page hears that it is saved. What a killed process left of a line is dropped. A table that somebody else has changed
    is kept under a name with a number. Calls from several threads wait for each other; other processes have to be kept
    out.

    Args:
        output: a folder that is there, or a table in one that ends in `.csv`.
        inputs: files that must not be written.
        subjects: the person shown in each clip, where that is known.

    Raises:
        MmadError: the table is an input or not of a journal, or the journal cannot be read.
    """

    def __init__(self, output: Path, *, inputs: Sequence[Path] = (), subjects: Mapping[str, str] | None = None) -> None:
        self.table = output if output.suffix.lower() == ".csv" else output / "corrections.csv"
        self.journal = self.table.with_suffix(".journal.jsonl")
        self.folder = self.table.parent
        self.subjects = subjects or {}
        self._lock = threading.Lock()
        self._written: bytes | None = None
        self._timer: threading.Timer | None = None
        read = {path.resolve() for path in inputs}
        for path in (self.table, self.journal):
            if path.resolve() in read:
                raise MmadError(f"{path} is an input, which must stay as it is; name another output=")
        if self.table.exists() and not self.journal.exists():
            raise MmadError(f"{self.table} exists and has no journal beside it; move it, or name another output=")
        self.clips = _replayed(self.journal)
        if self.clips:
            self.write_table()

    def of(self, clip: str) -> Edited:
        """The corrections of a clip; to be looked at, not changed."""
        return self.clips.get(clip, Edited())

    @property
    def labels(self) -> set[str]:
        """The names of classes that occur, or that undoing would bring back."""
        changes = [change for edited in self.clips.values() for change in (*edited.done, *edited.undone)]
        rows = [row for change in changes for row in change["put"]]
        rows += [row for edited in self.clips.values() for row in edited.segments.values()]
        return {row["label"] for row in rows}

    def told(self, clip: str) -> dict[str, Any]:
        """The corrections of a clip as the page takes them."""
        with self._lock:
            return self.of(clip).told()

    def follow(self, clip: str, operations: Sequence[Any], *, version: int) -> Edited:
        """Adds operations to the journal, then does them.

        Args:
            clip: its id.
            operations: in order; those that are known already are passed over.
            version: of the state that the first of them belongs to.

        Raises:
            Outdated: the clip has been edited since.
            MmadError: an operation is none; nothing is done then.
            Unwritten: they cannot be written; nothing is done then.
        """
        checked = [_checked(operation) for operation in operations]
        with self._lock:
            edited = self.of(clip)
            fresh = [operation for operation in checked if operation["key"] not in edited.keys]
            if version + len(checked) - len(fresh) != len(edited.keys):
                raise Outdated
            if fresh:
                _append(self.journal, "".join(_line({"clip": clip, **operation}) for operation in fresh))
                self.clips[clip] = edited
                for operation in fresh:
                    edited.follow(operation)
                self._soon()
            return edited

    def newest(self, clip: str, operations: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
        """The corrections of a clip as the page takes them, and the keys of those operations that they hold."""
        with self._lock:
            edited = self.of(clip)
            return edited.told(), [each["key"] for each in operations if each["key"] in edited.keys]

    def marks(self, clip: str, *, name: str | None = None) -> list[Mark]:
        """The corrections of a clip by time; `name` is what they call it, its id without."""
        return _marks(self.of(clip), name=name or clip, subject=self.subjects.get(clip))

    def write_table(self) -> None:
        """Writes the table anew: the clips that somebody has begun, with or without segments."""
        with self._lock:
            if not self.table.exists() and not any(edited.done for edited in self.clips.values()):
                return
            content = self._content(self.clips)
            self._keep_foreign(content)
            write_whole(self.table, content)
            self._written = content

    def _content(self, clips: Mapping[str, Edited]) -> bytes:
        """The table of a state."""
        begun = file_names(clip for clip, edited in clips.items() if edited.done)
        subjects = {name: self.subjects[clip] for clip, name in begun.items() if clip in self.subjects}
        marks = [
            mark for clip, name in begun.items() for mark in _marks(clips[clip], name=name, subject=subjects.get(name))
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.table.name
            write_csv_marks(path, Annotations(marks, list(begun.values()), subjects=subjects))
            return path.read_bytes()

    def _keep_foreign(self, content: bytes) -> None:
        """Moves the table away if it is neither what is to be written, nor what was, nor what a kill has left."""
        if not self.table.exists():
            return
        there = self.table.read_bytes()
        if there in (content, self._written):
            return
        if self._written is None and any(there == self._content(clips) for clips in _earlier(self.journal, _LATEST)):
            return
        kept = numbered(self.table)
        os.replace(self.table, kept)
        print(f"warning: {self.table} was changed elsewhere; it is now {kept}, which is not read", file=sys.stderr)

    def close(self) -> None:
        """Writes what is still to be written."""
        if self._timer is not None:
            self._timer.cancel()
        if self.clips:
            self.write_table()  # which waits for one that is being written

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_PAUSE, self._now)
            self._timer.daemon = True
            self._timer.start()

    def _now(self) -> None:
        self._timer = None
        try:
            self.write_table()
        except MmadError as error:  # the journal has it all the same
            print(f"warning: {error}", file=sys.stderr)


def _marks(edited: Edited, *, name: str, subject: str | None) -> list[Mark]:
    marks = [Mark(name, row["start"], row["end"], row["label"], subject) for row in edited.segments.values()]
    return sorted(marks, key=lambda mark: (mark.start, mark.end, mark.label))


def _replayed(journal: Path) -> dict[str, Edited]:
    """The state that the journal's whole lines lead to; what follows the last of them is cut off."""
    if not journal.exists():
        return {}
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with journal.open("r+b") as file:
            file.truncate(whole)
    return _state(_operations(journal))


def _earlier(journal: Path, number: int) -> Iterator[dict[str, Edited]]:
    """The states before the last edits, the latest first."""
    operations = _operations(journal)
    for cut in range(1, min(number, len(operations)) + 1):
        yield _state(operations[:-cut])


def _state(operations: Sequence[tuple[str, Operation]]) -> dict[str, Edited]:
    clips: dict[str, Edited] = {}
    for clip, operation in operations:
        clips.setdefault(clip, Edited()).follow(operation)
    return clips


def _operations(journal: Path) -> list[tuple[str, Operation]]:
    """The clip of each line, and what was done."""
    operations = []
    for number, line in enumerate(journal.read_bytes().splitlines(), start=1):
        try:
            entry = json.loads(line)
            clip = entry.pop("clip")
            check_name(clip, what="clip", where=f"{journal}, line {number}")
            operations.append((clip, _checked(entry)))
        except (ValueError, KeyError, AttributeError, TypeError, MmadError) as error:
            raise MmadError(
                f"{journal}, line {number}: not an edit of mmad-view ({error}); move the file, or name another output="
            ) from error
    return operations


def _line(entry: Operation) -> str:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"


def _append(path: Path, text: str) -> None:
    """Adds text to a file and waits until it is on the disk; what could not be added whole is taken away again."""
    try:
        with path.open("ab") as file:
            before = file.tell()
            try:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(path, before)
                raise
    except OSError as error:
        why = error.strerror or error
        raise Unwritten(
            f"{path} cannot be written ({why}); make room, the page keeps the edit and tries again"
        ) from error


def _checked(operation: Any) -> Operation:
    """A plain copy of an operation.

    Raises:
        MmadError: it is none.
    """
    if not isinstance(operation, dict) or not _is_id(operation.get("key")):
        raise MmadError("an edit has no key; load the page anew")
    key, what = operation["key"], operation.get("do")
    if what in ("undo", "redo"):
        return {"key": key, "do": what}
    remove, put = operation.get("remove"), operation.get("put")
    if what != "edit" or not isinstance(remove, list) or not isinstance(put, list) or not all(map(_is_id, remove)):
        raise MmadError(f"edit {key}: expected what to remove and what to put; load the page anew")
    return {"key": key, "do": what, "remove": remove, "put": [_segment(each) for each in put]}


def _segment(value: Any) -> Segment:
    if not isinstance(value, dict) or not _is_id(value.get("id")):
        raise MmadError("a segment has no id; load the page anew")
    start, end, label = value.get("start"), value.get("end"), value.get("label")
    if not (_is_time(start) and _is_time(end) and start < end):
        raise MmadError(f"segment [{start!r:.20}, {end!r:.20}] s of {label!r}, expected 0 <= start < end; correct it")
    if not isinstance(label, str):
        raise MmadError(f"label is {label!r}, expected the name of a class; choose one")
    check_name(label, what="label", where=f"segment [{start:g}, {end:g}] s")
    made = {"id": value["id"], "start": float(start), "end": float(end), "label": label}
    return made | {"checked": True} if value.get("checked") is True else made


def _is_id(value: Any) -> bool:
    # A lone surrogate, as JSON can hold one, cannot be written.
    return isinstance(value, str) and 0 < len(value) <= 64 and value.isascii()


def _is_time(value: Any) -> TypeGuard[float]:
    # JSON's whole numbers may be larger than any float.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
