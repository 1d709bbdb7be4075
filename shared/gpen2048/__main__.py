"""`python -m gpen2048`, and the command `gpen2048`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

# Turns that PyTorch's threads on Linux (libgomp) wait actively for each other; its default is 300,000.
# Where another program keeps a core busy they wait for a thread that has none: the search of a photo of 4000 px took
# 3.5 to 7.5 s, with this 0.3 to 0.4 s. On idle cores it takes 0.12 s with and without, and 0.19 s with passive waiting.
SPINS = "4000"


def main() -> int:
    """The exit code of the command in `sys.argv`."""
    if "OMP_WAIT_POLICY" not in os.environ:  # what the user chose; libgomp would heed the count before it
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when PyTorch is loaded, which the command does
    is_met = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where a shell has Ctrl-C ignored
    is_met = is_met and threading.current_thread() is threading.main_thread()
    if is_met:
        signal.signal(signal.SIGINT, _leave)
    from .cli import main as run

    if is_met:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(is_program=True)


def _leave(*_: object) -> NoReturn:
    """Nothing is begun yet; and what is raised while packages are imported, some of them lose or take for another."""
    print("gpen2048: interrupted", file=sys.stderr, flush=True)
    os._exit(130)  # 128 + SIGINT, as shells have it


if __name__ == "__main__":
    sys.exit(main())
