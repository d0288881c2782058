"""For `flax` and `numpyro`."""

from anima._native import get_trace
from anima.core import ShapedArray as ShapedArray


def trace_state_clean() -> bool:
    """Whether the code that asks is not being traced or transformed."""
    return get_trace() is None
