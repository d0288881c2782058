"""Sorting and searching in sorted arrays."""

from __future__ import annotations
