"""Why a detector errs: numbers with their uncertainty, kinds of errors, and what each of them costs.

Everything works on plain arrays; no model, video or configuration is needed.
"""

from mmad.diagnosis.analysis import diagnose
from mmad.diagnosis.numbers import compare, measure
from mmad.diagnosis.settings import Buckets, Settings

__all__ = ["Buckets", "Settings", "compare", "diagnose", "measure"]
