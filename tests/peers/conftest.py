"""Comparisons with the peers: collected only where they are installed, as `make test-peers` does."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("jax") else ["*.py"]
