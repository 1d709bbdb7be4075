"""GPEN in AUTOMATIC1111's webui and its family: a thin door to `gpen2048`."""
