"""GPEN-BFR-2048 blind face restoration."""
