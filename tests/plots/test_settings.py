"""The figure of repeated settings shows each run, mean and interval at its value."""

from mmad.plots import style
from mmad.plots.settings import settings_figure

REACHED = {
    "frozen": {"runs": [40.0, 42.0], "mean": 41.0, "deviation": 1.4, "interval": (38.0, 45.0)},
    "a name that is far longer than what fits beside the axis": {
        "runs": [50.0],
        "mean": 50.0,
        "deviation": None,
        "interval": None,
    },
}


def test_rows_show_runs_mean_and_interval(tmp_path) -> None:
    figure = settings_figure(REACHED, title="AVG")
    axes = figure.axes[0]
    dots = [line.get_xydata().tolist() for line in axes.lines]
    assert dots == [[[40, 0], [42, 0]], [[41, 0]], [[50, 1]], [[50, 1]]]
    (bar,) = axes.collections
    assert bar.get_segments()[0].tolist() == [[38, 0], [45, 0]]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "frozen"
    assert labels[1].endswith("…")
    top, bottom = axes.transData.transform([(0, 0), (0, 1)])[:, 1]
    assert top > bottom
    assert axes.get_xlim()[0] < 38
    (path,) = style.save(figure, tmp_path / "settings", formats=["png"])
    assert path.stat().st_size > 1000
