"""Which clip belongs to which split, and which to none: read, written, and drawn so that nobody is in two splits."""

import csv
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.annotated import check_agrees, check_name, split_name
from mmad.formats.csv_marks import CLIP_NAMES
from mmad.formats.named_table import clip_id, read_named_table
from mmad.formats.whole_file import write_whole

_STARTS = 8
"""Orders of subjects that are tried: exchanges from one alone may end where a better division is two exchanges away."""

_NAMES = {"clip": CLIP_NAMES, "split": ("split", "subset"), "subject": ("subject",)}


def read_splits(path: Path, *, on_fault: OnFault = refuse) -> dict[str, str]:
    """The split of each clip, from a table with the columns `clip` and `split`.

    Column names and separators are as in `read_csv_marks`; a clip may have many rows if they agree. Where the file has
    a column `subject`, one warning tells of people who are in several splits.

    Args:
        path: the file.
        on_fault: told of rows that are incomplete, or give a clip a second split or subject; they are left out.

    Raises:
        MmadError: the file is missing or no such table.
    """
    table = read_named_table(path, names=_NAMES)
    table.require("clip", what="the clip")
    table.require("split", what="the split")
    split_of: dict[str, str] = {}
    subjects: dict[str, str] = {}
    for where, row in table.fields(on_fault=on_fault):
        clip, split, subject = clip_id(row["clip"]), split_name(row["split"]), row.get("subject", "")
        try:
            if not clip or not split:
                raise MmadError(
                    f"{where}: clip is {clip!r} and split {split!r}, expected both; complete or remove the row",
                    clip=clip or None,
                )
            check_agrees(split_of, clip, split, what="split", where=where)
            if subject:
                check_agrees(subjects, clip, subject, what="subject", where=where)
        except MmadError as fault:
            on_fault(fault)
            continue
        split_of[clip] = split
        if subject:
            subjects[clip] = subject
    splits_of: dict[str, dict[str, None]] = {}
    for clip, subject in subjects.items():
        splits_of.setdefault(subject, {})[split_of[clip]] = None
    torn = [subject for subject, splits in splits_of.items() if len(splits) > 1]
    if torn:
        warnings.warn(
            f"{path}: {len(torn)} of {len(splits_of)} subjects are in several splits, the first is {torn[0]!r} in "
            f"{', '.join(splits_of[torn[0]])}; results will not be those of unseen people",
            stacklevel=2,
        )
    return split_of


def read_exclusions(path: Path) -> dict[str, str]:
    """Clips to leave out, and why: a table with the column `clip` and optionally `reason`.

    Args:
        path: the file.

    Raises:
        MmadError: the file is missing or no such table, or a row names no clip.
    """
    table = read_named_table(path, names={"clip": CLIP_NAMES, "reason": ("reason",)})
    table.require("clip", what="the clip")
    reasons: dict[str, str] = {}
    for where, row in table.fields():
        if not row["clip"]:
            raise MmadError(f"{where}: the clip is empty, expected its id; complete or remove the row")
        reasons.setdefault(clip_id(row["clip"]), row.get("reason", ""))
    return reasons


def write_exclusions(path: Path, reasons: Mapping[str, str]) -> None:
    """Writes the table that `read_exclusions` reads.

    Args:
        path: the CSV file; its folder is made.
        reasons: by id of the clip.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip", "reason"))
    writer.writerows(reasons.items())
    write_whole(Path(path), text.getvalue().encode())


def write_splits(path: Path, split_of: Mapping[str, str], *, subjects: Mapping[str, str] | None = None) -> None:
    """Writes a table with `clip`, `split` and, where subjects are given, `subject`.

    Args:
        path: the CSV file; its folder is made.
        split_of: the split of each clip.
        subjects: the person shown in each clip, where that is known.

    Raises:
        MmadError: a name would not come back, or an id is a path.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["clip", "split"] + ["subject"] * (subjects is not None))
    for clip, split in split_of.items():
        where = f"clip {clip!r}"
        check_name(clip, what="id", where=where)
        check_name(split, what="split", where=where)
        if clip_id(clip) != clip:
            raise MmadError(f"clip id {clip!r} is a file name or a path, expected {clip_id(clip)!r}; use the bare id")
        row = [clip, split]
        if subjects is not None:
            row.append(subjects.get(clip, ""))
            if row[-1]:
                check_name(row[-1], what="subject", where=where)
        writer.writerow(row)
    write_whole(Path(path), text.getvalue().encode())


