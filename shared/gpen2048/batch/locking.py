"""A file that no other run may write to meanwhile."""

from __future__ import annotations

import errno
import logging
import sys
from io import FileIO

LOCKED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # what flock says of a file that another run has locked
LOCKED_BYTE = 2**31 - 2  # Windows lets nobody read what is locked; so far off there are no lines, nor need there be

log = logging.getLogger(__name__)


def lock(file: FileIO) -> bool:
    """Whether nobody has locked it before; now it is, for as long as it is open, however the process ends.

    Where the file system knows no locks it goes without.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in LOCKED:
            return False
        log.warning("%s: no locks on this file system (%s); see that no other run writes to it", file.name, error)
    return True
