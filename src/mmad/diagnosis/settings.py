"""What an analysis can be asked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mmad.errors import MmadError

MODES = ("class_first", "detad")
UNITS = {
    "coverage": "of the clip",
    "length": "s",
    "instances": "in the clip",
    "same_class": "of its class in the clip",
    "overlapping": "of other classes at the same time",
    "edge": "",
}
"""Characteristics of an instance, and what their numbers count."""


@dataclass(frozen=True)
class Buckets:
    """Intervals of a characteristic, open on the left and closed on the right; the lowest edge belongs to the first.

    Args:
        edges: n + 1 ascending numbers.
        labels: n names.

    Raises:
        MmadError: numbers do not ascend, or labels do not fit them.
    """

    edges: tuple[float, ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(float(edge) for edge in self.edges))
        object.__setattr__(self, "labels", tuple(str(label) for label in self.labels))
        if len(self.edges) != len(self.labels) + 1 or sorted(set(self.edges)) != list(self.edges):
            raise MmadError(
                f"buckets have edges {list(self.edges)} and labels {list(self.labels)}; expected ascending edges, one "
                f"more than labels"
            )


_FIVE = ("XS", "S", "M", "L", "XL")
BUCKETS: Mapping[str, Buckets] = MappingProxyType(
    {
        "coverage": Buckets((0, 0.2, 0.4, 0.6, 0.8, 1), _FIVE),
        "length": Buckets((0, 3, 5, 8, 9, math.inf), _FIVE),
        "instances": Buckets((-1, 2, 5, 7, math.inf), _FIVE[:4]),
        "overlapping": Buckets((-1, 0, 1, 2, math.inf), ("0", "1", "2", "3+")),
        "edge": Buckets((-1, 0, 1), ("inside", "at an end")),
    }
)
"""The MMAD paper's buckets of coverage, length and number of instances; then, how many instances of other classes
overlap it, and whether it touches an end of the clip, where clips cut actions off."""


@dataclass(frozen=True)
class Settings:
    """How errors are told apart.

    Args:
        mode: "class_first" compares a prediction with its own class before others, which is right where classes occur
            together; "detad" with the one instance of any class that overlaps it most, as the DETAD tool does.
        threshold: tIoU from which a prediction is right.
        background: tIoU below which a prediction lies on nothing.
        buckets: by characteristic: "coverage" (length over the clip's), "length" (seconds), "instances" (in the clip),
            "same_class" (of its class in the clip), "overlapping" (of other classes, at the same time), "edge" (1
            within 0.1 s of either end of the clip). A None, as configuration can give, leaves one out.

    Raises:
        MmadError: a value that does not exist.
    """

    mode: str = "class_first"
    threshold: float = 0.5
    background: float = 0.1
    buckets: Mapping[str, Buckets] = field(default_factory=lambda: BUCKETS)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise MmadError(f"diagnosis.mode={self.mode}: choose {' or '.join(MODES)}.")
        if not 0 < self.background < self.threshold <= 1:
            raise MmadError(
                f"diagnosis.threshold={self.threshold}, diagnosis.background={self.background}: expected "
                f"0 < background < threshold <= 1."
            )
        asked = {name: buckets for name, buckets in (self.buckets or {}).items() if buckets is not None}
        object.__setattr__(self, "buckets", asked)
        unknown = [name for name in asked if name not in UNITS]
        if unknown:
            raise MmadError(f"diagnosis.buckets.{unknown[0]}: choose from {', '.join(UNITS)}.")
