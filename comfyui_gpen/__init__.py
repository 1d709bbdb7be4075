"""GPEN in ComfyUI."""
