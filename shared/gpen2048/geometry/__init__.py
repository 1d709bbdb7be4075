"""Pixels at other positions and sizes: what `alignment.py` and `compositing.py` move them with."""
