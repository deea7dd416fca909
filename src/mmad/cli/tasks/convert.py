"""Writes a data set's annotations in another format."""

import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from tqdm.auto import tqdm

from mmad.cli.entry import shown
from mmad.cli.tasks.apart import check_apart
from mmad.cli.tasks.source import source_of
from mmad.errors import MmadError
from mmad.formats.boris import write_boris_project, write_boris_table
from mmad.formats.csv_marks import write_csv_marks
from mmad.formats.elan import write_elan
from mmad.formats.json_marks import write_json_marks
from mmad.formats.labels import write_taxonomy
from mmad.formats.splits import write_splits
from mmad.formats.videos import SUFFIXES
from mmad.formats.webvtt import write_webvtt

if TYPE_CHECKING:
    from mmad.data.sources import Source
    from mmad.formats.annotated import Annotations

FORMATS = ("csv", "json", "elan", "boris", "boris_table", "webvtt")
VIDEOS = ("none", "link", "copy")


def convert(cfg: DictConfig) -> None:
    """Writes a data set's annotations in another format, so that its folder can be read again as that."""
    for name, known in (("to", FORMATS), ("videos", VIDEOS)):
        if cfg[name] not in known:
            raise MmadError(f"{name}={cfg[name]}: choose {', '.join(known)}.")
    root, output = Path(cfg.data.root).expanduser(), Path(cfg.output)
    check_apart(output, root, nested=cfg.videos == "none" and cfg.to != "elan")
    source = source_of(cfg)
    # Told before anything is written.
    stale = _stale(source.videos, output / "videos") if cfg.videos != "none" else []
    # Whoever has not split the clips yet may convert them all the same.
    annotations = replace(source.annotations, split_of=dict(source.split_of) if source.dealt else {})
    written = _write(output, annotations, source, to=cfg.to)
    write_taxonomy(output / "labels.csv", source.taxonomy)
    written.append(output / "labels.csv")
    if annotations.split_of:
        write_splits(output / "splits.csv", annotations.split_of, subjects=_of_all(annotations))
        written.append(output / "splits.csv")
    if cfg.videos != "none":
        for path in stale:
            path.unlink()
        _bring(source.videos, output / "videos", copy=cfg.videos == "copy")
        written.append(output / "videos")
    print(f"\n{len(annotations.marks):,} marks in {len(annotations.clips):,} clips\n")
    for path in written:
        print(f"  {shown(path)}")
    if cfg.to != "webvtt":
        name = {"csv": "folder", "boris_table": "boris"}.get(cfg.to, cfg.to)
        task = "mmad-train" if annotations.split_of else "mmad-data task=split"
        print(
            f"\nNext: {task} data={name} data.root={shown(output)}"
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
        write_boris_project(
            output / "annotations.boris",
            annotations.marks,
            taxonomy=taxonomy,
            videos=source.videos,
            clips=annotations.clips,
        )
        return [output / "annotations.boris"]
    if to == "boris_table":
        quiet = set(annotations.clips) - {mark.clip for mark in annotations.marks}
        if quiet:
            warnings.warn(
                f"{len(quiet)} clips without an instance are not in a table of events, such as {min(quiet)}; a project "
                f"(to=boris) keeps them",
                stacklevel=2,
            )
        write_boris_table(output / "events.csv", annotations.marks, taxonomy=taxonomy)
        return [output / "events.csv"]
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


def _stale(videos: Mapping[str, Path], folder: Path) -> list[Path]:
    """Links and copies of these clips' videos that an earlier call put elsewhere in the folder.

    Raises:
        MmadError: a video of the data set itself lies in the folder, or another one of the same name.
    """
    found = []
    for video in videos.values():
        if video.resolve().is_relative_to(folder.resolve()):
            raise MmadError(
                f"{video} belongs to the data set and lies in {folder}, where videos go; name another output"
            )
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names if name.lower().endswith(SUFFIXES)):
            clip = path.name[: -len(path.suffix)]
            if clip not in videos or path == _place(folder, clip, videos[clip]):
                continue
            if not path.is_symlink() and path.stat().st_size != videos[clip].stat().st_size:
                raise MmadError(
                    f"{path}: clip {clip!r} would have two videos, this one and {videos[clip]}; remove or rename it",
                    kind="two_videos",
                    clip=clip,
                )
            found.append(path)
    return found


def _place(folder: Path, clip: str, video: Path) -> Path:
    return folder / f"{clip}{video.suffix}"


def _bring(videos: Mapping[str, Path], folder: Path, *, copy: bool) -> None:
    """Puts the video of each clip into a folder, under the clip's id."""
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(videos.items(), desc="bring videos", unit="clip", leave=False) as bar:
        for clip, video in bar:
            target = _place(folder, clip, video)
            partial = target.with_name(f"{target.name}.partial")
            partial.unlink(missing_ok=True)
            try:
                if copy:
                    shutil.copyfile(video, partial)
                else:
                    partial.symlink_to(video.resolve())
                os.replace(partial, target)
            finally:
                partial.unlink(missing_ok=True)
