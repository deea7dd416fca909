"""The table of how well trimmed clips are recognised."""

from collections.abc import Mapping

from mmad.tables.table import Table


def recognition(measures: Mapping[str, float]) -> Table:
    """Accuracy and F1 of actions and body groups.

    Args:
        measures: in percent, as `mmad.lit.recognition.RecognitionModule` names them.
    """
    header = ("level", "top-1 (%)", "top-5 (%)", "F1 macro (%)", "F1 micro (%)")
    names = ("top1", "top5", "f1_macro", "f1_micro")
    levels = (("action", "action"), ("body group of the action", "body"), ("body group by its own head", "body_head"))
    rows = [(level, *(measures.get(f"{key}_{name}") for name in names)) for level, key in levels]
    return Table("recognition", "Recognition of trimmed clips", header, [*rows])
