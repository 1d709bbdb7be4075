"""What `detection.py` searches with: networks, what they are shown, and what is made of their finds."""
