"""Ctrl-C and SIGTERM, as from a service's manager, end a command so that nothing half written is left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import NoReturn

from ..cancelling import cancellable


class Terminated(KeyboardInterrupt):
    """Raised where SIGTERM met the program."""


@contextmanager
def stoppable() -> Generator[None]:
    """While this lasts, SIGINT raises KeyboardInterrupt and SIGTERM Terminated, unless the former is ignored.

    They are raised again at the next step of the work and at its end, however that is: where a signal meets a callback
    of a library written in C, as numba's compiler has them, what it raises is lost, and an import turns it into another
    error.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can signals be met
        yield
        return
    kinds: dict[int, type[KeyboardInterrupt]] = {signal.SIGTERM: Terminated}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        kinds[signal.SIGINT] = KeyboardInterrupt
    met: list[int] = []

    def end(number: int, _: object) -> NoReturn:
        met.append(number)
        raise kinds[number]

    def check(_: str) -> None:
        if met:
            raise kinds[met[0]]

    before = {number: signal.signal(number, end) for number in kinds}
    try:
        with cancellable(check):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        check("ending")
