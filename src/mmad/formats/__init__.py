"""Readers and writers of files: annotations, predictions, weights."""
