"""Trusted time: who says what time it is, who is believed, and what follows from a disagreement."""
