"""Meterkast: an edge gateway for the meter cupboard."""

__version__ = "0.1.0"
