"""The challenge's CSV of predictions: `prediction.csv`, bare or in the zip that is handed in."""

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmad.errors import MmadError
from mmad.formats.detections import Detection, by_clip
from mmad.formats.fields import label_index, real_number
from mmad.formats.table import decode, table_rows
from mmad.formats.whole_file import write_whole
from mmad.segments import Segments
from mmad.taxonomy import MMA52, Taxonomy

_MEMBER = "prediction.csv"
_COLUMNS = ("video_id", "t_start", "t_end", "class", "score")
_USUAL_ID = re.compile(r"(val|test)\d{4}")
_EXTENSION = re.compile(r"\.(?=\w*[a-z])\w{2,4}$", re.IGNORECASE)
# The earliest time that a zip can hold: with the present one, equal predictions would give different files.
_DATE = (1980, 1, 1, 0, 0, 0)


def write_submission(
    path: Path,
    predictions: Mapping[str, Segments],
    *,
    taxonomy: Taxonomy,
    clips: Sequence[str] | None = None,
) -> None:
    """Writes the zip that is handed in to the challenge: `prediction.csv`, numbers in full precision.

    The file appears whole or not at all, and equal predictions give equal bytes. Two things are only warned of: ids
    that are not like `val0000` or `test0000`, and clips without a row.

    Args:
        path: the zip file; its folder is made.
        predictions: predictions of each clip in seconds, with scores.
        taxonomy: the classes, which must be those of MMA-52.
        clips: ids of the split, to be told how many of them have no prediction.

    Raises:
        MmadError: there is no prediction, the classes are others, an id is a file name or a path, or a prediction is
            not finite, ends before it starts, or has a score outside 0 to 1.
    """
    path = Path(path)
    if taxonomy.actions != MMA52.actions:
        raise MmadError(
            f"the challenge takes the 52 classes of MMA-52, these predictions have {len(taxonomy.actions)} classes "
            f"that begin with {taxonomy.actions[0]!r}; write them as JSON"
        )
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("", *_COLUMNS))
    number = 0
    for clip, found in predictions.items():
        _check(clip, found)
        times, labels, scores = (found[name].tolist() for name in ("segments", "labels", "scores"))
        for (start, end), label, score in zip(times, labels, scores, strict=True):
            writer.writerow((number, clip, start, end, label, score))
            number += 1
    if number == 0:
        raise MmadError(f"there is no prediction to write to {path}; check the score threshold and the split")
    _warn(predictions, clips)
    member = zipfile.ZipInfo(_MEMBER, date_time=_DATE)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.create_system, member.external_attr = 3, 0o644 << 16
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(member, text.getvalue())
    write_whole(path, content.getvalue())


def parse_challenge(text: str, *, taxonomy: Taxonomy, source: str) -> dict[str, Segments]:
    """Predictions of each clip from the challenge's CSV, header `,video_id,t_start,t_end,class,score`.

    Args:
        text: the file's content; times are seconds, `class` is an action index or name.
        taxonomy: the classes.
        source: name of the file, for errors.

    Raises:
        MmadError: a column is missing, a field is no number, or a class is unknown.
    """
    return by_clip(_detections(text, taxonomy=taxonomy, source=source), source=source)


def unzip_challenge(content: bytes, *, source: str) -> str:
    """The text of the CSV in a zip: `prediction.csv`, or else the only CSV file in it.

    Args:
        content: the zip's bytes.
        source: name of the file, for errors.

    Raises:
        MmadError: the zip is damaged or has no such file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            tables = [name for name in names if name.lower().endswith(".csv")]
            wanted = _MEMBER if _MEMBER in tables else tables[0] if len(tables) == 1 else None
            if wanted is None:
                raise MmadError(
                    f"{source} holds {', '.join(names[:5]) or 'nothing'}, expected prediction.csv; zip that file alone"
                )
            return decode(archive.read(wanted), source=f"{source}/{wanted}")
    except zipfile.BadZipFile as error:
        raise MmadError(f"{source} is not a readable zip ({error}); make it again") from error


def _check(clip: str, found: Segments) -> None:
    """Raises MmadError for what the challenge's file cannot hold."""
    if not clip.strip() or "/" in clip or "\\" in clip or _EXTENSION.search(clip):
        raise MmadError(f"clip id {clip!r} is a file name or a path, expected an id such as val0000; use the bare id")
    segments, labels, scores = found["segments"], found["labels"], found["scores"]
    if not (segments.isfinite().all() and scores.isfinite().all()):
        raise MmadError(
            f"predictions for clip {clip!r} hold a time or score that is not finite; look for a diverged training"
        )
    for wrong, what, fix in (
        ((scores < 0) | (scores > 1), "a score outside 0 to 1", "map the scores to probabilities"),
        (segments[:, 1] < segments[:, 0], "a segment that ends before it starts", "drop or repair it"),
        ((labels < 0) | (labels >= len(MMA52.actions)), "a class outside 0 to 51", "check the labels"),
    ):
        if wrong.any():
            row = int(wrong.nonzero()[0])
            start, end = segments[row].tolist()
            raise MmadError(
                f"a prediction for clip {clip!r} has {what}: class {int(labels[row])}, [{start:g}, {end:g}] s, "
                f"score {float(scores[row]):g}; {fix}"
            )


def _warn(predictions: Mapping[str, Segments], clips: Sequence[str] | None) -> None:
    """Warns of ids that the challenge does not know, and of clips without a row."""
    unusual = [clip for clip in predictions if not _USUAL_ID.fullmatch(clip)]
    if unusual:
        warnings.warn(
            f"{len(unusual)} of {len(predictions)} clip ids are not like val0000 or test0000, the first is "
            f"{unusual[0]!r}; the challenge may not know them",
            stacklevel=3,
        )
    silent = [clip for clip in clips or () if clip not in predictions or len(predictions[clip]["labels"]) == 0]
    if silent:
        warnings.warn(
            f"{len(silent)} of {len(clips or ())} clips have no prediction, the first is {silent[0]!r}; "
            "their actions will count as missed",
            stacklevel=3,
        )


def _detections(text: str, *, taxonomy: Taxonomy, source: str) -> Iterator[Detection]:
    for line, row in table_rows(text, columns=_COLUMNS, source=source):
        where = f"{source}, line {line}"
        yield Detection(
            clip=row["video_id"],
            start=real_number(row["t_start"], what="t_start", where=where),
            end=real_number(row["t_end"], what="t_end", where=where),
            label=label_index(row["class"], taxonomy=taxonomy, where=where),
            score=real_number(row["score"], what="score", where=where),
        )
