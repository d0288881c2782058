"""`with_layout_constraint`: the order in which an intermediate value lies in memory.

Invariant: it changes no number. Inside a program the compiler keeps to it; arguments and results of programs lie as all
arrays do, so where nothing is traced there is nothing to do.
"""

from __future__ import annotations

from typing import Any

from anima._native import tree_flatten, tree_unflatten
from anima.core import variance
from anima.core.aval import AbstractValue, array_aval, physical_aval
from anima.core.primitive import Primitive
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis
from anima.interpreters.key_reuse import same
from anima.lax.declare import jvp_linear
from anima.lowering.module import Context, Value
from anima.sharding.formats import Layout
from anima.transforms.arguments import check_inputs
from anima.tree.compare import flatten_axes


def _lower(ctx: Context, x: Value, *, layout: Layout) -> Value:
    # The elements of an extended dtype lie together: their dimensions are the last ones, in order.
    ndim = physical_aval(array_aval(x.aval)).ndim
    order = (*layout.major_to_minor, *range(len(layout.major_to_minor), ndim))
    if ndim < 2:
        return x
    text = f"dense<[{', '.join(map(str, reversed(order)))}]> : tensor<{ndim}xindex>"
    attrs = f'call_target_name = "LayoutConstraint", operand_layouts = [{text}], result_layouts = [{text}]'
    return ctx.op("stablehlo.custom_call", (x,), attrs=attrs)


def _batch(axis: Axis, args: Any, dims: Any, *, layout: Layout) -> tuple[Any, int]:
    """Examples lie one after the other, each as the layout says."""
    (x,), (d,) = args, dims
    inner = [i + (i >= d) for i in layout.major_to_minor]
    whole = Layout((d, *inner), layout.tiling, layout.sub_byte_element_size_in_bits)
    return layout_constraint_p.bind(x, layout=whole), d


def _shape(x: AbstractValue, *, layout: Layout) -> AbstractValue:
    return x


layout_constraint_p: Primitive = Primitive(
    "layout_constraint",
    shape=_shape,
    lower=_lower,
    jvp=lambda primals, tangents, **params: jvp_linear(layout_constraint_p, primals, tangents, **params),
    transpose=lambda ct, x, *, layout: [layout_constraint_p.bind(ct, layout=layout)],
    batch=_batch,
    keys=same,
    varying=variance.as_given,
)
layout_constraint_p.eager = lambda value, *, layout: value


def with_layout_constraint(x: Any, layouts: Any) -> Any:
    """`x`, an array or a pytree of them, lying in memory as `layouts` says inside compiled functions.

    Args:
      x: arrays, NumPy arrays or numbers.
      layouts: a `Layout`, or a pytree prefix of those.
    Returns:
      The same structure of arrays. Outside of compiled functions `x` as arrays.
    Raises:
      ValueError: a layout has another number of dimensions than its array, or is no order of them. TypeError: one is no `Layout`.

    >>> import anima
    >>> from anima.experimental.layout import Layout, with_layout_constraint
    >>> by_columns = anima.jit(lambda x: with_layout_constraint(x, Layout((1, 0))) * 2)
    >>> print(by_columns(anima.numpy.ones((1, 2))))
    [[2. 2.]]
    """
    leaves, structure = tree_flatten(x)
    leaves = check_inputs(leaves, with_layout_constraint, "with_layout_constraint", (x,), {})
    wanted = flatten_axes("with_layout_constraint layouts", structure, layouts)
    return tree_unflatten(structure, [_constrained(leaf, layout) for leaf, layout in zip(leaves, wanted)])


def _constrained(x: Any, layout: Any) -> Any:
    if not isinstance(layout, Layout):
        raise TypeError(f"with_layout_constraint: layouts must be Layouts, got {layout!r:.80}")
    shape = array_aval(aval_of(x)).shape
    if sorted(layout.major_to_minor) != list(range(len(shape))):
        raise ValueError(
            f"with_layout_constraint: {layout} is no order of the dimensions of an array of shape {shape}"
        )
    return layout_constraint_p.bind(x, layout=layout)
