"""Figures from predictions and annotations."""
