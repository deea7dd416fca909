"""Cuts long recordings into clips and writes these as a data set of their own."""

import csv
import io
import os
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from tqdm.auto import tqdm

from mmad.cli.entry import shown
from mmad.cli.tasks.apart import check_apart
from mmad.cli.tasks.source import source_of
from mmad.data.sources.source import LABELS, SPLIT_TABLE
from mmad.dataset.division import Division, divide, on_clock, stems
from mmad.dataset.pieces import FramesDiffer, Stamps, frame_stamps, write_pieces
from mmad.errors import MmadError
from mmad.formats.annotated import Annotations, to_write
from mmad.formats.csv_marks import write_csv_marks
from mmad.formats.labels import write_taxonomy
from mmad.formats.marks import Mark
from mmad.formats.splits import read_splits, write_splits
from mmad.formats.whole_file import write_whole

if TYPE_CHECKING:
    from mmad.data.sources import Source


def cut(cfg: DictConfig) -> None:
    """Cuts long recordings into clips and writes these as a data set of their own."""
    shortest, longest = _range(cfg.seconds)
    root, output = Path(cfg.data.root).expanduser(), Path(cfg.output)
    check_apart(output, root, nested=False)
    source = source_of(cfg)
    # Faults of names are told now, not after hours of encoding.
    known = to_write(source.annotations)
    taxonomy, videos, split_of = source.taxonomy, source.videos, _splits(source)
    marks_of: dict[str, list[Mark]] = {recording: [] for recording in known.clips}
    for mark in known.marks:
        marks_of[mark.clip].append(mark)
    stem_of = stems(known.clips)

    def plan(recording: str, stamps: Stamps) -> Division:
        marks, rate = marks_of[recording], source.annotations.fps.get(recording)
        if rate is not None:
            marks = on_clock(marks, stamps.edges, fps=rate)
        return divide(recording, stem_of[recording], stamps.edges, marks, shortest=shortest, longest=longest)

    # Closed before an error is told, which would stand behind the bar otherwise.
    with tqdm(known.clips, desc="read time stamps", unit="recording", leave=False) as recordings:
        stamps_of = {recording: frame_stamps(videos[recording]) for recording in recordings}
    divisions = {recording: plan(recording, stamps) for recording, stamps in stamps_of.items()}
    _warn(list(divisions.values()), shortest=shortest, longest=longest)
    if not cfg.empty and not any(any(division.marks) for division in divisions.values()):
        raise MmadError(f"empty=false, but no instance lies in any of the {len(divisions)} recordings; check the times")
    total, there = sum(division.bounds[-1] for division in divisions.values()), 0
    form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s of video [{elapsed}<{remaining}]"
    with tqdm(total=total, desc="cut", bar_format=form, leave=False) as bar:
        for recording in known.clips:
            done = bar.n
            try:
                there += _write(videos[recording], divisions[recording], stamps_of[recording], cfg, told=bar.update)
            except FramesDiffer:
                stamps = frame_stamps(videos[recording], decode=True)
                bar.total -= divisions[recording].bounds[-1]
                divisions[recording] = plan(recording, stamps)
                bar.total += divisions[recording].bounds[-1]
                # All of the recording is told anew, and a bar beyond its total has none.
                bar.update(done - bar.n)
                there += _write(videos[recording], divisions[recording], stamps, cfg, told=bar.update)
    kept = [
        (division, piece)
        for division in divisions.values()
        for piece, marks in enumerate(division.marks)
        if marks or cfg.empty
    ]
    subjects = {d.clips[piece]: known.subjects[d.recording] for d, piece in kept if d.recording in known.subjects}
    splits = {d.clips[piece]: split_of[d.recording] for d, piece in kept if d.recording in split_of}
    marks = [mark for division, piece in kept for mark in division.marks[piece]]
    clips = [division.clips[piece] for division, piece in kept]
    write_csv_marks(output / "annotations.csv", Annotations(marks, clips, splits, subjects))
    write_taxonomy(output / LABELS, taxonomy)
    whose = subjects if len(subjects) == len(clips) else None
    if splits:
        write_splits(output / SPLIT_TABLE, splits, subjects=whose)
    _write_cuts(output / "cuts.csv", kept)
    _tell(list(divisions.values()), kept, there=there)
    for name in ("annotations.csv", LABELS, *([SPLIT_TABLE] if splits else []), "cuts.csv", "videos"):
        print(f"  {shown(output / name)}")
    stale = sorted({path.stem for path in (output / "videos").glob("*.mp4")} - set(clips))
    if stale:
        print(f"\n{len(stale)} videos there are of an earlier cut and belong to no clip, the first is {stale[0]}.mp4")
    dealt = bool(splits) or _still_of(output / SPLIT_TABLE, clips)
    print(f"\nNext: {_next(output, splits=dealt, subjects=whose is not None)}")


