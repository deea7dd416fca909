"""Multi-label micro-action detection: find every micro-action in a clip, its start, end and class."""

__version__ = "0.1.0"
