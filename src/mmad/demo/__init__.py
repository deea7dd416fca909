"""Drawn people who perform micro-actions, written in the layout of the MMA-52 release."""
