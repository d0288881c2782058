"""The one rule by which the dtypes of several operands become one.

Invariant: promotion is the join of a lattice (``_LATTICE``), so it is commutative and associative. Python
scalars are *weak*: they stand for the lattice's three abstract nodes and take the width of what they meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np

from anima import _native
from anima.config import enable_x64, numpy_dtype_promotion
from anima.dtypes.declared import (
    BY_NAME,
    DECLARED,
    KIND,
    DType,
    ExtendedDType,
    as_dtype,
    bool_,
    complex128,
    float64,
    int64,
    numpy_dtype,
    prng_key,
    uint64,
)
from anima.dtypes.requests import PYTHON_SCALARS, TO_32_BIT, canonical
from anima.errors import ExtendedPromotionError, TypePromotionError

Pair: TypeAlias = tuple[DType, bool]  # of an operand: its dtype, and whether it is weak


def is_weakly_typed(value: Any) -> bool:
    """Whether ``value`` takes the dtype of what it meets: Python numbers, and arrays made of them alone."""
    weak = getattr(value, "weak_type", None)
    if weak is None:
        return type(value) in (int, float, complex)
    return bool(weak)


def dtype_of(value: Any) -> DType:
    """The dtype of an array, an aval or a scalar, NumPy's or Python's, as an operand.

    Raises:
      TypeError: ``value`` is none of these.
    """
    return _pair_of_value(value)[0]


def _pair_of_value(value: Any) -> Pair:
    scalar = type(value)
    if scalar not in PYTHON_SCALARS:
        dtype = getattr(value, "dtype", None)
        if isinstance(dtype, (np.dtype, ExtendedDType)):
            if isinstance(value, (np.ndarray, np.generic)):
                return canonical(dtype), False
            return dtype, bool(getattr(value, "weak_type", False))
        scalar = next(
            (base for base in scalar.__mro__ if base in PYTHON_SCALARS), scalar
        )  # such as an IntEnum
    if scalar in PYTHON_SCALARS:
        return canonical(PYTHON_SCALARS[scalar]), scalar is not bool
    raise TypeError(
        f"value {value!r} of type {type(value).__name__} is not an array or a scalar of a supported dtype. "
        "Convert it first, for instance with numpy.array."
    )


def pair_of(spec: Any) -> Pair:
    """(dtype, weak) of a value or of something that names a dtype; Python's scalar types are weak."""
    if isinstance(spec, type) and spec in PYTHON_SCALARS:
        return canonical(PYTHON_SCALARS[spec]), spec is not bool
    if isinstance(spec, (str, type, np.dtype, ExtendedDType)) or spec is None:
        return canonical(as_dtype(spec)), False
    return _pair_of_value(spec)


def scalar_type_of(x: Any) -> type:
    """The Python type of the elements of ``x``: bool, int, float or complex.

    Args:
      x: an array, a scalar, or something that names a dtype.

    Raises:
      TypeError: ``x`` has no numbers.

    >>> import anima
    >>> anima.dtypes.scalar_type_of("bfloat16")
    <class 'float'>
    """
    kind = KIND.get(pair_of(x)[0])
    if kind is None:
        raise TypeError(f"{x!r} has no Python scalar type: it does not hold numbers or booleans")
    return {"b": bool, "i": int, "u": int, "f": float, "c": complex}[kind]


_Node: TypeAlias = np.dtype[Any] | str
_WEAK_NODE: Final[dict[str, str]] = {"i": "i*", "u": "i*", "f": "f*", "c": "c*"}
_DEFAULT_OF_KIND: Final = {"i": int64, "u": uint64, "f": float64, "c": complex128}
_WEAK_DTYPE: Final[dict[str, np.dtype[Any]]] = {"i*": int64, "f*": float64, "c*": complex128}
_NARROW_INTS: Final = ("int2", "int4", "uint2", "uint4")
_NARROW_FLOATS: Final = tuple(d[0] for d in DECLARED if d[3] == "f" and d[4] <= 8)

