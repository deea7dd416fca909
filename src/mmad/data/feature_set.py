"""A folder of features as a data set of its own: a file per clip, what they share, annotations and classes."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmad.annotations import Clip
from mmad.data.features import SUFFIXES, feature_path, read_header, shape_of
from mmad.errors import MmadError
from mmad.formats.annotated import Annotations
from mmad.formats.json_marks import write_json_marks
from mmad.formats.labels import write_taxonomy
from mmad.formats.marks import marks_of
from mmad.formats.table import read_text
from mmad.formats.videos import all_folders
from mmad.formats.whole_file import write_whole
from mmad.taxonomy import Taxonomy

FEATURES = "features.json"
"""What all files of a folder share; written once the last of them is there."""

_VERSION = 1


@dataclass(frozen=True)
class FeatureSet:
    """What all feature files of a folder share.

    Args:
        channels: C.
        stride, offset, settings, backbone, versions: see `FeatureHeader`.
        data: the name by which the videos' data set was chosen.
        evaluate_split: the split that it is evaluated on.
        clips: hash (sha256) of the video of each clip.
    """

    channels: int
    stride: int
    offset: int
    settings: Mapping[str, Any]
    backbone: str
    data: str
    evaluate_split: str
    versions: Mapping[str, str]
    clips: Mapping[str, str]

    @property
    def identity(self) -> str:
        """Hash (sha256) of what decides the features of a video."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Writes `features.json`."""
        write_whole(folder / FEATURES, f"{json.dumps({'version': _VERSION, **asdict(self)}, indent=1)}\n".encode())

    @classmethod
    def read(cls, folder: Path) -> "FeatureSet | None":
        """What the `features.json` of a folder says; None if there is none.

        Raises:
            MmadError: it is something else.
        """
        path = folder / FEATURES
        if not path.is_file():
            return None
        try:
            told = json.loads(read_text(path))
            if told.pop("version") != _VERSION:
                raise ValueError("another version")
            return cls(**told)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MmadError(
                f"{path} is none of this version of mmad; delete it and run mmad-extract again", kind="data"
            ) from error


def write_set(
    folder: Path,
    clips: Mapping[str, Sequence[Clip]],
    *,
    taxonomy: Taxonomy,
    data: str,
    evaluate_split: str,
) -> list[Path]:
    """Makes a data set of its own of a folder that holds the features of all clips.

    Args:
        folder: with the feature files.
        clips: of each split.
        taxonomy: the classes; if there are none, no table of them is written.
        data: the name by which the videos' data set was chosen.
        evaluate_split: the split that it is evaluated on.

    Returns:
        The files written: annotations.json, labels.csv and features.json.

    Raises:
        MmadError: a feature file is absent or damaged.
    """
    every = [clip for part in clips.values() for clip in part]
    headers = [read_header(feature_path(folder, clip.id)) for clip in every]
    annotations = Annotations(
        marks_of([clip.truth() for clip in every], taxonomy=taxonomy),
        [clip.id for clip in every],
        {clip.id: split for split, part in clips.items() for clip in part},
        {clip.id: clip.subject for clip in every if clip.subject is not None},
        {clip.id: clip.duration for clip in every},
    )
    written = [folder / "annotations.json"]
    write_json_marks(written[0], annotations, taxonomy=taxonomy)
    if taxonomy.actions:
        written.append(folder / "labels.csv")
        write_taxonomy(written[-1], taxonomy)
    first = headers[0]
    FeatureSet(
        channels=first.channels,
        stride=first.stride,
        offset=first.offset,
        settings=first.settings,
        backbone=first.backbone,
        data=data,
        evaluate_split=evaluate_split,
        versions=first.versions,
        clips={header.clip: header.sha256 for header in headers},
    ).write(folder)
    return [*written, folder / FEATURES]


def told_of(folder: str, what: str) -> Any:
    """A number that a configuration needs before anything is built: that of `features.json`.

    Args:
        folder: of the features.
        what: `channels`, `stride`, `offset`, `identity` or `evaluate_split`. Where there is no `features.json`, the
            channels are those of the first file found, the identity is None, and the split is `test`.

    Raises:
        MmadError: the folder is none, or does not tell.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise MmadError(f"{folder} is not a folder; give the one that mmad-extract has written")
    known = FeatureSet.read(root)
    if known is not None:
        return getattr(known, what)
    if what in (defaults := {"identity": None, "evaluate_split": "test"}):
        return defaults[what]
    if what == "channels":
        first = next(feature_files(root), None)
        if first is None:
            raise MmadError(f"{folder} holds no feature file ({', '.join(SUFFIXES)}); correct data.root")
        return shape_of(first)[1]
    raise MmadError(
        f"{folder} has no {FEATURES}, which mmad-extract writes at its end: start it again; for features of another "
        f"project say data.source.{what}=... and what else they do not tell (stride, offset, fps)"
    )


def feature_files(root: Path) -> Iterator[Path]:
    """The feature files in a folder and the folders in it, sorted."""
    for folder in all_folders(root):
        yield from sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any], *, prefix: str = "") -> str | None:
    """The first setting in which two differ, as `name is this, not that`; None if there is none."""
    for name in dict.fromkeys((*wanted, *found)):
        one, other = found.get(name), wanted.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            if told := difference(one, other, prefix=f"{prefix}{name}."):
                return told
        elif one != other:
            return f"{prefix}{name} is {one}, not {other}"
    return None
