"""Multi-label micro-action detection: find every micro-action in a clip, its start, end and class.

Public names load on first use, so that `import mmad` is quick:

>>> import numpy as np, mmad
>>> truth = mmad.Rows(clip=np.array([0]), label=np.array([9]), segment=np.array([[1.0, 3.0]]))
>>> found = mmad.Rows(np.array([0]), np.array([9]), np.array([[1.0, 2.5]]), score=np.array([0.8]))
>>> mmad.measure(found, truth, taxonomy=mmad.MMA52)["action"]["map"]["0.7"]
100.0
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mmad.average_precision import Protocol, detection_map
    from mmad.cli.build import load_detector
    from mmad.diagnosis import Settings, compare, diagnose, measure
    from mmad.formats.ground_truth import read_ground_truth
    from mmad.formats.labels import read_taxonomy
    from mmad.formats.predictions import read_predictions
    from mmad.matching import Rows
    from mmad.metrics import DetectionMAP
    from mmad.pairing import pair_up
    from mmad.report import Reporting, evaluate, write_report
    from mmad.taxonomy import MMA52, Taxonomy

_HOMES = {
    "DetectionMAP": "metrics",
    "MMA52": "taxonomy",
    "Protocol": "average_precision",
    "Reporting": "report",
    "Rows": "matching",
    "Settings": "diagnosis",
    "Taxonomy": "taxonomy",
    "compare": "diagnosis",
    "detection_map": "average_precision",
    "diagnose": "diagnosis",
    "evaluate": "report",
    "load_detector": "cli.build",
    "measure": "diagnosis",
    "pair_up": "pairing",
    "read_ground_truth": "formats.ground_truth",
    "read_predictions": "formats.predictions",
    "read_taxonomy": "formats.labels",
    "write_report": "report",
}

__all__ = [
    "MMA52",
    "DetectionMAP",
    "Protocol",
    "Reporting",
    "Rows",
    "Settings",
    "Taxonomy",
    "compare",
    "detection_map",
    "diagnose",
    "evaluate",
    "load_detector",
    "measure",
    "pair_up",
    "read_ground_truth",
    "read_predictions",
    "read_taxonomy",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"mmad.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mmad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
