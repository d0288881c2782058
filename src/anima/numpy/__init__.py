"""NumPy's functions on arrays that can be traced, differentiated, mapped and compiled."""

from __future__ import annotations

from anima.numpy.creation import *
from anima.numpy.scalar_types import *
