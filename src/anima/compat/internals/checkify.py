"""For `flax`."""

from typing import TypeVar

from anima.experimental.checkify import (
    Error as Error,
    JaxException as JaxException,
    checkify as checkify,
    user_checks as user_checks,
)

Out = TypeVar("Out")
