"""Detectors on videos of one's own: what they find, how it is shown, and the files that other tools read."""
