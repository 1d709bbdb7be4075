"""Faces followed over the frames of `sequence.py`, and steadied."""
