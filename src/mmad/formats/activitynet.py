"""JSON files in ActivityNet's layout, which OpenTAD shares: ground truth and results."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmad.annotations import Clip, Instance, Truth
from mmad.errors import MmadError
from mmad.formats.detections import Detection, by_clip
from mmad.formats.fields import is_ignored, label_index, real_number, whole_number
from mmad.formats.mma52 import subject_of
from mmad.formats.table import read_text
from mmad.formats.videos import find_videos, subfolders
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy


def parse_json(text: str, *, source: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        MmadError: it is not JSON, no object, or an object in it has a key twice, of which one value would be lost.
    """
    try:
        document = json.loads(text, object_pairs_hook=lambda pairs: _with_keys_once(pairs, source=source))
    except json.JSONDecodeError as error:
        raise MmadError(f"{source}, line {error.lineno}: not valid JSON ({error.msg}); write the file again") from error
    except MmadError:
        raise
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or as many brackets
        raise MmadError(f"{source}: not readable JSON ({error}); write the file again") from error
    return _object(document, where=source)


def read_activitynet(path: Path, *, videos: Path, taxonomy: Taxonomy, subset: str | None = None) -> list[Clip]:
    """The clips of a ground-truth file, whose entries must name `duration` in seconds and the number `frame`.

    Args:
        path: the JSON file.
        videos: folder with `<id>.mp4`, or one folder deeper.
        taxonomy: the classes.
        subset: as in `read_truth`.

    Raises:
        MmadError: a video, a frame number or a duration is missing, or as in `read_truth`.
    """
    database = entries_of(path, subset=subset)
    paths = find_videos(database, ([Path(videos)], subfolders(Path(videos))))
    absent = [clip for clip in database if clip not in paths]
    if absent:
        raise MmadError(
            f"{len(absent)} of {len(database)} videos of {path} are absent from {videos}, the first is "
            f"{absent[0]}.mp4; put them there"
        )
    clips = []
    for clip, entry in database.items():
        where = f"{path}, clip {clip!r}"
        frames = whole_number(entry.get("frame"), what="frame", where=where)
        duration = real_number(entry.get("duration"), what="duration", where=where)
        if frames <= 0 or duration <= 0:
            raise MmadError(f"{where}: {frames} frames in {duration:g} s, expected more than 0; correct both")
        instances = _instances(entry, taxonomy=taxonomy, where=where)
        subject = named_subject(entry, where=where) or subject_of(clip)
        clips.append(Clip(clip, paths[clip], subject, frames / duration, frames, instances))
    return clips


def read_truth(
    path: Path,
    *,
    taxonomy: Taxonomy,
    subset: str | None = None,
    ignore_labels: Collection[str] = (),
) -> list[Truth]:
    """The clips of a ground-truth file, without need of videos, frame rates or durations.

    The subject is the entry's `subject`, or else what an id such as `001_01_0001_A` begins with. Instances that
    repeat others or reach beyond the duration stay.

    Args:
        path: the JSON file.
        taxonomy: the classes.
        subset: `training`, `validation`, `testing` or however the file calls them; a beginning is enough, so
            `val` is `validation`. None takes all.
        ignore_labels: labels whose instances are left out, such as `Ambiguous` of THUMOS14; their clips stay.

    Raises:
        MmadError: the file is missing or has another layout, the subset is unknown, or an instance cannot be
            right.
    """
    truths = []
    for clip, entry in entries_of(path, subset=subset).items():
        where = f"{path}, clip {clip!r}"
        instances = _instances(entry, taxonomy=taxonomy, where=where, ignored=ignore_labels)
        duration = duration_of(entry, where=where)
        truths.append(Truth(clip, instances, duration, named_subject(entry, where=where) or subject_of(clip)))
    return truths


def parse_results(document: Mapping[str, Any], *, taxonomy: Taxonomy, source: str) -> dict[str, Segments]:
    """Predictions of each clip from a results object `{"results": {id: [{"label", "score", "segment"}]}}`.

    Args:
        document: the parsed JSON; only `results` is used.
        taxonomy: the classes.
        source: name of the file, for errors.

    Raises:
        MmadError: `results` is missing, or an entry cannot be right.
    """
    if "results" not in document:
        kind = "this is ground truth" if "database" in document else f"keys are {', '.join(document) or 'none'}"
        raise MmadError(f"{source} has no 'results' ({kind}); give a file of predictions")
    results = _object(document["results"], where=f"{source}, 'results'")
    return by_clip(_detections(results, taxonomy=taxonomy, source=source), source=source, clips=results)


