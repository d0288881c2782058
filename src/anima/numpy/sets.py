"""Arrays as sets: unique elements, membership, union, intersection, difference."""

from __future__ import annotations
