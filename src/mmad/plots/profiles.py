"""Profiles of errors: kinds of false positives, and misses and mAP_N by kind of instance."""

import textwrap
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmad.diagnosis.records import Bucket, Characteristic, Diagnosis, FalsePositives
from mmad.plots import style

BUCKETS_PER_ROW = 30
"""More bars than these side by side cannot carry their numbers."""

_SIZES = ("XS", "S", "M", "L", "XL")
# The first three are the paper's, whose characteristics come first.
_COLOURS = ("#386cb0", "#f0027f", "#bf5b17", style.GREEN, style.SKY, style.PURPLE, style.ORANGE)


@matplotlib.rc_context(style.RC)
def false_positive_profile(diagnosis: Diagnosis) -> Figure:
    """Kinds of predictions among the best of each class, and the mAP_N that each kind of error costs.

    Args:
        diagnosis: both levels.

    Source: Fig. 6 of the MMAD paper.
    """
    figure = style.new_figure(8.6, 6.2, f"False positives ({style.conditions(diagnosis)})")
    axes = figure.subplots(2, 2, sharey="row", gridspec_kw={"height_ratios": [1.25, 1]})
    mode = diagnosis["mode"]
    for column, (name, level) in enumerate(style.levels(diagnosis)):
        numbers = level["false_positives"]
        _draw_slices(axes[0, column], numbers, mode)
        _draw_gains(axes[1, column], numbers, mode)
        axes[0, column].set_title(f"{name} level")
    axes[0, 0].set_ylabel("predictions of the slice (%)")
    kinds = list(diagnosis["action"]["false_positives"]["kinds"])
    repaired = diagnosis["action"]["false_positives"]["repaired"]
    handles = [_patch(kind, mode) for kind in kinds + (["missed"] if "missed" in repaired else [])]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.6, columnspacing=1.4)
    return figure


def _patch(kind: str, mode: str) -> Patch:
    colour, hatch = style.kind_style(kind, mode)
    return Patch(facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0, label=kind)


def _draw_slices(axes: Axes, numbers: FalsePositives, mode: str) -> None:
    counts = np.array(numbers["slices"], dtype=float).reshape(-1, len(numbers["kinds"]))
    sizes = counts.sum(axis=1)
    percent = 100 * counts / np.maximum(sizes, 1)[:, None]
    bottom = np.zeros(len(counts))
    for kind, height in zip(numbers["kinds"], percent.T, strict=True):
        colour, hatch = style.kind_style(kind, mode)
        axes.bar(range(len(counts)), height, 0.8, bottom, color=colour, hatch=hatch, edgecolor="white", lw=0.4)
        bottom += height
    axes.set_xticks(range(len(counts)), [f"{k}G\n{int(size)}" for k, size in enumerate(sizes, start=1)])
    axes.set_xlabel("slice of each class's ranking; predictions in it")
    axes.set_ylim(0, 100)
    if not sizes.any():
        axes.text(0.5, 0.5, "no predictions", transform=axes.transAxes, ha="center", color=style.DARK)


def _draw_gains(axes: Axes, numbers: FalsePositives, mode: str) -> None:
    removed, repaired = numbers["removed"], numbers["repaired"]
    kinds = list(dict.fromkeys([*removed, *repaired]))
    thickness = 0.38 if repaired else 0.7
    for row, kind in enumerate(kinds):
        colour, hatch = style.kind_style(kind, mode)
        if kind in removed:
            place = row - thickness / 2 if repaired else row
            axes.barh(place, removed[kind], thickness, color=colour, hatch=hatch, edgecolor="white", lw=0.4)
            _annotate_gain(axes, place, removed[kind])
        if kind in repaired:
            place = row + thickness / 2
            axes.barh(place, repaired[kind], thickness, color="white", edgecolor=colour, lw=1.2)
            _annotate_gain(axes, place, repaired[kind])
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    largest = max([*removed.values(), *repaired.values(), 0.0])
    lowest = min([*removed.values(), *repaired.values(), 0.0])
    axes.set_xlim(1.2 * lowest, 1.18 * largest or 1.0)
    change = "filled: kind deleted, outlined: kind corrected" if repaired else "kind deleted"
    axes.set_xlabel(f"gain in {style.MAP_N} (points; now {numbers['base']:.2f} %)\n{change}", parse_math=True)
    axes.grid(axis="x")


def _annotate_gain(axes: Axes, place: float, gain: float) -> None:
    axes.annotate(f"{gain:.2f}", (max(gain, 0), place), (3, 0), textcoords="offset points", va="center", fontsize=6.5)


@matplotlib.rc_context(style.RC)
def false_negative_profile(diagnosis: Diagnosis) -> Figure:
    """Share of missed instances by kind of instance; the dashed lines are those of all.

    Light bars, with 95 % intervals, count kept predictions, from each class's best score upwards; dark bars count all
    of them, however low their score, as the paper does.

    Args:
        diagnosis: both levels.

    Source: Fig. 7 of the MMAD paper.
    """
    title = f"Missed instances ({style.conditions(diagnosis)})"
    return _bucket_figure(diagnosis, "rate", title=title, label="missed (%)")


@matplotlib.rc_context(style.RC)
def sensitivity_profile(diagnosis: Diagnosis) -> Figure:
    """mAP_N by kind of instance; the dashed line is that of all.

    Args:
        diagnosis: both levels.

    Source: the sensitivity figure of DETAD.
    """
    title = f"Sensitivity of {style.MAP_N} ({style.conditions(diagnosis)})"
    return _bucket_figure(diagnosis, "map_n", title=title, label=f"{style.MAP_N} (%)")


