"""`mmad-data`: works on annotated clips."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from mmad.cli.entry import run
from mmad.errors import MmadError

if TYPE_CHECKING:
    from mmad.data.sources import Source
    from mmad.formats.annotated import Annotations

FORMATS = ("csv", "json", "elan", "boris", "webvtt")
VIDEOS = ("none", "link", "copy")


def main() -> None:
    """Console script."""
    run(data, config="dataset")


def data(cfg: DictConfig) -> None:
    """Does the task that was asked for."""
    if cfg.task not in TASKS:
        raise MmadError(f"task={cfg.task}: choose {', '.join(TASKS)}.")
    TASKS[cfg.task](cfg)


def convert(cfg: DictConfig) -> None:
    """Writes a data set's annotations in another format, so that its folder can be read again as that."""
    for name, known in (("to", FORMATS), ("videos", VIDEOS)):
        if cfg[name] not in known:
            raise MmadError(f"{name}={cfg[name]}: choose {', '.join(known)}.")
    from dataclasses import replace

    from mmad.cli.train import shown
    from mmad.formats.labels import write_taxonomy
    from mmad.formats.splits import write_splits

    root, output = Path(cfg.data.root).expanduser(), Path(cfg.output)
    source = _source(cfg)
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


def split(cfg: DictConfig) -> None:
    """Deals clips to splits so that nobody is in two of them and classes are spread evenly; writes splits.csv."""
    from mmad.cli.train import shown
    from mmad.data.sources import MarkedSource
    from mmad.formats.splits import split_by_subject, write_splits

    source = _source(cfg)
    annotations = source.annotations
    subjects = {
        mark.clip: mark.subject for mark in annotations.marks if mark.subject is not None
    } | annotations.subjects
    unknown = [clip for clip in annotations.clips if clip not in subjects]
    if unknown:
        raise MmadError(
            f"{cfg.data.root}: the subject of {len(unknown)} of {len(annotations.clips)} clips is not known, the first "
            f"is {unknown[0]!r}; name it in the annotations, since nobody may be in two splits"
        )
    labels_of: dict[str, list[str]] = {clip: [] for clip in annotations.clips}
    for mark in annotations.marks:
        labels_of[mark.clip].append(mark.label)
    shares = {str(name): float(share) for name, share in cfg.shares.items()}
    subjects = {clip: subjects[clip] for clip in annotations.clips}
    split_of = split_by_subject(subjects, labels_of, shares, seed=cfg.seed)
    path = Path(cfg.output) / "splits.csv"
    write_splits(path, split_of, subjects=subjects)
    print(f"\n{'split':<10}{'clips':>8}{'subjects':>10}{'instances':>11}{'classes':>9}")
    for name in shares:
        clips = [clip for clip, part in split_of.items() if part == name]
        labels = [label for clip in clips for label in labels_of[clip]]
        people = {subjects[clip] for clip in clips}
        print(f"{name:<10}{len(clips):>8}{len(people):>10}{len(labels):>11}{len(set(labels)):>9}")
    place = cfg.data.root if isinstance(source, MarkedSource) else "a folder that task=convert makes of this data set"
    print(f"\n  {shown(path)}\n\nNext: put it into {place}, where it comes before all other splits")


TASKS: dict[str, Callable[[DictConfig], None]] = {"convert": convert, "split": split}


def _source(cfg: DictConfig) -> "Source":
    """The data set that the configuration names; one that the project draws is drawn."""
    from hydra.utils import instantiate

    root = Path(cfg.data.root).expanduser()
    if cfg.data.make is not None:
        instantiate(cfg.data.make)(root)
    return instantiate(cfg.data.source, _convert_="all")(root)


def _write(output: Path, annotations: "Annotations", source: "Source", *, to: str) -> list[Path]:
    from mmad.formats.boris import write_boris_project
    from mmad.formats.csv_marks import write_csv_marks
    from mmad.formats.elan import write_elan
    from mmad.formats.json_marks import write_json_marks
    from mmad.formats.webvtt import write_webvtt

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
