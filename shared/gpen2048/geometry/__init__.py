"""Pixels at other positions and sizes: warps and filters, rectangles, and the picture enlarged behind the faces."""
