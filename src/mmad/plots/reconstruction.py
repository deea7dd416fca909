"""What a masked autoencoder makes of clips: original, masked and rebuilt frames, one above the other."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mmad.plots.style import RC, new_figure, save, shortened

ROWS = ("original", "masked", "rebuilt")
EVERY = 2
"""A token spans this many frames; the first of each is shown."""

GAP = 3
"""Pixels between frames."""


@matplotlib.rc_context(RC)
def plot_reconstructions(
    path: Path, names: Sequence[str], original: np.ndarray, masked: np.ndarray, rebuilt: np.ndarray
) -> Path:
    """Draws a panel of three rows for each clip; time runs from left to right.

    Args:
        path: the PNG file to write.
        names: what stands above each panel.
        original, masked, rebuilt: (B, F, H, W, 3) uint8 each.

    Returns:
        The path.
    """
    panels = [mosaic([rows[:, ::EVERY] for rows in (original, masked, rebuilt)], clip) for clip in range(len(names))]
    height, width = panels[0].shape[:2]
    inches = 7.0
    title = "Each rebuilt patch has the mean and contrast of the original; the model says its pattern"
    figure: Figure = new_figure(inches + 0.7, len(names) * (inches * height / width + 0.35) + 0.4, title)
    figure.set_layout_engine(
        "compressed"
    )  # pictures keep their shape, so that plain constraints leave no room for labels
    middles = [(row + 0.5) * height / len(ROWS) for row in range(len(ROWS))]
    for axes, name, panel in zip(figure.subplots(len(names), 1, squeeze=False)[:, 0], names, panels, strict=True):
        axes.imshow(panel)
        axes.set_title(shortened(name, 80), loc="left")
        axes.set_yticks(middles, ROWS)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    save(figure, path.with_suffix(""), formats=[path.suffix.removeprefix(".")])
    return path


def mosaic(rows: Sequence[np.ndarray], clip: int) -> np.ndarray:
    """The frames of one clip side by side, rows below each other, white between them.

    Args:
        rows: (B, n, H, W, 3) uint8 each.
        clip: index of the clip.
    """
    _, count, height, width, _ = rows[0].shape
    picture = np.full((len(rows) * (height + GAP), count * (width + GAP), 3), 255, dtype=np.uint8)
    for row, videos in enumerate(rows):
        for column, frame in enumerate(videos[clip]):
            top, left = row * (height + GAP), column * (width + GAP)
            picture[top : top + height, left : left + width] = frame
    return picture
