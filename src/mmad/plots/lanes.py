"""A video's detections on lanes: pictures above, a row for each class, in the colour of its body group."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator

from mmad.plots.style import RC, colours_of, say_empty
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy

_MINUTES = 120.0
"""Seconds from which an axis counts minutes."""

_TICKS = (30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds between ticks of such an axis, of which at most twelve are drawn."""


@matplotlib.rc_context(RC)
def draw_lanes(found: Segments, *, taxonomy: Taxonomy, duration: float, frames: np.ndarray, title: str) -> Figure:
    """Draws what was found in one video.

    Args:
        found: scored segments in seconds; the surer one is, the fuller its colour.
        taxonomy: names of the classes and their body groups.
        duration: of the video in seconds.
        frames: (n, H, W, 3) uint8, from equal distances over the video.
        title: name of the video.
    """
    labels, scores = found["labels"].tolist(), found["scores"].tolist()
    rows = sorted(set(labels), key=lambda label: (taxonomy.body_of[label], label))
    row_of = {label: row for row, label in enumerate(rows)}
    colours = colours_of(taxonomy.bodies)
    strip = 10.0 / len(frames) * frames.shape[1] / frames.shape[2]
    lanes = 0.22 * max(len(rows), 2) + 0.3
    figure = Figure(figsize=(11, strip + lanes + 0.8), layout="constrained")
    above, below = figure.subplots(2, 1, gridspec_kw={"height_ratios": [strip, lanes]})
    above.imshow(np.concatenate(list(frames), axis=1), aspect="auto")
    above.axis("off")
    above.set_title(title, loc="left")
    for label, (start, end), score in zip(labels, found["segments"].tolist(), scores, strict=True):
        colour = colours[taxonomy.bodies[taxonomy.body_of[label]]]
        # However short, it must be seen.
        width = max(end - start, duration / 1000)
        below.barh(row_of[label], width, left=start, height=0.75, color=colour, alpha=0.35 + 0.65 * min(score, 1.0))
    below.set_xlim(0, duration)
    below.set_ylim(len(rows) - 0.4, -0.6)
    if not rows:
        say_empty(below, "nothing reaches the thresholds")
        return figure
    below.set_yticks(range(len(rows)), [f"{taxonomy.codes[label]} {taxonomy.actions[label]}".strip() for label in rows])
    below.grid(axis="x")
    if duration >= _MINUTES:
        step = next((step for step in _TICKS if duration / step <= 12), duration / 12)
        below.xaxis.set_major_locator(MultipleLocator(step))
        below.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{int(x) // 60}:{int(x) % 60:02d}"))
        below.set_xlabel("minutes:seconds")
    else:
        below.set_xlabel("seconds")
    groups = list(dict.fromkeys(taxonomy.bodies[taxonomy.body_of[label]] for label in rows))
    below.legend(
        handles=[Patch(color=colours[group], label=group) for group in groups],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )
    return figure
