"""What a data set holds: its statistics, as a record, as tables and in words."""

from mmad.dataset.findings import findings
from mmad.dataset.statistics import describe
from mmad.dataset.tables import tables_of

__all__ = ["describe", "findings", "tables_of"]