def database_of(document: Mapping[str, Any], *, source: str) -> dict[str, dict[str, Any]]:
    """The entries of a ground-truth object, by clip, over all subsets.

    Args:
        document: the parsed JSON.
        source: name of the file, for errors.

    Raises:
        MmadError: there is no database, or it is none.
    """
    if "database" not in document:
        kind = "this is predictions" if "results" in document else f"keys are {', '.join(document) or 'none'}"
        raise MmadError(f"{source} has no 'database' ({kind}); give a file of ground truth")
    return {
        clip: _object(entry, where=f"{source}, clip {clip!r}")
        for clip, entry in _object(document["database"], where=f"{source}, 'database'").items()
    }


def annotations_of(entry: Mapping[str, Any], *, where: str) -> list[dict[str, Any]]:
    """The annotations of an entry of the database; none if it does not mention them.

    Args:
        entry: what the database says of one clip.
        where: file and clip, for errors.

    Raises:
        MmadError: they are no list of objects.
    """
    return [] if entry.get("annotations") is None else _list(entry["annotations"], where=where)


def entries_of(path: Path, *, subset: str | None) -> dict[str, dict[str, Any]]:
    """The entries of a subset of a ground-truth file, by clip.

    Args:
        path: the JSON file.
        subset: as in `read_truth`.

    Raises:
        MmadError: the file is missing or has another layout, or the subset is unknown.
    """
    entries = database_of(parse_json(read_text(path), source=str(path)), source=str(path))
    if subset is None:
        return entries
    chosen = {
        clip: entry
        for clip, entry in entries.items()
        if str(entry.get("subset", "")).lower().startswith(subset.lower())
    }
    if not chosen:
        known = sorted({str(entry.get("subset")) for entry in entries.values()})
        raise MmadError(f"{path} has no subset {subset!r}; choose from {', '.join(known) or 'none'}")
    return chosen


def segment_of(row: Mapping[str, Any], *, where: str) -> tuple[float, float]:
    """Start and end of an annotation or a result, in seconds.

    Args:
        row: the annotation.
        where: file and clip, for errors.

    Raises:
        MmadError: they are not two finite numbers.
    """
    segment = row.get("segment")
    if not isinstance(segment, list) or len(segment) != 2:
        raise MmadError(f"{where}: segment is {segment!r}, expected [start, end] in seconds; correct it")
    return (
        real_number(segment[0], what="start", where=where),
        real_number(segment[1], what="end", where=where),
    )


def duration_of(entry: Mapping[str, Any], *, where: str) -> float | None:
    """Length in seconds of an entry of the database, None if it does not say it.

    Args:
        entry: what the database says of one clip.
        where: file and clip, for errors.

    Raises:
        MmadError: it is no number, or not more than 0.
    """
    if entry.get("duration") is None:
        return None
    duration = real_number(entry["duration"], what="duration", where=where)
    if duration <= 0:
        raise MmadError(f"{where}: duration is {duration:g} s, expected more than 0; correct or remove it")
    return duration


def named_subject(entry: Mapping[str, Any], *, where: str) -> str | None:
    """The person shown, None if the entry of the database does not say it.

    Args:
        entry: what the database says of one clip.
        where: file and clip, for errors.

    Raises:
        MmadError: it is neither a name nor a number.
    """
    subject = entry.get("subject")
    if subject is None or subject == "":
        return None
    if isinstance(subject, bool) or not isinstance(subject, str | int):
        raise MmadError(f"{where}: subject is {subject!r}, expected a name or a number; correct or remove it")
    return str(subject)


def _instances(
    entry: Mapping[str, Any], *, taxonomy: Taxonomy, where: str, ignored: Collection[str] = ()
) -> tuple[Instance, ...]:
    instances = []
    for row in annotations_of(entry, where=where):
        if is_ignored(row.get("label"), ignored=ignored, taxonomy=taxonomy):
            continue
        start, end = segment_of(row, where=where)
        if start < 0 or start >= end:
            raise MmadError(
                f"{where}: segment [{start:g}, {end:g}], expected 0 <= start < end; correct it", kind="segment"
            )
        instances.append(Instance(start, end, label_index(row.get("label"), taxonomy=taxonomy, where=where)))
    return tuple(instances)


def _detections(results: Mapping[str, Any], *, taxonomy: Taxonomy, source: str) -> Iterator[Detection]:
    for clip, rows in results.items():
        where = f"{source}, clip {clip!r}"
        for row in _list(rows, where=where):
            label = label_index(row.get("label"), taxonomy=taxonomy, where=where)
            score = real_number(row.get("score"), what="score", where=where)
            yield Detection(clip, *segment_of(row, where=where), label, score)


def _with_keys_once(pairs: list[tuple[str, Any]], *, source: str) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise MmadError(f"{source}: an object has the key {twice!r} twice, expected once; join the two or rename one")
    return document


def _object(value: object, *, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MmadError(f"{where}: expected a JSON object, found {type(value).__name__}; write the file again")
    return value


def _list(value: object, *, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise MmadError(f"{where}: expected a list, found {type(value).__name__}; write the file again")
    return [_object(row, where=where) for row in value]
