"""Action classes, their codes, and the body group of each."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Taxonomy:
    """What a label index means.

    Every class has a body group. Data without a hierarchy has a single one for all, and results at body level then
    say only how well segments are found whatever their class; see `flat`.

    Args:
        actions: name of each action class, in index order.
        codes: short code of each class, such as `B3`.
        bodies: name of each body group, in index order.
        body_of: body index of each action class.
    """

    actions: tuple[str, ...]
    codes: tuple[str, ...]
    bodies: tuple[str, ...]
    body_of: tuple[int, ...]

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Class index of each action name."""
        return {name: index for index, name in enumerate(self.actions)}

    @property
    def flat(self) -> bool:
        """Whether there is only one body group, so that the body level tells no classes apart."""
        return len(self.bodies) == 1

    @classmethod
    def from_rows(cls, rows: tuple[tuple[str, str, str], ...]) -> "Taxonomy":
        """Builds a taxonomy from (code, action, body) rows in index order; bodies are numbered as they appear."""
        bodies = tuple(dict.fromkeys(body for _, _, body in rows))
        return cls(
            actions=tuple(action for _, action, _ in rows),
            codes=tuple(code for code, _, _ in rows),
            bodies=bodies,
            body_of=tuple(bodies.index(body) for _, _, body in rows),
        )


# Index order is that of the release's label_name.txt; codes are those of the MA-52 annotation manual. The two orders
# differ: index 8 is B3, index 3 is A2.
_MMA52_ROWS = (
    ("A1", "shaking body", "body"),
    ("A3", "sitting straightly", "body"),
    ("A4", "shrugging", "body"),
    ("A2", "turning around", "body"),
    ("A5", "rising up", "body"),
    ("B5", "bowing head", "head"),
    ("B6", "head up", "head"),
    ("B4", "tilting head", "head"),
    ("B3", "turning head", "head"),
    ("B1", "nodding", "head"),
    ("B2", "shaking head", "head"),
    ("C6", "scratching arms", "upper limb"),
    ("C8", "playing objects", "upper limb"),
    ("C9", "putting hands together", "upper limb"),
    ("C13", "rubbing hands", "upper limb"),
    ("C11", "pointing oneself", "upper limb"),
    ("C12", "clenching fist", "upper limb"),
    ("C4", "stretching arms", "upper limb"),
    ("C10", "retracting arms", "upper limb"),
    ("C5", "waving", "upper limb"),
    ("C7", "spreading hands", "upper limb"),
    ("C3", "hands touching fingers", "upper limb"),
    ("C2", "other finger movements", "upper limb"),
    ("C1", "illustrative gestures", "upper limb"),
    ("D3", "shaking legs", "lower limb"),
    ("D7", "curling legs", "lower limb"),
    ("D6", "spread legs", "lower limb"),
    ("D5", "closing legs", "lower limb"),
    ("D8", "crossing legs", "lower limb"),
    ("D4", "stretching feet", "lower limb"),
    ("D2", "retracting feet", "lower limb"),
    ("D1", "tiptoe", "lower limb"),
    ("E2", "scratching or touching neck", "body-hand"),
    ("E1", "scratching or touching chest", "body-hand"),
    ("E3", "scratching or touching back", "body-hand"),
    ("E6", "scratching or touching shoulder", "body-hand"),
    ("E4", "arms akimbo", "body-hand"),
    ("E5", "crossing arms", "body-hand"),
    ("F3", "playing or tidying hair", "head-hand"),
    ("F4", "scratching or touching hindbrain", "head-hand"),
    ("F7", "scratching or touching forehead", "head-hand"),
    ("F2", "scratching or touching face", "head-hand"),
    ("F6", "rubbing eyes", "head-hand"),
    ("F1", "touching nose", "head-hand"),
    ("F8", "touching ears", "head-hand"),
    ("F10", "covering face", "head-hand"),
    ("F9", "covering mouth", "head-hand"),
    ("F5", "pushing glasses", "head-hand"),
    ("G2", "patting legs", "leg-hand"),
    ("G1", "touching legs", "leg-hand"),
    ("G3", "scratching legs", "leg-hand"),
    ("G4", "scratching feet", "leg-hand"),
)

MMA52 = Taxonomy.from_rows(_MMA52_ROWS)
"""The 52 actions and 7 body groups of MMA-52."""
