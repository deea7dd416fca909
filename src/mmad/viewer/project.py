"""What the page shows: clips, their videos, and the layers of segments to compare."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mmad.errors import MmadError, OnFault
from mmad.formats.activitynet import parse_json, parse_results
from mmad.formats.annotated import Annotations, check_name
from mmad.formats.fields import label_index
from mmad.formats.labels import read_taxonomy
from mmad.formats.marks import Mark, predicted_marks, taxonomy_of
from mmad.formats.named_table import clip_id
from mmad.formats.predictions import read_predictions
from mmad.formats.table import read_text
from mmad.formats.videos import SUFFIXES, find_videos, named_videos, subfolders
from mmad.segments import Segments
from mmad.taxonomy import MMA52, Taxonomy
from mmad.viewer.reading import Rates, read_annotations

Kind = Literal["truth", "annotation", "prediction"]

TRUTH, PREDICTIONS = "ground truth", "predictions"
_OTHER = "other"
"""Body group of labels that the classes lack."""


@dataclass(frozen=True)
class Layer:
    """Segments of one origin.

    Args:
        name: what the page calls them.
        kind: how the page draws them.
        marks: those of each clip.
    """

    name: str
    kind: Kind
    marks: Mapping[str, Sequence[Mark]]


@dataclass(frozen=True)
class Project:
    """What is shown.

    Args:
        title: of the page.
        taxonomy: the classes, with all labels that occur.
        clips: ids, in the order to go through.
        videos: file of each clip that has one.
        layers: what is compared.
        thresholds: the score from which predictions of each class count, by its name; empty where nothing says it.
        durations: seconds of clips, where an annotation says it.
        subjects: the person shown in each clip, where that is known.
        inputs: the files that were read, none of which may be written.
    """

    title: str
    taxonomy: Taxonomy
    clips: Sequence[str]
    videos: Mapping[str, Path]
    layers: Sequence[Layer]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    durations: Mapping[str, float] = field(default_factory=dict)
    subjects: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[Path] = ()

    def __post_init__(self) -> None:
        if not self.clips:
            raise MmadError(f"{self.title}: there is no clip to show; name a video, predictions or annotations")
        for clip in self.clips:
            check_name(clip, what="id", where=f"clip {clip!r}")
            if clip_id(clip) != clip:
                raise MmadError(f"clip id {clip!r} is a path or a file name, expected {clip_id(clip)!r}; rename it")

    def knowing(self, labels: Iterable[str]) -> "Project":
        """The same with the classes of more labels."""
        return replace(self, taxonomy=_with(self.taxonomy, labels))


def of_files(
    *,
    videos: Sequence[str] = (),
    predictions: Path | None = None,
    annotations: Sequence[Path] = (),
    labels: Path | None = None,
    on_fault: OnFault,
) -> Project:
    """A project of single files.

    Args:
        videos: files, folders or patterns such as `talks/*.mp4`. Without, those that the predictions name, or that lie
            beside the other files.
        predictions: a file, or a folder with `predictions.json`.
        annotations: files, or folders of `.eaf` files; each is a layer, or one for each annotator that it names.
        labels: table of classes. Without, `labels.csv` beside the predictions or annotations, or else MMA-52's classes.
        on_fault: told of annotations that cannot be right, which are left out.

    Raises:
        MmadError: a file is missing or cannot be read, or there is no clip to show.
    """
    given = [path.name for path in (predictions, *annotations) if path is not None]
    if predictions is not None and predictions.is_dir():
        predictions = predictions / "predictions.json"
    found = _videos(videos)
    said = None if predictions is None else _Predictions(predictions)
    beside = [path for path in (predictions, *annotations) if path is not None]
    labels = labels or next((table for path in beside if (table := _folder(path) / "labels.csv").is_file()), None)
    classes = MMA52 if labels is None else read_taxonomy(labels)
    known = found or {**_beside(beside, said), **({} if said is None else said.videos)}
    tables = [read_annotations(path, taxonomy=classes, rates=Rates(known), on_fault=on_fault) for path in annotations]
    tables = [replace(each, marks=[_named(mark, classes) for mark in each.marks]) for each in tables]
    used = [mark.label for each in tables for mark in each.marks] + ([] if said is None else said.labels)
    if labels is None and used and not any(label in classes.index_of for label in used):
        classes = taxonomy_of(Mark("", 0, 1, label) for label in used)
    classes = _with(classes, used)
    layers = [layer for path, each in zip(annotations, tables, strict=True) for layer in _layers(each, name=path.name)]
    scored = {} if said is None else said.read(classes)
    if said is not None:
        layers.append(
            Layer(PREDICTIONS, "prediction", _by_clip(predicted_marks(scored, taxonomy=classes, least=-math.inf)))
        )
    named = dict.fromkeys([*scored, *(clip for each in tables for clip in each.clips)])
    known = found or find_videos(named, _places(beside)) | ({} if said is None else said.videos)
    return Project(
        title=", ".join([*videos, *given][:3]),
        taxonomy=classes,
        clips=list(found or named),
        videos=known,
        layers=_distinct(layers),
        thresholds={} if said is None else said.thresholds,
        durations={clip: seconds for each in tables for clip, seconds in each.durations.items()},
        subjects={clip: who for each in tables for clip, who in each.subjects.items()},
        inputs=[*beside, *([] if labels is None else [labels]), *known.values()],
    )


def of_run(
    folder: Path,
    *,
    annotations: Annotations,
    clips: Sequence[str],
    videos: Mapping[str, Path],
    taxonomy: Taxonomy,
    more: Sequence[Path] = (),
    on_fault: OnFault,
) -> Project:
    """A project of a run: the ground truth that it was evaluated on, and its predictions.

    Args:
        folder: of the run; holds `predictions.json`, and `diagnosis.json` with the best score of each class.
        annotations: of the run's data set.
        clips: those of the split that the run was evaluated on.
        videos: file of each clip that has one.
        taxonomy: the classes.
        more: annotations of the same clips to show beside.
        on_fault: told of annotations that cannot be right, which are left out.

    Raises:
        MmadError: the run has no predictions, or a file cannot be read.
    """
    path = folder / "predictions.json"
    if not path.is_file():
        raise MmadError(f"run={folder} holds no predictions.json; wait until it is evaluated, or name another run")
    inside = set(clips)
    truth = replace(annotations, marks=[mark for mark in annotations.marks if mark.clip in inside])
    tables = [read_annotations(each, taxonomy=taxonomy, rates=Rates(videos), on_fault=on_fault) for each in more]
    tables = [replace(each, marks=[_named(mark, taxonomy) for mark in each.marks]) for each in tables]
    said = _Predictions(path)
    taxonomy = _with(taxonomy, [mark.label for each in tables for mark in each.marks])
    layers = _layers(truth, name=TRUTH, kind="truth")
    layers += [layer for each, table in zip(more, tables, strict=True) for layer in _layers(table, name=each.name)]
    marks = predicted_marks(said.read(taxonomy), taxonomy=taxonomy, least=-math.inf)
    layers.append(Layer(PREDICTIONS, "prediction", _by_clip(marks)))
    return Project(
        title=folder.resolve().name,
        taxonomy=taxonomy,
        clips=list(clips),
        videos=videos,
        layers=_distinct(layers),
        thresholds=said.thresholds or _best_scores(folder / "diagnosis.json"),
        durations=annotations.durations,
        subjects=annotations.subjects,
        inputs=[path, *more, *videos.values()],
    )


class _Predictions:
    """A file of predictions, and what it says beside them.

    Args:
        path: any file that `read_predictions` knows; only that of `mmad-predict` names videos and thresholds.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MmadError(f"{path} does not exist; name a file of predictions, or the folder of mmad-predict")
        self.path = path
        with path.open("rb") as file:
            is_json = file.read(64).lstrip().startswith(b"{")
        self.document = parse_json(read_text(path), source=str(path)) if is_json else {}
        results = _object(self.document.get("results"))
        beside = _object(self.document.get("external_data"))
        self.thresholds = {
            name: float(score)
            for name, score in _object(beside.get("thresholds")).items()
            if isinstance(score, int | float)
        }
        named, root = _object(beside.get("videos")), path.parent
        if not named and len(results) == 1:
            # The file of one video, which lies as deep in the folder as its name says.
            (name,) = results
            named, root = {name: _object(beside.get("video")).get("path")}, path.parents[name.count("/")]
        # A file from elsewhere must not make the page hand out anything but videos.
        self.videos = {
            clip_id(clip): video
            for clip, place in named.items()
            if isinstance(place, str) and (video := root / place).suffix.lower() in SUFFIXES and video.is_file()
        }
        rows = [row for each in results.values() if isinstance(each, list) for row in each if isinstance(row, dict)]
        labels = {row.get("label") for row in rows}
        self.labels = sorted(each for each in labels if isinstance(each, str) and not each.strip().isdecimal())

    def read(self, taxonomy: Taxonomy) -> dict[str, Segments]:
        """The predictions of each clip, whose id is the name of its video without folders."""
        source = str(self.path)
        if self.document:
            found = parse_results(self.document, taxonomy=taxonomy, source=source)
        else:
            found = read_predictions(self.path, taxonomy=taxonomy)
        bare = {clip_id(name): rows for name, rows in found.items()}
        if len(bare) < len(found):
            raise MmadError(
                f"{source}: two videos in different folders have one name, by which a clip is known; name the "
                "predictions of a single one"
            )
        return bare


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _best_scores(path: Path) -> dict[str, float]:
    """The score from which predictions of each class are best, as the report page has it."""
    if not path.is_file():
        return {}
    try:
        rows = json.loads(path.read_text())["action"]["classes"]
        return {row["name"]: row["best_score"] for row in rows if row["best_score"] is not None}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _places(files: Iterable[Path]) -> list[list[Path]]:
    """Where videos may lie that nobody names: beside the files, or one folder deeper."""
    folders = list(dict.fromkeys(_folder(path) for path in files))
    return [folders, [inner for folder in folders for inner in subfolders(folder)]]


