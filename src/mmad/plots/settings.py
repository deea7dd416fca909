"""Figure of settings that were each trained several times."""

from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure

from mmad.diagnosis.repeats import Repeated
from mmad.plots import style


@matplotlib.rc_context(style.RC)
def settings_figure(reached: Mapping[str, Repeated], *, title: str) -> Figure:
    """One row per setting: its runs as dots, their mean as a bar, and the interval of the mean.

    Args:
        reached: by name of the setting, first on top; percent.
        title: above the figure.
    """
    figure = style.new_figure(6.4, 0.9 + 0.28 * len(reached), title)
    axes = figure.subplots()
    for row, of in enumerate(reached.values()):
        if of["interval"] is not None:
            axes.hlines(row, *of["interval"], color=style.SKY, lw=5, zorder=1)
        axes.plot(of["runs"], [row] * len(of["runs"]), "o", ms=4, mfc="white", mec=style.DARK, zorder=3)
        axes.plot([of["mean"]], [row], "|", ms=13, mew=2, color=style.BLUE, zorder=2)
    axes.set_yticks(range(len(reached)), [style.shortened(name, 44) for name in reached])
    axes.set_ylim(len(reached) - 0.5, -0.5)
    axes.set_xlabel("Detection-mAP in percent: runs, their mean, 95 % interval")
    axes.grid(axis="x")
    return figure
