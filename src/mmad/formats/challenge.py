"""The challenge's CSV of predictions: `prediction.csv`, bare or in the zip that is handed in."""

import io
import zipfile
from collections.abc import Iterator

from mmad.errors import MmadError
from mmad.formats.detections import Detection, by_clip
from mmad.formats.fields import label_index, real_number
from mmad.formats.table import decode, table_rows
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy

_COLUMNS = ("video_id", "t_start", "t_end", "class", "score")


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
            wanted = "prediction.csv" if "prediction.csv" in tables else tables[0] if len(tables) == 1 else None
            if wanted is None:
                raise MmadError(
                    f"{source} holds {', '.join(names[:5]) or 'nothing'}, expected prediction.csv; zip that file alone"
                )
            return decode(archive.read(wanted), source=f"{source}/{wanted}")
    except zipfile.BadZipFile as error:
        raise MmadError(f"{source} is not a readable zip ({error}); make it again") from error


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
