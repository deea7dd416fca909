"""What an evaluation leaves behind: numbers, error analysis, tables, figures, and the page to look at."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import numpy as np

from mmad.annotations import Clip, Truth
from mmad.average_precision import MMAD, Protocol
from mmad.data.video import read_frames
from mmad.diagnosis import Settings, compare, diagnose, measure
from mmad.diagnosis.records import Comparison, Diagnosis, Numbers, ShownClip
from mmad.diagnosis.shown import shown_clips
from mmad.errors import MmadError
from mmad.formats.predictions import write_predictions
from mmad.formats.whole_file import write_whole
from mmad.matching import Rows
from mmad.page.build import write_page
from mmad.pairing import pair_up
from mmad.plots.figures import write_figures
from mmad.plots.style import FORMATS
from mmad.plots.timeline import Strip, plot_timelines
from mmad.segments import Segments, empty_segments
from mmad.tables import Table, tables_of, write_tables
from mmad.taxonomy import Taxonomy

Known = TypeVar("Known")

SHOWN_CLIPS = 4
SHOWN_FRAMES = 12
FRAME_PIXELS = 120
VIDEOS = ("link", "embed", "none")
OPTIONAL = ("comparison", "subjects", "frame_map")
"""Files that not every evaluation writes; those of an earlier one in the same folder must not stay."""


@dataclass(frozen=True)
class Reporting:
    """How an evaluation counts, and what its report holds.

    Args:
        protocol: of Detection-mAP.
        diagnosis: of the error analysis.
        draws: of the bootstrap; 0 for no intervals.
        unit: what is drawn, "subject" or "clip"; None for subjects where they are known.
        frame_rate: frames per second of per-frame mAP; None leaves it out.
        videos: "link" lets the page load videos from where they are; "embed" copies them into the page, which can then
            be sent to others, faces included; "none" shows timelines only.
        figures: formats, of "png", "svg" and "pdf"; none writes no figures.

    Raises:
        MmadError: a value that does not exist.
    """

    protocol: Protocol = MMAD
    diagnosis: Settings = Settings()  # noqa: RUF009
    draws: int = 1000
    unit: str | None = None
    frame_rate: float | None = None
    videos: str = "link"
    figures: Sequence[str] = FORMATS

    def __post_init__(self) -> None:
        if self.videos not in VIDEOS:
            raise MmadError(f"report.videos={self.videos}: choose {', '.join(VIDEOS)}.")
        if any(name not in FORMATS for name in self.figures):
            raise MmadError(f"report.figures={list(self.figures)}: choose from {', '.join(FORMATS)}.")
        if self.unit not in (None, "subject", "clip"):
            raise MmadError(f"report.unit={self.unit}: choose null, subject or clip.")
        if self.draws < 0 or (self.frame_rate is not None and self.frame_rate <= 0):
            raise MmadError(
                f"report.draws={self.draws}, report.frame_rate={self.frame_rate}: expected no negative number of draws "
                f"and a positive rate, or null."
            )


@dataclass(frozen=True)
class Evaluation:
    """Predictions judged by ground truth.

    Args:
        numbers, diagnosis: see `mmad.diagnosis.records`.
        comparison: with other predictions; None without.
        rows: the predictions, clips numbered as in `clips`.
        clips: ground truth of each clip.
        taxonomy: the classes.
        reporting: what was asked.
    """

    numbers: Numbers
    diagnosis: Diagnosis
    comparison: Comparison | None
    rows: Rows
    clips: Sequence[Truth]
    taxonomy: Taxonomy
    reporting: Reporting

    def tables(self) -> list[Table]:
        """All tables."""
        return tables_of(self.numbers, self.diagnosis, self.comparison)


def evaluate(
    predictions: Mapping[str, Segments],
    clips: Sequence[Truth],
    *,
    taxonomy: Taxonomy,
    reporting: Reporting = Reporting(),
    names: tuple[str, str] = ("these", "others"),
    others: Mapping[str, Segments] | None = None,
    unknown: str = "error",
) -> Evaluation:
    """Judges predictions by clip, such as a file holds.

    Args:
        predictions: of each clip, seconds, with scores.
        clips: ground truth of each clip.
        taxonomy: the classes.
        reporting: how.
        names: of the predictions and of the others.
        others: predictions of the same clips to compare with; differences are these minus those.
        unknown: as in `mmad.pairing.pair_up`.

    Raises:
        MmadError: predictions are for clips that the ground truth does not know, there is no ground truth, or as in
            `mmad.average_precision.detection_map`.
    """
    ids = [clip.id for clip in clips]
    table, notes = pair_up(predictions, ids, unknown=unknown)
    compared, other_notes = ({}, []) if others is None else pair_up(others, ids, unknown=unknown)
    notes += [f"{names[1]}: {note}" for note in other_notes]
    # Clips that only one side knows are there for both; each stands for itself in the bootstrap.
    strangers = list(dict.fromkeys([*list(table)[len(ids) :], *list(compared)[len(ids) :]]))
    every = [*clips, *(Truth(id_, (), subject=id_) for id_ in strangers)]
    rows = Rows.of([table.get(clip.id, empty_segments(scored=True)) for clip in every])
    truth = Rows.of([clip.segments() for clip in every])
    subjects = _known([clip.subject for clip in every], notes, what="subject, so intervals draw clips")
    durations = [clip.duration for clip in every]
    _known(durations[: len(clips)], notes, what="duration, so coverage and ends of clips are left out")
    numbers = measure(
        rows,
        truth,
        taxonomy=taxonomy,
        subjects=subjects,
        durations=durations,
        protocol=reporting.protocol,
        draws=reporting.draws,
        unit=reporting.unit,
        frame_rate=reporting.frame_rate,
        notes=notes,
    )
    diagnosis = diagnose(
        rows,
        truth,
        taxonomy=taxonomy,
        durations=durations,
        settings=reporting.diagnosis,
        protocol=reporting.protocol,
    )
    comparison = None
    if others is not None:
        comparison = compare(
            Rows.of([compared.get(clip.id, empty_segments(scored=True)) for clip in every]),
            rows,
            truth,
            taxonomy=taxonomy,
            names=(names[1], names[0]),
            subjects=subjects,
            protocol=reporting.protocol,
            draws=reporting.draws,
            unit=reporting.unit,
        )
    return Evaluation(numbers, diagnosis, comparison, rows, every, taxonomy, reporting)


def _known(values: Sequence[Known | None], notes: list[str], *, what: str) -> list[Known] | None:
    """The values if all are there; else None, and a note if some are."""
    known = [value for value in values if value is not None]
    if 0 < len(known) < len(values):
        notes.append(f"{len(values) - len(known)} of {len(values)} clips have no {what}.")
    return known if len(known) == len(values) else None


def write_report(folder: Path, evaluation: Evaluation, *, title: str, about: Mapping[str, str]) -> list[Path]:
    """Writes metrics.json, diagnosis.json, comparison.json where there is one, tables/, figures/ and report.html.

    Args:
        folder: where.
        evaluation: what.
        title: heading of the page.
        about: rows for the foot of the page.

    Returns:
        The files and folders written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (path for name in OPTIONAL for path in folder.glob(f"**/{name}.*")):
        if stale.parent in (folder, folder / "tables", folder / "figures"):
            stale.unlink()
    numbers, diagnosis, comparison = evaluation.numbers, evaluation.diagnosis, evaluation.comparison
    written = []
    for name, record in (("metrics", numbers), ("diagnosis", diagnosis), ("comparison", comparison)):
        if record is not None:
            write_whole(folder / f"{name}.json", (json.dumps(record, indent=2, allow_nan=False) + "\n").encode())
            written.append(folder / f"{name}.json")
    write_tables(folder / "tables", evaluation.tables())
    written.append(folder / "tables")
    if evaluation.reporting.figures:
        formats = evaluation.reporting.figures
        write_figures(folder / "figures", numbers, diagnosis, comparison, formats=formats)
        written.append(folder / "figures")
    page = write_page(
        folder / "report.html",
        title=title,
        numbers=numbers,
        diagnosis=diagnosis,
        clips=_shown(evaluation, folder),
        taxonomy=evaluation.taxonomy,
        comparison=comparison,
        about=about,
    )
    return [*written, page]


