"""Who does what when: plans every clip of a split before any is drawn.

The statistics follow MMA-52: clips of 5 to 15 s with about three instances, most of which overlap another,
and a long tail of classes, flattened (square root of the real counts) so that a small test split still holds
several instances of each class.
"""

import zlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from mmad.demo.actions import ACTIONS, Action, Beat
from mmad.taxonomy import MMA52

SHORTEST = 0.7  # seconds
_EXPECTED = 3.05  # instances per clip
_STILL_AT = 0.2  # seconds into a movement at which a decoy holds still
_TRACK_GAP = 0.25  # seconds between two instances that share a track
_CLASS_GAP = 0.5  # seconds between two instances of one class
_TRIMMED = (1.0, 4.0)  # seconds that a trimmed clip lasts


@dataclass(frozen=True)
class Performance:
    """One action in one clip.

    Args:
        label: class index.
        start, end: seconds at which its first and its last frame are shown.
        size, tempo: factor on amplitude and frequency.
        side, sign: see `mmad.demo.actions.Beat`.
        decoy: the posture without its movement, which is no instance of the class.
    """

    label: int
    start: float
    end: float
    size: float
    tempo: float
    side: int
    sign: int
    decoy: bool = False

    @property
    def action(self) -> Action:
        """How it is drawn."""
        return ACTIONS[self.label]

    def conflicts(self, other: "Performance") -> bool:
        """Whether a body could not do both, or nobody could tell where one ends and the other starts."""
        gap = max(self.start, other.start) - min(self.end, other.end)
        if self.label == other.label:
            return gap < _CLASS_GAP
        return gap < _TRACK_GAP and bool(self.action.occupies(self.side) & other.action.occupies(other.side))

    def beat(self, time: float, *, last: float) -> Beat | None:
        """The action at a time of the clip in seconds, or None when it is not performed.

        It ramps up and down inside its segment, except where the clip starts or ends (at `last`) during it.
        """
        if not self.start <= time <= self.end:
            return None
        ramp = min(0.4, 0.3 * (self.end - self.start))
        up = 1.0 if self.start == 0 else min(1.0, (time - self.start) / ramp)
        down = 1.0 if self.end >= last else min(1.0, (self.end - time) / ramp)
        linear = min(up, down)
        return Beat(
            weight=linear * linear * (3 - 2 * linear),
            time=_STILL_AT if self.decoy else time - self.start,
            size=self.size,
            tempo=self.tempo,
            side=self.side,
            sign=self.sign,
        )


@dataclass(frozen=True)
class ClipPlan:
    """Everything that decides what a clip shows.

    Args:
        split, index: the clip's place in the data set.
        seed: of the data set.
        subject: number of the person.
        fps: frames per second.
        frames: length.
        standing: on the feet instead of on the chair.
        performances: the instances, ordered by start.
        decoys: postures that look like an instance in a still picture.
        trimmed: the clip shows one action, and is named after it.
    """

    split: str
    index: int
    seed: int
    subject: int
    fps: int
    frames: int
    standing: bool
    performances: tuple[Performance, ...]
    decoys: tuple[Performance, ...] = ()
    trimmed: bool = False

    @property
    def video_id(self) -> str:
        """Name as in the MMA-52 release that carries the subject: subject, session, clip, suffix.

        A trimmed clip is named as in MA-52: subject, body group, clip.

        >>> ClipPlan("train", 3, 0, 7, 16, 100, False, ()).video_id
        '007_01_0003_A'
        """
        if self.trimmed:
            group = MMA52.body_of[self.performances[0].label]
            return f"{self.subject:04d}_{group:02d}_{self.index:04d}"
        return f"{self.subject:03d}_01_{self.index:04d}_A"


def stream(seed: int, *place: int | str) -> np.random.Generator:
    """A random generator of its own for one place (split, index, purpose, ...) of a data set."""
    numbers = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in place]
    return np.random.default_rng([seed, *numbers])


def plan_split(split: str, *, clips: int, subjects: range, seed: int, decoys: float = 0.0) -> list[ClipPlan]:
    """Plans the clips of a split one after the other, so that rare classes get their share.

    The first instance of a clip is of the class that so far has least of what it should have; the others are
    drawn in proportion to what each class should have.

    Args:
        split: name of the split.
        clips: how many.
        subjects: numbers of the people, taken in turn.
        seed: of the data set.
        decoys: how many postures per clip, on average, are tried that look like an instance in a still picture.
    """
    labels = sorted(ACTIONS)
    target = _wanted(labels, _EXPECTED * clips)
    chance = target / target.sum()
    seen: Counter[int] = Counter()
    plans = []
    for index in range(clips):
        rng = stream(seed, split, index, "schedule")
        rarest = labels[int(np.argmin([seen[label] / aim for label, aim in zip(labels, target, strict=True)]))]
        fps = 15 if index % 5 == 4 else 16
        frames = round((5 + 10 * rng.beta(1.6, 1.45)) * fps)
        performances = _perform(rng, labels, chance, rarest, fps, frames)
        seen.update(performance.label for performance in performances)
        can_stand = not any(performance.action.needs_chair for performance in performances)
        standing = bool(can_stand and rng.uniform() < 0.35)
        plans.append(
            ClipPlan(
                split=split,
                index=index,
                seed=seed,
                subject=subjects[index % len(subjects)],
                fps=fps,
                frames=frames,
                standing=standing,
                performances=tuple(
                    sorted(performances, key=lambda performance: (performance.start, performance.label))
                ),
                # A stream of their own: the instances are the same with and without them.
                decoys=_hold(stream(seed, split, index, "decoys"), decoys, performances, standing, fps, frames),
            )
        )
    return plans


