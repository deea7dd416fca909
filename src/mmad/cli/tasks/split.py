"""Deals clips to splits so that nobody is in two of them and classes are spread evenly; writes splits.csv."""

from pathlib import Path

from omegaconf import DictConfig

from mmad.cli.tasks.source import source_of
from mmad.cli.train import shown
from mmad.data.sources import MarkedSource
from mmad.errors import MmadError
from mmad.formats.splits import split_by_subject, write_splits


def split(cfg: DictConfig) -> None:
    """Deals clips to splits so that nobody is in two of them and classes are spread evenly; writes splits.csv."""
    source = source_of(cfg)
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
