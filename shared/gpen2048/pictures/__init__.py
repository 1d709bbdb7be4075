"""What `images.py` reads and writes files with."""
