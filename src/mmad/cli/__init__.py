"""Hydra entry points: the only place that builds objects from configuration."""
