"""All figures of an evaluation, drawn and written."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mmad.diagnosis.records import Comparison, Diagnosis, Numbers
from mmad.plots import style
from mmad.plots.classes import class_figure, comparison_figure
from mmad.plots.pairs import co_occurrence_figure, confusion_figure
from mmad.plots.profiles import false_negative_profile, false_positive_profile, sensitivity_profile
from mmad.plots.timing import boundary_figure, calibration_figure


def draw_figures(numbers: Numbers, diagnosis: Diagnosis, comparison: Comparison | None = None) -> dict[str, Figure]:
    """Every figure by its name.

    Args:
        numbers: of the evaluation.
        diagnosis: its analyses.
        comparison: with another set of predictions, if there is one.
    """
    figures = {
        "false_positives": false_positive_profile(diagnosis),
        "false_negatives": false_negative_profile(diagnosis),
        "sensitivity": sensitivity_profile(diagnosis),
        "classes": class_figure(numbers, diagnosis),
        "confusion": confusion_figure(diagnosis),
        "co_occurrence": co_occurrence_figure(diagnosis),
        "boundaries": boundary_figure(diagnosis),
        "calibration": calibration_figure(diagnosis),
    }
    if comparison is not None:
        figures["comparison"] = comparison_figure(comparison)
    return figures


def write_figures(
    folder: Path,
    numbers: Numbers,
    diagnosis: Diagnosis,
    comparison: Comparison | None = None,
    *,
    formats: Sequence[str] = style.FORMATS,
) -> list[Path]:
    """Writes every figure; the same numbers give the same bytes.

    Args:
        folder: where; it is made if needed.
        numbers, diagnosis, comparison: as for `draw_figures`.
        formats: "png", "svg", "pdf".

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = draw_figures(numbers, diagnosis, comparison)
    return [path for name, figure in figures.items() for path in style.save(figure, folder / name, formats=formats)]
