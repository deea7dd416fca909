"""Where annotated clips come from: one source per kind of annotation, all with the same clips and classes.

A source is made from the folder of a data set and knows its classes (`taxonomy`) and the clips of its splits.
"""

from mmad.data.sources.features import FeatureSource
from mmad.data.sources.folders import read_boris_files, read_eaf, read_json, read_table
from mmad.data.sources.ma52 import MA52Source
from mmad.data.sources.marked import MarkedSource
from mmad.data.sources.mma52 import MMA52Source
from mmad.data.sources.source import Source
from mmad.data.sources.videos import VideosSource

__all__ = [
    "FeatureSource",
    "MA52Source",
    "MMA52Source",
    "MarkedSource",
    "Source",
    "VideosSource",
    "read_boris_files",
    "read_eaf",
    "read_json",
    "read_table",
]
