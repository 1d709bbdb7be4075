"""A way out of waiting for compilers, who do not ask between their steps whether anybody still wants what they make."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager


class Cancelled(BaseException):
    """Its cause is what the check raised. No Exception, so that nobody takes it for a compiler's failure."""


class _Check:
    """Raises Cancelled from the first time on that `check` raises, as several threads may have to stop."""

    def __init__(self, check: Callable[[], None]):
        self._check = check
        self._reason: BaseException | None = None

    def __call__(self) -> None:
        if self._reason is None:
            try:
                self._check()
            except BaseException as reason:
                self._reason = reason
        if self._reason is not None:
            raise Cancelled from self._reason


_current: _Check | None = None


@contextmanager
def cancellable(check: Callable[[], None]) -> Generator[None]:
    """While this lasts, `check` is called before each function that is compiled; what it raises comes out of here.

    For hosts, which do one thing at a time: it counts for all threads.
    """
    global _current
    before, _current = _current, _Check(check)
    try:
        yield
    except Cancelled as cancelled:
        reason = cancelled.__cause__
        assert reason is not None
        raise reason from None
    finally:
        _current = before


def check_cancelled() -> None:
    """Raises Cancelled when the user no longer wants what is being compiled."""
    if _current is not None:
        _current()
