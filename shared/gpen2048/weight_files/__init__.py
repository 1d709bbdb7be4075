"""Weight files of every kind: read without running anything in them, checked, converted, made."""
