"""Einstein summation: `einsum` and `einsum_path`."""

from __future__ import annotations
