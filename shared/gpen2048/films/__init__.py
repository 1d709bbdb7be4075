"""Films in, through PyAV, and restored films out."""
