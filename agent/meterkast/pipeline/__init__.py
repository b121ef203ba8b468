"""Readings in, half-hours closed, items delivered; drivers kept running; one health snapshot."""
