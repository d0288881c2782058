"""Numbers with names."""

from __future__ import annotations

import math

pi = math.pi
e = math.e
euler_gamma = 0.57721566490153286
inf = math.inf
nan = math.nan
newaxis = None
