"""Elements padded, repeated, rolled, flipped, inserted and deleted."""

from __future__ import annotations
