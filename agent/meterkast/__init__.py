"""Meterkast: an edge gateway for the meter cupboard."""

__version__ = "0.1.0"

__released__ = "2026-01-01"
"""The day of that version, as in CHANGELOG.md: a gateway takes no time for right that is earlier."""
