"""`python -m gpen2048`."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
