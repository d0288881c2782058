"""Comparisons with the peers: collected only where they are installed, as `make test-peers` does."""

from __future__ import annotations

import importlib.util

# The table is imported by its package, and importing a module of it again, to look for examples, would fill it twice.
collect_ignore_glob = ["lax_table/*.py"] if importlib.util.find_spec("jax") else ["*.py"]
