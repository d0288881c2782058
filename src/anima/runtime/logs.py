"""Messages of the run-time system.

Invariant: ``logging`` costs 5 ms to import, so it is imported only to say something that a user asked for;
a program that wants to see debug messages has imported it to configure it.
"""

from __future__ import annotations

import sys

from anima.config import logging_level

__all__ = ["debug", "notice", "warn"]


def debug(message: str, *details: object) -> None:
    """Logs at level DEBUG, if the program has imported ``logging``. ``details`` go into ``message`` by ``%``."""
    if "logging" in sys.modules:
        _log("DEBUG", message, details)


def warn(message: str, *details: object) -> None:
    """Logs at level WARNING: what an option such as ``jax_log_compiles`` asks to see."""
    _log("WARNING", message, details)


def notice(message: str) -> None:
    """Says something once that nobody asked for: by the logger 'anima' at level WARNING, whose default is standard error.

    Where the program has not imported ``logging``, what the logger would do is done without it.
    """
    if "logging" in sys.modules:
        _log("WARNING", message, ())
    elif logging_level.value not in ("ERROR", "CRITICAL"):
        print(message, file=sys.stderr)


def _log(level: str, message: str, details: tuple[object, ...]) -> None:
    import logging

    logger = logging.getLogger("anima")
    wanted = logging.getLevelName(logging_level.value)
    if logger.level != wanted and logging_level.value != logging_level.default:
        logger.setLevel(wanted)
    logger.log(logging.getLevelName(level), message, *details, stacklevel=3)
