"""Which differences between two results the rows of docs/differences.md explain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

KNOWN: list[tuple[str, str, Callable[[str, Any, Any], bool]]] = []