def _beside(files: Sequence[Path], said: _Predictions | None) -> dict[str, Path]:
    """All videos in these places, for the frame rates of annotations whose clips are not known yet."""
    there = [path for group in _places(files) for folder in group for path in sorted(folder.iterdir())]
    return {path.stem: path for path in reversed(there) if path.suffix.lower() in SUFFIXES}


def _videos(names: Sequence[str]) -> dict[str, Path]:
    """The videos that files, folders and patterns name, by clip."""
    found: dict[str, Path] = {}
    for each in named_videos(names):
        if found.setdefault(each.stem, each) != each:
            raise MmadError(
                f"{each} and {found[each.stem]} have one name, by which a clip is known; rename one, "
                "or name single videos"
            )
    return found


def _named(mark: Mark, taxonomy: Taxonomy) -> Mark:
    """The mark with the name of its class where it goes by another case or an index."""
    try:
        return replace(mark, label=taxonomy.actions[label_index(mark.label, taxonomy=taxonomy, where=mark.where)])
    except MmadError:
        return mark


def _with(taxonomy: Taxonomy, labels: Iterable[str]) -> Taxonomy:
    """The classes and, behind them in a group of their own, the labels that they lack."""
    lacking = sorted({label for label in labels if label not in taxonomy.index_of})
    if not lacking:
        return taxonomy
    rows = [
        (code, action, taxonomy.bodies[body])
        for code, action, body in zip(taxonomy.codes, taxonomy.actions, taxonomy.body_of, strict=True)
    ]
    return Taxonomy.from_rows((*rows, *(("", label, _OTHER) for label in lacking)))


def _layers(table: Annotations, *, name: str, kind: Kind = "annotation") -> list[Layer]:
    """A layer for each annotator, or one for all where there is none or one."""
    annotators = list(dict.fromkeys(mark.annotator for mark in table.marks))
    if len(annotators) < 2:
        return [Layer(name, kind, _by_clip(table.marks))]
    return [
        Layer(annotator or name, kind, _by_clip(mark for mark in table.marks if mark.annotator == annotator))
        for annotator in annotators
    ]


def _by_clip(marks: Iterable[Mark]) -> dict[str, list[Mark]]:
    of_clip: dict[str, list[Mark]] = {}
    for mark in marks:
        of_clip.setdefault(mark.clip, []).append(mark)
    return of_clip


def _distinct(layers: Sequence[Layer]) -> list[Layer]:
    """The same layers, none with the name of another."""
    named: dict[str, Layer] = {}
    for layer in layers:
        name, number = layer.name, 1
        while name in named:
            number += 1
            name = f"{layer.name} ({number})"
        named[name] = replace(layer, name=name)
    return list(named.values())
