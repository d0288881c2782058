"""The functions of `lax` that take arrays, with descriptions of the arguments to compare them with JAX's on."""

from __future__ import annotations

from tests.peers.lax_table import contracting, elementwise, indexing, reducing, shaping
from tests.peers.lax_table.entry import TABLE as TABLE

MODULES = (contracting, elementwise, indexing, reducing, shaping)
