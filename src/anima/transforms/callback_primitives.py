"""The operations behind Python functions inside programs: `pure_callback`, `io_callback` and `debug_callback`.

Invariant: a callback's number is a run-time operand and never part of the program, so programs with callbacks are
cached like others; the function lives as long as any program that may call it. Called eagerly, a function is simply
called, in the caller's thread. Results are checked against the declared types on every road, in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from anima import _native, dtypes, options
from anima._native import ArrayImpl, PyTreeDef, tree_flatten, tree_unflatten
from anima.core import hooks
from anima.core.aval import AbstractValue, ShapedArray, array_aval
from anima.core.effects import DebugEffect, Effect, Effects, IOEffect, OrderedIOEffect
from anima.core.primitive import Missing, Primitive, primitives
from anima.core.trace import aval_of, get_trace, shaped
from anima.errors import MissingRuleError, XlaRuntimeError
from anima.interpreters.batch import Axis, without_axis
from anima.interpreters.jvp import stage_closed
from anima.lax.control.scan_primitive import scan_p
from anima.lowering.manual import mark
from anima.lowering.module import TOKEN, Context, Value
from anima.lowering.types import row_major
from anima.runtime.devices import backends, client, default_device
from anima.runtime.dispatch import check_operand, device_of
from anima.runtime.effects import wait_for_ordered
from anima.sharding import Sharding
from anima.sharding.hlo import MANUAL, REPLICATED
from anima.tree_util import keystr, tree_leaves_with_path

_PLATFORMS = ("cpu", "cuda")
_INTERNAL = 13  # the status code of a program whose callback raised


class HostFunction:
    """A user's Python function of flat arrays, as programs call it: where it was traced, with the options of then.

    With `out_tree` None its result does not matter.
    """

    __slots__ = ("_options", "fun", "in_tree", "name", "out_tree", "what")

    def __init__(
        self, what: str, name: str, fun: Callable[..., Any], in_tree: PyTreeDef, out_tree: PyTreeDef | None
    ) -> None:
        self.what = what
        self.name = name
        self.fun = fun
        self.in_tree = in_tree
        self.out_tree = out_tree
        self._options = options.seen_here()

    def __call__(self, operands: Sequence[Any], avals: Sequence[ShapedArray]) -> list[Any]:
        """The results for these arrays, as NumPy arrays of the declared types.

        Raises:
          TypeError, ValueError: the function returned something else.
        """
        with options.seen_as(self._options):
            args, kwargs = tree_unflatten(self.in_tree, operands)
            value = self.fun(*args, **kwargs)
            return [] if self.out_tree is None else self._checked(value, avals)

    def _checked(self, value: Any, avals: Sequence[ShapedArray]) -> list[Any]:
        leaves, tree = tree_flatten(value)
        if tree != self.out_tree:
            raise ValueError(
                f"{self.what}: {self.name} returned {tree}, but result_shape_dtypes is {self.out_tree}"
            )
        results = [_host_result(leaf) for leaf in leaves]
        for index, (result, aval) in enumerate(zip(results, avals)):
            if result.shape == aval.shape and result.dtype == aval.dtype:
                continue
            path = keystr(tree_leaves_with_path(value)[index][0])
            error = ValueError if result.dtype == aval.dtype else TypeError
            raise error(
                f"{self.what}: {self.name} returned {_type_text(result)} for result{path}, but "
                f"result_shape_dtypes says {aval.str_short(short_dtypes=False)}"
            )
        return results

    def __repr__(self) -> str:
        return self.name


def _type_text(value: np.ndarray[Any, Any]) -> str:
    return f"{dtypes.dtype_name(value.dtype)}[{','.join(map(str, value.shape))}]"


def _host_result(leaf: Any) -> Any:
    array = np.asarray(leaf)
    if isinstance(leaf, ArrayImpl) or array.dtype == object:
        return array
    # Python numbers have the default dtypes, and 64-bit values are narrowed where there are none, as everywhere.
    return array.astype(array_aval(aval_of(leaf if np.ndim(leaf) == 0 else array)).dtype, copy=False)


class _Registered:
    """A function under a number by which programs call it, for as long as this object lives."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, call: Callable[..., Sequence[Any]]) -> None:
        self.number = np.uint32(_native.callback_register(call))

    def __del__(self) -> None:
        # At interpreter exit the module may be gone before its callbacks.
        if getattr(_native, "callback_release", None) is not None and hasattr(self, "number"):
            _native.callback_release(int(self.number))


def _for_programs(
    function: HostFunction, in_avals: Sequence[ShapedArray], out_avals: Sequence[ShapedArray], ordered: bool
) -> Callable[..., list[Any]]:
    """What XLA calls: with NumPy arrays, and with a token first and back if `ordered`."""

    def call(*values: Any) -> list[Any]:
        tokens, given = (values[:1], values[1:]) if ordered else ((), values)
        operands = [_as_operand(value, aval.dtype) for value, aval in zip(given, in_avals)]
        return [*tokens, *function(operands, out_avals)]

    return call