def write_predictions_and_timeline(
    folder: Path, *, clips: Sequence[Clip], detections: Mapping[int, Segments], taxonomy: Taxonomy
) -> list[Path]:
    """Writes predictions.json and timeline.png.

    Args:
        folder: the run's folder.
        clips: the evaluated clips.
        detections: of each clip, by its index, in seconds.
        taxonomy: the classes.

    Returns:
        The files written.
    """
    predictions = folder / "predictions.json"
    write_predictions(
        predictions,
        {clips[index].id: found for index, found in sorted(detections.items())},
        taxonomy=taxonomy,
    )
    strips = [_strip(clips[index], detections[index]) for index in _samples(clips, sorted(detections))]
    return [predictions, plot_timelines(folder / "timeline.png", strips, taxonomy=taxonomy)]


def summary(evaluation: Evaluation, *, on: str) -> str:
    """Detection-mAP in percent as aligned text, the columns of the MMAD paper's Table 3, and what the errors cost.

    Args:
        evaluation: what was found.
        on: what was evaluated.
    """
    numbers, diagnosis = evaluation.numbers, evaluation.diagnosis
    columns = [t for t in ("0.2", "0.5", "0.7") if t in numbers["action"]["map"]]
    lines = [f"{'Detection-mAP (%)':<18}" + "".join(f"{'@' + c:>8}" for c in columns) + f"{'Avg':>8}"]
    if numbers["interval"] is not None:
        lines[0] += f"   95 % interval over {numbers['units']} {numbers['unit']}s"
    for name, level in (("action", numbers["action"]), ("body", numbers["body"])):
        values = [level["map"][c] for c in columns] + [level["avg"]]
        lines.append(f"{name:<18}" + "".join(f"{v:>8.2f}" for v in values) + _bounds(level["intervals"].get("avg")))
    lines.append(f"{'AVG':<18}" + " " * 8 * len(columns) + f"{numbers['avg']:>8.2f}" + _bounds(numbers["interval"]))
    lines[-1] += f"   ({on})"

    errors = diagnosis["action"]["false_positives"]
    gains = sorted((errors["repaired"] or errors["removed"]).items(), key=lambda item: -item[1])[:3]
    verb = "correcting" if errors["repaired"] else "removing"
    lines += [
        "",
        f"Actions at tIoU {diagnosis['threshold']:g}, mAP_N {errors['base']:.1f}: {verb} "
        + (", ".join(f"{name} +{gain:.1f}" for name, gain in gains if gain >= 0.05) or "errors would bring nothing"),
    ]
    if evaluation.comparison is not None:
        lines.append(_compared(evaluation.comparison))
    lines += [f"note: {note}" for note in numbers["notes"]]
    return "\n".join(lines)


