"""Arrays as sets: unique and its relatives, isin, union1d, intersect1d, setdiff1d, setxor1d."""

from __future__ import annotations
