"""Einstein summation.

Invariant: an expression is contracted in pairs of operands, each by at most one `lax.dot_general`; what only one operand
has and nobody needs is summed first. The order of three or more is `opt_einsum`'s, which is imported only then.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from anima import dtypes
from anima.lax.arithmetic import mul
from anima.lax.bitwise import bitwise_and
from anima.lax.contraction import dot_general
from anima.lax.convert import convert_element_type, convert_to
from anima.lax.precision import canonical_precision
from anima.lax.reductions import reduce_or_p
from anima.lax.shape import broadcast_in_dim, refuse_out_sharding, squeeze_p, transpose_p
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of, shape_of
from anima.numpy.ranges import diagonal
from anima.numpy.reductions import refuse_out, sum as array_sum

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
            if not (item.isascii() and item.isalpha()) and item != "…":
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
        raise ValueError(
            f"einsum: the subscripts {term!r} do not fit operand {number}, which has {rank} dimensions"
        )
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
                raise ValueError(
                    f"einsum: label {label!r} has size {size} in operand {number}, but {known} before"
                )
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
    steps = [
        step for step in path if not isinstance(step, str)
    ]  # NumPy's paths begin with the word "einsum_path"
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


class _Contraction:
    """What one call has in common: the sizes of the labels, dtypes, and how products are computed.

    Sums over one operand are computed in `wide`, which holds both the operands' dtype and the result's; results of
    products are of `dtype`.
    """

    def __init__(self, sizes: dict[Any, int], common: Any, dtype: Any, precision: Any, product: Any) -> None:
        self.sizes = sizes
        self.dtype = dtype
        self.wide = dtypes.promote_types(common, dtype)
        self.precision = precision
        self.product = product

    def single(self, x: Any, labels: Labels, needed: set[Any]) -> tuple[Any, Labels]:
        """An operand with each label once, without sizes of 1 that stretch, and summed over what nobody needs."""
        for label in dict.fromkeys(labels):
            while labels.count(label) > 1:
                x, labels = _diagonal(x, labels, label)
        shape = shape_of(x)
        ones = tuple([i for i, label in enumerate(labels) if shape[i] == 1 and self.sizes[label] != 1])
        if ones:
            x = squeeze_p.bind(x, dimensions=ones)
            labels = tuple([label for i, label in enumerate(labels) if i not in ones])
        summed = tuple([i for i, label in enumerate(labels) if label not in needed])
        if not summed:
            return x, labels
        x = convert_element_type(x, self.wide)
        x = reduce_or_p.bind(x, axes=summed) if dtypes.is_bool(self.wide) else array_sum(x, summed, self.wide)
        return x, tuple([label for label in labels if label in needed])

    def pair(self, x: Any, xs: Labels, y: Any, ys: Labels, needed: set[Any]) -> tuple[Any, Labels]:
        """Two operands as one that has the labels in `needed`."""
        x, xs = self.single(x, xs, needed | set(ys))
        y, ys = self.single(y, ys, needed | set(xs))
        x, xs = self.single(x, xs, needed | set(ys))  # what stretched in y is summed in x alone
        both = [label for label in xs if label in ys]
        batch, contract = [n for n in both if n in needed], [n for n in both if n not in needed]
        if not contract and self.product is dot_general:
            return self.multiply(x, xs, y, ys)
        common = dtypes.promote_types(dtype_of(x), dtype_of(y))
        numbers = (
            ([xs.index(n) for n in contract], [ys.index(n) for n in contract]),
            ([xs.index(n) for n in batch], [ys.index(n) for n in batch]),
        )
        result = self.product(
            convert_element_type(x, common),
            convert_element_type(y, common),
            numbers,
            precision=self.precision,
            preferred_element_type=self.dtype,
        )
        return result, (*batch, *[label for label in (*xs, *ys) if label not in both])

    def multiply(self, x: Any, xs: Labels, y: Any, ys: Labels) -> tuple[Any, Labels]:
        """The product of two operands with nothing to sum over, as elements are multiplied."""
        labels = (*xs, *[label for label in ys if label not in xs])
        shape = tuple([self.sizes[label] for label in labels])
        operands = []
        for value, names in ((x, xs), (y, ys)):
            order = sorted(range(len(names)), key=lambda i: labels.index(names[i]))
            value = _permuted(convert_element_type(value, self.wide), order)
            operands.append(broadcast_in_dim(value, shape, [labels.index(names[i]) for i in order]))
        result = (bitwise_and if dtypes.is_bool(self.wide) else mul)(*operands)
        return convert_element_type(result, self.dtype), labels


def _diagonal(x: Any, labels: Labels, label: Any) -> tuple[Any, Labels]:
    first = labels.index(label)
    second = labels.index(label, first + 1)
    shape = shape_of(x)
    if shape[first] != shape[second]:
        raise ValueError(
            f"einsum: label {label!r} has sizes {shape[first]} and {shape[second]} in one operand"
        )
    rest = [name for i, name in enumerate(labels) if i not in (first, second)]
    return diagonal(x, 0, first, second), (*rest, label)


def _permuted(x: Any, order: Sequence[int]) -> Any:
    return x if list(order) == list(range(len(order))) else transpose_p.bind(x, permutation=tuple(order))


@function(static=("inputs", "output", "path", "precision", "preferred", "product"))
def _einsum(
    operands: Any, inputs: Terms, output: Labels, path: Path, precision: Any, preferred: Any, product: Any
) -> Any:
    common, weak = dtypes.lattice_result_type(*[dtypes.pair_of(a) for a in operands])
    dtype, weak = (common, weak) if preferred is None else (preferred, False)
    sizes = _sizes(inputs, [shape_of(a) for a in operands])
    how = _Contraction(sizes, common, dtype, precision, product)
    work = [(convert_element_type(a, common), labels) for a, labels in zip(operands, inputs)]
    for step in path:
        taken = [work.pop(i) for i in sorted(step, reverse=True)][::-1]  # from the end, as places shift
        x, xs = taken[0]
        for number, (y, ys) in enumerate(taken[1:], 2):
            others = {label for _, labels in (*work, *taken[number:]) for label in labels}
            x, xs = how.pair(x, xs, y, ys, others | set(output))
        work.append((x, xs))
    x, labels = how.single(*work[0], set(output))
    return convert_to(_permuted(x, [labels.index(n) for n in output]), dtype, weak)


# --- the functions ----------------------------------------------------------------------------


def einsum(
    subscripts: Any, /, *operands: Any, out: None = None, optimize: Any = "auto", precision: Any = None,
    preferred_element_type: Any = None, _dot_general: Callable[..., Any] = dot_general, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Sums of products of arrays, in Einstein's notation.

    Args:
      subscripts: letters for the dimensions of each operand, separated by commas, such as "ij,jk->ik". Equal letters are
        dimensions that go along with each other; those that are not in the output are summed. Without "->" the output
        has the letters that appear once, in alphabetical order. "..." stands for any further dimensions, which broadcast.
      *operands: arrays. In the other form, `einsum(a, [0, 1], b, [1, 2], [0, 2])`, lists of numbers follow the operands.
      out: not supported; must be None.
      optimize: the order of contraction: the name of a strategy of `opt_einsum`, False for from left to right, or a path.
      precision, preferred_element_type: as in `lax.dot_general`.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      ValueError: the subscripts are no subscripts, or do not fit the operands. TypeError: an operand is no array.

    >>> import anima.numpy as np
    >>> x = np.arange(6).reshape(2, 3)
    >>> print(np.einsum("ij,kj->ik", x, x))
    [[ 5 14]
     [14 50]]
    >>> print(np.einsum("ij->j", x))
    [3 5 7]
    """
    refuse_out("einsum", out)
    refuse_out_sharding("einsum", out_sharding)
    inputs, output, arrays = _expression(subscripts, operands)
    path = _path(inputs, output, tuple([shape_of(a) for a in arrays]), _optimize(optimize))
    if preferred_element_type is not None:
        preferred_element_type = dtypes.check_user_dtype_supported(preferred_element_type, "einsum")
    return _einsum(
        arrays, inputs, output, path, canonical_precision(precision), preferred_element_type, _dot_general
    )


