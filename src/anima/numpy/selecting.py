"""Elements chosen by conditions or by computed places."""

from __future__ import annotations
