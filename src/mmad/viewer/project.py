"""What the page shows: clips, their videos, and the layers of segments to compare."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
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
from mmad.viewer.names import called, file_names
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
        file_names(self.clips)

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
    said = None if predictions is None else _Predictions(predictions)
    found = _videos(videos, said={} if said is None else said.videos)
    beside = [path for path in (predictions, *annotations) if path is not None]
    labels = labels or next((table for path in beside if (table := _folder(path) / "labels.csv").is_file()), None)
    classes = MMA52 if labels is None else read_taxonomy(labels)
    known = found or {**_beside(beside), **({} if said is None else said.videos)}
    rates = Rates({name: known[clips[0]] for name, clips in called(known).items() if len(clips) == 1})
    tables = [read_annotations(path, taxonomy=classes, rates=rates, on_fault=on_fault) for path in annotations]
    clips = called(found or ([] if said is None else said.clips))
    tables = [
        _placed(each, clips=clips, name=path.name, on_fault=on_fault)
        for path, each in zip(annotations, tables, strict=True)
    ]
    tables = [replace(each, marks=[_named(mark, classes) for mark in each.marks]) for each in tables]
    used = [mark.label for each in tables for mark in each.marks] + ([] if said is None else said.labels)
    if labels is None and used and not any(label in classes.index_of for label in used):
        classes = taxonomy_of(Mark("", 0, 1, label) for label in used)
    classes = _with(classes, used)
    layers = [layer for path, each in zip(annotations, tables, strict=True) for layer in _layers(each, name=path.name)]
    scored = {} if said is None else said.read(classes, found)
    if said is not None:
        layers.append(
            Layer(PREDICTIONS, "prediction", _by_clip(predicted_marks(scored, taxonomy=classes, least=-math.inf)))
        )
    named = dict.fromkeys([*scored, *(clip for each in tables for clip in each.clips)])
    known = found or _found_beside(named, _places(beside), {} if said is None else said.videos)
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
    tables: Sequence[Path] = (),
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
        tables: files of the data set beside its annotations.
        more: annotations of the same clips to show beside.
        on_fault: told of annotations that cannot be right, which are left out.

    Raises:
        MmadError: the run has no predictions, or a file cannot be read.
    """
    path = folder / "predictions.json"
    if not path.is_file():
        raise MmadError(f"run={folder} holds no predictions.json; wait until it is evaluated, or name another run")
    scores = folder / "diagnosis.json"
    inside = set(clips)
    truth = replace(annotations, marks=[mark for mark in annotations.marks if mark.clip in inside])
    others = [read_annotations(each, taxonomy=taxonomy, rates=Rates(videos), on_fault=on_fault) for each in more]
    others = [replace(each, marks=[_named(mark, taxonomy) for mark in each.marks]) for each in others]
    said = _Predictions(path)
    taxonomy = _with(taxonomy, [mark.label for each in others for mark in each.marks])
    layers = _layers(truth, name=TRUTH, kind="truth")
    layers += [layer for each, table in zip(more, others, strict=True) for layer in _layers(table, name=each.name)]
    marks = predicted_marks(said.read(taxonomy), taxonomy=taxonomy, least=-math.inf)
    layers.append(Layer(PREDICTIONS, "prediction", _by_clip(marks)))
    return Project(
        title=folder.resolve().name,
        taxonomy=taxonomy,
        clips=list(clips),
        videos=videos,
        layers=_distinct(layers),
        thresholds=said.thresholds or _best_scores(scores),
        durations=annotations.durations,
        subjects=annotations.subjects,
        inputs=[path, scores, *_files_of(annotations.marks), *tables, *more, *videos.values()],
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
            clip: video
            for clip, place in named.items()
            if isinstance(place, str) and (video := root / place).suffix.lower() in SUFFIXES and video.is_file()
        }
        self._placed = {clip for clip, place in named.items() if isinstance(place, str)}
        self.clips = [self._clip(name) for name in results]
        rows = [row for each in results.values() if isinstance(each, list) for row in each if isinstance(row, dict)]
        labels = {row.get("label") for row in rows}
        self.labels = sorted(each for each in labels if isinstance(each, str) and not each.strip().isdecimal())

    def read(self, taxonomy: Taxonomy, shown: Collection[str] = ()) -> dict[str, Segments]:
        """The predictions of each clip.

        Args:
            taxonomy: the classes.
            shown: clips of which one is meant where the video is not at the place that the file says.
        """
        source = str(self.path)
        if self.document:
            found = parse_results(self.document, taxonomy=taxonomy, source=source)
        else:
            found = read_predictions(self.path, taxonomy=taxonomy)
        meant = called(shown)
        named: dict[str, Segments] = {}
        for name, rows in found.items():
            clip = self._clip(name)
            others = [] if clip in self.videos else meant.get(clip, meant.get(clip_id(clip), []))
            named[others[0] if len(others) == 1 else clip] = rows
        if len(named) < len(found):
            raise MmadError(
                f"{source}: two videos in different folders have one name, by which a clip is known where its video "
                "is not found; name the predictions of a single one"
            )
        return named

    def _clip(self, name: str) -> str:
        """The id as the file has it if it says where the video is, else the name of the video without folders."""
        return name if name in self._placed else clip_id(name)


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


