"""The micro-actions a drawn person can perform, and how each one moves the body.

Frequencies stay below 2.4 Hz and sizes above two pixels of a 48 x 64 picture: what a model that sees eight
such frames a second can still follow. Many actions share their still pose with another and differ
by motion only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from mmad.demo.person import SIDES, Pose
from mmad.taxonomy import MMA52


@dataclass(frozen=True)
class Beat:
    """One performance of an action at one moment.

    Args:
        weight: 0 to 1, ramps up at the start and down at the end.
        time: seconds since the start.
        size: factor on the amplitude.
        tempo: factor on the frequency.
        side: the hand or leg that acts, -1 or +1.
        sign: direction of a movement that has two, -1 or +1.
    """

    weight: float
    time: float
    size: float = 1.0
    tempo: float = 1.0
    side: int = 1
    sign: int = 1

    def wave(self, hertz: float, phase: float = 0.0) -> float:
        """A sine of the given frequency, before the tempo, and phase in turns."""
        return math.sin(2 * math.pi * (hertz * self.tempo * self.time + phase))

    def bounce(self, hertz: float) -> float:
        """The same between 0 and 1, starting from 0."""
        return 0.5 - 0.5 * math.cos(2 * math.pi * hertz * self.tempo * self.time)


@dataclass(frozen=True)
class Action:
    """A class of the taxonomy that can be drawn.

    Args:
        label: index of the class in MMA-52.
        tracks: what it occupies of pitch, yaw, roll, torso, left hand, right hand and legs; two actions that
            share a track are never performed at once. `hand` stands for whichever hand performs it.
        seconds: median length.
        spread: standard deviation of the length's logarithm.
        count: instances in the training split of MMA-52, release of 2024, from which the long tail follows.
        move: changes a pose by one beat.
        still: its posture held still is no instance of it, and may appear as a decoy.
    """

    label: int
    tracks: tuple[str, ...]
    seconds: float
    spread: float
    count: int
    move: Callable[[Pose, Beat], None]
    still: bool = False

    @property
    def needs_chair(self) -> bool:
        """Whether it is performed only while seated."""
        return MMA52.bodies[MMA52.body_of[self.label]] in ("lower limb", "leg-hand")

    @property
    def uses_hands(self) -> bool:
        """Whether its hands follow the rest of the body, which must therefore have moved before."""
        return any("hand" in track for track in self.tracks)

    def occupies(self, side: int) -> frozenset[str]:
        """Tracks that a performance with this side occupies."""
        hand = "left hand" if side < 0 else "right hand"
        return frozenset(hand if track == "hand" else track for track in self.tracks)


def _shaking_body(pose: Pose, beat: Beat) -> None:
    pose.lean += beat.weight * beat.size * 0.16 * beat.wave(1.1)


def _shrugging(pose: Pose, beat: Beat) -> None:
    pose.shrug += beat.weight * beat.size * 0.072


def _bowing_head(pose: Pose, beat: Beat) -> None:
    pose.pitch += beat.weight * beat.size * 1.10


def _head_up(pose: Pose, beat: Beat) -> None:
    pose.pitch -= beat.weight * beat.size * 0.95


def _tilting_head(pose: Pose, beat: Beat) -> None:
    pose.roll += beat.weight * beat.size * beat.sign * 0.47


def _turning_head(pose: Pose, beat: Beat) -> None:
    pose.yaw += beat.weight * beat.size * beat.sign * 1.05


def _nodding(pose: Pose, beat: Beat) -> None:
    pose.pitch += beat.weight * beat.size * (0.12 + 0.90 * beat.wave(1.4))


def _shaking_head(pose: Pose, beat: Beat) -> None:
    pose.yaw += beat.weight * beat.size * 1.0 * beat.wave(1.3)


def _playing_objects(pose: Pose, beat: Beat) -> None:
    middle = pose.chest(0.0, 0.185)
    turn = beat.size * 0.026 * beat.wave(1.0)
    for side in SIDES:
        pose.reach(side, middle + side * 0.048 + turn * (1 + 0.8j * side), beat.weight, depth=0.16, spread=0.1)
    pose.phone = max(pose.phone, beat.weight)


def _rubbing_hands(pose: Pose, beat: Beat) -> None:
    middle = pose.chest(0.0, 0.150)
    rub = beat.size * 0.036 * beat.wave(1.6)
    for side in SIDES:
        pose.reach(side, middle + side * 0.020 + side * rub * 1j, beat.weight, depth=0.17, spread=0.15)


def _stretching_arms(pose: Pose, beat: Beat) -> None:
    drift = 0.012 * beat.wave(0.6)
    for side in SIDES:
        pose.reach(side, pose.chest(side * (0.185 + drift), -0.235), beat.weight, depth=0.0, spread=0.5)


def _waving(pose: Pose, beat: Beat) -> None:
    sweep = beat.size * 0.055 * beat.wave(1.6)
    pose.reach(beat.side, pose.chest(beat.side * 0.232 + sweep, -0.095), beat.weight, depth=0.08, spread=1.0)


def _spreading_hands(pose: Pose, beat: Beat) -> None:
    for side in SIDES:
        pose.reach(side, pose.chest(side * 0.245, 0.105), beat.weight, depth=0.10, spread=1.0)


def _illustrative_gestures(pose: Pose, beat: Beat) -> None:
    stroke = complex(0.055 * beat.wave(0.8), 0.050 * beat.wave(1.1, 0.25)) * beat.size
    pose.reach(beat.side, pose.chest(beat.side * 0.125, 0.095) + stroke, beat.weight, depth=0.16, spread=0.8)


def _shaking_legs(pose: Pose, beat: Beat) -> None:
    lift = beat.weight * beat.size * 0.075 * beat.bounce(1.7)
    pose.knees[beat.side] -= lift * 1j
    pose.feet[beat.side] -= 0.8 * lift * 1j


def _crossing_legs(pose: Pose, beat: Beat) -> None:
    pose.crossing = beat.side
    pose.crossed = beat.weight


def _touching_neck(pose: Pose, beat: Beat) -> None:
    rub = beat.size * 0.017 * beat.wave(1.7) * 1j
    pose.reach(beat.side, pose.chest(beat.side * 0.060, 0.032) + rub, beat.weight, depth=0.10)


def _crossing_arms(pose: Pose, beat: Beat) -> None:
    for side in SIDES:
        across = pose.chest(-side * 0.085, 0.125 + 0.022 * side)
        pose.reach(side, across, beat.weight, depth=0.12 + 0.02 * side, spread=0.1)


def _playing_hair(pose: Pose, beat: Beat) -> None:
    stroke = beat.size * complex(beat.side * 0.12, 0.26) * beat.wave(1.3)
    target = pose.head + (complex(beat.side * 0.78, -0.72) + stroke) * pose.head_radius
    pose.reach(beat.side, target, beat.weight, depth=0.06, spread=0.5)


def _touching_nose(pose: Pose, beat: Beat) -> None:
    rub = beat.size * complex(0.19, 0.05) * beat.wave(1.6)
    pose.reach(
        beat.side,
        pose.face(0.06 * beat.side + rub.real, 0.42 + rub.imag),
        beat.weight,
        depth=0.17,
        spread=0.0,
    )


def _patting_legs(pose: Pose, beat: Beat) -> None:
    lift = beat.size * 0.085 * beat.bounce(1.5)
    target = pose.knee(beat.side) - (0.022 + lift) * 1j
    pose.reach(beat.side, target, beat.weight, depth=0.20, spread=0.4)


def _touching_legs(pose: Pose, beat: Beat) -> None:
    slide = beat.size * 0.026 * beat.wave(0.5)
    for side in SIDES:
        pose.reach(side, pose.knee(side) - (0.012 + slide) * 1j, beat.weight, depth=0.20, spread=0.5)


_BOTH = ("left hand", "right hand")


def _table(*actions: Action) -> dict[int, Action]:
    return {action.label: action for action in actions}


# Median lengths follow the class means of MMA-52, whose lengths are skewed like the log-normal used here.
ACTIONS: dict[int, Action] = _table(
    Action(0, ("torso",), 3.6, 0.45, 368, _shaking_body, still=True),
    Action(2, ("torso",), 1.3, 0.30, 128, _shrugging),
    Action(5, ("pitch",), 1.6, 0.40, 357, _bowing_head),
    Action(6, ("pitch",), 1.8, 0.40, 168, _head_up),
    Action(7, ("roll",), 2.2, 0.45, 887, _tilting_head),
    Action(8, ("yaw",), 2.2, 0.45, 2039, _turning_head),
    Action(9, ("pitch",), 2.0, 0.40, 1274, _nodding),
    Action(10, ("yaw",), 2.0, 0.40, 651, _shaking_head),
    Action(12, _BOTH, 4.6, 0.50, 407, _playing_objects, still=True),
    Action(14, _BOTH, 2.8, 0.45, 26, _rubbing_hands, still=True),
    Action(17, _BOTH, 2.8, 0.45, 391, _stretching_arms),
    Action(19, ("hand",), 3.0, 0.45, 946, _waving, still=True),
    Action(20, _BOTH, 2.4, 0.45, 136, _spreading_hands),
    Action(23, ("hand",), 4.0, 0.50, 250, _illustrative_gestures, still=True),
    Action(24, ("legs",), 6.0, 0.45, 915, _shaking_legs, still=True),
    Action(28, ("legs",), 7.0, 0.40, 110, _crossing_legs),
    Action(32, ("hand",), 3.0, 0.45, 44, _touching_neck),
    Action(37, _BOTH, 5.5, 0.45, 109, _crossing_arms),
    Action(38, ("hand",), 3.0, 0.45, 50, _playing_hair),
    Action(43, ("hand",), 2.6, 0.45, 73, _touching_nose),
    Action(48, ("hand",), 2.2, 0.45, 284, _patting_legs, still=True),
    Action(49, _BOTH, 4.4, 0.50, 743, _touching_legs, still=True),
)
"""Everything that can be drawn, by class index."""
