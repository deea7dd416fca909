"""Reads annotations of any kind that `formats` knows; what a file is, is seen from its content."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mmad.data.header import header
from mmad.data.sources import read_eaf
from mmad.errors import MmadError, OnFault
from mmad.formats.annotated import Annotations
from mmad.formats.boris import read_boris
from mmad.formats.csv_marks import read_csv_marks
from mmad.formats.elan import read_elan
from mmad.formats.json_marks import read_json_marks
from mmad.formats.marks import Mark
from mmad.formats.mma52 import read_annotation_csv, subject_of
from mmad.formats.table import read_text
from mmad.taxonomy import Taxonomy

_RELEASED = {"video_id", "start_frame", "end_frame", "class", "total_frames"}
_USUAL_FPS = 30.0


class Rates(Mapping[str, float]):
    """Frames per second of each clip, asked of its video only when wanted."""

    def __init__(self, videos: Mapping[str, Path]) -> None:
        self.videos = videos

    def __getitem__(self, clip: str) -> float:
        return header(self.videos[clip]).fps

    def __iter__(self) -> Iterator[str]:
        return iter(self.videos)

    def __len__(self) -> int:
        return len(self.videos)


def read_annotations(path: Path, *, taxonomy: Taxonomy, rates: Mapping[str, float], on_fault: OnFault) -> Annotations:
    """The marks of a file, or of all `.eaf` files of a folder.

    Args:
        path: a table with a header, MMA-52's released table, JSON in ActivityNet's layout, ELAN, a BORIS project or
            its table of aggregated events; or a folder with `.eaf` files.
        taxonomy: classes by which names of tiers and indices of classes are understood.
        rates: frames per second of each clip, for times in frames whose file names no rate.
        on_fault: told of rows that cannot be right, which are left out.

    Raises:
        MmadError: the path is missing, or none of these.
    """
    if path.is_dir():
        return read_eaf(path, taxonomy, None, on_fault)
    if path.suffix.lower() == ".eaf":
        return read_elan(path, taxonomy=taxonomy, on_fault=on_fault)
    text = read_text(path)
    if text.lstrip().startswith("{"):
        start = text.lstrip()
        if '"observations"' in start and '"behaviors_conf"' in start:
            return read_boris(path, on_fault=on_fault)
        if '"results"' in start and '"database"' not in start:
            raise MmadError(f"{path} holds predictions, expected annotations; give it as predictions={path}")
        return read_json_marks(path, on_fault=on_fault)
    names = {name.strip().strip('"').lower() for name in text.lstrip("\ufeff").partition("\n")[0].split(",")}
    if names >= _RELEASED:
        return _released(path, taxonomy=taxonomy, rates=rates)
    if "observation id" in text[:5000].lower():
        return read_boris(path, on_fault=on_fault)
    return read_csv_marks(path, fps=rates, on_fault=on_fault)


def _released(path: Path, *, taxonomy: Taxonomy, rates: Mapping[str, float]) -> Annotations:
    made = Annotations([], [])
    for clip, known in read_annotation_csv(path, taxonomy=taxonomy).items():
        rate = known.fps or rates.get(clip) or _USUAL_FPS
        subject = subject_of(clip)
        made.clips.append(clip)
        made.durations[clip] = known.frames / rate
        if subject is not None:
            made.subjects[clip] = subject
        for instance in known.instances(rate, end_inclusive=False):
            label = taxonomy.actions[instance.label]
            made.marks.append(Mark(clip, instance.start, instance.end, label, subject, where=str(path)))
    return made
