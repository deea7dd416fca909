"""How figures look: one colour and hatch per kind of prediction, body group and level, and fonts that stay text."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmad.diagnosis.records import Diagnosis, LevelDiagnosis

RC: Any = {
    # Widths of text that no resolution rounds: one layout fits PNG, SVG and PDF.
    "text.hinting": "none",
    "figure.constrained_layout.w_pad": 0.06,
    # One font that matplotlib brings: the same picture everywhere, and no search through a dozen others.
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "figure.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "mmad",
    "pdf.fonttype": 42,
    # A class name is a user's text; two dollar signs in it are no formula.
    "text.parse_math": False,
}
"""Settings of every figure, for `matplotlib.rc_context`."""

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY, DARK = "#CC79A7", "#56B4E9", "#BBBBBB", "#4D4D4D"

FORMATS = ("png", "svg", "pdf")
LEVELS = ("action", "body")
LEVEL_COLOURS = {"action": BLUE, "body": ORANGE}

MAP_N = "mAP$_\\mathrm{N}$"
"""The normalised mean AP; text that holds it needs `parse_math=True`."""

_KINDS = {
    "true positive": (GREEN, ""),
    "duplicate": (SKY, "////"),
    "localisation": (ORANGE, ""),
    "substitution": (VERMILION, "\\\\\\\\"),
    "extra label": (PURPLE, "...."),
    "confusion": (BLUE, "xxxx"),
    "background": (GREY, ""),
    "missed": (DARK, ""),
    # The remaining names occur in DETAD mode only.
    "double detection": ("#b2df8a", "////"),
    "wrong label": ("#1f78b4", "\\\\\\\\"),
    "localization": ("#fb9a99", ""),
}
# Kinds whose name both modes share have the paper's colours in DETAD mode.
_PAPER_COLOURS = {"true positive": "#33a02c", "confusion": "#e31a1c", "background": "#a6cee3"}

_GROUPS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, DARK)


def kind_style(kind: str, mode: str) -> tuple[str, str]:
    """Colour and hatch of a kind of prediction, or of "missed".

    Args:
        kind: one of `FalsePositives.kinds`, or "missed".
        mode: "class_first" or "detad".

    Source: class-first colours are those of Okabe and Ito; DETAD's are those of the paper's Fig. 6. Hatches tell the
        kinds apart where colours cannot.
    """
    colour, hatch = _KINDS[kind]
    return (_PAPER_COLOURS.get(kind, colour) if mode == "detad" else colour), hatch


def colours_of(groups: Iterable[str]) -> dict[str, str]:
    """Colour of each body group, in order of appearance; an eighth group shares the first one's colour."""
    return {group: _GROUPS[i % len(_GROUPS)] for i, group in enumerate(dict.fromkeys(groups))}


def group_colours(diagnosis: Diagnosis) -> dict[str, str]:
    """Colour of each body group of a diagnosis."""
    return colours_of(row["group"] for row in diagnosis["body"]["classes"] + diagnosis["action"]["classes"])


def levels(diagnosis: Diagnosis) -> tuple[tuple[str, LevelDiagnosis], ...]:
    """Both levels with their names, action first."""
    return ("action", diagnosis["action"]), ("body", diagnosis["body"])


def conditions(diagnosis: Diagnosis) -> str:
    """What every title of a diagnosis must say: the tIoU threshold and the mode."""
    mode = {"class_first": "class-first", "detad": "DETAD"}[diagnosis["mode"]]
    return f"tIoU {diagnosis['threshold']:g}, {mode} mode"


def new_figure(width: float, height: float, title: str, *, formula: bool = False) -> Figure:
    """An empty figure whose parts make room for each other.

    Args:
        width, height: inches.
        title: above everything.
        formula: whether dollar signs in the title make formulas; names of users must not.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, parse_math=formula)
    return figure


@matplotlib.rc_context(RC)
def save(figure: Figure, stem: Path, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes a figure without the date, so that the same figure gives the same bytes.

    Args:
        figure: what to write; its layout is settled here, once for all formats.
        stem: path without a suffix.
        formats: "png", "svg", "pdf".

    Returns:
        The files.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    dates: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in formats]
    for path, suffix in zip(paths, formats, strict=True):
        figure.savefig(path, dpi=120, metadata=dates.get(suffix, {}))
    return paths


def say_empty(axes: Axes, reason: str) -> None:
    """Puts a sentence in the middle of a panel that has nothing to show."""
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=DARK)
    axes.set_xticks([])
    axes.set_yticks([])


def signed(value: float, form: str) -> str:
    """A number with the minus sign that axes have."""
    return format(value, form).replace("-", "\N{MINUS SIGN}")


def shortened(name: str, longest: int) -> str:
    """A name of at most so many characters."""
    return name if len(name) <= longest else name[: longest - 1].rstrip() + "…"
