"""The threads inside numpy's matrix products."""

import ctypes
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

_lock = Lock()
_users = 0
_before = 1


@contextmanager
def one_blas_thread() -> Generator[None]:
    """Keep OpenBLAS, where numpy brought it, to one thread a product, in the whole process; then set it back.

    The threads of a product wait for one another in a busy loop. Products as small as ours gain little from
    them, and on a machine that has other work to do they become many times slower.
    """
    library = _openblas()
    if library is None:
        yield
        return
    global _users, _before
    with _lock:
        _users += 1
        if _users == 1:
            _before = library.scipy_openblas_get_num_threads64_()
            library.scipy_openblas_set_num_threads64_(1)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                library.scipy_openblas_set_num_threads64_(_before)


@cache
def _openblas() -> ctypes.CDLL | None:
    """Return the library in numpy's wheel, which numpy has loaded; None where numpy was built with another."""
    folder = Path(np.__file__).parent.parent / "numpy.libs"
    for path in folder.glob("libscipy_openblas64_*"):
        return ctypes.CDLL(str(path))
    return None
