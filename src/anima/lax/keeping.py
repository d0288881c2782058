"""A value that is computed once, for rules that compare it with what was computed from it.

Invariant: values pass unchanged. Whoever reads the result reads the same bits, on CPUs in programs of one partition.

XLA computes an elementwise operand anew in every loop that reads it, and a product and a sum are one rounding in one loop and two
in another. So a maximum may equal none of the elements that it is of, as a later loop sees them: in `y = a * b + c` of (256, 300)
with `a * b` read beside it, in 45 of 256 rows. `optimization_barrier` is no help on CPUs, where XLA drops it before it forms loops,
and all there is where no kernel may be called.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing
from anima.core.trace import Tracer
from anima.interpreters.batch import Axis
from anima.lax.declare import INEXACT, declare
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel


def _lower(ctx: Context, x: Value) -> Value:
    if x.stored or 0 in x.shape:
        return x
    if ctx.module.kernels_allowed and dtypes.itemsize_bits(x.dtype) >= 8:
        return call_kernel(ctx, "anima_keep", [x], [x.aval], in_place={0: 0})[0]
    return ctx.op("stablehlo.optimization_barrier", (x,), x.aval)


def _batch(axis: Axis, args: Any, dims: Any) -> tuple[Any, int]:
    return computed_once(args[0]), dims[0]


def _jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    return computed_once(primals[0]), tangents[0]


def _same(x: ShapedArray) -> ShapedArray:
    return x


computed_once_p = declare(
    "computed_once",
    shape=_same,
    lower=_lower,
    jvp=_jvp,
    transpose=Missing("its tangents do not pass through it"),
    batch=_batch,
    dtypes=INEXACT,
)


def computed_once(x: Any) -> Any:
    """`x`, which a compiled program computes once however many operations read it; arrays are returned as they are.

    Args:
      x: an array of floating-point or complex numbers, or a tracer.

    >>> from anima import jit
    >>> from anima.lax.keeping import computed_once
    >>> print(jit(lambda x: computed_once(x * 2.0))(1.0))
    2.0
    """
    return computed_once_p.bind(x) if isinstance(x, Tracer) else x