def einsum_path(
    subscripts: Any, /, *operands: Any, optimize: Any = "auto"
) -> tuple[list[tuple[int, ...]], Any]:
    """The order in which `einsum` would contract operands.

    Args:
      subscripts, *operands: as for `einsum`.
      optimize: the name of a strategy of `opt_einsum`, False for from left to right, or a path.
    Returns:
      the path: for each step the places of the operands that it takes from the list, at whose end it puts its result; and
      a description of what it costs.
    Raises:
      ValueError: the subscripts are no subscripts, or do not fit the operands. TypeError: an operand is no array.

    >>> import anima.numpy as np
    >>> np.einsum_path("ij,jk,kl", np.ones((9, 2)), np.ones((2, 9)), np.ones((9, 9)))[0]
    [(1, 2), (0, 1)]
    """
    import opt_einsum

    inputs, output, arrays = _expression(subscripts, operands)
    path = list(_path(inputs, output, tuple([shape_of(a) for a in arrays]), _optimize(optimize)))
    sizes = _sizes(inputs, [shape_of(a) for a in arrays])
    full = [tuple([sizes[label] for label in labels]) for labels in inputs]
    return path, opt_einsum.contract_path(_for_opt_einsum(inputs, output), *full, shapes=True, optimize=path)[
        1
    ]
