"""Runs of `mmad-train` and what they say of the settings that they share."""

from mmad.comparison.numbers import GroundTruth, compare
from mmad.comparison.rows import Arrangement, Plan, arrange, check_evaluated_alike, plan_of
from mmad.comparison.run import Run, find_runs
from mmad.comparison.settings import Setting, group

__all__ = [
    "Arrangement",
    "GroundTruth",
    "Plan",
    "Run",
    "Setting",
    "arrange",
    "check_evaluated_alike",
    "compare",
    "find_runs",
    "group",
    "plan_of",
]
