"""References: arrays that are written to in place.

Invariant: what is written has the shape and dtype of the array, or those of the part that an index takes; the type of a
reference never changes.
"""

from __future__ import annotations

from typing import Any, NoReturn

from anima import dtypes
from anima._native import ArrayImpl, get_trace
from anima.core import hooks
from anima.core.aval import ShapedArray, array_aval
from anima.core.trace import Trace, Tracer, aval_of, register_value_type, shaped
from anima.errors import RefError
from anima.lax.convert import convert_to
from anima.lax.shape import broadcast_in_dim, reshape
from anima.state.aval import AbstractRef
from anima.state.cells import Cell
from anima.state.indices import check_bounds, takes_all

_PLAIN = (bool, int, float, complex)
KINDS = (None, "no_grad_no_remat")


class Place:
    """What can be read and written by index: a reference, or a part of one."""

    __slots__ = ()

    def _whole(self) -> Any:
        raise TypeError(f"{type(self).__name__} does not define _whole")

    def _replace(self, value: Any, shared: bool) -> None:
        raise TypeError(f"{type(self).__name__} does not define _replace")

    @property
    def at(self) -> Parts:
        """`ref.at[index]` is a part of the array, which can be read and written as a reference can."""
        return Parts(self)

    def __getitem__(self, index: Any) -> Any:
        return read(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        write(self, index, value)

    def addupdate(self, x: Any, idx: Any = ()) -> None:
        """Add `x` to the elements that `idx` takes."""
        write(self, idx, x, added=True)

    def __iter__(self) -> NoReturn:
        raise RefError(
            "a reference is not iterated over, since it may change meanwhile; iterate over ref[...]"
        )

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RefError("a reference is not an array; read its value with ref[...]")

    def __bool__(self) -> NoReturn:
        raise RefError("a reference has no truth value; read its value with ref[...]")


class Ref(Place, Cell):
    """A mutable array, made by `new_ref`.

    `ref[...]` is its value, `ref[index]` a part of it as an array; `ref[index] = value` and `ref[index] += value` change it in
    place. Nothing else is computed with a reference: its value is an array, and stays as it is.
    """

    __slots__ = ("_kind", "_thread")

    def __init__(
        self,
        value: Any,
        array_aval: ShapedArray,
        owner: Trace | None,
        shared: bool = True,
        kind: str | None = None,
    ) -> None:
        Cell.__init__(self, value, array_aval, owner, shared)
        self._kind = kind
        self._thread: Any = None  # see `state.threads`

    def _inside(self, value: Any) -> Ref:
        """The same reference as an argument of a function whose trace is ambient."""
        inner = Ref(value, shaped(value), get_trace(), kind=self._kind)
        inner._argument = True
        return inner

    @property
    def aval(self) -> AbstractRef:
        """The type of the reference."""
        return AbstractRef(self._array_aval, None, self._kind)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array_aval.shape

    @property
    def dtype(self) -> Any:
        return self._array_aval.dtype

    @property
    def ndim(self) -> int:
        return len(self._array_aval.shape)

    @property
    def size(self) -> int:
        return self._array_aval.size

    @property
    def weak_type(self) -> bool:
        return self._array_aval.weak_type

    @property
    def sharding(self) -> Any:
        """Where the array lies."""
        return self._read().sharding

    @property
    def format(self) -> Any:
        """Where the array lies, and in which order."""
        return self._read().format

    @property
    def committed(self) -> bool:
        """Whether the array is bound to its devices."""
        return bool(self._read().committed)

    def unsafe_buffer_pointer(self) -> int:
        """The address of the array's memory, on one device."""
        return int(self._read().unsafe_buffer_pointer())

    def block_until_ready(self) -> Ref:
        """Wait until the value is computed; returns the reference."""
        self._read().block_until_ready()
        return self

    def __len__(self) -> int:
        return len(self._array_aval)

    def _whole(self) -> Any:
        return self._read()

    def _replace(self, value: Any, shared: bool) -> None:
        self._write(value, shared)

    def __copy__(self) -> Ref:
        return new_ref(self[...], kind=self._kind)

    def __deepcopy__(self, memo: Any) -> Ref:
        return self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise RefError("a reference cannot be pickled; pickle its value ref[...]")

    def __repr__(self) -> str:
        if self._ended is not None:
            return f"Ref({self._described()}, ended by {self._ended})"
        value = self._read()
        if isinstance(value, Tracer):
            return f"Ref({self._array_aval.str_short(short_dtypes=False)}, traced)"
        text = repr(value)
        return "Ref" + text[text.index("(") :]


class Parts:
    """`ref.at`."""

    __slots__ = ("_place",)

    def __init__(self, place: Place) -> None:
        self._place = place

    def __getitem__(self, index: Any) -> RefPart:
        return RefPart(self._place, index)


class RefPart(Place):
    """A part of a reference's array: reading and writing it reads and writes the reference.

    >>> import anima, anima.numpy as np
    >>> ref = anima.new_ref(np.arange(5))
    >>> middle = ref.at[1:4]
    >>> middle[0] = 10
    >>> print(ref[...], middle[...])
    [ 0 10  2  3  4] [10  2  3]
    """

    __slots__ = ("_index", "_place")

    def __init__(self, place: Place, index: Any) -> None:
        self._place = place
        self._index = index

    def _whole(self) -> Any:
        return read(self._place, self._index)

    def _replace(self, value: Any, shared: bool) -> None:
        write(self._place, self._index, value)

    @property
    def shape(self) -> tuple[int, ...]:
        return shaped(self._whole()).shape

    @property
    def dtype(self) -> Any:
        return shaped(self._whole()).dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return len(shaped(self._whole()))

    def __repr__(self) -> str:
        return f"{self._place!r}.at[{self._index!r}]"


def _no_array(ref: Any) -> NoReturn:
    raise RefError(
        "a reference is not an array, so no operation takes it; read its value with ref[...]. A function under jit or in control "
        "flow cannot return it either: what it holds when the function returns is in the caller's reference"
    )


register_value_type(Ref, _no_array)
register_value_type(RefPart, _no_array)


# ---------------------------------------------------------------------------------------------
# Reading and writing.


def read(place: Place, index: Any) -> Any:
    """The elements that an index takes."""
    value = place._whole()
    if takes_all(index):
        if isinstance(place, Ref):
            place._shared = True
        return value
    check_bounds("get", shaped(value).shape, index)
    found = value[index]
    if found is value and isinstance(place, Ref):
        place._shared = True
    return found


def write(place: Place, index: Any, value: Any, added: bool = False) -> None:
    """Replace the elements that an index takes, or add to them."""
    old = place._whole()
    what = "addupdate" if added else "set"
    aval = shaped(old)
    value = _fitting(what, value, aval)
    if takes_all(index):
        new = old + value if added else value
        new = _filling(what, new, aval.shape)
    else:
        check_bounds(what, aval.shape, index)
        part = old.at[index]
        new = part.add(value) if added else part.set(value)
    new = _typed(new, aval)
    if new is not old:
        place._replace(new, shared=new is value)


def _filling(what: str, value: Any, shape: tuple[int, ...]) -> Any:
    """A value broadcast to the shape of a reference."""
    own = shaped(value).shape
    if own == shape:
        return value
    first = len(shape) - len(own)
    if first < 0 or any([n not in (1, m) for n, m in zip(own, shape[first:])]):
        raise RefError(f"{what}: a value of shape {own} does not fit into a reference of shape {shape}")
    kept = [i for i, n in enumerate(own) if n != 1 or shape[first + i] == 1]
    if len(kept) < len(own):
        value = reshape(value, [own[i] for i in kept])
    return broadcast_in_dim(value, shape, [first + i for i in kept])


def _typed(value: Any, aval: ShapedArray) -> Any:
    """A value of the right dtype as weakly typed as a reference is, so that the types of its values do not differ."""
    own = shaped(value)
    if own.dtype == aval.dtype and own.weak_type == aval.weak_type and type(value) not in _PLAIN:
        return value
    return convert_to(value, aval.dtype, aval.weak_type)


def _fitting(what: str, value: Any, aval: ShapedArray) -> Any:
    """A value of the dtype of a reference, whose plain numbers are converted to it.

    Raises:
      RefError: it has another dtype.
    """
    if type(value) not in _PLAIN and not isinstance(value, (ArrayImpl, Tracer)):
        aval_of_ref_raises(value)
        value = hooks.as_array(value)
    own = shaped(value)
    if own.dtype == aval.dtype:
        return value
    if own.weak_type and dtypes.result_type(own, aval) == aval.dtype:
        return convert_to(value, aval.dtype, False)
    name = dtypes.dtype_name
    raise RefError(
        f"{what}: a value of dtype {name(own.dtype)} does not fit into a reference of dtype {name(aval.dtype)}; convert it with "
        f"astype({name(aval.dtype)!r})"
    )


def aval_of_ref_raises(value: Any) -> None:
    """Raise RefError if the value is a reference."""
    if isinstance(value, Place):
        aval_of(value)


# ---------------------------------------------------------------------------------------------
# The functions of `anima.ref`.


def new_ref(init_val: Any, *, memory_space: Any = None, kind: str | None = None) -> Ref:
    """A mutable array that holds `init_val`.

    Args:
      init_val: an array or a number.
      memory_space: None; no other memory is known.
      kind: None, or "no_grad_no_remat" for a reference that no derivative is to pass through. It is kept with the type.
    Returns:
      A reference: read it with `ref[...]` or `ref[index]`, write it with `ref[index] = value`.
    Raises:
      TypeError: `init_val` is no array or number. ValueError: another memory space or kind.

    >>> import anima, anima.numpy as np
    >>> ref = anima.new_ref(np.zeros(3))
    >>> @anima.jit
    ... def count():
    ...     ref[1] += 1
    >>> count(), count()
    (None, None)
    >>> ref
    Ref([0., 2., 0.], dtype=float32)
    """
    if memory_space is not None:
        raise ValueError(f"new_ref: memory_space must be None, got {memory_space!r}")
    if kind not in KINDS:
        raise ValueError(f"new_ref: kind must be None or 'no_grad_no_remat', got {kind!r}")
    if isinstance(init_val, Place):
        raise RefError(
            "new_ref: init_val is a reference, and references to references are not possible; give its value ref[...]"
        )
    given = isinstance(init_val, (ArrayImpl, Tracer))
    try:
        value = init_val if given else hooks.as_array(init_val)
    except TypeError:
        raise TypeError(
            f"new_ref: init_val must be an array or a number, got {init_val!r:.80} of type {type(init_val).__name__}"
        ) from None
    return Ref(value, shaped(value), get_trace(), shared=given, kind=kind)


def empty_ref(ty: Any, memory_space: Any = None) -> Ref:
    """A mutable array of some type, whose first contents mean nothing (they are zeros).

    Args:
      ty: anything with a shape and a dtype, as a `ShapeDtypeStruct` or an `aval`.
      memory_space: None; no other memory is known.
    Raises:
      TypeError: `ty` has no shape and dtype. ValueError: another memory space.

    >>> import anima, anima.numpy as np
    >>> anima.empty_ref(anima.ShapeDtypeStruct((2,), np.float32))
    Ref([0., 0.], dtype=float32)
    """
    if memory_space is not None:
        raise ValueError(f"empty_ref: memory_space must be None, got {memory_space!r}")
    inner = getattr(ty, "inner_aval", ty)
    if not (hasattr(inner, "shape") and hasattr(inner, "dtype")):
        raise TypeError(f"empty_ref: ty must have a shape and a dtype, got {ty!r:.80}")
    dtype = dtypes.canonicalize_dtype(inner.dtype, allow_extended_dtype=True)
    aval = ShapedArray(inner.shape, dtype, bool(getattr(inner, "weak_type", False)))
    return Ref(hooks.zeros(aval), array_aval(aval), get_trace(), shared=False)


def freeze(ref: Ref) -> Any:
    """The last value of a reference, which must not be used any more.

    Args:
      ref: a reference that the calling function made.
    Raises:
      RefError: it was ended before, or another function made it.

    >>> import anima, anima.numpy as np
    >>> ref = anima.new_ref(np.arange(4))
    >>> ref[3] = 100
    >>> print(anima.freeze(ref))
    [  0   1   2 100]
    """
    return checked("freeze", ref)._end("freeze")


def free_ref(ref: Ref) -> None:
    """End a reference: it must not be used any more, and its array is let go.

    Args:
      ref: a reference that the calling function made.
    Raises:
      RefError: it was ended before, or another function made it.

    >>> import anima
    >>> ref = anima.new_ref(0)
    >>> anima.free_ref(ref)
    >>> ref
    Ref(Ref{int32[]}, ended by free_ref)
    """
    checked("free_ref", ref)._end("free_ref")


def get(ref: Ref | RefPart, idx: Any = None) -> Any:
    """`ref[idx]`: the elements that an index takes; all without one.

    Args:
      ref: a reference, or a part of one.
      idx: an index as of NumPy. Integers that are known must be within bounds; traced ones are clamped, as for arrays.
    Raises:
      RefError: `ref` is no reference, or an integer is out of bounds.

    >>> import anima, anima.numpy as np
    >>> print(anima.ref.get(anima.new_ref(np.arange(5)), slice(1, 3)))
    [1 2]
    """
    return read(_place("get", ref), _index(idx))


def set(ref: Ref | RefPart, idx: Any, value: Any) -> None:
    """`ref[idx] = value`: replace the elements that an index takes.

    Args:
      ref: a reference, or a part of one.
      idx: an index as of NumPy, or None for everything.
      value: an array of the reference's dtype, or a number. It is broadcast to the shape of what the index takes.
    Raises:
      RefError: `ref` is no reference, an integer is out of bounds, or the dtype does not fit.

    >>> import anima, anima.numpy as np
    >>> ref = anima.new_ref(np.zeros(3))
    >>> anima.ref.set(ref, 1, 10.0)
    >>> ref
    Ref([ 0., 10.,  0.], dtype=float32)
    """
    write(_place("set", ref), _index(idx), value)


def swap(ref: Ref | RefPart, idx: Any, value: Any, _function_name: str = "swap") -> Any:
    """Replace the elements that an index takes, and return what they were.

    The arguments are those of `set`.

    >>> import anima, anima.numpy as np
    >>> ref = anima.new_ref(np.arange(4))
    >>> print(anima.ref.swap(ref, 3, 10), ref[...])
    3 [ 0  1  2 10]
    """
    place = _place(_function_name, ref)
    old = read(place, _index(idx))
    write(place, _index(idx), value)
    return old


def addupdate(ref: Ref | RefPart, idx: Any, x: Any) -> None:
    """Add to the elements that an index takes, as `ref[idx] += x`.

    Where an index takes an element several times, everything is added; `ref[idx] += x` adds once.

    Args:
      ref: a reference, or a part of one.
      idx: an index as of NumPy, or None for everything.
      x: an array of the reference's dtype, or a number. It is broadcast to the shape of what the index takes.
    Raises:
      RefError: `ref` is no reference, an integer is out of bounds, or the dtype does not fit.

    >>> import anima, anima.numpy as np
    >>> ref = anima.new_ref(np.zeros(3))
    >>> anima.ref.addupdate(ref, np.array([0, 2, 2]), 1.0)
    >>> ref
    Ref([1., 0., 2.], dtype=float32)
    """
    write(_place("addupdate", ref), _index(idx), x, added=True)


def checked(what: str, ref: Any) -> Ref:
    """The argument of a function, which must be a reference."""
    if not isinstance(ref, Ref):
        raise RefError(
            f"{what}: expected a reference as new_ref makes it, got {ref!r:.80} of type {type(ref).__name__}"
        )
    return ref


def _place(what: str, ref: Any) -> Place:
    return ref if isinstance(ref, RefPart) else checked(what, ref)


def _index(idx: Any) -> Any:
    return ... if idx is None else idx
