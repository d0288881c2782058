"""Functions with transformations applied to them, kept apart from the function: so results can be cached by both.

Invariant: a `WrappedFun` is a function, the transformations around it, the innermost last, and a store for the output
of each that has one besides its result. A store is filled by calling the function, once.

>>> from anima.extend import linear_util as lu
>>> @lu.transformation
... def doubled(*args):
...     results = yield args, {}
...     yield [2 * x for x in results]
>>> doubled(lu.wrap_init(lambda x: [x, x + 1])).call_wrapped(10)
[20, 22]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from anima import _native
from anima.core.axes import named_axes
from anima.core.debug_info import DebugInfo
from anima.interpreters.flat import name_of

__all__ = [
    "Callable",
    "StoreException",
    "WrappedFun",
    "cache",
    "merge_linear_aux",
    "transformation",
    "transformation2",
    "transformation_with_aux",
    "transformation_with_aux2",
    "wrap_init",
]


class StoreException(Exception):
    """A store was read before it was filled, or filled twice."""


_EMPTY: Any = object()


class Store:
    """A place for one value."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = _EMPTY

    def store(self, value: Any) -> None:
        """Put the value there.

        Raises:
          StoreException: there is one already.
        """
        if self._value is not _EMPTY:
            raise StoreException("the store is occupied: the transformed function was called a second time")
        self._value = value

    @property
    def val(self) -> Any:
        """The value.

        Raises:
          StoreException: there is none yet.
        """
        if self._value is _EMPTY:
            raise StoreException("the store is empty: the transformed function was not called yet")
        return self._value

    def __bool__(self) -> bool:
        return self._value is not _EMPTY


class EqualStore(Store):
    """A store that may be filled again, with an equal value."""

    __slots__ = ()

    def store(self, value: Any) -> None:
        """Put the value there.

        Raises:
          StoreException: there is another one already.
        """
        if self and value != self._value:
            raise StoreException(f"the store holds {self._value!r}, and a second call gave {value!r}")
        self._value = value


