"""Child processes of tests."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


def fork_beside_threads(use: Callable[[], object]) -> None:
    """Check that children can use what threads of their parent were using when they were made: no lock is left taken."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            use()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(5)
                try:
                    use()
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
