"""Einstein summation.

Invariant: an expression is contracted in pairs of operands, each by at most one `lax.dot_general`; what only one operand
has and nobody needs is summed first. The order of three or more is `opt_einsum`'s, which is imported only then.
"""

from __future__ import annotations

import functools
import math
import operator
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.lax.arithmetic import mul
from anima.lax.bitwise import bitwise_and
from anima.lax.contraction import dot_general
from anima.lax.convert import convert_element_type
from anima.lax.precision import canonical_precision
from anima.lax.reductions import reduce_or_p
from anima.lax.shape import broadcast_in_dim, refuse_out_sharding, squeeze_p, transpose_p
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, shape_of
from anima.numpy.ranges import diagonal
from anima.numpy.reductions import sum as array_sum

# A dimension's name: a letter, a number of the interleaved form, or, for what "..." stands for, its negative place.
Labels = tuple[Any, ...]
Terms = tuple[Labels, ...]


# --- what an expression means -----------------------------------------------------------------


def _split_ellipsis(term: str | Sequence[Any], where: str) -> tuple[Labels, Labels | None]:
    """The labels before and after the ellipsis, if there is one."""
    if not isinstance(term, str):
        items = tuple(term)
    else:
        items = tuple(term.replace("...", "…"))
        for item in items:
            if item not in string.ascii_letters and item != "…":
                raise ValueError(f"einsum: {item!r} is no valid label in {where}; labels are letters")
        items = tuple([Ellipsis if item == "…" else item for item in items])
    if Ellipsis not in items:
        return items, None
    place = items.index(Ellipsis)
    if Ellipsis in items[place + 1 :]:
        raise ValueError(f"einsum: there is more than one ellipsis in {where}")
    return items[:place], items[place + 1 :]


def _term_labels(term: str | Sequence[Any], rank: int, number: int) -> Labels:
    before, after = _split_ellipsis(term, f"the subscripts {term!r} of operand {number}")
    given = len(before) + len(after or ())
    if given > rank or (after is None and given != rank):
        raise ValueError(f"einsum: the subscripts {term!r} do not fit operand {number}, which has {rank} dimensions")
    if after is None:
        return before
    return (*before, *range(given - rank, 0), *after)


def _output_labels(term: str | Sequence[Any] | None, inputs: Terms) -> Labels:
    every = [label for labels in inputs for label in labels]
    hidden = sorted({label for label in every if isinstance(label, int) and label < 0})
    if term is None:
        rest = {label for label in every if every.count(label) == 1 and label not in hidden}
        return (*hidden, *sorted(rest))
    before, after = _split_ellipsis(term, f"the output subscripts {term!r}")
    labels = before if after is None else (*before, *hidden, *after)
    if len(set(labels)) != len(labels):
        raise ValueError(f"einsum: a label appears more than once in the output subscripts {term!r}")
    for label in labels:
        if label not in every:
            raise ValueError(f"einsum: output label {label!r} does not appear in the input")
    return labels


@functools.lru_cache(maxsize=1024)
def _parsed(terms: tuple[Any, ...], output: Any, ranks: tuple[int, ...]) -> tuple[Terms, Labels]:
    """The labels of the operands' dimensions and of the result's."""
    if len(terms) != len(ranks):
        raise ValueError(f"einsum: there are subscripts for {len(terms)} operands, but {len(ranks)} operands")
    inputs = tuple([_term_labels(term, rank, i) for i, (term, rank) in enumerate(zip(terms, ranks))])
    return inputs, _output_labels(output, inputs)


