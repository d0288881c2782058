"""Functions applied along axes: vectorize, apply_along_axis, apply_over_axes, frompyfunc, ufunc."""

from __future__ import annotations
