"""Writes a data set's annotations in another format."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from mmad.cli.tasks.source import source_of
from mmad.cli.train import shown
from mmad.errors import MmadError
from mmad.formats.boris import write_boris_project
from mmad.formats.csv_marks import write_csv_marks
from mmad.formats.elan import write_elan
from mmad.formats.json_marks import write_json_marks
from mmad.formats.labels import write_taxonomy
from mmad.formats.splits import write_splits
from mmad.formats.webvtt import write_webvtt

if TYPE_CHECKING:
    from mmad.data.sources import Source
    from mmad.formats.annotated import Annotations

FORMATS = ("csv", "json", "elan", "boris", "webvtt")
VIDEOS = ("none", "link", "copy")


def convert(cfg: DictConfig) -> None:
    """Writes a data set's annotations in another format, so that its folder can be read again as that."""
    for name, known in (("to", FORMATS), ("videos", VIDEOS)):
        if cfg[name] not in known:
            raise MmadError(f"{name}={cfg[name]}: choose {', '.join(known)}.")
    root, output = Path(cfg.data.root).expanduser(), Path(cfg.output)
    source = source_of(cfg)
    if output.resolve() == root.resolve():
        raise MmadError(f"output={output} is the data set itself; name another folder")
    annotations = replace(source.annotations, split_of=dict(source.split_of))
    written = _write(output, annotations, source, to=cfg.to)
    write_taxonomy(output / "labels.csv", source.taxonomy)
    write_splits(output / "splits.csv", annotations.split_of, subjects=_of_all(annotations))
    if cfg.videos != "none":
        _bring(source.videos, annotations.split_of, output / "videos", copy=cfg.videos == "copy")
        written.append(output / "videos")
    print(f"\n{len(annotations.marks):,} marks in {len(annotations.clips):,} clips\n")
    for path in [*written, output / "labels.csv", output / "splits.csv"]:
        print(f"  {shown(path)}")
    if cfg.to != "webvtt":
        name = "folder" if cfg.to == "csv" else cfg.to
        print(
            f"\nNext: mmad-train data={name} data.root={shown(output)}"
            + ("" if cfg.videos != "none" else ", once the videos are in that folder")
        )


def _write(output: Path, annotations: "Annotations", source: "Source", *, to: str) -> list[Path]:
    taxonomy = source.taxonomy
    if to == "csv":
        write_csv_marks(output / "annotations.csv", annotations)
        return [output / "annotations.csv"]
    if to == "json":
        write_json_marks(output / "annotations.json", annotations, taxonomy=taxonomy)
        return [output / "annotations.json"]
    if to == "boris":
        write_boris_project(output / "annotations.boris", annotations.marks, taxonomy=taxonomy, videos=source.videos)
        return [output / "annotations.boris"]
    of_clip: dict[str, list] = {clip: [] for clip in annotations.clips}
    for mark in annotations.marks:
        of_clip[mark.clip].append(mark)
    for clip, marks in of_clip.items():
        if to == "elan":
            write_elan(output / "elan" / f"{clip}.eaf", marks, video=source.videos[clip], taxonomy=taxonomy)
        else:
            write_webvtt(output / "webvtt" / f"{clip}.vtt", marks)
    return [output / to]


def _of_all(annotations: "Annotations") -> Mapping[str, str] | None:
    """The subject of each clip if all are known."""
    known = annotations.subjects
    return known if set(annotations.clips) <= known.keys() else None


def _bring(videos: Mapping[str, Path], split_of: Mapping[str, str], folder: Path, *, copy: bool) -> None:
    """Puts videos into a folder for each split."""
    for clip, video in videos.items():
        target = folder / split_of[clip] / video.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if copy:
            shutil.copyfile(video, target)
        else:
            target.symlink_to(video.resolve())
