"""Who is shown and how the body is held: looks, joint angles, and where the joints lie.

Points are complex numbers, x + y·i, with x to the right and y down; the unit is the picture's height and
x = 0 is the middle of the body. A side is -1 (left in the picture) or +1 (right).
"""

import cmath
import colorsys
import math
from dataclasses import dataclass, field

import numpy as np

Rgb = tuple[float, float, float]

SIDES = (-1, 1)
HEAD_RADIUS = 0.106  # larger than life: at 64 rows a head is still 15 pixels wide
_HIP = 0.60j
_TORSO = 0.255
_ARM = (0.155, 0.165)  # shoulder to elbow, elbow to palm

_SKINS: tuple[Rgb, ...] = (
    (0.98, 0.84, 0.74), (0.93, 0.74, 0.60), (0.85, 0.65, 0.50), (0.72, 0.51, 0.37), (0.55, 0.37, 0.26),
    (0.40, 0.27, 0.20),
)  # fmt: skip
_HAIRS: tuple[Rgb, ...] = (
    (0.10, 0.08, 0.08), (0.20, 0.13, 0.10), (0.36, 0.22, 0.13), (0.55, 0.36, 0.18), (0.82, 0.66, 0.38),
    (0.56, 0.22, 0.12), (0.62, 0.61, 0.60),
)  # fmt: skip
HAIR_STYLES = ("short", "parted", "long", "curly")
_RESTS = ("arm rests", "hanging", "lap")


@dataclass(frozen=True)
class Subject:
    """One person: colours, proportions (factors around 1) and temperament.

    Args:
        skin, hair, top, trousers, shoes: RGB in [0, 1] under white light.
        hair_style: one of `HAIR_STYLES`.
        stripes, long_sleeves, glasses, beard: what is worn.
        head, shoulders, hips, arms: size of each part.
        tempo, amplitude: factor on the frequency and on the size of every movement.
        rest: where the hands lie when they do nothing.
    """

    skin: Rgb
    hair: Rgb
    top: Rgb
    trousers: Rgb
    shoes: Rgb
    hair_style: str
    stripes: bool
    long_sleeves: bool
    glasses: bool
    beard: bool
    head: float
    shoulders: float
    hips: float
    arms: float
    tempo: float
    amplitude: float
    rest: str

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Subject":
        """Draws a person from a generator of its own."""
        hue = float(rng.uniform(0.15, 1.0))  # not that of skin, or hands vanish before the chest
        style = str(rng.choice(HAIR_STYLES))
        return cls(
            skin=_SKINS[int(rng.integers(len(_SKINS)))],
            hair=_HAIRS[int(rng.integers(len(_HAIRS)))],
            top=colorsys.hsv_to_rgb(hue, float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.45, 0.92))),
            trousers=colorsys.hsv_to_rgb(
                (hue + float(rng.uniform(0.3, 0.7))) % 1.0,
                float(rng.uniform(0.1, 0.45)),
                float(rng.uniform(0.2, 0.5)),
            ),
            shoes=colorsys.hsv_to_rgb(float(rng.uniform()), 0.3, float(rng.choice([0.15, 0.3, 0.85]))),
            hair_style=style,
            stripes=bool(rng.uniform() < 0.3),
            long_sleeves=bool(rng.uniform() < 0.5),
            glasses=bool(rng.uniform() < 0.3),
            beard=bool(style != "long" and rng.uniform() < 0.3),
            head=float(rng.uniform(0.93, 1.08)),
            shoulders=float(rng.uniform(0.9, 1.12)),
            hips=float(rng.uniform(0.9, 1.12)),
            arms=float(rng.uniform(0.95, 1.08)),
            tempo=float(rng.uniform(0.89, 1.12)),
            amplitude=float(rng.uniform(0.9, 1.1)),
            rest=str(rng.choice(_RESTS)),
        )


@dataclass
class Hand:
    """Where a palm is.

    Args:
        at: position in the picture.
        depth: distance towards the camera, in picture heights; the elbow follows from it.
        spread: 0 fist to 1 fingers spread.
    """

    at: complex
    depth: float
    spread: float = 0.3