class WrappedFun:
    """A function and the transformations applied to it.

    Attributes:
      f: the function.
      f_transformed: the function that applies everything.
      transforms: pairs of a transformation and its static arguments, the outermost first.
      stores: the stores of the transformations, None for those without.
      params: keyword arguments that every call passes, as sorted pairs.
      debug_info: what the function and its arguments are called.
    """

    __slots__ = ("debug_info", "f", "f_transformed", "in_type", "params", "stores", "transforms")

    def __init__(
        self,
        f: Callable[..., Any],
        f_transformed: Callable[..., Any],
        transforms: tuple[tuple[Callable[..., Any], tuple[Hashable, ...]], ...],
        stores: tuple[Store | None, ...],
        params: tuple[tuple[str, Hashable], ...],
        in_type: Any,
        debug_info: DebugInfo,
    ) -> None:
        self.f = f
        self.f_transformed = f_transformed
        self.transforms = transforms
        self.stores = stores
        self.params = params
        self.in_type = in_type
        self.debug_info = debug_info

    @property
    def __name__(self) -> str:
        return name_of(self.f)

    def wrap(
        self, gen: Callable[..., Any], gen_static_args: Sequence[Hashable], out_store: Store | None
    ) -> WrappedFun:
        """The function with one more transformation around it: `gen(f, [store,] *gen_static_args, *args, **kwargs)`."""
        static = tuple(gen_static_args)
        first = (self.f_transformed,) if out_store is None else (self.f_transformed, out_store)
        return WrappedFun(
            self.f,
            functools.partial(gen, *first, *static),
            ((gen, static), *self.transforms),
            (out_store, *self.stores),
            self.params,
            None,
            self.debug_info,
        )

    def call_wrapped(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the transformed function."""
        return self.f_transformed(*args, **dict(self.params), **kwargs)

    def populate_stores(self, stores: Sequence[Store | None]) -> None:
        """Fill the stores from those of an earlier call of an equal function."""
        for own, other in zip(self.stores, stores):
            if own is not None and other is not None:
                own.store(other.val)

    def replace_debug_info(self, debug_info: DebugInfo) -> WrappedFun:
        """The same with other names."""
        return WrappedFun(
            self.f, self.f_transformed, self.transforms, self.stores, self.params, self.in_type, debug_info
        )

    def with_unknown_names(self) -> WrappedFun:
        """The same without names of arguments and results."""
        return self.replace_debug_info(self.debug_info.with_unknown_names())

    def _key(self) -> tuple[Any, ...]:
        return (self.f, self.transforms, self.params, self.in_type)

    def __eq__(self, other: object) -> bool:
        return type(other) is WrappedFun and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        rows = [f"{i:<4}: {name_of(gen)}   {static}" for i, (gen, static) in enumerate(self.transforms)]
        return "\n".join(["Wrapped function:", *rows, f"Core: {name_of(self.f)}"])


def wrap_init(
    f: Callable[..., Any], params: dict[str, Any] | None = None, *, debug_info: DebugInfo | None = None
) -> WrappedFun:
    """A function, ready to have transformations applied.

    Args:
      f: the function.
      params: keyword arguments that every call passes.
      debug_info: what it and its arguments are called.

    >>> from anima.extend import linear_util as lu
    >>> lu.wrap_init(lambda x, n: x + n, {"n": 3}).call_wrapped(1)
    4
    """
    if isinstance(f, WrappedFun):
        raise TypeError("wrap_init: the function is wrapped already")
    given = tuple(sorted((params or {}).items()))
    return WrappedFun(f, f, (), (), given, None, debug_info or DebugInfo("unknown", source_of(f)))


def source_of(f: Any) -> str:
    """The name of a function and where it is defined: "f at file.py:3"."""
    while isinstance(f, functools.partial):
        f = f.func
    code = getattr(f, "__code__", None)
    name = name_of(f)
    return name if code is None else f"{name} at {code.co_filename}:{code.co_firstlineno}"


def _run(generator: Iterator[Any], f: Callable[..., Any]) -> Any:
    """What a generator transformation yields second, after it has given the arguments and got the results."""
    args, kwargs = next(generator)
    try:
        return generator.send(f(*args, **kwargs))  # type: ignore[attr-defined]
    finally:
        generator.close()  # type: ignore[attr-defined]


def transformation2(gen: Callable[..., Any]) -> Callable[..., WrappedFun]:
    """A transformation from a function `gen(f, *static_args, *args, **kwargs)`, which calls `f`.

    >>> from anima.extend import linear_util as lu
    >>> @lu.transformation2
    ... def shifted(f, by, *args):
    ...     return [x + by for x in f(*args)]
    >>> shifted(lu.wrap_init(lambda x: [x]), 100).call_wrapped(1)
    [101]
    """

    def transform(fun: WrappedFun, *gen_static_args: Hashable) -> WrappedFun:
        return fun.wrap(gen, gen_static_args, None)

    functools.update_wrapper(transform, gen, assigned=("__name__", "__doc__", "__module__"), updated=())
    return transform


def transformation(gen: Callable[..., Any]) -> Callable[..., WrappedFun]:
    """A transformation from a generator `gen(*static_args, *args, **kwargs)`.

    It yields the pair (args, kwargs) for the function, is sent its results, and yields the results of the whole.
    """

    @functools.wraps(gen, updated=())
    def through(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return _run(gen(*args, **kwargs), f)

    return transformation2(through)


def transformation_with_aux2(gen: Callable[..., Any]) -> Callable[..., tuple[WrappedFun, Callable[[], Any]]]:
    """A transformation with an output besides its result: `gen(f, store, *static_args, *args, **kwargs)` stores it.

    Returns:
      A function from a `WrappedFun` and static arguments to (transformed function, function that gives the output once the
      transformed one was called).

    >>> from anima.extend import linear_util as lu
    >>> @lu.transformation_with_aux2
    ... def counted(f, store, *args):
    ...     results = f(*args)
    ...     store.store(len(results))
    ...     return results
    >>> fun, count = counted(lu.wrap_init(lambda x: [x, x]))
    >>> fun.call_wrapped(1), count()
    ([1, 1], 2)
    """

    def transform(
        fun: WrappedFun, *gen_static_args: Hashable, use_eq_store: bool = False
    ) -> tuple[WrappedFun, Callable[[], Any]]:
        store = EqualStore() if use_eq_store else Store()
        return fun.wrap(gen, gen_static_args, store), lambda: store.val

    functools.update_wrapper(transform, gen, assigned=("__name__", "__doc__", "__module__"), updated=())
    return transform


def transformation_with_aux(gen: Callable[..., Any]) -> Callable[..., tuple[WrappedFun, Callable[[], Any]]]:
    """A transformation with an output besides its result: as for `transformation`, but yields (results, output) last."""

    @functools.wraps(gen, updated=())
    def through(f: Callable[..., Any], store: Store, *args: Any, **kwargs: Any) -> Any:
        results, aux = _run(gen(*args, **kwargs), f)
        store.store(aux)
        return results

    return transformation_with_aux2(through)


def cache(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call(wrapped_fun, *args)`, computed once for equal functions, hashable arguments, options and named axes.

    What is kept lives as long as the function itself. The returned function has `cache_clear()` and
    `evict_function(f)`.
    """
    tables: WeakKeyDictionary[Any, dict[Any, tuple[Any, tuple[Store | None, ...]]]] = WeakKeyDictionary()

    @functools.wraps(call)
    def cached(fun: WrappedFun, *args: Any) -> Any:
        table = tables.setdefault(fun.f, {})
        key = (_native.options_key(), named_axes(), fun.transforms, fun.params, fun.in_type, args)
        known = table.get(key)
        if known is None:
            known = table[key] = call(fun, *args), fun.stores
        else:
            fun.populate_stores(known[1])
        return known[0]

    def evict_function(f: Callable[..., Any]) -> None:
        """Forget what is known for a function."""
        tables.pop(f, None)

    cached.cache_clear = tables.clear  # type: ignore[attr-defined]
    cached.evict_function = evict_function  # type: ignore[attr-defined]
    return cached


def merge_linear_aux(aux1: Callable[[], Any], aux2: Callable[[], Any]) -> tuple[bool, Any]:
    """The output of the one of two transformed functions that was called, and whether it is the first.

    Raises:
      StoreException: both were called, or none.
    """
    try:
        first = aux1()
    except StoreException:
        try:
            return False, aux2()
        except StoreException:
            raise StoreException("neither store is occupied: none of the functions was called") from None
    try:
        aux2()
    except StoreException:
        return True, first
    raise StoreException("both stores are occupied: both functions were called")
