"""How faces look: colour and grain, which can be kept; sharpness and pose, by which the strength is judged."""