def _beside(files: Sequence[Path]) -> dict[str, Path]:
    """All videos in these places, for the frame rates of annotations whose clips are not known yet."""
    there = [path for group in _places(files) for folder in group for path in sorted(folder.iterdir())]
    return {path.stem: path for path in reversed(there) if path.suffix.lower() in SUFFIXES}


def _found_beside(clips: Iterable[str], places: Sequence[Sequence[Path]], known: Mapping[str, Path]) -> dict[str, Path]:
    """The videos that are known, and those that lie beside the files under the name of a clip."""
    of_name: dict[str, list[str]] = {}
    for clip in clips:
        if clip not in known:
            of_name.setdefault(clip_id(clip), []).append(clip)
    sole = {name: mine[0] for name, mine in of_name.items() if len(mine) == 1}
    return {sole[name]: video for name, video in find_videos(sole, places).items()} | dict(known)


def _videos(names: Sequence[str], *, said: Mapping[str, Path]) -> dict[str, Path]:
    """The videos that files, folders and patterns name, by clip.

    Args:
        names: of files, folders and patterns.
        said: videos whose clips have an id already; the others go by their name.
    """
    ids = {video.resolve(): clip for clip, video in said.items()}
    found: dict[str, Path] = {}
    for each in named_videos(names):
        clip = ids.get(each.resolve(), each.stem)
        if found.setdefault(clip, each) != each:
            raise MmadError(
                f"{each} and {found[clip]} have one name, by which a clip is known; rename one, or name single videos"
            )
    return found


def _placed(table: Annotations, *, clips: Mapping[str, list[str]], name: str, on_fault: OnFault) -> Annotations:
    """The annotations with the ids of the clips that their names stand for.

    Args:
        table: the annotations.
        clips: those that each name may stand for; another name is a clip of its own.
        name: of the file.
        on_fault: told of names that may stand for several clips, whose annotations are left out.
    """
    unclear = [clip for clip in table.clips if len(clips.get(clip, ())) > 1]
    for clip in unclear:
        several = " or ".join(map(repr, clips[clip]))
        on_fault(MmadError(f"{name}: clip {clip!r} may be {several}; name the video of one of them alone", clip=clip))
    table = table.without(unclear)

    def meant(clip: str) -> str:
        return clips[clip][0] if clip in clips else clip

    return replace(
        table,
        marks=[replace(mark, clip=meant(mark.clip)) for mark in table.marks],
        clips=list(dict.fromkeys(map(meant, table.clips))),
        durations={meant(clip): seconds for clip, seconds in table.durations.items()},
        subjects={meant(clip): who for clip, who in table.subjects.items()},
    )


def _files_of(marks: Iterable[Mark]) -> list[Path]:
    """The files that marks come from; the place of each mark begins with its file."""
    found: dict[str, Path] = {}
    for mark in marks:
        place = mark.where
        while ", " in place:
            place = place.rpartition(", ")[0]
            if place in found:
                break
            if Path(place).is_file():
                found[place] = Path(place)
                break
    return list(found.values())


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