def _as_operand(value: np.ndarray[Any, Any], dtype: Any) -> Any:
    """What a user's function gets for memory that belongs to nobody else: an array, without another copy.

    Without a CPU device there are NumPy arrays only.
    """
    if "cpu" not in backends():
        return value
    device = client("cpu").addressable_devices[0]
    array = _native.array_from_host(value, device, copy=None, dtype=value.dtype)
    return array if isinstance(dtype, np.dtype) else _native.array_with(array, dtype=dtype)


# --- running and lowering ---------------------------------------------------------------------


def _call_now(
    function: HostFunction, operands: Sequence[Any], result_avals: Sequence[ShapedArray], ordered: bool
) -> list[Any]:
    """The results of an eager call.

    Raises:
      JaxRuntimeError: the function raised, or returned something else than declared.
    """
    operands = [check_operand(x, function.what) for x in operands]
    device, committed = default_device(), False
    if all([type(x) is not ArrayImpl or len(x.devices()) == 1 for x in operands]):
        device, committed = device_of(operands, function.what)
    given = [_at_hand(x) for x in operands]
    if ordered:
        wait_for_ordered()
    try:
        results = function(given, result_avals)
    except Exception as error:
        raise XlaRuntimeError(
            f"a Python callback raised {type(error).__name__}: {error}", _INTERNAL
        ) from error
    return [
        _native.array_from_host(r, device, dtype=a.dtype, committed=committed)
        for r, a in zip(results, result_avals)
    ]


def _at_hand(value: Any) -> Any:
    """An operand as the user's function gets it."""
    if type(value) is not ArrayImpl:
        return hooks.as_array(value)
    devices = value.devices()
    if len(devices) == 1 and next(iter(devices)).platform == "cpu":
        return value
    return _as_operand(np.array(value), value.dtype)


def _emit(
    ctx: Context,
    operands: Sequence[Value],
    function: HostFunction,
    result_avals: Sequence[ShapedArray],
    *,
    effect: bool,
    ordered: bool = False,
    place: str = "",
) -> list[Value]:
    """Emit a call of the function; `place`: an attribute that says on which devices."""
    platform = ctx.module.platform
    if platform not in _PLATFORMS:
        raise ValueError(
            f"{function.what}: Python functions can be called from programs on {' and '.join(_PLATFORMS)} devices, not on "
            f"{platform}"
        )
    _native.register_python_callback_target(client(platform))
    in_avals = [array_aval(v.aval) for v in operands]
    registered = _Registered(_for_programs(function, in_avals, result_avals, ordered))
    number = ctx.runtime_operand(registered.number, ShapedArray((), np.dtype(np.uint32)), registered)
    attrs = [
        'call_target_name = "anima_python_callback", api_version = 4 : i32, backend_config = {}',
        "has_side_effect = true" if effect else "",
        place,
    ]
    tokens = [ctx.latest_token()] if ordered else []
    given = [number, *tokens, *operands]
    outs = [*[TOKEN] * ordered, *result_avals]
    attrs.append(row_major([v.aval for v in given], outs))
    if place == _MANUAL and ctx.module.manual is None:
        given = [_on_each_device(ctx, v) for v in given]
    results = ctx.ops(
        "stablehlo.custom_call",
        given,
        outs,
        ", ".join(filter(None, attrs)),
    )
    if place and place != _MANUAL:
        # Else a result of the program would lie on that one device alone.
        results = [_replicated(ctx, v) for v in results]
    if ordered:
        ctx.token, *results = results
    return results


_MANUAL = f'mhlo.sharding = "{MANUAL}"'


def _replicated(ctx: Context, value: Value) -> Value:
    """The array with all of it on each device of a partitioned program."""
    return mark(ctx, "Sharding", value, value.aval, REPLICATED)


def _on_each_device(ctx: Context, value: Value) -> Value:
    """The whole array as each device by itself has it."""
    return mark(ctx, "SPMDFullToShardShape", _replicated(ctx, value), value.aval, MANUAL)


def _place(ctx: Context, sharding: Sharding | None) -> str:
    """The attribute by which one device of a partitioned program calls the function, on whole arrays.

    Inside a `shard_map` each device calls it, on its own blocks.
    """
    devices = list(ctx.module.devices)
    if len(devices) < 2:
        return ""
    if ctx.module.manual is not None:
        return _MANUAL
    index = 0
    if sharding is not None:
        (device,) = sharding.device_set
        if device not in devices:
            raise ValueError(f"sharding: the program does not run on {device}; its devices are {devices}")
        index = devices.index(device)
    return f'mhlo.sharding = "{{maximal device={index}}}"'