def plan_trimmed(split: str, *, clips: int, subjects: range, seed: int) -> list[ClipPlan]:
    """Plans the clips of a split that show one action each, from just before it begins to just after it ends.

    The next clip is always of the class that with one more has least of what it should have.

    Args:
        split: name of the split.
        clips: how many.
        subjects: numbers of the people, in random order.
        seed: of the data set.
    """
    labels = sorted(ACTIONS)
    aims = _wanted(labels, clips)
    seen: Counter[int] = Counter()
    plans = []
    for index in range(clips):
        rng = stream(seed, split, index, "trimmed")
        label = labels[int(np.argmin([(seen[label] + 1) / aim for label, aim in zip(labels, aims, strict=True)]))]
        seen[label] += 1
        fps = 15 if index % 5 == 4 else 16
        # The margins are short of the action: it is what a clip is cut to.
        before, after = (int(frames) for frames in rng.integers(1, 4, size=2))
        shortest, longest = (round(seconds * fps) for seconds in _TRIMMED)
        length = round(float(rng.lognormal(np.log(ACTIONS[label].seconds), ACTIONS[label].spread)) * fps)
        frames = min(max(length + before + after, shortest), longest)
        performance = _styled(rng, label, start=before / fps, end=(frames - 1 - after) / fps)
        plans.append(
            ClipPlan(
                split=split,
                index=index,
                seed=seed,
                # In turn, one person would always perform the same few actions.
                subject=int(rng.choice(subjects)),
                fps=fps,
                frames=frames,
                standing=bool(not performance.action.needs_chair and rng.uniform() < 0.35),
                performances=(performance,),
                trimmed=True,
            )
        )
    return plans


def _wanted(labels: list[int], instances: float) -> np.ndarray:
    """How many instances each class should have, of so many in all."""
    weights = np.sqrt([ACTIONS[label].count for label in labels])
    return np.maximum(instances * weights / weights.sum(), 3.5 + 0.016 * instances)


def _perform(
    rng: np.random.Generator, labels: list[int], chance: np.ndarray, first: int, fps: int, frames: int
) -> list[Performance]:
    performances: list[Performance] = []
    for _ in range(2 + rng.poisson(1.05)):
        for _ in range(30):
            label = int(rng.choice(labels, p=chance)) if performances else first
            candidate = _draw(rng, label, performances, fps, frames)
            if not any(candidate.conflicts(other) for other in performances):
                performances.append(candidate)
                break
    return performances


def _hold(
    rng: np.random.Generator,
    number: float,
    performances: list[Performance],
    standing: bool,
    fps: int,
    frames: int,
) -> tuple[Performance, ...]:
    labels = [label for label, action in ACTIONS.items() if action.still and not (standing and action.needs_chair)]
    # What needs both hands rarely finds them free.
    weights = np.array([len(ACTIONS[label].tracks) ** 3 for label in labels])
    decoys: list[Performance] = []
    for _ in range(rng.poisson(number)):
        for _ in range(20):
            label = int(rng.choice(labels, p=weights / weights.sum()))
            candidate = replace(_draw(rng, label, [], fps, frames), decoy=True)
            if not any(candidate.conflicts(other) for other in [*performances, *decoys]):
                decoys.append(candidate)
                break
    return tuple(decoys)


def _draw(rng: np.random.Generator, label: int, earlier: list[Performance], fps: int, frames: int) -> Performance:
    last = (frames - 1) / fps
    action = ACTIONS[label]
    length = float(np.clip(rng.lognormal(np.log(action.seconds), action.spread), SHORTEST, 0.95 * frames / fps))
    where = rng.uniform()
    if where < 0.06:
        start = 0.0
    elif earlier and where < 0.72:
        beside = earlier[int(rng.integers(len(earlier)))]
        start = rng.uniform(beside.start - 0.5, beside.end - 0.3)
    else:
        start = rng.uniform(0.0, last - length)
    start = float(np.clip(start, 0.0, max(last - length, 0.0)))
    # Rounded to frames here: this module stays free of torch, which workers would take seconds to import.
    start_frame = round(start * fps)
    end_frame = min(start_frame + round(length * fps), frames - 1)
    return _styled(rng, label, start=start_frame / fps, end=end_frame / fps)


def _styled(rng: np.random.Generator, label: int, *, start: float, end: float) -> Performance:
    return Performance(
        label=label,
        start=start,
        end=end,
        size=float(rng.uniform(0.88, 1.1)),
        tempo=float(rng.uniform(0.9, 1.1)),
        side=int(rng.choice([-1, 1])),
        sign=int(rng.choice([-1, 1])),
    )