def split_by_subject(
    subjects: Mapping[str, str],
    labels_of: Mapping[str, Sequence[str]],
    shares: Mapping[str, float],
    *,
    seed: int,
) -> dict[str, str]:
    """Divides clips so that every subject is in one split and the classes are spread evenly.

    Subjects are given out one by one, those with the rarest class first, and among them those with most instances of
    it; each goes where the shares of clips and of each class' instances then are nearest to what is wanted. After that
    subjects move, or two change places, as long as that helps; of a few such attempts the best counts. Three aims come
    in this order, as far as these steps reach: no split is empty; every class occurs in training, so that none is asked
    for in `val` or `test` that could not be learned; shares and classes are balanced. Training is the split called
    `train`, or else the one with the largest share.

    Args:
        subjects: the person shown in each clip.
        labels_of: label of each instance, by clip; a clip may have none.
        shares: of clips and instances that each split shall have; they add up to 1.
        seed: decides between subjects that are alike, and which orders are tried.

    Returns:
        Split of each clip, in the order of `subjects`; equal input and seed give an equal result, in any order.

    Raises:
        MmadError: the shares are none, there are fewer subjects than splits, or a clip with labels has no subject.

    Source: after Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data (ECML PKDD 2011), with
        whole subjects in place of samples.
    """
    _check_shares(shares)
    orphans = [clip for clip in labels_of if clip not in subjects]
    if orphans:
        raise MmadError(
            f"{len(orphans)} of {len(labels_of)} clips have no subject, the first is {orphans[0]!r}; name the person "
            "shown in each"
        )
    people = sorted(set(subjects.values()))
    if len(people) < len(shares):
        raise MmadError(
            f"{len(people)} subjects cannot be in {len(shares)} splits ({', '.join(shares)}), expected at least one "
            "for each; ask for fewer splits or add subjects"
        )
    classes = sorted({label for labels in labels_of.values() for label in labels})
    place, column = ({name: index for index, name in enumerate(names)} for names in (people, classes))
    # Of each subject: its clips, then its instances of each class.
    counts = np.zeros((len(people), 1 + len(classes)))
    for clip, subject in subjects.items():
        counts[place[subject], 0] += 1
        for label in labels_of.get(clip, ()):
            counts[place[subject], 1 + column[label]] += 1
    splits = list(shares)
    training = splits.index(training_split(shares))
    wanted = np.array([shares[name] for name in splits])
    random = np.random.default_rng(seed)
    least, chosen = math.inf, np.empty(len(people), dtype=np.int64)
    for order in (random.permutation(len(people)) for _ in range(_STARTS)):
        attempt, cost = _divide(counts[order], wanted, training=training)
        if cost < least - 1e-9:
            least, chosen[order] = cost, attempt
    return {clip: splits[chosen[place[subject]]] for clip, subject in subjects.items()}


def training_split(shares: Mapping[str, float]) -> str:
    """The split that shall have every class.

    >>> training_split({"fold 1": 0.2, "rest": 0.8})
    'rest'
    """
    return "train" if "train" in shares else max(shares, key=lambda name: shares[name])


def _check_shares(shares: Mapping[str, float]) -> None:
    wrong = [f"{name} {share}" for name, share in shares.items() if not 0 < share <= 1]
    if wrong or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise MmadError(
            f"shares are {', '.join(f'{name} {share}' for name, share in shares.items()) or 'none'}, expected numbers "
            "above 0 that add up to 1, such as train 0.7, val 0.1, test 0.2; correct them"
        )


