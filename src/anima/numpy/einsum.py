"""Einstein summation: einsum, einsum_path."""

from __future__ import annotations