def _compared(comparison: Comparison) -> str:
    change = comparison["avg"]
    line = f"{comparison['second']} minus {comparison['first']}: AVG {change['difference']:+.2f}"
    if change["interval"] is None:
        return line
    low, high = change["interval"]
    return f"{line} (paired 95 % interval {low:+.1f} to {high:+.1f}, {comparison['units']} {comparison['unit']}s)"


def _bounds(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"   {interval[0]:.1f} to {interval[1]:.1f}"


def _shown(evaluation: Evaluation, folder: Path) -> list[ShownClip]:
    """The page's clips with their videos as the settings ask for."""
    kind = evaluation.reporting.videos
    videos = [_address(clip.video, folder, kind) if clip.video else None for clip in evaluation.clips]
    return shown_clips(
        evaluation.rows,
        evaluation.clips,
        taxonomy=evaluation.taxonomy,
        settings=evaluation.reporting.diagnosis,
        protocol=evaluation.reporting.protocol,
        videos=videos,
    )


def _address(video: Path, folder: Path, kind: str) -> str | None:
    """Where the page finds a video; relative, so that a folder that holds both can be moved."""
    if kind == "none":
        return None
    if kind == "embed":
        if not video.is_file():
            return None
        return "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode("ascii")
    try:
        return quote(Path(os.path.relpath(video.resolve(), folder.resolve())).as_posix())
    except ValueError:  # another drive
        return video.resolve().as_uri()


def _samples(clips: Sequence[Clip], indices: Sequence[int]) -> list[int]:
    """Clips evenly spread over the split, so that the choice flatters nobody."""
    if len(indices) <= SHOWN_CLIPS:
        return list(indices)
    return [indices[i] for i in np.linspace(0, len(indices) - 1, SHOWN_CLIPS).round().astype(int)]


def _strip(clip: Clip, detections: Segments) -> Strip:
    times = (np.arange(SHOWN_FRAMES) + 0.5) / SHOWN_FRAMES * clip.duration
    frames = read_frames(clip.path, times, fps=clip.fps, short_side=FRAME_PIXELS)
    return Strip(clip, detections, frames.permute(0, 2, 3, 1).numpy())