# --- batching ---------------------------------------------------------------------------------


def _by_rows(
    primitive: Primitive, axis: Axis, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int]]:
    """One call for each example, in their order. The function sees what it would see unbatched."""
    moved = [x if d is None else hooks.move_axis(x, d, 0) for x, d in zip(args, dims)]
    mapped = [d is not None for d in dims]
    if get_trace() is None:
        return _rows_now(primitive, axis, moved, mapped, params)
    fixed = [x for x, m in zip(moved, mapped) if not m]
    rows = [x for x, m in zip(moved, mapped) if m]
    avals = [aval_of(x) for x in fixed] + [without_axis(aval_of(x), 0) for x in rows]

    def call(*values: Any) -> Any:
        consts, row = iter(values[: len(fixed)]), iter(values[len(fixed) :])
        return primitive.bind(*[next(row) if m else next(consts) for m in mapped], **params)

    outs = scan_p.bind(
        *fixed,
        *rows,
        jaxpr=stage_closed(call, avals, primitive.name),
        length=axis.size,
        num_consts=len(fixed),
        num_carry=0,
        reverse=False,
        unroll=1,
    )
    return outs, [0] * len(outs)


def _rows_now(
    primitive: Primitive, axis: Axis, moved: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> tuple[list[Any], list[int]]:
    """The same for concrete values."""
    rows = [
        primitive.bind(*[_row(x, i) if m else x for x, m in zip(moved, mapped)], **params)
        for i in range(axis.size)
    ]
    if not rows:
        empty = [hooks.zeros(a.update(shape=(0, *a.shape))) for a in params.get("result_avals", ())]
        return empty, [0] * len(empty)
    return _joined(rows)


def _unrolled(
    primitive: Primitive, axis: Axis, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int]]:
    """One call for each example, each its own operation of the program."""
    moved = [x if d is None else hooks.move_axis(x, d, 0) for x, d in zip(args, dims)]
    return _rows_now(primitive, axis, moved, [d is not None for d in dims], params)


def _joined(rows: Sequence[Sequence[Any]]) -> tuple[list[Any], list[int]]:
    join = primitives["concatenate"]
    outs = [
        join.bind(*[hooks.broadcast_batch(x, 1, 0) for x in column], dimension=0) for column in zip(*rows)
    ]
    return outs, [0] * len(outs)


def _row(x: Any, index: int) -> Any:
    aval = shaped(x)
    stop = (index + 1, *aval.shape[1:])
    part = primitives["slice"].bind(
        x, start_indices=(index, *(0,) * (aval.ndim - 1)), limit_indices=stop, strides=None
    )
    return primitives["reshape"].bind(part, new_sizes=aval.shape[1:])


# --- pure_callback ----------------------------------------------------------------------------

VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized")


def _result_avals(*avals: AbstractValue, result_avals: tuple[ShapedArray, ...], **params: Any) -> list[Any]:
    return list(result_avals)


def _pure_lower(
    ctx: Context,
    *operands: Value,
    callback: HostFunction,
    result_avals: tuple[ShapedArray, ...],
    sharding: Sharding | None,
    vmap_method: str | None,
) -> list[Value]:
    return _emit(ctx, operands, callback, result_avals, effect=False, place=_place(ctx, sharding))


def batch_by_method(
    primitive: Primitive,
    who: str,
    axis: Axis,
    args: Sequence[Any],
    dims: Sequence[int | None],
    whole: Collection[int] = (),
    changed: Callable[[Sequence[bool]], dict[str, Any]] = lambda longer: {},
    **params: Any,
) -> tuple[list[Any], list[int]]:
    """The batching rule of a call of something foreign, by its parameter `vmap_method`; it has `result_avals`, too.

    Args:
      who: of whom messages speak.
      whole: the operands that get the axis in its full size by any method that makes one call.
      changed: other parameters of such a call, for flags of the operands that got an axis.
    """
    method = params["vmap_method"]
    if method is None:
        raise MissingRuleError(
            f"{who}: vmap needs to know how the function takes batches; pass vmap_method, one of "
            f"{', '.join(map(repr, VMAP_METHODS))}"
        )
    if method == "sequential":
        return _by_rows(primitive, axis, args, dims, **params)
    if method == "sequential_unrolled":
        return _unrolled(primitive, axis, args, dims, **params)
    missing = {"expand_dims": 1, "broadcast_all": axis.size}.get(method)
    sizes = [axis.size if i in whole else missing for i in range(len(args))]
    given = [
        hooks.move_axis(x, d, 0)
        if d is not None
        else (x if size is None else hooks.broadcast_batch(x, size, 0))
        for x, d, size in zip(args, dims, sizes)
    ]
    params |= changed([d is not None or size is not None for d, size in zip(dims, sizes)])
    params["result_avals"] = tuple([a.update(shape=(axis.size, *a.shape)) for a in params["result_avals"]])
    outs = primitive.bind(*given, **params)
    return outs, [0] * len(outs)