# What lies directly above each node. Narrow integers and floats have nothing above them: they are storage
# formats, and an implicit conversion of one would hide a loss or a cost.
_LATTICE: Final[dict[str, tuple[str, ...]]] = {
    "bool": ("i*",),
    "i*": ("uint8", "int8", *_NARROW_INTS),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("f*",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("f*",),
    "f*": ("c*", "float16", "bfloat16", *_NARROW_FLOATS),
    "float16": ("float32",),
    "bfloat16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "c*": ("complex64",),
    "complex64": ("complex128",),
}
# The same for numpy_dtype_promotion="strict": only Python scalars convert, and only to a kind that holds them.
_STRICT_LATTICE: Final[dict[str, tuple[str, ...]]] = {
    "i*": ("f*", *(d[0] for d in DECLARED if d[3] in "iu")),
    "f*": ("c*", *(d[0] for d in DECLARED if d[3] == "f")),
    "c*": ("complex64", "complex128"),
}


def _node(dtype: DType, weak: bool) -> _Node:
    """The node that an operand stands for."""
    strong = numpy_dtype(dtype)
    return _WEAK_NODE.get(KIND[strong], strong) if weak else strong


def _upper_bounds(above: dict[str, tuple[str, ...]]) -> dict[_Node, frozenset[_Node]]:
    """All nodes at or above each node."""

    def node(name: str) -> _Node:
        return name if name in _WEAK_DTYPE else BY_NAME[name]

    nodes = {name: node(name) for name in (*_WEAK_DTYPE, *BY_NAME)}
    found: dict[str, frozenset[_Node]] = {}

    def reach(name: str) -> frozenset[_Node]:
        if name not in found:
            own = (nodes[name],) if name in nodes else ()
            found[name] = frozenset(own).union(*[reach(upper) for upper in above.get(name, ())])
        return found[name]

    return {node: reach(name) for name, node in nodes.items()}


_UPPER: Final = _upper_bounds(_LATTICE)
_STRICT_UPPER: Final = _upper_bounds(_STRICT_LATTICE)


def _join(nodes: Iterable[_Node], upper: dict[_Node, frozenset[_Node]]) -> _Node | None:
    """The least node above all of ``nodes``, or None: the one whose upper bounds are all the common ones."""
    common = frozenset.intersection(*(upper[node] for node in nodes))
    for node in common:
        if upper[node] == common:
            return node
    return None


def _promote(pairs: tuple[Pair, ...], strict: bool) -> Pair:
    distinct = tuple(dict.fromkeys(pairs))
    if len(distinct) == 1:
        dtype, weak = distinct[0]
        return dtype, weak and dtype != bool_
    for dtype, _ in distinct:
        if dtype not in KIND:
            raise ExtendedPromotionError(_no_path(distinct, strict))
    all_weak = all(weak for _, weak in distinct)
    if all_weak and not strict:
        nodes = {_node(dtype, False) for dtype, _ in distinct}
    else:
        nodes = {_node(dtype, weak) for dtype, weak in distinct}
    found = _join(nodes, _STRICT_UPPER if strict else _UPPER)
    if found is None:
        raise TypePromotionError(_no_path(distinct, strict))
    if isinstance(found, str):
        return canonical(_WEAK_DTYPE[found]), True
    # In 32-bit mode a wide result is narrowed (uint32 with int32) unless an operand is wide already.
    wide = any(node in TO_32_BIT for node in nodes)
    return found if wide else canonical(found), all_weak and found != bool_


def _no_path(pairs: Iterable[Pair], strict: bool) -> str:
    names = sorted(f"{dtype} (weak)" if weak else str(dtype) for dtype, weak in pairs)
    dtypes = [dtype for dtype, _ in pairs]
    message = f"Input dtypes ({', '.join(names)}) have no available implicit dtype promotion path"
    odd = next((dtype for dtype in dtypes if dtype not in KIND), None)
    if odd is not None:
        advice = ""
        if getattr(odd, "type", None) is prng_key:
            advice = (
                " There is no arithmetic on random keys, and typed and raw ones do not mix: see random.key_data and "
                "random.wrap_key_data."
            )
        return f"{message}: {odd} combines with nothing but itself.{advice}"
    if strict and _join({numpy_dtype(dtype) for dtype in dtypes}, _UPPER) is not None:
        return (
            f"{message} when numpy_dtype_promotion is 'strict'. Convert the inputs explicitly, for instance "
            f"with x.astype('{names[-1].split(' ')[0]}'), or set numpy_dtype_promotion to 'standard'."
        )
    narrow = next((name for name in map(str, dtypes) if name in _NARROW_INTS + _NARROW_FLOATS), "")
    wide = "int32" if narrow in _NARROW_INTS else "float32"
    return (
        f"{message}: {narrow} is a narrow storage format and converts only when asked to. "
        f"Convert the inputs explicitly, for instance with x.astype('{wide}')."
    )


_Memo: TypeAlias = dict[tuple[Pair, ...], Pair]
# (x64, strict) -> what is known under these options. Operands come in few combinations, so these stay small.
_MEMOS: Final[dict[tuple[bool, bool], _Memo]] = {(x, s): {} for x in (False, True) for s in (False, True)}
# The same by options key: one native call in place of two option reads, on the path of every traced operation.
_MEMO_OF_KEY: Final[dict[int, _Memo]] = {}
_MAX_KEYS: Final = 1024


def _memo_for(key: int) -> _Memo:
    memo = _MEMOS[enable_x64.value, numpy_dtype_promotion.value == "strict"]
    if len(_MEMO_OF_KEY) >= _MAX_KEYS:
        _MEMO_OF_KEY.clear()
    _MEMO_OF_KEY[key] = memo
    return memo


def lattice_result_type(*pairs: Pair) -> Pair:
    """The dtype and weakness of the result of an operation on operands with these.

    Args:
      *pairs: ``(dtype, weak)`` of each operand; at least one.

    Returns:
      ``(dtype, weak)``, with the dtype canonical for the mode.

    Raises:
      TypePromotionError: they have no common dtype under the rules in force.
    """
    key = _native.options_key()
    memo = _MEMO_OF_KEY.get(key)
    if memo is None:
        memo = _memo_for(key)
    if len(pairs) > 3:  # a concatenation of thousands must not become a key
        pairs = tuple(dict.fromkeys(pairs))
    result = memo.get(pairs)
    if result is None:
        result = memo[pairs] = _promote(pairs, numpy_dtype_promotion.value == "strict")
    return result


def promote_types(a: Any, b: Any) -> DType:
    """The dtype that values of dtypes ``a`` and ``b`` have in common; Python's scalar types are weak.

    Raises:
      TypePromotionError: they have none.

    >>> import anima.numpy as np
    >>> np.promote_types("int8", "uint8")
    dtype('int16')
    """
    return lattice_result_type(pair_of(a), pair_of(b))[0]


def result_type(*args: Any, return_weak_type_flag: bool = False) -> Any:
    """The dtype of the result of an operation on ``args``.

    Args:
      *args: arrays, scalars, or what names a dtype; at least one.
      return_weak_type_flag: also return whether the result is weakly typed.

    Returns:
      a dtype, or ``(dtype, weak)``.

    Raises:
      ValueError: there are no arguments.
      TypePromotionError: they have no common dtype under the rules in force.

    >>> import anima
    >>> anima.dtypes.result_type("int8", 3), anima.dtypes.result_type("int8", 3.0)
    (dtype('int8'), dtype('float32'))
    """
    if not args:
        raise ValueError("result_type needs at least one array, scalar or dtype")
    dtype, weak = lattice_result_type(*[pair_of(arg) for arg in args])
    if weak:  # a weak result has the default width of its kind
        dtype = canonical(_DEFAULT_OF_KIND[KIND[dtype]])
    return (dtype, weak) if return_weak_type_flag else dtype
