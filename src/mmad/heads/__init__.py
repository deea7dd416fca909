"""Heads: features in, scored segments out; one paper, one file."""
