"""Where a cell of the Sharp Bits does not show what the document shows, and why.

Invariant: a deviation names one cell and one text of the document; the rest of that cell is compared as everywhere. Each is
still needed: a test finds that without it the cell differs.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Reason = Literal[
    "unseeded host randomness",
    "removed from a third-party API",
    "tracebacks and paths",
    "names of another library's internals",
    "today's weak-type promotion",
]


class Deviation(NamedTuple):
    """In `channel` of `cell` (its code, or one of `runner.CHANNELS`) the document has one text and we have another."""

    cell: str
    channel: str
    document: str
    here: str  # <number> stands for any number with decimals
    reason: Reason
    why: str


_TRACEBACK = """\
---------------------------------------------------------------------------
TypeError Traceback (most recent call last)
<ipython-input-3-a717a200f584> in <module>
2
3 # In place update of JAX's array will yield an error!
----> 4 jax_array[1, :] = 1.0
3233 "immutable; perhaps you want jax.ops.index_update or "
-> 3235 raise TypeError(msg.format(type(self)))
3236
3237 _operators = {"""
_PLACE = """\
/home/docs/checkouts/readthedocs.org/user_builds/jax/envs/latest/lib/python3.7/site-packages/jax/lib/xla_bridge.py:120: \
UserWarning:"""
_NO_ACCELERATOR = "No GPU/TPU found, falling back to CPU."

DEVIATIONS = [
    Deviation(
        "jax_update", "raises", _TRACEBACK, "", "tracebacks and paths",
        "Line numbers and files of another library; the message, which ends the traceback, is compared.",
    ),
    Deviation(
        "jax_update", "raises", "jax.lax.lax._FilledConstant", "anima.Array", "names of another library's internals",
        "The class of an array of zeros there; here every array is an Array.",
    ),
    Deviation(
        "jax_update", "says", "", _NO_ACCELERATOR, "names of another library's internals",
        "A _FilledConstant needed no device, so the message came with the cell that printed one; here the array is made "
        "at once, on a device.",
    ),
    Deviation(
        "index_update", "says", "warnings.warn('No GPU/TPU found, falling back to CPU.')", "", "tracebacks and paths",
        "The source line there, which Python shows below a warning.",
    ),
    Deviation(
        "index_update", "says", _NO_ACCELERATOR, "", "names of another library's internals",
        "The message has come already, with the cell jax_update.",
    ),
    Deviation(
        "index_update", "says", _PLACE, "", "tracebacks and paths",
        "Where the message came from in another library's files.",
    ),
    Deviation(
        "host_numbers", "prints", "0.11212922979678686 0.1564047889614152 0.8561243765676295", "<number> <number> <number>",
        "unseeded host randomness",
        "NumPy's own generator, not seeded by the document.",
    ),
    Deviation(
        "printing_tracers", "prints", "ShapedArray(int32[]):", "ShapedArray(int32[], weak_type=True):",
        "today's weak-type promotion",
        "2 * x for the Python scalar 2 and a weakly typed x is weakly typed today.",
    ),
    Deviation(
        "convolution_3d", "code", "fig.gca(projection='3d')", "fig.add_subplot(projection='3d')",
        "removed from a third-party API",
        "Figure.gca takes no arguments since Matplotlib 3.7.",
    ),
]  # fmt: skip

# What cells say besides on standard error, by its beginning.
ADVICE = {
    cell: f"<{cell}>:{line}: UserWarning: Explicitly requested dtype float64 in uniform is not available"
    for cell, line in (("single_precision", 1), ("single_precision_at_startup", 2))
}
