"""Deals clips to splits so that nobody is in two of them and classes are spread evenly; writes splits.csv."""

import warnings
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from mmad.cli.entry import shown
from mmad.cli.tasks.source import source_of
from mmad.data.sources import MarkedSource
from mmad.errors import MmadError
from mmad.formats.splits import split_by_subject, training_split, write_splits


def split(cfg: DictConfig) -> None:
    """Deals clips to splits so that nobody is in two of them and classes are spread evenly; writes splits.csv."""
    shares = _shares(cfg.shares)
    if isinstance(cfg.seed, bool) or not isinstance(cfg.seed, int) or cfg.seed < 0:
        raise MmadError(f"seed={cfg.seed}: expected a whole number, 0 or more.")
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
    subjects = {clip: subjects[clip] for clip in annotations.clips}
    split_of = split_by_subject(subjects, labels_of, shares, seed=cfg.seed)
    _warn(split_of, labels_of, training=training_split(shares))
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


def _shares(given: object) -> dict[str, float]:
    """The share of each split, by name."""
    if not isinstance(given, DictConfig):
        raise MmadError(
            f"shares={given}: expected a share for each split, such as shares.train=0.7 shares.val=0.1 shares.test=0.2"
        )
    shares = {str(name): share for name, share in given.items()}
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float):
            raise MmadError(f"shares.{name}={share}: expected a number above 0 and up to 1, such as 0.2")
        if share == 0:
            raise MmadError(
                f"shares.{name}=0: a split without clips is none; drop it with ~shares.{name}, and let the others add "
                f"up to 1"
            )
    return {name: float(share) for name, share in shares.items()}


def _warn(split_of: Mapping[str, str], labels_of: Mapping[str, list[str]], *, training: str) -> None:
    """Tells of classes that cannot be learned."""
    trained = {label for clip, labels in labels_of.items() if split_of[clip] == training for label in labels}
    classes = sorted({label for labels in labels_of.values() for label in labels})
    absent = [label for label in classes if label not in trained]
    if absent:
        named = ", ".join(repr(label) for label in absent[:3]) + (", ..." if len(absent) > 3 else "")
        warnings.warn(
            f"{len(absent)} of {len(classes)} classes have no instance in {training} and cannot be learned: {named}; "
            f"ask for fewer splits or a larger share of {training}, or record more people",
            stacklevel=2,
        )
