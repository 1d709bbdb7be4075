"""How faces look, and what of it is kept: colour, grain, sharpness, pose."""