def _bucket_figure(diagnosis: Diagnosis, measure: Literal["rate", "map_n"], *, title: str, label: str) -> Figure:
    shown = "kept_misses" if measure == "rate" else "false_negatives"
    rows = [
        (name, level, part)
        for name, level in style.levels(diagnosis)
        for part in _parts(level[shown]["characteristics"])  # type: ignore[literal-required]
    ]
    widest = max(sum(len(characteristic["buckets"]) for characteristic in part) for _, _, part in rows)
    figure = style.new_figure(max(7.0, 1.0 + 0.36 * widest), 0.5 + 2.3 * len(rows), title, formula=True)
    note = "buckets with their bounds and numbers of instances; dashed: all instances"
    if measure == "rate":
        note += "\nlight: missed from each class's best score upwards; dark: missed by all predictions"
    figure.supxlabel(note, fontsize=7.5)
    names = [c["name"] for c in diagnosis["action"]["false_negatives"]["characteristics"]]
    for axes, (name, level, part) in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        axes.set_ylabel(f"{name} level\n{label}", parse_math=True)
        if not part:
            style.say_empty(axes, "no characteristics")
            continue
        overall = level[shown][measure]  # type: ignore[literal-required]
        axes.axhline(overall, color=style.DARK, lw=0.8, ls="--", zorder=0)
        axes.text(
            1.005, overall, f"all\n{overall:.1f}", transform=axes.get_yaxis_transform(), va="center", fontsize=6.5
        )
        _draw_buckets(axes, part, measure, names)
        if measure == "rate":
            everything = {c["name"]: c for c in level["false_negatives"]["characteristics"]}
            _draw_rates(axes, [everything[characteristic["name"]] for characteristic in part])
    return figure


def _draw_rates(axes: Axes, characteristics: list[Characteristic]) -> None:
    """Dark bars over those of `_draw_buckets`, where they have a height."""
    buckets = [bucket for characteristic in characteristics for bucket in characteristic["buckets"]]
    for place, bucket in zip(axes.get_xticks(), buckets, strict=True):
        if bucket["rate"]:
            axes.bar(place, bucket["rate"], 0.78, color=style.DARK)


def _parts(characteristics: list[Characteristic]) -> list[list[Characteristic]]:
    """Characteristics cut into rows of a figure, at most BUCKETS_PER_ROW buckets in each."""
    parts: list[list[Characteristic]] = [[]]
    for characteristic in characteristics:
        used = sum(len(c["buckets"]) for c in parts[-1])
        if parts[-1] and used + len(characteristic["buckets"]) > BUCKETS_PER_ROW:
            parts.append([])
        parts[-1].append(characteristic)
    return parts


def _draw_buckets(
    axes: Axes, characteristics: list[Characteristic], measure: Literal["rate", "map_n"], names: list[str]
) -> None:
    places: list[float] = []
    labels: list[str] = []
    highest, start = 0.0, 0.0
    for characteristic in characteristics:
        buckets = characteristic["buckets"]
        colour = _COLOURS[names.index(characteristic["name"]) % len(_COLOURS)] if names else _COLOURS[0]
        if start:
            axes.axvline(start - 0.8, color=style.GREY, ls=":", lw=1)
        for place, bucket in enumerate(buckets):
            value = bucket[measure]
            if value is None:
                continue
            axes.bar(start + place, value, 0.78, color=colour, alpha=0.85)
            interval = bucket["interval"] if measure == "rate" else None
            top = value if interval is None else max(value, interval[1])
            if interval is not None:
                axes.vlines(start + place, *interval, color="black", lw=0.8)
            axes.annotate(
                f"{value:.1f}",
                (start + place, top),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=6.5,
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.3},
            )
            highest = max(highest, top)
        places += [start + place for place in range(len(buckets))]
        labels += [_bucket_label(bucket) for bucket in buckets]
        centre = start + (len(buckets) - 1) / 2
        heading = _heading(characteristic, measure)
        axes.text(
            centre,
            1.02,
            heading,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            color=colour,
            fontsize=7.5,
        )
        start += len(buckets) + 0.6
    axes.set_xticks(places, labels)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.7, start - 0.9)
    axes.set_ylim(0, 1.12 * highest or 1.0)


def _heading(characteristic: Characteristic, measure: Literal["rate", "map_n"]) -> str:
    """The characteristic's name and unit, no wider than its buckets."""
    name, unit = characteristic["name"], characteristic["unit"]
    room = int(5.5 * len(characteristic["buckets"]))
    heading = f"{name} ({unit})" if unit else name
    heading = heading if len(heading) <= room else f"{name}\n{textwrap.fill(unit, room)}"
    return heading + (f"\nspread {characteristic['sensitivity']:.1f}" if measure == "map_n" else "")


def _bucket_label(bucket: Bucket) -> str:
    """The bucket's name, its bounds where the name is a mere size, and its number of instances."""
    label = textwrap.fill(bucket["label"], 7)
    if bucket["label"] in _SIZES:
        label += f"\n≤{bucket['up_to']:g}" if bucket["up_to"] is not None else f"\n>{bucket['above'] or 0:g}"
    # Numbers of instances stand in the third line everywhere.
    return label + "\n" * max(2 - label.count("\n"), 1) + str(bucket["instances"])
