"""Tables of an evaluation, ready for a paper: Markdown, LaTeX and CSV."""

from mmad.diagnosis.records import Comparison, Diagnosis, Numbers
from mmad.tables import errors, performance
from mmad.tables.table import Table, to_csv, to_latex, to_markdown, write_tables

__all__ = ["Table", "tables_of", "to_csv", "to_latex", "to_markdown", "write_tables"]


def tables_of(numbers: Numbers, diagnosis: Diagnosis, comparison: Comparison | None = None) -> list[Table]:
    """All tables of an evaluation, the most wanted first; those without a row are left out.

    Args:
        numbers: Detection-mAP and what belongs to it.
        diagnosis: the error analysis.
        comparison: with another set of predictions, if there is one.
    """
    tables = [
        performance.detection_map(numbers),
        performance.paper_row(numbers),
        performance.thresholds(numbers),
        errors.classes("action", numbers["action"], diagnosis),
        errors.classes("body", numbers["body"], diagnosis),
        performance.subjects(numbers),
        errors.false_positives(diagnosis),
        errors.gains(diagnosis),
        errors.false_negatives(diagnosis),
        errors.misses(diagnosis),
        errors.sensitivity(diagnosis),
        errors.confusions(diagnosis),
        errors.co_occurrence(diagnosis),
        errors.co_occurrence_recall(diagnosis),
        errors.boundaries(diagnosis),
        errors.tolerance(diagnosis),
        errors.calibration(diagnosis),
        performance.average_recall(numbers),
        performance.frame_map(numbers),
        *([] if comparison is None else [performance.comparison(comparison)]),
        performance.evaluation(numbers, diagnosis),
    ]
    return [table for table in tables if table.rows]
