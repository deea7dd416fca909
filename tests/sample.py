"""One set of drawn-up clips, predictions of all kinds for them, and what the real analyses make of both.

Every record is made anew, so that a test may change it.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from arrays import found
from mmad.annotations import Instance, Truth
from mmad.diagnosis import Settings, compare, diagnose, measure
from mmad.diagnosis.records import Comparison, Diagnosis, Numbers, ShownClip
from mmad.diagnosis.shown import shown_clips
from mmad.matching import Rows
from mmad.taxonomy import MMA52, Taxonomy

TAXONOMY = MMA52
CLIPS, SUBJECTS, CLASSES = 24, 12, 22
NOTE = "1 | 2 clips have no <predictions>."
UNSEEN = 1
"""A class that is predicted but never there, unless all 52 are."""


@cache
def clips(classes: int = CLASSES) -> tuple[Truth, ...]:
    """Clips of 8 to 12 s with one to eight instances of at most 8 s, most of which overlap; each class occurs."""
    rng = np.random.default_rng(0)
    known = np.linspace(0, len(TAXONOMY.actions) - 1, classes).astype(int)
    labels = iter([*rng.permutation(known).tolist(), *rng.choice(known, 8 * CLIPS).tolist()])
    made = []
    for number in range(CLIPS):
        duration, count = float(rng.uniform(8, 12)), int(rng.integers(1, 9))
        length = np.minimum(rng.gamma(2, 1.5, count) + 0.4, 8)
        first = rng.uniform(0, duration - length)
        spans = np.column_stack([first, first + length]).tolist()
        instances = tuple(Instance(start, end, next(labels)) for start, end in spans)
        subject = f"{number % SUBJECTS:03}"
        made.append(Truth(f"{subject}_01_{number:04}_A", instances, duration, subject))
    return tuple(made)


def ground_truth(classes: int = CLASSES) -> Rows:
    return Rows.of([clip.segments() for clip in clips(classes)])


@cache
def predictions(classes: int = CLASSES, *, better: bool = False) -> Rows:
    """Hits, duplicates, loose ones, others' classes in place of and beside hits, and background; scores in 0..1."""
    rng = np.random.default_rng(2 if better else 1)
    truth = ground_truth(classes)
    known = np.unique([*truth.label, UNSEEN])
    parts = []
    # Share of the instances, spread of both ends in lengths, whether the class is another one, and score.
    for share, spread, other, (right, wrong) in (
        (0.95 if better else 0.75, 0.08, False, (5, 3)),
        (0.3, 0.1, False, (3, 5)),
        (0.5, 0.4, False, (3, 4)),
        (0.5, 0.1, True, (4, 4)),
    ):
        part = truth.take(rng.random(len(truth)) < share)
        length = part.segment[:, 1:] - part.segment[:, :1]
        ends = np.sort(part.segment + rng.normal(-0.02, spread, (len(part), 2)) * length, axis=1)
        # Mostly the next class, so that some pairs are confused more than others.
        step = rng.choice([1, 1, 1, 2, 3], len(part)) if other else 0
        label = known[(np.searchsorted(known, part.label) + step) % len(known)]
        parts.append(Rows(part.clip, label, ends, rng.beta(right, wrong, len(part))))
    noise = 6 * CLIPS
    start = rng.uniform(0, 8, noise)
    ends = np.column_stack([start, start + rng.uniform(0.3, 2, noise)])
    parts.append(Rows(np.repeat(np.arange(CLIPS), 6), rng.choice(known, noise), ends, rng.beta(1, 6, noise)))
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def numbers(classes: int = CLASSES, *, taxonomy: Taxonomy = TAXONOMY) -> Numbers:
    made = measure(
        predictions(classes),
        ground_truth(classes),
        taxonomy=taxonomy,
        subjects=[str(clip.subject) for clip in clips(classes)],
        durations=[clip.duration or 0.0 for clip in clips(classes)],
        draws=200,
        notes=[NOTE],
    )
    # To measure it would import a library that takes longer than all else here.
    made["frame_map"] = {"rate": 10.0, "action": 20.0, "body": 30.0}
    return made


def diagnosis(mode: str = "class_first", *, classes: int = CLASSES, taxonomy: Taxonomy = TAXONOMY) -> Diagnosis:
    known = [clip.duration or 0.0 for clip in clips(classes)]
    truth, settings = ground_truth(classes), Settings(mode=mode)
    return diagnose(predictions(classes), truth, taxonomy=taxonomy, durations=known, settings=settings)


def comparison(classes: int = CLASSES, *, taxonomy: Taxonomy = TAXONOMY) -> Comparison:
    return compare(
        predictions(classes),
        predictions(classes, better=True),
        ground_truth(classes),
        taxonomy=taxonomy,
        names=("standard adapter", "DSTA"),
        subjects=[str(clip.subject) for clip in clips(classes)],
        draws=200,
    )


def shown(
    videos: Sequence[str | None] | None = None, *, classes: int = CLASSES, taxonomy: Taxonomy = TAXONOMY
) -> list[ShownClip]:
    return shown_clips(predictions(classes), clips(classes), taxonomy=taxonomy, videos=videos)


def barren(mode: str = "class_first") -> tuple[Numbers, Diagnosis]:
    """What is left without predictions, subjects, durations and draws, of one instance a clip."""
    alone = ground_truth().take(np.unique(ground_truth().clip, return_index=True)[1])
    diagnosed = diagnose(found(), alone, taxonomy=TAXONOMY, settings=Settings(mode=mode))
    return measure(found(), alone, taxonomy=TAXONOMY, draws=0), diagnosed