@dataclass
class Pose:
    """How a subject holds the body at one moment; actions change it in place.

    Args:
        subject: whose body it is.
        standing: on the feet instead of on the chair.
        yaw, pitch: turn to the right and nod downwards, 1 = as far as a head is comfortably turned.
        roll, lean: tilt of the head and of the torso, radians, clockwise.
        shrug: lift of the shoulders, picture heights.
        knees, feet: displacement of each, picture heights.
        crossed: 0 to 1, how far the leg of `crossing` lies over the other.
        phone: 0 to 1, size of the thing held between the hands.
        hands: both palms; at rest when not given.
    """

    subject: Subject
    standing: bool = False
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    lean: float = 0.0
    shrug: float = 0.0
    sway: complex = 0j
    knees: dict[int, complex] = field(default_factory=lambda: dict.fromkeys(SIDES, 0j))
    feet: dict[int, complex] = field(default_factory=lambda: dict.fromkeys(SIDES, 0j))
    crossed: float = 0.0
    crossing: int = 1
    phone: float = 0.0
    hands: dict[int, Hand] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for side in SIDES:
            self.hands.setdefault(side, resting_hand(self.subject, side, standing=self.standing))

    @property
    def hip(self) -> complex:
        """Middle of the pelvis."""
        return _HIP + self.sway

    def chest(self, across: float, down: float) -> complex:
        """The point of the torso that lies so far right of and below the base of the neck."""
        return self.hip + (across + (down - _TORSO) * 1j) * cmath.exp(1j * self.lean)

    def shoulder(self, side: int) -> complex:
        """Centre of a shoulder joint."""
        return self.chest(side * 0.092 * self.subject.shoulders, 0.028 - self.shrug)

    @property
    def head_radius(self) -> float:
        """Half the height of the head."""
        return HEAD_RADIUS * self.subject.head

    @property
    def head_angle(self) -> float:
        """Tilt of the head in the picture, radians: a leaning torso takes the head halfway along."""
        return self.roll + 0.5 * self.lean

    @property
    def head(self) -> complex:
        """Centre of the head; nodding lowers it a little."""
        above = -(self.head_radius * 1.16) + 0.030 * self.pitch
        return self.chest(0.0, 0.0) + above * 1j * cmath.exp(1j * self.head_angle)

    def face(self, right: float, below: float) -> complex:
        """A point of the face, given in head radii from the head's centre when it looks straight ahead."""
        seen = right + 0.62 * self.yaw + (below + 0.50 * self.pitch) * 1j
        return self.head + seen * self.head_radius * cmath.exp(1j * self.head_angle)

    def knee(self, side: int) -> complex:
        """Knee cap."""
        down = 0.185 if self.standing else 0.105
        uncrossed = self.hip + side * (0.058 if self.standing else 0.088) * self.subject.hips + down * 1j
        if side == self.crossing:
            uncrossed += self.crossed * (-side * 0.035 - 0.048j)
        return uncrossed + self.knees[side]

    def ankle(self, side: int) -> complex:
        """Ankle; that of a crossing leg lies on the other knee."""
        width = 0.062 if self.standing else 0.090
        down = 0.365 if self.standing else 0.290
        floor = _HIP + side * width * self.subject.hips + down * 1j + self.feet[side]
        if side == self.crossing and self.crossed > 0:
            floor += self.crossed * (self.knee(-side) - side * 0.055 - 0.005j - floor)
        return floor

    def elbow(self, side: int) -> complex:
        """Where the elbow appears, given shoulder and palm.

        Solved in three dimensions, with the elbow hanging down and outwards, so that it moves without jumps
        and an arm that points at the camera is foreshortened.
        """
        upper, fore = (length * self.subject.arms for length in _ARM)
        hand, shoulder = self.hands[side], self.shoulder(side)
        to_hand = (hand.at.real - shoulder.real, hand.at.imag - shoulder.imag, hand.depth)
        distance = math.sqrt(_dot(to_hand, to_hand)) or 1e-6
        along = tuple(part / distance for part in to_hand)
        pole = (0.55 * side, 1.0, -0.15)
        off = _dot(pole, along)
        outwards = tuple(p - off * a for p, a in zip(pole, along, strict=True))
        norm = math.sqrt(_dot(outwards, outwards)) or 1e-6
        foot = min(max((upper**2 - fore**2 + distance**2) / (2 * distance), -upper), upper)
        if distance > upper + fore:
            foot = distance * upper / (upper + fore)
        height = math.sqrt(max(upper**2 - foot**2, 0.0)) / norm
        return shoulder + complex(along[0] * foot + outwards[0] * height, along[1] * foot + outwards[1] * height)

    def reach(self, side: int, target: complex, weight: float, *, depth: float = 0.12, spread: float = 0.3) -> None:
        """Takes a hand some of the way (`weight` 0 to 1) from where it is to a target."""
        hand = self.hands[side]
        hand.at += weight * (target - hand.at)
        hand.depth += weight * (depth - hand.depth)
        hand.spread += weight * (spread - hand.spread)


def resting_hand(subject: Subject, side: int, *, standing: bool) -> Hand:
    """A hand that does nothing; no resting place looks like an action."""
    if standing:
        return Hand(_HIP + side * 0.145 * subject.shoulders + 0.080j, 0.03)
    if subject.rest == "arm rests":
        return Hand(_HIP + side * 0.176 - 0.012j, 0.22)
    if subject.rest == "hanging":
        return Hand(_HIP + side * 0.158 * subject.shoulders + 0.080j, 0.03)
    return Hand(_HIP + side * 0.026 + 0.012j, 0.14, spread=0.1)


def _dot(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))
