"""Timelines of clips: frames above, ground truth and best predictions below, coloured by tIoU."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mmad.annotations import Clip
from mmad.segments import Segments, pairwise_tiou
from mmad.taxonomy import Taxonomy

TOP = 10
"""Predictions shown per clip, best score first."""


@dataclass(frozen=True)
class Strip:
    """What one clip's timeline shows.

    Args:
        clip: the clip with its ground truth.
        detections: after NMS, in seconds.
        frames: (n, H, W, 3) uint8, shown at equal distances over the clip.
    """

    clip: Clip
    detections: Segments
    frames: np.ndarray


def same_class_tiou(detections: Segments, truth: Segments) -> torch.Tensor:
    """Best tIoU of each detection with a ground-truth instance of its own class; NaN where the clip has none.

    Args:
        detections: Q segments in seconds.
        truth: M instances in seconds.

    Returns:
        (Q,) float.
    """
    if len(truth["labels"]) == 0:
        return torch.full((len(detections["labels"]),), float("nan"))
    tiou = pairwise_tiou(detections["segments"].double(), truth["segments"].double())
    same = detections["labels"][:, None] == truth["labels"][None, :]
    best = torch.where(same, tiou, -1.0).max(dim=1).values
    return torch.where(best < 0, float("nan"), best)


def plot_timelines(path: Path, strips: Sequence[Strip], *, taxonomy: Taxonomy) -> Path:
    """Draws one panel per clip: frames, then a row per ground-truth instance and per prediction.

    A prediction's colour is its best tIoU with an instance of its class; a grey, hatched bar has no such instance.

    Args:
        path: picture to write; its suffix chooses the format.
        strips: what each panel shows.
        taxonomy: names of the classes.

    Returns:
        The path.

    Source: the layout of Fig. 8 of the MMAD paper.
    """
    rows = [len(s.clip.instances) + min(TOP, len(s.detections["labels"])) for s in strips]
    heights = [part for row in rows for part in (1.0, 0.22 * max(row, 1) + 0.2)]
    figure = Figure(figsize=(11, sum(heights) + 0.8 * len(strips)), layout="constrained")
    axes = figure.subplots(len(heights), 1, gridspec_kw={"height_ratios": heights}, squeeze=False)[:, 0]
    colours = ScalarMappable(Normalize(0, 1), matplotlib.colormaps["viridis"])
    for strip, above, below in zip(strips, axes[::2], axes[1::2], strict=True):
        _draw_frames(above, strip)
        _draw_rows(below, strip, taxonomy=taxonomy, colours=colours)
    figure.colorbar(
        colours,
        ax=list(axes),
        label="tIoU with the best instance of the same class",
        shrink=0.5,
        aspect=40,
        pad=0.01,
    )
    figure.savefig(path, dpi=110)
    return path


def _draw_frames(axes: Axes, strip: Strip) -> None:
    axes.imshow(np.concatenate(list(strip.frames), axis=1), aspect="equal")
    axes.set_title(f"{strip.clip.id}  ({strip.clip.duration:.1f} s)", fontsize=10, loc="left")
    axes.axis("off")


def _draw_rows(axes: Axes, strip: Strip, *, taxonomy: Taxonomy, colours: ScalarMappable) -> None:
    order = strip.detections["scores"].argsort(descending=True)[:TOP]
    best: Segments = {
        "segments": strip.detections["segments"][order],
        "labels": strip.detections["labels"][order],
        "scores": strip.detections["scores"][order],
    }
    overlap = same_class_tiou(best, strip.clip.segments())
    names: list[str] = []
    for number, instance in enumerate(sorted(strip.clip.instances, key=lambda i: i.start), start=1):
        names.append(f"gt-{number}  {taxonomy.actions[instance.label]}")
        axes.barh(len(names) - 1, instance.end - instance.start, left=instance.start, height=0.75, color="black")
    for number, (segment, label, score, tiou) in enumerate(
        zip(
            best["segments"].tolist(),
            best["labels"].tolist(),
            best["scores"].tolist(),
            overlap.tolist(),
            strict=True,
        ),
        start=1,
    ):
        names.append(f"pred-{number}  {taxonomy.actions[label]}  {score:.2f}")
        unmatched = np.isnan(tiou)
        axes.barh(
            len(names) - 1,
            segment[1] - segment[0],
            left=segment[0],
            height=0.75,
            color="lightgrey" if unmatched else colours.to_rgba(tiou),
            hatch="////" if unmatched else None,
            edgecolor="grey" if unmatched else "none",
        )
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, strip.clip.duration)
    axes.set_xlabel("seconds", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