def _divide(counts: NDArray, wanted: NDArray, *, training: int) -> tuple[NDArray[np.int64], float]:
    """The split of each subject, and the cost of that.

    Args:
        counts: (subjects, 1 + classes) clips, then instances of each class.
        wanted: (splits,) share of each.
        training: index of the split that shall have every class.
    """
    total = counts.sum(axis=0)
    held = np.zeros((len(wanted), counts.shape[1]))
    chosen = np.full(len(counts), -1)
    for subject in _rarest_first(counts):
        options = held + np.eye(len(wanted))[:, :, None] * counts[subject]
        chosen[subject] = _imbalance(options, total, wanted).argmin()
        held = options[chosen[subject]]
    return _improved(chosen, held, counts, wanted, training=training)


def _rarest_first(counts: NDArray) -> list[int]:
    """All subjects, those with the rarest class first; ties in their order."""
    order: list[int] = []
    for label in 1 + np.argsort(counts[:, 1:].sum(axis=0), kind="stable"):
        order.extend(subject for subject in np.argsort(-counts[:, label], kind="stable") if counts[subject, label])
    # Those without any instance last, the largest first.
    order.extend(np.argsort(-counts[:, 0], kind="stable"))
    return list(dict.fromkeys(int(subject) for subject in order))


def _improved(
    chosen: NDArray, held: NDArray, counts: NDArray, wanted: NDArray, *, training: int
) -> tuple[NDArray[np.int64], float]:
    """Moves subjects, or exchanges two, until neither helps; each step lowers the cost, so this ends."""
    total = counts.sum(axis=0)
    chosen, cost = chosen.copy(), float(_cost(held, total, wanted, training=training))
    improved = True
    while improved:
        improved = False
        for subject in range(len(counts)):
            here = chosen[subject]
            # Partners in other splits give way; after them, each split is an option without a partner.
            partners = np.flatnonzero(chosen != here)
            to = np.concatenate([chosen[partners], np.delete(np.arange(len(wanted)), here)])
            given = np.concatenate([counts[partners], np.zeros((len(wanted) - 1, counts.shape[1]))])
            if len(to) == 0:
                continue
            change = counts[subject] - given
            options = np.repeat(held[None], len(to), axis=0)
            options[:, here] -= change
            options[np.arange(len(to)), to] += change
            costs = _cost(options, total, wanted, training=training)
            best = int(costs.argmin())
            if costs[best] < cost - 1e-9:
                if best < len(partners):
                    chosen[partners[best]] = here
                chosen[subject], held, cost, improved = to[best], options[best], float(costs[best]), True
    return chosen, cost


def _cost(held: NDArray, total: NDArray, wanted: NDArray, *, training: int) -> NDArray:
    """What a division is worth, less is better: the imbalance, and above any of it unseen classes and empty splits.

    Args:
        held: (..., splits, 1 + classes) what each split holds.
        total: (1 + classes,) what there is.
        wanted: (splits,) share of each.
        training: index of the split that shall have every class.
    """
    worst = 2 * len(total) * len(wanted) / wanted.min()
    unseen = (held[..., training, 1:] == 0).sum(axis=-1)
    empty = (held[..., 0] == 0).sum(axis=-1)
    return _imbalance(held, total, wanted) + worst * (unseen + len(total) * empty)


def _imbalance(held: NDArray, total: NDArray, wanted: NDArray) -> NDArray:
    """Squared distance of shares from the wanted ones, relative to these; clips count as much as all classes."""
    off = (held / total - wanted[:, None]) ** 2 / wanted[:, None]
    return off[..., 0].sum(axis=-1) * max(len(total) - 1, 1) + off[..., 1:].sum(axis=(-1, -2))
