"""`sparsify`: functions of dense arrays applied to sparse ones.

Invariant: a program is walked equation by equation; one whose operands are all dense runs as it is, any other by its rule in
`RULES`. A rule is for one operation and is called with the operands, of which one is sparse at least, and the parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from anima import dtypes, lax, numpy as np
from anima._native import tree_flatten, tree_unflatten
from anima.core.aval import ShapedArray
from anima.core.jaxpr import ClosedJaxpr, Literal
from anima.core.primitive import primitives
from anima.core.trace import Trace, Tracer, ambient, aval_of, get_trace
from anima.experimental.sparse.base import is_sparse
from anima.experimental.sparse.bcoo import BCOO
from anima.experimental.sparse.bcoo_convert import bcoo_sum_duplicates
from anima.experimental.sparse.bcoo_products import (
    bcoo_conv_general_dilated,
    bcoo_dot_general,
    bcoo_multiply_dense,
    bcoo_multiply_sparse,
)
from anima.experimental.sparse.bcoo_shape import (
    bcoo_broadcast_in_dim,
    bcoo_concatenate,
    bcoo_dynamic_slice,
    bcoo_gather,
    bcoo_reduce_sum,
    bcoo_reshape,
    bcoo_rev,
    bcoo_slice,
    bcoo_squeeze,
    bcoo_transpose,
)
from anima.experimental.sparse.densify import dense_of, todense_p
from anima.interpreters.stage import stage
from anima.transforms.arguments import FlatFunction, check_callable, name_of
from anima.transforms.jit import jit


def sparse_aval(value: Any) -> Any:
    """The aval of the dense array that a value stands for."""
    return ShapedArray(value.shape, value.dtype) if is_sparse(value) else aval_of(value)


def sparsify(f: Callable[..., Any], use_tracer: bool = False) -> Callable[..., Any]:
    """A function of sparse arrays from one of dense arrays.

    Args:
      f: a function of arrays and pytrees of them, made of operations that zeros do not hinder: sums, products, slices, and
        functions with f(0) = 0.
      use_tracer: run `f` on tracers that hold sparse arrays, rather than trace it first; Python control flow then may depend on
        dense values.
    Returns:
      A function that takes and returns sparse arrays (BCOO) or dense ones.
    Raises:
      TypeError: `f` is no function. The returned function raises NotImplementedError for an operation that has no rule for sparse
      arrays, or whose result would be dense.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> f = sparse.sparsify(lambda x, v: 2 * (np.sin(x) @ v))
    >>> print(f(sparse.eye(2), np.array([1.0, 0.0])).round(3))
    [1.683 0.   ]
    """
    check_callable(f, "sparsify")

    @functools.wraps(f)
    def sparse_function(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = tree_flatten((args, kwargs), is_sparse)
        flat = FlatFunction(f, tree)
        if use_tracer:
            outs = _traced(flat, leaves)
        else:
            jaxpr, consts = stage(flat, [sparse_aval(x) for x in leaves], name_of(f))
            outs = _walk(ClosedJaxpr(jaxpr, consts), *leaves)
        return tree_unflatten(flat.out_tree, outs)

    return sparse_function


def _walk(closed: ClosedJaxpr, *args: Any) -> list[Any]:
    """The results of a program."""
    jaxpr = closed.jaxpr
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts))
    env.update(zip(jaxpr.invars, args))

    def read(atom: Any) -> Any:
        return atom.val if type(atom) is Literal else env[atom]

    for eqn in jaxpr.eqns:
        env.update(zip(eqn.outvars, _apply(eqn.primitive, [read(a) for a in eqn.invars], eqn.params)))
    return [read(a) for a in jaxpr.outvars]


def _apply(primitive: Any, operands: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    """The results of one operation."""
    if not any(map(is_sparse, operands)):
        outs = primitive.bind(*operands, **params)
        return list(outs) if primitive.multiple_results else [outs]
    rule = RULES.get(primitive.name)
    if rule is None:
        why = ""
        if primitive.name in _DENSE:
            why = ": its result would be dense. Where that is meant, make the operands dense with sparse.todense"
        raise NotImplementedError(f"sparsify: {primitive.name} has no rule for sparse arrays{why}")
    if not any(isinstance(x, BCOO) for x in operands) or any(
        is_sparse(x) and not isinstance(x, BCOO) for x in operands
    ):
        operands = [x.to_bcoo() if is_sparse(x) and not isinstance(x, BCOO) else x for x in operands]
    outs = rule(*operands, **params)
    outs = list(outs) if primitive.multiple_results else [outs]
    # What has no dimensions is a number.
    return [
        dense_of(x) if is_sparse(x) and not x.shape and primitive.name == "reduce_sum" else x for x in outs
    ]


# --- tracers that hold sparse arrays ------------------------------------------------------------


class SparseTracer(Tracer):
    """Stands for a value inside `sparsify` with `use_tracer`; it may be a sparse array."""

    __slots__ = ("value",)

    def __init__(self, trace: Trace, *, spvalue: Any) -> None:
        self._trace = trace
        self.value = spvalue

    @property
    def aval(self) -> Any:
        return sparse_aval(self.value)

    def concrete(self) -> Any | None:
        if is_sparse(self.value):
            return None
        return self.value.concrete() if isinstance(self.value, Tracer) else self.value


class SparseTrace(Trace):
    """Applies rules for sparse arrays at once."""

    __slots__ = ()

    def __init__(self, parent: Trace | None) -> None:
        self.parent = parent

    def process(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        values = [x.value if isinstance(x, SparseTracer) and x._trace is self else x for x in args]
        with ambient(self.parent):
            outs = _apply(primitive, values, params)
        traced = [SparseTracer(self, spvalue=x) for x in outs]
        return traced if primitive.multiple_results else traced[0]

    def describe(self) -> str:
        return "sparsify"


def _traced(flat: FlatFunction, leaves: Sequence[Any]) -> list[Any]:
    trace = SparseTrace(get_trace())
    with ambient(trace):
        outs = flat(*[SparseTracer(trace, spvalue=x) for x in leaves])
    return [x.value if isinstance(x, SparseTracer) and x._trace is trace else x for x in outs]


# --- rules --------------------------------------------------------------------------------------

RULES: dict[str, Callable[..., Any]] = {}


def _with(mat: BCOO, data: Any) -> BCOO:
    """Other values at the same places."""
    return BCOO(
        (data, mat.indices),
        shape=mat.shape,
        indices_sorted=mat.indices_sorted,
        unique_indices=mat.unique_indices,
    )


def _on_values(name: str, linear: bool) -> Callable[..., Any]:
    """The rule of an operation on elements that keeps zeros."""

    def rule(x: BCOO, **params: Any) -> BCOO:
        if not linear and not x.unique_indices:
            x = bcoo_sum_duplicates(x, nse=x.nse)
        bind: Callable[..., Any] = primitives[name].bind
        return _with(x, bind(x.data, **params))

    return rule


def _integer_pow(x: BCOO, *, y: int) -> BCOO:
    if y <= 0:
        raise NotImplementedError(
            f"sparsify: the power {y} of a sparse array would be dense. Where that is meant, make it dense with sparse.todense"
        )
    x = x if x.unique_indices else bcoo_sum_duplicates(x, nse=x.nse)
    return _with(x, lax.integer_pow(x.data, y))


def _same_places(x: Any, y: Any) -> bool:
    return x.indices is y.indices and x.shape == y.shape and x.data.shape == y.data.shape


def _add(x: Any, y: Any) -> Any:
    if is_sparse(x) and is_sparse(y):
        if _same_places(x, y):
            return _with(x, x.data + y.data)
        if x.shape != y.shape:
            raise NotImplementedError(
                f"sparsify: sparse arrays that are added must have one shape, got {x.shape} and {y.shape}"
            )
        if (x.n_batch, x.n_dense) != (y.n_batch, y.n_dense):
            raise NotImplementedError(
                "sparsify: sparse arrays that are added must have the same n_batch and n_dense; use update_layout"
            )
        if x.n_sparse:
            return _together(x, y)
        return _with(x, x.data.sum(x.n_batch, keepdims=True) + y.data.sum(y.n_batch, keepdims=True))
    x, y = (y, x) if is_sparse(y) else (x, y)
    if aval_of(y).shape != x.shape:  # type: ignore[attr-defined]
        raise NotImplementedError(
            "sparsify: a sparse array is added only to a dense one that has the shape of the sum, which is dense. Where more is "
            "meant, make the sparse array dense with sparse.todense"
        )
    return dense_of(x) + y


def _together(x: BCOO, y: BCOO) -> BCOO:
    """The sum of two arrays: the elements of both."""
    n = x.n_batch
    batch = np.broadcast_shapes(x.batch_shape, y.batch_shape)
    data, indices = (
        np.concatenate([np.broadcast_to(b, (*batch, *b.shape[n:])) for b in pair], n)
        for pair in ((x.data, y.data), (x.indices, y.indices))
    )
    return BCOO((data, indices), shape=x.shape)


def _sub(x: Any, y: Any) -> Any:
    return _add(x, _with(y, -y.data) if is_sparse(y) else -y)


def _mul(x: Any, y: Any) -> Any:
    if is_sparse(x) and is_sparse(y):
        if _same_places(x, y) and x.unique_indices:
            return _with(x, x.data * y.data)
        return bcoo_multiply_sparse(x, y)
    x, y = (y, x) if is_sparse(y) else (x, y)
    return _with(x, bcoo_multiply_dense(x, y))


def _div(x: Any, y: Any) -> Any:
    if is_sparse(y):
        raise NotImplementedError(
            "sparsify: a quotient by a sparse array would be dense. Where that is meant, make it dense with sparse.todense"
        )
    if dtypes.is_int(x.dtype):
        return _with(x, lax.div(x.data, np.broadcast_to(_at(x, y), x.data.shape)))
    return _with(x, x.data / _at(x, y))


def _at(mat: BCOO, dense: Any) -> Any:
    """The values of a dense array at the places of a sparse one, and 1 for padding."""
    ones = _with(mat, np.ones_like(mat.data))
    values = bcoo_multiply_dense(ones, dense)
    keep = bcoo_multiply_dense(ones, np.ones(mat.shape[-1:], mat.dtype)) if np.ndim(dense) else 1
    return np.where(keep == 0, np.ones_like(values), values)


def _plain(fun: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """The rule that is a function of BCOO with these parameters."""

    def rule(x: BCOO, **params: Any) -> Any:
        return fun(x, **{name: params[name] for name in names})

    return rule


def _concatenate(*operands: Any, dimension: int) -> BCOO:
    if not all(map(is_sparse, operands)):
        raise NotImplementedError(
            "sparsify: dense and sparse arrays cannot be concatenated; make all of one kind"
        )
    return bcoo_concatenate(operands, dimension=dimension)


def _stack(*operands: Any, axis: int) -> BCOO:
    ndim = operands[0].ndim
    places = [d for d in range(ndim + 1) if d != axis]
    shape = (*operands[0].shape[:axis], 1, *operands[0].shape[axis:])
    if not all(map(is_sparse, operands)):
        raise NotImplementedError("sparsify: dense and sparse arrays cannot be stacked; make all of one kind")
    rows = [bcoo_broadcast_in_dim(x, shape=shape, broadcast_dimensions=places) for x in operands]
    return bcoo_concatenate(rows, dimension=axis)


def _split(x: BCOO, *, sizes: Sequence[int], axis: int) -> list[BCOO]:
    parts, start = [], 0
    for size in sizes:
        low, high = [0] * x.ndim, list(x.shape)
        low[axis], high[axis] = start, start + size
        parts.append(bcoo_slice(x, start_indices=low, limit_indices=high))
        start += size
    return parts


def _dot_general(
    x: Any, y: Any, *, dimension_numbers: Any, precision: Any, preferred_element_type: Any, **_: Any
) -> Any:
    return bcoo_dot_general(
        x,
        y,
        dimension_numbers=dimension_numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _gather(x: Any, starts: Any, *, dimension_numbers: Any, slice_sizes: Any, **_: Any) -> BCOO:
    return bcoo_gather(x, starts, dimension_numbers, slice_sizes)


def _conv(x: Any, y: Any, *, window_strides: Any, padding: Any, **params: Any) -> BCOO:
    names = ("lhs_dilation", "rhs_dilation", "feature_group_count", "batch_group_count")
    kept = {name: params[name] for name in names if name in params}
    return bcoo_conv_general_dilated(x, y, window_strides=window_strides, padding=padding, **kept)


def _program(closed: ClosedJaxpr) -> Callable[..., Any]:
    """A jitted form of a program, made once for it."""
    made: Callable[..., Any] = closed.jaxpr.memoized(
        "sparsify", lambda: jit(functools.partial(_walk, closed))
    )
    return made


def _call(name: str) -> Callable[..., Any]:
    """The rule of an operation that runs the program among its parameters."""

    def rule(*operands: Any, **params: Any) -> Any:
        return _program(params[name])(*operands)

    return rule


def _cond(index: Any, *operands: Any, branches: Sequence[ClosedJaxpr], **_: Any) -> Any:
    return lax.switch(index, [functools.partial(_walk, b) for b in branches], *operands)


def _while(
    *operands: Any, cond_jaxpr: Any, body_jaxpr: Any, cond_nconsts: int, body_nconsts: int, **_: Any
) -> Any:
    middle = cond_nconsts + body_nconsts
    of_cond, of_body, carry = operands[:cond_nconsts], operands[cond_nconsts:middle], operands[middle:]
    return lax.while_loop(
        lambda c: _walk(cond_jaxpr, *of_cond, *c)[0], lambda c: _walk(body_jaxpr, *of_body, *c), list(carry)
    )


def _scan(
    *operands: Any,
    jaxpr: Any,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
    unroll: Any,
    **_: Any,
) -> Any:
    consts, rest = operands[:num_consts], operands[num_consts:]
    carry, xs = rest[:num_carry], rest[num_carry:]
    if any(is_sparse(x) and not x.n_batch for x in xs):
        raise NotImplementedError(
            "sparsify: what a scan runs over must have a batch dimension; use update_layout"
        )

    def body(c: Any, x: Any) -> Any:
        outs = _walk(jaxpr, *consts, *c, *x)
        return outs[:num_carry], outs[num_carry:]

    last, ys = lax.scan(body, list(carry), list(xs), length=length, reverse=reverse, unroll=unroll)
    return [*last, *ys]


_LINEAR = (
    "convert_element_type",
    "copy",
    "neg",
    "real",
    "imag",
    "conj",
    "reduce_precision",
    "stage",
    "stop_gradient",
)
_ZERO_KEEPING = (
    "abs", "asin", "asinh", "atan", "atanh", "cbrt", "ceil", "expm1", "erf", "floor", "log1p", "round", "sign", "sin", "sinh",
    "sqrt", "square", "tan", "tanh",
)  # fmt: skip
_DENSE = frozenset((
    "acos", "acosh", "cos", "cosh", "digamma", "eq", "erf_inv", "erfc", "exp", "exp2", "ge", "gt", "is_finite", "le", "lgamma", "log",
    "logistic", "lt", "ne", "rsqrt", "not",
))  # fmt: skip

RULES.update(
    {name: _on_values(name, linear=True) for name in _LINEAR}
    | {name: _on_values(name, linear=False) for name in _ZERO_KEEPING}
    | {
        "integer_pow": _integer_pow,
        "add": _add,
        "add_any": _add,
        "sub": _sub,
        "mul": _mul,
        "div": _div,
        "dot_general": _dot_general,
        "concatenate": _concatenate,
        "stack": _stack,
        "split": _split,
        "gather": _gather,
        "conv_general_dilated": _conv,
        "reduce_sum": _plain(bcoo_reduce_sum, "axes"),
        "transpose": _plain(bcoo_transpose, "permutation"),
        "reshape": _plain(bcoo_reshape, "new_sizes"),
        "rev": _plain(bcoo_rev, "dimensions"),
        "squeeze": _plain(bcoo_squeeze, "dimensions"),
        "slice": _plain(bcoo_slice, "start_indices", "limit_indices", "strides"),
        "broadcast_in_dim": _plain(bcoo_broadcast_in_dim, "shape", "broadcast_dimensions"),
        "dynamic_slice": lambda x, *starts, slice_sizes: bcoo_dynamic_slice(x, starts, slice_sizes),
        todense_p.name: dense_of,
        "jit": _call("jaxpr"),
        "checkpoint": _call("jaxpr"),
        "custom_jvp_call": lambda *xs, call_jaxpr=None, **_: _walk(call_jaxpr, *xs),
        "custom_vjp_call": lambda *xs, call_jaxpr=None, **_: _walk(call_jaxpr, *xs),
        "cond": _cond,
        "while": _while,
        "scan": _scan,
    }
)