def _range(seconds: Sequence[float]) -> tuple[float, float]:
    try:
        shortest, longest = (float(value) for value in seconds)
    except (TypeError, ValueError):
        shortest, longest = 0.0, 0.0
    if not 0 < shortest <= longest < float("inf"):
        raise MmadError(f"seconds={seconds}: expected the shortest and the longest length of a clip, such as [5,15]")
    return shortest, longest


def _splits(source: "Source") -> dict[str, str]:
    """The split of each recording; none where the data set says nothing of splits."""
    try:
        return dict(source.split_of)
    except MmadError as fault:
        if fault.kind != "no_split" or source.annotations.split_of or (source.root / SPLIT_TABLE).is_file():
            raise
        return {}


def _still_of(table: Path, clips: Collection[str]) -> bool:
    """Whether a table of splits that is there is of these clips; one of other clips is put aside, as it would count."""
    if not table.is_file():
        return False
    try:
        same = read_splits(table).keys() == set(clips)
    except MmadError:
        same = False
    if same:
        print(f"\n{shown(table)} was there, has a split for each of these clips, and stays")
        return True
    aside = table.with_name(f"{table.name}.old")
    os.replace(table, aside)
    print(f"\n{shown(table)} was there and is not of these clips; it is {aside.name} now, and counts no more")
    return False


def _warn(divisions: Sequence[Division], *, shortest: float, longest: float) -> None:
    missed = [division for division in divisions if division.missed]
    brief = [division for division in missed if division.bounds[-1] < shortest]
    other = [division for division in missed if division.bounds[-1] >= shortest]
    if brief:
        warnings.warn(
            f"{len(brief)} of {len(divisions)} recordings are shorter than {shortest:g} s and stay whole, the first is "
            f"{brief[0].recording!r} of {brief[0].bounds[-1]:.2f} s",
            stacklevel=2,
        )
    if other:
        lengths = other[0].lengths
        worst = lengths[abs(lengths - (shortest + longest) / 2).argmax()]
        warnings.warn(
            f"{len(other)} of {len(divisions)} recordings cannot be divided into clips of {shortest:g} to {longest:g} "
            f"s, the first is {other[0].recording!r} of {other[0].bounds[-1]:.2f} s, which gives a clip of "
            f"{worst:.2f} s; widen seconds=[{shortest:g},{longest:g}] if that matters",
            stacklevel=2,
        )


def _write(video: Path, division: Division, stamps: Stamps, cfg: DictConfig, *, told: Callable[[float], object]) -> int:
    folder = Path(cfg.output) / "videos"
    targets = [
        folder / f"{clip}.mp4" if marks or cfg.empty else None
        for clip, marks in zip(division.clips, division.marks, strict=True)
    ]
    return write_pieces(video, stamps, division.cuts, targets, told=told)


def _write_cuts(path: Path, kept: Sequence[tuple[Division, int]]) -> None:
    """Where each clip lies in its recording; frames are counted from 0, and the last one belongs to the clip."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip", "recording", "first_frame", "last_frame", "start_s", "end_s"))
    for division, piece in kept:
        first, stop = division.cuts[piece : piece + 2]
        times = (repr(float(division.edges[edge])) for edge in (first, stop))
        writer.writerow((division.clips[piece], division.recording, first, stop - 1, *times))
    write_whole(path, text.getvalue().encode())


def _tell(divisions: Sequence[Division], kept: Sequence[tuple[Division, int]], *, there: int) -> None:
    lengths = [division.lengths[piece] for division, piece in kept]
    empty = sum(not division.marks[piece] for division, piece in kept)
    passed = sum(len(division.clips) for division in divisions) - len(kept)
    whole, torn, left_out = (
        sum(getattr(division, name) for division in divisions) for name in ("whole", "cut", "left_out")
    )
    print(
        f"\n{len(divisions):,} recording{'s' * (len(divisions) != 1)}, {_clock(sum(d.bounds[-1] for d in divisions))}"
    )
    print(
        f"{len(kept):,} clips of {min(lengths):.2f} to {max(lengths):.2f} s, {_clock(sum(lengths))}"
        + (f"; {empty:,} show no instance" if empty else "")
        + (f"; {passed:,} without an instance are left out" if passed else "")
        + (f"; {there:,} videos were there already" if there else "")
    )
    print(
        f"{whole + torn:,} instances: {whole:,} whole, {torn:,} cut"
        + (f"; {left_out:,} parts of cut ones are too short to stay" if left_out else "")
        + "\n"
    )


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _clock(3725.4)
    '1:02:05'
    """
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _next(output: Path, *, splits: bool, subjects: bool) -> str:
    if splits:
        return f"mmad-train data=folder data.root={shown(output)}"
    deal = f"mmad-data task=split data=folder data.root={shown(output)} output={shown(output)}"
    if subjects:
        return f"{deal}, since the recordings have no splits"
    table = shown(output / SPLIT_TABLE)
    return (
        f"write {table} (columns clip and split), or name the subject of each recording, cut again (videos that are "
        f"there stay), and {deal}"
    )
