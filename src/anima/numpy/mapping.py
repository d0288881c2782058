"""Functions applied to parts of arrays: along an axis, over axes, and with broadcasting.

Invariant: each is `vmap` of the function, so the function is called once, with traced values.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from anima import _native
from anima.lax.shape import check_axis, expand_dims, squeeze_p
from anima.numpy.creation import asarray
from anima.numpy.promotion import array_like, shape_of
from anima.numpy.shapes import broadcast_shapes
from anima.transforms.vmap import vmap

# --- along axes -------------------------------------------------------------------------------


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """`func1d` applied to the vectors along an axis.

    Args:
      func1d: a function of a vector; its results may have any shape, or be tuples.
      axis: the axis.
      arr: an array.
      *args, **kwargs: passed on to the function.
    Returns:
      an array with the dimensions of the function's result in place of the axis.
    Raises:
      ValueError: the axis is out of range.

    >>> import anima.numpy as np
    >>> print(np.apply_along_axis(lambda v: v / v.sum(), 1, np.array([[1, 3], [2, 2]])))
    [[0.25 0.75]
     [0.5  0.5 ]]
    """
    arr = array_like("apply_along_axis", arr)
    rank = len(shape_of(arr))
    along = check_axis("apply_along_axis", axis, rank)

    def apply(vector: Any) -> Any:
        return func1d(vector, *args, **kwargs)

    for _ in range(rank - along - 1):
        apply = vmap(apply, in_axes=-1, out_axes=-1)
    for _ in range(along):
        apply = vmap(apply)
    return apply(asarray(arr))


def apply_over_axes(func: Callable[[Any, int], Any], a: Any, axes: Any) -> Any:
    """`func` applied to an array along one axis after the other.

    Args:
      func: a function of an array and an axis; its result has the array's dimensions, or lacks the axis.
      a: an array.
      axes: an axis or a sequence of them.
    Raises:
      ValueError: a result has another number of dimensions, or an axis is out of range.

    >>> import anima.numpy as np
    >>> print(np.apply_over_axes(np.sum, np.ones((2, 3, 4)), (0, 2)))
    [[[8.]
      [8.]
      [8.]]]
    """
    result = asarray(array_like("apply_over_axes", a))
    rank = len(shape_of(result))
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        along = check_axis("apply_over_axes", axis, rank)
        found = func(result, along)
        if len(shape_of(found)) == rank - 1:
            found = expand_dims(found, (along,))
        if len(shape_of(found)) != rank:
            raise ValueError(
                f"apply_over_axes: func returned an array of shape {shape_of(found)} for one with {rank} dimensions"
            )
        result = found
    return result


# --- vectorize --------------------------------------------------------------------------------

_TERM = r"\(\s*(?:\w+\s*(?:,\s*\w+\s*)*)?\)"
_SIGNATURE = re.compile(rf"\s*(?:{_TERM}(?:\s*,\s*{_TERM})*)?\s*->\s*{_TERM}(?:\s*,\s*{_TERM})*\s*")

Core = tuple[str, ...]


def _parsed(signature: str) -> tuple[list[Core], list[Core]]:
    """The names of the core dimensions of arguments and results."""
    if not _SIGNATURE.fullmatch(signature):
        raise ValueError(f"vectorize: signature must be like '(n,m),(m)->(n)', got {signature!r}")
    inputs, outputs = [
        [tuple(re.findall(r"\w+", term)) for term in re.findall(_TERM, side)]
        for side in signature.split("->")
    ]
    return inputs, outputs


class _Vectorized:
    """What one call of a vectorized function works out: loop shapes and the sizes of core dimensions."""

    def __init__(self, name: str, inputs: Sequence[Core], args: Sequence[Any]) -> None:
        self.name = name
        self.sizes: dict[str, int] = {}
        loops = []
        for number, (core, arg) in enumerate(zip(inputs, args)):
            shape = shape_of(arg)
            if len(shape) < len(core):
                raise ValueError(
                    f"vectorize: argument {number} of {name} has shape {shape}, too few dimensions for the core {core}"
                )
            self.match(core, shape[len(shape) - len(core) :], f"argument {number}")
            loops.append(shape[: len(shape) - len(core)])
        self.loop = broadcast_shapes(*loops)
        self.loops = loops

    def match(self, core: Core, shape: Sequence[int], what: str) -> None:
        """Check sizes of core dimensions against those known, and remember new ones."""
        for dim, size in zip(core, shape):
            known = self.sizes.setdefault(dim, size)
            if known != size:
                raise ValueError(
                    f"vectorize: {what} of {self.name} has size {size} in core dimension {dim!r}, not {known}"
                )

    def check_results(self, outputs: Sequence[Core], results: Any) -> Any:
        """The results of the function itself, if they are as the signature says."""
        several = isinstance(results, (tuple, list))
        given = list(results) if several else [results]
        if len(given) != len(outputs):
            raise TypeError(
                f"vectorize: {self.name} returned {len(given)} results, its signature has {len(outputs)}"
            )
        for number, (core, result) in enumerate(zip(outputs, given)):
            shape = shape_of(result)
            if len(shape) != len(core):
                raise ValueError(
                    f"vectorize: result {number} of {self.name} has shape {shape}, not the core {core}"
                )
            self.match(core, shape, f"result {number}")
        return results

    def map(self, fun: Callable[..., Any], args: Sequence[Any]) -> Any:
        """The function, mapped over the loop dimensions; those of size 1 are not mapped but put back."""
        squeezed = []
        mapped: list[list[bool]] = []
        for arg, loop in zip(args, self.loops):
            ones = tuple([i for i, size in enumerate(loop) if size == 1])
            squeezed.append(squeeze_p.bind(arg, dimensions=ones) if ones else arg)
            mapped.append([False] * (len(self.loop) - len(loop)) + [size != 1 for size in loop])
        put_back = []
        for dim in reversed(range(len(self.loop))):
            axes = tuple([0 if has[dim] else None for has in mapped])
            if any(axis == 0 for axis in axes):
                fun = vmap(fun, in_axes=axes)
            else:
                put_back.append(dim)
        result = fun(*squeezed)
        if not put_back:
            return result
        leaves, tree = _native.tree_flatten(result)
        return _native.tree_unflatten(tree, [expand_dims(leaf, put_back) for leaf in leaves])


def _check_excluded(excluded: Any) -> frozenset[Any]:
    result = frozenset(excluded)
    for item in result:
        if not isinstance(item, (int, str)):
            raise TypeError(f"vectorize: excluded must hold numbers and names of arguments, got {item!r}")
        if isinstance(item, int) and item < 0:
            raise ValueError(f"vectorize: excluded must not hold negative numbers, got {item}")
    return result


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Collection[int | str] = frozenset(), signature: str | None = None
) -> Callable[..., Any]:
    """A function of arrays that broadcast, made of one of scalars, or of arrays with few dimensions.

    Args:
      pyfunc: the function.
      excluded: numbers of positional and names of keyword arguments that are passed on as they are.
      signature: the core dimensions of arguments and results, such as "(n,m),(m)->(n)": what `pyfunc` is called with has
        these, and all dimensions before them broadcast. By default arguments are scalars.
    Returns:
      a function; its arguments may be lists, too.
    Raises:
      ValueError: the signature is none, or arguments do not fit it. TypeError: their number does not fit.

    >>> import anima.numpy as np
    >>> dot = np.vectorize(lambda x, y: (x * y).sum(), signature="(n),(n)->()")
    >>> print(dot(np.ones((2, 3)), np.arange(3)))
    [3. 3.]
    """
    if not callable(pyfunc):
        raise TypeError(f"vectorize: pyfunc must be callable, got {pyfunc!r}")
    left_out = _check_excluded(excluded)
    cores = None if signature is None else _parsed(signature)
    name = getattr(pyfunc, "__name__", type(pyfunc).__name__)

    @functools.wraps(pyfunc)
    def vectorized(*args: Any, **kwargs: Any) -> Any:
        places = [i for i in range(len(args)) if i not in left_out]
        names = [key for key in kwargs if key not in left_out]
        if cores is not None and (len(places) != len(cores[0]) or names):
            raise TypeError(
                f"vectorize: {name} takes {len(cores[0])} positional arguments by its signature, got {len(places)}"
                + (f" and the keywords {', '.join(names)}" if names else "")
            )
        given = [asarray(args[i]) for i in places] + [asarray(kwargs[key]) for key in names]
        call = _Vectorized(name, cores[0] if cores else [()] * len(given), given)

        def apply(*values: Any) -> Any:
            positional, named = list(args), dict(kwargs)
            for i, value in zip(places, values):
                positional[i] = value
            named.update(zip(names, values[len(places) :]))
            results = pyfunc(*positional, **named)
            return results if cores is None else call.check_results(cores[1], results)

        return call.map(apply, given)

    return vectorized
