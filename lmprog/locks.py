"""Locks between processes."""

import os
import sys

_BEYOND = 1 << 20
"""A place in the file that is never written to."""


def lock(handle: int) -> None:
    """Lock an open file until it is closed, however its process ends.

    BlockingIOError, or PermissionError on Windows, where it is locked already; another OSError where the file system
    knows no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(
            handle, _BEYOND, os.SEEK_SET
        )  # a locked byte cannot be read, and what stands in the file may be wanted
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
