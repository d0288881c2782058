"""NumPy's functions on arrays that can be traced, differentiated, mapped and compiled."""

from __future__ import annotations

from anima.numpy.creation import *
from anima.numpy.scalar_types import *
from anima.numpy.arithmetic import *
from anima.numpy.elementary import *
from anima.numpy.logic import *
from anima.numpy.reductions import *
import anima.numpy.methods