def _pure_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int]]:
    return batch_by_method(
        pure_callback_p, f"pure_callback of {params['callback']}", axis, args, dims, **params
    )


def _pure_jvp(*args: Any, callback: HostFunction, **params: Any) -> Any:
    raise ValueError(
        f"pure_callback of {callback}: a Python function has no derivative known here. Wrap the call in custom_jvp or "
        "custom_vjp, or pass lax.stop_gradient of its arguments."
    )


pure_callback_p = Primitive(
    "pure_callback",
    shape=_result_avals,
    lower=_pure_lower,
    jvp=_pure_jvp,
    transpose=Missing("a Python function is not known to be linear"),
    batch=_pure_batch,
    multiple_results=True,
)


def _pure_eager(*operands: Any, callback: HostFunction, result_avals: Any, **params: Any) -> list[Any]:
    return _call_now(callback, operands, result_avals, ordered=False)


pure_callback_p.eager = _pure_eager


# --- io_callback ------------------------------------------------------------------------------


def _io_effects(*avals: AbstractValue, ordered: bool, **params: Any) -> Effects:
    return frozenset([OrderedIOEffect() if ordered else IOEffect()])


def _io_lower(
    ctx: Context,
    *operands: Value,
    callback: HostFunction,
    result_avals: tuple[ShapedArray, ...],
    sharding: Sharding | None,
    ordered: bool,
) -> list[Value]:
    return _emit(
        ctx,
        operands,
        callback,
        result_avals,
        effect=True,
        ordered=ordered,
        place=_place(ctx, sharding),
    )


def _io_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int]]:
    if params["ordered"]:
        raise ValueError(
            f"io_callback of {params['callback']}: vmap has no order among examples, so an ordered callback cannot be "
            "mapped; leave out ordered=True for one call an example, or move the call out of vmap"
        )
    return _by_rows(io_callback_p, axis, args, dims, **params)


def _io_jvp(*args: Any, callback: HostFunction, **params: Any) -> Any:
    raise ValueError(
        f"io_callback of {callback}: a Python function has no derivative known here. Pass lax.stop_gradient of its "
        "arguments, or wrap the call in custom_jvp or custom_vjp."
    )


io_callback_p = Primitive(
    "io_callback",
    shape=_result_avals,
    lower=_io_lower,
    jvp=_io_jvp,
    transpose=Missing("a Python function is not known to be linear"),
    batch=_io_batch,
    effects=_io_effects,
    multiple_results=True,
)


def _io_eager(
    *operands: Any, callback: HostFunction, result_avals: Any, ordered: bool, **params: Any
) -> list[Any]:
    return _call_now(callback, operands, result_avals, ordered)


io_callback_p.eager = _io_eager


# --- debug_callback ---------------------------------------------------------------------------


def _no_results(*avals: AbstractValue, **params: Any) -> list[Any]:
    return []


def _debug_effects(*avals: AbstractValue, effect: Effect, **params: Any) -> Effects:
    return frozenset([effect])


def _debug_lower(
    ctx: Context, *operands: Value, callback: HostFunction, effect: DebugEffect, partitioned: bool
) -> list[Value]:
    everywhere = partitioned and len(ctx.module.devices) > 1 and ctx.module.manual is None
    if everywhere and effect.ordered:
        raise ValueError(
            f"debug.callback of {callback}: devices call partitioned callbacks in no order; leave out ordered or partitioned"
        )
    place = _MANUAL if everywhere else _place(ctx, None)
    return _emit(ctx, operands, callback, (), effect=True, ordered=effect.ordered, place=place)


def _debug_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int]]:
    return _by_rows(debug_callback_p, axis, args, dims, **params)


def _debug_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    """Looks at the values; the tangents pass by."""
    return debug_callback_p.bind(*primals, **params), []


debug_callback_p = Primitive(
    "debug_callback",
    shape=_no_results,
    lower=_debug_lower,
    jvp=_debug_jvp,
    transpose=Missing("a look at a tangent cannot be turned into one at a cotangent"),
    batch=_debug_batch,
    effects=_debug_effects,
    multiple_results=True,
)


def _debug_eager(*operands: Any, callback: HostFunction, effect: DebugEffect, partitioned: bool) -> list[Any]:
    if effect.ordered:
        wait_for_ordered()
    # The exception itself reaches the caller: nothing stands between.
    return callback([_at_hand(check_operand(x, "debug.callback")) for x in operands], ())


debug_callback_p.eager = _debug_eager
