"""A way out of long work that tells nobody how far it is: of compilers, and of the search for faces."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager


class Cancelled(BaseException):
    """No Exception, so that nobody takes it for a failure. What the check raised takes its place."""


class _Check:
    """Raises Cancelled from the first time on that `check` raises, as several threads may have to stop."""

    def __init__(self, check: Callable[[str], None]):
        self._check = check
        self._reason: BaseException | None = None

    def __call__(self, what: str) -> None:
        if self._reason is None:
            try:
                self._check(what)
            except BaseException as reason:
                self._reason = reason.with_traceback(None)
        if self._reason is not None:
            raise Cancelled

    def raise_reason(self) -> None:
        """What `check` raised, in no cycle of references: such a one would keep all callers' networks and pictures."""
        reason, self._reason = self._reason, None
        if reason is not None:
            try:
                raise reason
            finally:
                reason.__context__ = None
                del reason


_current: _Check | None = None


@contextmanager
def cancellable(check: Callable[[str], None]) -> Generator[None]:
    """While this lasts, `check` is told what is being done, step by step; what it raises comes out of here.

    For hosts, which do one thing at a time: it counts for all threads.
    """
    global _current
    before, _current = _current, _Check(check)
    mine = _current
    try:
        yield
    except Cancelled:
        pass
    finally:
        _current = before
    mine.raise_reason()


def check_cancelled(what: str) -> None:
    """Raises Cancelled when the user no longer wants `what` is being done, such as "compiling"."""
    if _current is not None:
        _current(what)