def _expression(subscripts: Any, operands: tuple[Any, ...]) -> tuple[Terms, Labels, list[Any]]:
    """What a call of `einsum` means, in either form of its arguments."""
    if isinstance(subscripts, str):
        text = subscripts.replace(" ", "")
        left, arrow, right = text.partition("->")
        terms: tuple[Any, ...] = tuple(left.split(",")) if operands or left else ()
        output: Any = right if arrow else None
    else:
        items = (subscripts, *operands)
        operands = items[: len(items) // 2 * 2 : 2]
        terms = tuple([tuple(term) for term in items[1::2]])
        output = tuple(items[-1]) if len(items) % 2 else None
    arrays = [array_like("einsum", a, i) for i, a in enumerate(operands)]
    if not arrays:
        raise ValueError("einsum: there are no operands")
    inputs, labels = _parsed(terms, output, tuple([len(shape_of(a)) for a in arrays]))
    return inputs, labels, arrays


def _sizes(inputs: Terms, shapes: Sequence[tuple[int, ...]]) -> dict[Any, int]:
    """The size of each label; sizes of 1 stretch."""
    sizes: dict[Any, int] = {}
    for number, (labels, shape) in enumerate(zip(inputs, shapes)):
        for label, size in zip(labels, shape):
            known = sizes.setdefault(label, size)
            if known == 1:
                sizes[label] = size
            elif size not in (1, known):
                raise ValueError(f"einsum: label {label!r} has size {size} in operand {number}, but {known} before")
    return sizes


# --- the order of contraction -----------------------------------------------------------------

Path = tuple[tuple[int, ...], ...]


def _for_opt_einsum(inputs: Terms, output: Labels) -> str:
    import opt_einsum

    names: dict[Any, str] = {}

    def text(labels: Labels) -> str:
        return "".join([names.setdefault(label, opt_einsum.get_symbol(len(names))) for label in labels])

    return ",".join([text(labels) for labels in inputs]) + "->" + text(output)


@functools.lru_cache(maxsize=1024)
def _path(inputs: Terms, output: Labels, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> Path:
    if isinstance(optimize, tuple):
        return _given_path(optimize, len(inputs))
    if len(inputs) < 3 or optimize is False:
        return ((0,),) if len(inputs) == 1 else ((0, 1),) * (len(inputs) - 1)
    import opt_einsum

    sizes = _sizes(inputs, shapes)
    full = [tuple([sizes[label] for label in labels]) for labels in inputs]
    expression = _for_opt_einsum(inputs, output)
    path, _ = opt_einsum.contract_path(expression, *full, shapes=True, optimize=optimize)
    return tuple([tuple(step) for step in path])


def _given_path(path: tuple[Any, ...], count: int) -> Path:
    steps = [step for step in path if not isinstance(step, str)]  # NumPy's paths begin with the word "einsum_path"
    left = count
    for step in steps:
        if any(not 0 <= operator.index(i) < left for i in step) or len(set(step)) != len(step) or not step:
            raise ValueError(f"einsum: step {step} of the path in optimize does not fit {left} operands")
        left += 1 - len(step)
    if left > 1:
        raise ValueError(f"einsum: the path in optimize leaves {left} operands")
    return tuple([tuple(step) for step in steps]) if steps else ((0,),)


def _optimize(value: Any) -> Any:
    """`optimize` in a form that can be a key."""
    if isinstance(value, (list, tuple)):
        return tuple([step if isinstance(step, str) else tuple(step) for step in value])
    return value


# --- contraction ------------------------------------------------------------------------------


def _total(x: Any, axes: tuple[int, ...]) -> Any:
    if dtypes.is_bool(x.dtype):
        return reduce_or_p.bind(x, axes=axes)
    return array_sum(x, axes, dtype=x.dtype)


def _single(x: Any, labels: Labels, sizes: dict[Any, int], needed: set[Any]) -> tuple[Any, Labels]:
    """An operand with each label once, without sizes of 1 that stretch, and summed over what nobody needs."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.shape[first] != x.shape[second]:
                raise ValueError(f"einsum: label {label!r} has sizes {x.shape[first]} and {x.shape[second]} in one operand")
            x = diagonal(x, 0, first, second)
            labels = (*[name for i, name in enumerate(labels) if i not in (first, second)], label)
    ones = tuple([i for i, label in enumerate(labels) if x.shape[i] == 1 and sizes[label] != 1])
    if ones:
        x = squeeze_p.bind(x, dimensions=ones)
        labels = tuple([label for i, label in enumerate(labels) if i not in ones])
    summed = tuple([i for i, label in enumerate(labels) if label not in needed])
    if summed:
        x = _total(x, summed)
        labels = tuple([label for label in labels if label in needed])
    return x, labels


def _multiplied(x: Any, xs: Labels, y: Any, ys: Labels, dtype: Any) -> tuple[Any, Labels]:
    """The product of two operands with nothing to sum over."""
    labels = (*xs, *[label for label in ys if label not in xs])
    sizes = {**dict(zip(xs, x.shape)), **dict(zip(ys, y.shape))}
    shape = tuple([sizes[label] for label in labels])
    operands = []
    for value, names in ((x, xs), (y, ys)):
        order = sorted(range(len(names)), key=lambda i: labels.index(names[i]))
        value = transpose_p.bind(convert_element_type(value, dtype), permutation=tuple(order))
        operands.append(broadcast_in_dim(value, shape, [labels.index(names[i]) for i in order]))
    return (bitwise_and if dtypes.is_bool(dtype) else mul)(*operands), labels


def _contracted(
    x: Any, xs: Labels, y: Any, ys: Labels, needed: set[Any], product: Callable[..., Any], dtype: Any
) -> tuple[Any, Labels]:
    """Two operands, whose labels are those of both or needed, as one."""
    both = [label for label in xs if label in ys]
    batch, contract = [n for n in both if n in needed], [n for n in both if n not in needed]
    if not contract:
        return _multiplied(x, xs, y, ys, dtype)
    numbers = (
        ([xs.index(n) for n in contract], [ys.index(n) for n in contract]),
        ([xs.index(n) for n in batch], [ys.index(n) for n in batch]),
    )
    free = [label for label in (*xs, *ys) if label not in both]
    return product(x, y, numbers), (*batch, *free)


_STATIC = ("inputs", "output", "path", "precision", "preferred", "product")


@function(static=_STATIC)
def _einsum(
    operands: Any, inputs: Terms, output: Labels, path: Path, precision: Any, preferred: Any, product: Any
) -> Any:
    operands = [array_like("einsum", a, i) for i, a in enumerate(operands)]
    common, weak = dtypes.lattice_result_type(*[dtypes.pair_of(a) for a in operands])
    dtype, weak = (common, weak) if preferred is None else (preferred, False)
    sizes = _sizes(inputs, [shape_of(a) for a in operands])
    # Sums of one operand are computed in the wider of both dtypes, products as `dot_general` does.
    wide = dtypes.promote_types(common, dtype)
    work = [(convert_element_type(a, common), labels) for a, labels in zip(operands, inputs)]

    def multiply(x: Any, y: Any, numbers: Any) -> Any:
        common = dtypes.promote_types(x.dtype, y.dtype)
        x, y = convert_element_type(x, common), convert_element_type(y, common)
        return product(x, y, numbers, precision=precision, preferred_element_type=dtype)

    for step in path:
        # Taken from the end, as indices shift.
        taken = [work.pop(i) for i in sorted(step, reverse=True)][::-1]
        for number in range(1, len(taken)):
            others = {label for _, labels in (*work, *taken[number + 1 :]) for label in labels} | set(output)
            (x, xs), (y, ys) = taken[0 if number == 1 else -1], taken[number]
            x, xs = _single(_widened(x, xs, others | set(ys), wide), xs, sizes, others | set(ys))
            y, ys = _single(_widened(y, ys, others | set(xs), wide), ys, sizes, others | set(xs))
            x, xs = _single(x, xs, sizes, others | set(ys))
            taken.append(_contracted(x, xs, y, ys, others, multiply, dtype))
        work.append(taken[-1])
    x, labels = work[0]
    x, labels = _single(_widened(x, labels, set(output), wide), labels, sizes, set(output))
    x = transpose_p.bind(x, permutation=tuple([labels.index(n) for n in output if n in labels]))
    return convert_element_type(_stretched(x, labels, output, sizes), dtype, weak)
