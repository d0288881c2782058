"""How libraries are loaded when the package is imported: quickly, and without leaving anything behind.

Invariant: after a block of this module the environment and Python's garbage collector are as they were before it.
"""

from __future__ import annotations

import gc
import os

__all__ = ["blas_threads_sleep_soon", "collector_paused"]

# The logarithm of the cycles that a thread of OpenBLAS spins for work before it sleeps: 0.3 ms.
_TIMEOUT = ("OPENBLAS_THREAD_TIMEOUT", "20")


class blas_threads_sleep_soon:
    """Block in which a BLAS library is loaded that is to leave the processors to others while it has nothing to do.

    OpenBLAS starts its threads when it is loaded, and each spins for 2**26 cycles before it sleeps, 25 ms, then and after every
    call: on two cores that took 14 to 40 ms of the import, and time of what XLA runs after a factorisation. The library reads
    the variable once, when it is loaded; a value that the user has set stays.
    """

    def __enter__(self) -> None:
        name, value = _TIMEOUT
        self._set = name not in os.environ
        if self._set:
            os.environ[name] = value

    def __exit__(self, *_: object) -> None:
        if self._set:
            os.environ.pop(_TIMEOUT[0], None)


class collector_paused:
    """Block in which Python's garbage collector does not run: what an import makes stays, and looking at it took 10 ms.

    What was made then belongs to the oldest generation, as it would after a few collections.
    """

    def __enter__(self) -> None:
        self._running = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if not gc.get_freeze_count():  # otherwise the program has frozen objects, which are to stay so
            gc.freeze()
            gc.unfreeze()
        if self._running:
            gc.enable()
