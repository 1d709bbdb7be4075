"""Ctrl-C and SIGTERM, and what becomes of the program where they are sent more than once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from ..cancelling import cancellable

MOST = 2  # the first ends the work, the second the waiting for what is under way; more could only spoil that


class Terminated(KeyboardInterrupt):
    """Raised where SIGTERM met the program."""


class Interrupts:
    """SIGTERM, as from a service's manager, ends the work as Ctrl-C does, so that nothing half written is left."""

    def __init__(self) -> None:
        self.met = 0
        self._first: type[KeyboardInterrupt] | None = None
        self._is_work = False

    @contextmanager
    def met_in_work(self) -> Generator[None]:
        """Only in this `with` block they are raised, as KeyboardInterrupt; what follows says so and is left alone.

        The first is raised again at the next step of the work and at its end, however that is: where a signal meets a
        callback of a library written in C, as numba's compiler has them, what it raises is lost, and an import turns it
        into another error.
        """
        self._is_work = True
        try:
            with cancellable(self._raise_again):
                yield
        finally:
            self._is_work = False
            self._raise_again("ending")

    @contextmanager
    def handled(self, *, is_program: bool) -> Generator[None]:
        """Handlers are put back, unless the program has been told to end: Python takes seconds for that."""
        if threading.current_thread() is not threading.main_thread():  # only there can signals be met
            yield
            return
        before: dict[int, Any] = {signal.SIGTERM: signal.signal(signal.SIGTERM, self._meet)}
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # unless ignored, as in the background
            before[signal.SIGINT] = signal.signal(signal.SIGINT, self._meet)
        try:
            yield
        finally:
            for number, handler in before.items():
                is_ending = self.met and is_program
                signal.signal(number, signal.SIG_IGN if is_ending else handler or signal.SIG_DFL)

    def _meet(self, number: int, _: object) -> None:
        self.met += 1
        kind = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self._first = self._first or kind
        if self._is_work and self.met <= MOST:
            raise kind

    def _raise_again(self, _: str) -> None:
        if self._first is not None:
            raise self._first


def leave(code: int) -> NoReturn:
    """Ends the program though threads are still at work: Python, which takes itself apart under them, would crash."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)
