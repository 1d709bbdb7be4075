"""Loops that numba compiles once and keeps, and the large pages of memory they work in."""
