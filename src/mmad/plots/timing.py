"""Figures of boundaries and scores: how far onsets and offsets are off, and whether a score is a probability."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from mmad.diagnosis.records import Boundaries, Calibration, Diagnosis, Offsets
from mmad.plots import style

_ENDS = (("onset", style.BLUE, ""), ("offset", style.ORANGE, "////"))


@matplotlib.rc_context(style.RC)
def boundary_figure(diagnosis: Diagnosis) -> Figure:
    """Onset and offset errors of kept predictions: histograms with medians, and quartiles by length.

    Args:
        diagnosis: both levels.
    """
    title = f"Boundaries of predictions kept for {style.conditions(diagnosis)}; pairs matched at tIoU 0.1"
    figure = style.new_figure(8.6, 5.4, title)
    axes = figure.subplots(2, 2, gridspec_kw={"height_ratios": [1.3, 1]})
    for column, (name, level) in enumerate(style.levels(diagnosis)):
        boundaries = level["boundaries"]
        axes[0, column].set_title(f"{name} level, {boundaries['onset']['pairs']} pairs")
        if boundaries["onset"]["pairs"] == 0:
            style.say_empty(axes[0, column], "no matched pairs")
            style.say_empty(axes[1, column], "no matched pairs")
            continue
        _draw_histograms(axes[0, column], boundaries)
        _draw_lengths(axes[1, column], boundaries)
    axes[0, 0].set_ylabel("matched pairs")
    axes[1, 0].set_ylabel("length of the instance")
    return figure


def _draw_histograms(axes: Axes, boundaries: Boundaries) -> None:
    edges = boundaries["edges"]
    for (end, colour, hatch), counts, offsets in zip(
        _ENDS,
        (boundaries["onset_histogram"], boundaries["offset_histogram"]),
        (boundaries["onset"], boundaries["offset"]),
        strict=True,
    ):
        # Bin i lies between edges i - 1 and i; the open ones at both sides are drawn one bin wide.
        shift = -0.7 if end == "onset" else -0.3
        places = [i + shift for i in range(len(counts))]
        axes.bar(
            places, counts, 0.4, color=colour, hatch=hatch, edgecolor="white", lw=0.3, label=f"{end}{_median(offsets)}"
        )
        if offsets["median"] is not None:
            axes.axvline(float(np.interp(offsets["median"], edges, range(len(edges)))), color=colour, ls="--", lw=1.2)
    step = max(1, round(len(edges) / 9))
    # Ticks are counted from the middle, so that 0 is among them.
    shown = [i for i in range(len(edges)) if (i - len(edges) // 2) % step == 0]
    axes.set_xticks(shown, [style.signed(edges[i], "g") for i in shown])
    axes.set_xlim(-1.1, len(edges) + 0.1)
    axes.set_ylim(0, 1.3 * max(*boundaries["onset_histogram"], *boundaries["offset_histogram"], 1))
    axes.set_xlabel("predicted minus true time (s); the outermost bars hold all beyond")
    axes.legend(loc="upper right")


def _median(offsets: Offsets) -> str:
    return "" if offsets["median"] is None else f", median {style.signed(offsets['median'], '+z.2f')} s"


def _draw_lengths(axes: Axes, boundaries: Boundaries) -> None:
    rows = boundaries["by_length"]
    for row, (_, *both) in enumerate(rows):
        for (_, colour, _), offsets, shift in zip(_ENDS, both, (-0.15, 0.15), strict=True):
            if offsets["median"] is None or offsets["lower"] is None or offsets["upper"] is None:
                continue
            axes.hlines(row + shift, offsets["lower"], offsets["upper"], color=colour, lw=2.5)
            marker = "o" if shift < 0 else "s"
            axes.plot(offsets["median"], row + shift, marker, color=colour, ms=5, mec="white", mew=0.8)
    axes.axvline(0, color=style.DARK, lw=0.8, zorder=0.9)
    axes.set_yticks(range(len(rows)), [f"{label}  ({onset['pairs']})" for label, onset, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("median and quartiles of predicted minus true time (s)")
    axes.grid(axis="x")


@matplotlib.rc_context(style.RC)
def calibration_figure(diagnosis: Diagnosis) -> Figure:
    """Reliability diagrams: how often predictions of a score are right.

    Args:
        diagnosis: both levels.
    """
    figure = style.new_figure(7.2, 4.6, f"Calibration of scores ({style.conditions(diagnosis)})")
    axes = figure.subplots(2, 2, sharex=True, gridspec_kw={"height_ratios": [3.2, 1]})
    for column, (name, level) in enumerate(style.levels(diagnosis)):
        _draw_reliability(axes[0, column], axes[1, column], level["calibration"], style.LEVEL_COLOURS[name])
        error = level["calibration"]["error"]
        axes[0, column].set_title(
            f"{name} level" + ("" if error is None else f", expected calibration error {error:.3f}")
        )
    axes[0, 0].set_ylabel("share that is right")
    axes[1, 0].set_ylabel("predictions")
    return figure


def _draw_reliability(axes: Axes, below: Axes, calibration: Calibration, colour: str) -> None:
    bins = calibration["bins"]
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    below.set_xlabel("score")
    if not bins:
        reason = "scores outside [0, 1]\nare no probabilities" if bins is None else "no predictions"
        axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=style.DARK)
        below.set_yticks([])
        return
    axes.plot([0, 1], [0, 1], color=style.DARK, ls="--", lw=0.8, label="perfectly calibrated")
    axes.plot(
        [b["score"] for b in bins],
        [b["precision"] for b in bins],
        "o-",
        color=colour,
        ms=4.5,
        label="predictions",
        clip_on=False,
    )
    axes.grid()
    axes.legend(loc="upper left")
    below.bar(
        [b["above"] for b in bins],
        [b["count"] for b in bins],
        [b["up_to"] - b["above"] for b in bins],
        align="edge",
        color=colour,
        edgecolor="white",
    )
    below.set_yscale("log")
    below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    below.set_ylim(0.7, 2 * max(b["count"] for b in bins))
