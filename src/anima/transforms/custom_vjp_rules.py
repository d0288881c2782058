"""The rules of `custom_vjp`: users' functions on flat leaves, and what batching, staging and dead code make of them.

Invariant: a forward rule, of (captured values, primals, which of them are differentiated), returns outputs, residuals and a
link: what its backward rule needs to know of that run besides values. The backward rule, of (link, residuals, cotangents of
all outputs), returns a cotangent or None for each primal. They are made, batched, staged and selected in pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from anima import dtypes
from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core.aval import AbstractValue, ShapedArray, array_aval, has_tangent
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, batch_flat, to_axis, without_axis
from anima.interpreters.zeros import instantiate, zero_of
from anima.lax.arithmetic import div, mul
from anima.lax.control.bodies import leaf_path
from anima.lax.control.carries import type_text
from anima.lax.convert import convert_element_type
from anima.lax.create import full_like
from anima.lax.reductions import reduce_sum
from anima.records import NamedTuple, Record
from anima.transforms.arguments import check_outputs, flatten_for_program, is_float0
from anima.transforms.custom_rules import (
    Captured,
    Dims,
    OutDims,
    SymbolicZero,
    UserRule,
    as_operand,
    as_value,
    called,
    pair_of,
    shown,
    staged,
    type_of_value,
)
from anima.tree.compare import treedef_differences

Flags = tuple[bool, ...]
Values = Sequence[Any]
Forward = tuple[list[Any], list[Any], Any]


class CustomVJPPrimal(Record):
    """An argument of a forward rule with `symbolic_zeros=True`.

    Attributes:
      value: the argument.
      perturbed: whether it is differentiated; if not, its cotangent is not used.
    """

    value: Any
    perturbed: bool


def custom_vjp_primal_tree_values(tree: Any) -> Any:
    """The values of a pytree of `CustomVJPPrimal`s.

    Raises:
      TypeError: a leaf is something else.

    >>> from anima.custom_derivatives import CustomVJPPrimal, custom_vjp_primal_tree_values
    >>> custom_vjp_primal_tree_values({"x": CustomVJPPrimal(1.0, True)})
    {'x': 1.0}
    """
    leaves, structure = tree_flatten(tree)
    for leaf in leaves:
        if type(leaf) is not CustomVJPPrimal:
            raise TypeError(
                f"custom_vjp_primal_tree_values takes a tree of CustomVJPPrimals, but a leaf has type {type(leaf).__name__}"
            )
    return tree_unflatten(structure, [leaf.value for leaf in leaves])


class Link(NamedTuple):
    """Of a user's rules: the structure of the residuals, and the avals of the primals."""

    residuals: PyTreeDef
    primals: tuple[Any, ...]


class ForwardRule(UserRule):
    """A user's forward rule on the differentiated leaves of a call."""

    __slots__ = ()

    def __call__(self, consts: Values, primals: Values, perturbed: Flags) -> Forward:
        given: Sequence[Any] = primals
        if self.symbolic_zeros:
            given = [CustomVJPPrimal(p, flag) for p, flag in zip(primals, perturbed)]
        result = called(self.function, self.rule, *self.arguments.rebuilt(given))
        rule = f"the custom_vjp forward rule {self.__name__}"
        out, residuals = pair_of(rule, self.function, result, "residuals for the backward rule")
        _, outs, tree = flatten_for_program(out)
        outs = check_outputs(outs, self.rule)
        self.outcome.meet(rule, self.function, tree, [aval_of(x) for x in outs])
        _, leaves, residual_tree = flatten_for_program(residuals)
        for index, leaf in enumerate(leaves):
            try:
                leaves[index] = as_operand(leaf)
            except TypeError:
                raise TypeError(
                    f"{rule} of {self.function} must return residuals that are arrays, numbers and pytrees of them, but "
                    f"residual{leaf_path(residual_tree, index)} is {leaf!r:.80} of type {type(leaf).__name__}"
                ) from None
        return outs, leaves, Link(residual_tree, tuple([aval_of(p) for p in primals]))


class BackwardRule(UserRule):
    """A user's backward rule on flat residuals and cotangents."""

    __slots__ = ()

    def __call__(self, link: Link, residuals: Values, cts: Values) -> list[Any]:
        result = called(
            self.function,
            self.rule,
            *self.arguments.nondiff.values(),
            tree_unflatten(link.residuals, residuals),
            tree_unflatten(self.outcome.tree, [shown(ct, self.symbolic_zeros) for ct in cts]),
        )
        if isinstance(result, list):
            result = tuple(result)
        tree = self.arguments.in_tree
        found = leaves_like(result, tree)
        if isinstance(found, str):
            raise TypeError(
                f"the custom_vjp backward rule {self.__name__} of {self.function} must return a tuple with one entry for each "
                f"argument, built as that is, or None for a zero cotangent: {found}"
            )
        return [self._cotangent(ct, aval, i) for i, (ct, aval) in enumerate(zip(found, link.primals))]

    def _cotangent(self, ct: Any, primal: AbstractValue, index: int) -> Any:
        if ct is None or not has_tangent(primal) or is_float0(ct) or type(ct) is SymbolicZero:
            return None
        expected = array_aval(primal.tangent_aval())
        aval = _aval_or_none(ct)
        # Cotangents of another precision are converted: those that flow on must have the argument's.
        if (
            aval is None
            or aval.shape != expected.shape
            or (dtypes.is_complex(aval.dtype) and not dtypes.is_complex(expected.dtype))
        ):
            raise (TypeError if aval is None else ValueError)(
                f"the custom_vjp backward rule {self.__name__} of {self.function} must return cotangents of the shapes and "
                f"dtypes of the arguments: output{leaf_path(self.arguments.in_tree, index)} is {type_of_value(ct)}, for an argument "
                f"of type {type_text(primal)}"
            )
        value = as_value(ct)
        return value if aval.dtype == expected.dtype else convert_element_type(value, expected.dtype)


def _aval_or_none(value: Any) -> ShapedArray | None:
    try:
        return array_aval(aval_of(as_value(value)))
    except TypeError:
        return None


def leaves_like(value: Any, tree: PyTreeDef) -> list[Any] | str:
    """The leaves of `value` in the places of those of `tree`, None for all of a subtree where it has None.

    Where the structures differ otherwise, the first difference in words.
    """
    leaves, plain = tree_flatten(value)
    if plain == tree:
        return leaves
    leaves, structure = tree_flatten(value, lambda x: x is None)
    found: list[Any] = []
    given = iter(leaves)

    def walk(part: PyTreeDef, whole: PyTreeDef) -> bool:
        """Whether `part` fits; consumes its leaves."""
        if whole.num_leaves == 0 or part.is_leaf:
            taken = [next(given) for _ in range(part.num_leaves)]
            if whole.num_leaves and not whole.is_leaf and taken[0] is not None:
                return False
            found.extend(taken * whole.num_leaves)
            return True
        if part.node_data() != whole.node_data() or len(part.children()) != len(whole.children()):
            return False
        return all([walk(a, b) for a, b in zip(part.children(), whole.children())])

    if value is not None and walk(structure, tree):
        return found
    differences = [*treedef_differences(structure, tree, prefix=True), *treedef_differences(plain, tree)]
    difference = next(d for d in differences if d.first != "None" or not d.path)
    return difference.message("the output", "the arguments")


class BatchedLink(NamedTuple):
    """Of batched rules: the link inside, and where residuals and outputs are mapped."""

    inner: Any
    residuals: Dims
    outs: Dims


class BatchedForward:
    """A forward rule mapped over an axis."""

    __slots__ = ("__name__", "axis", "dims", "out", "rule")

    def __init__(self, rule: Any, axis: Axis, dims: Dims, out: OutDims) -> None:
        self.rule = rule
        self.__name__ = rule.__name__
        self.axis = axis
        self.dims = dims  # of the captured values and the primals
        self.out = out

    def __call__(self, consts: Values, primals: Values, perturbed: Flags) -> Forward:
        link: Any = None
        count = 0

        def run(*vals: Any) -> list[Any]:
            nonlocal link, count
            outs, residuals, link = self.rule(vals[: len(consts)], vals[len(consts) :], perturbed)
            count = len(outs)
            return [*outs, *residuals]

        values, places = batch_flat(run, self.axis, [*consts, *primals], self.dims)
        if self.out.dims is None:
            self.out.dims = tuple(places[:count])
        what = f"the custom_vjp forward rule {self.__name__}"
        outs = [self.out.place(i, values[i], places[i], self.axis, what) for i in range(count)]
        return outs, values[count:], BatchedLink(link, tuple(places[count:]), self.out.dims)

    @property
    def users(self) -> Iterator[Any]:
        yield from self.rule.users


class BatchedBackward:
    """A backward rule mapped over an axis: cotangents of arguments that are not mapped are summed over it."""

    __slots__ = ("__name__", "axis", "dims", "rule")

    def __init__(self, rule: Any, axis: Axis, dims: Dims) -> None:
        self.rule = rule
        self.__name__ = rule.__name__
        self.axis = axis
        self.dims = dims  # of the primals

    def __call__(self, link: BatchedLink, residuals: Values, cts: Values) -> list[Any]:
        nonzero = [type(ct) is not Zero for ct in cts]
        inner = [
            Zero(without_axis(ct.aval, d)) if d is not None and not nz else ct
            for ct, d, nz in zip(cts, link.outs, nonzero)
        ]
        returned: list[Any] = []

        def run(*vals: Any) -> list[Any]:
            given = iter(vals[len(residuals) :])
            directions = [next(given) if nz else ct for ct, nz in zip(inner, nonzero)]
            returned[:] = self.rule(link.inner, vals[: len(residuals)], directions)
            return [ct for ct in returned if ct is not None]

        shares = [self._share(ct, d) for ct, d, nz in zip(cts, link.outs, nonzero) if nz]
        given = [ct for ct, _ in shares]
        dims = [*link.residuals, *[d for _, d in shares]]
        found = iter(zip(*batch_flat(run, self.axis, [*residuals, *given], dims)))
        return [None if ct is None else self._placed(*next(found), d) for ct, d in zip(returned, self.dims)]

    def _share(self, ct: Any, dim: int | None) -> tuple[Any, int | None]:
        """The cotangent as the rule gets it. Of an output that is the same along an axis with a name, each element has a share:
        a rule that sums cotangents over the axis would count the whole once for each of them."""
        if dim is not None or self.axis.name is None:
            return ct, dim
        size = self.axis.size
        return to_axis(div(ct, full_like(ct, size)), None, 0, size), 0

    def _placed(self, ct: Any, found: int | None, wanted: int | None) -> Any:
        if wanted is not None:
            return to_axis(ct, found, wanted, self.axis.size)
        if found is not None:
            return reduce_sum(ct, (found,))
        return ct if self.axis.name is None else mul(ct, full_like(ct, self.axis.size))

    @property
    def users(self) -> Iterator[Any]:
        yield from self.rule.users


class StagedForward:
    """A forward rule as a program, made where it or its backward rule captured traced values, which it takes as arguments."""

    __slots__ = ("__name__", "closed", "num_outs")

    def __init__(self, name: str, closed: ClosedJaxpr, num_outs: int) -> None:
        self.__name__ = name
        self.closed = closed
        self.num_outs = num_outs

    def __call__(self, consts: Values, primals: Values, perturbed: Flags) -> Forward:
        values = eval_jaxpr(self.closed.jaxpr, self.closed.consts, *consts, *primals)
        # The backward rule takes the captured values too.
        return values[: self.num_outs], [*consts, *values[self.num_outs :]], None


class StagedBackward:
    """A backward rule as a program of captured values, residuals and cotangents."""

    __slots__ = ("__name__", "closed", "in_flags", "out_flags")

    def __init__(self, name: str, closed: ClosedJaxpr, in_flags: Flags, out_flags: Flags) -> None:
        self.__name__ = name
        self.closed = closed
        self.in_flags = in_flags  # which outputs have a cotangent among its arguments
        self.out_flags = out_flags  # which primals have one among its results

    def __call__(self, link: None, residuals: Values, cts: Values) -> list[Any]:
        given = [instantiate(ct) for ct, flag in zip(cts, self.in_flags) if flag]
        found = iter(eval_jaxpr(self.closed.jaxpr, self.closed.consts, *residuals, *given))
        return [next(found) if flag else None for flag in self.out_flags]


def staged_rules(fwd: Any, bwd: Any, avals: Sequence[AbstractValue], captured: Captured) -> tuple[Any, Any]:
    """The rules as programs of what they captured, for they may run when those values are gone.

    Rules that cannot be traced stay as they are: they may never be asked, and raise their errors if they are.
    """
    perturbed = tuple([has_tangent(a) for a in avals])
    link: Any = None
    num_outs = 0
    out_flags: Flags = ()

    def forward(*primals: Any) -> list[Any]:
        nonlocal link, num_outs
        outs, residuals, link = fwd((), primals, perturbed)
        num_outs = len(outs)
        return [*outs, *residuals]

    def backward(*vals: Any) -> list[Any]:
        nonlocal out_flags
        given = iter(vals[len(residual_avals) :])
        cts = [next(given) if flag else Zero(a) for a, flag in zip(ct_avals, in_flags)]
        found = bwd(link, vals[: len(residual_avals)], cts)
        out_flags = tuple([ct is not None for ct in found])
        return [ct for ct in found if ct is not None]

    try:
        first, first_consts = staged(forward, avals, fwd.__name__)
        residual_avals = first.out_avals[num_outs:]
        ct_avals = [a.tangent_aval() for a in first.out_avals[:num_outs]]
        in_flags = tuple([has_tangent(a) for a in ct_avals])
        given_avals = [a for a, flag in zip(ct_avals, in_flags) if flag]
        second, second_consts = staged(backward, [*residual_avals, *given_avals], bwd.__name__)
    except Exception:
        return fwd, bwd
    first_places, second_places = captured.add(first_consts), captured.add(second_consts)
    return (
        StagedForward(fwd.__name__, captured.closed(first, first_places), num_outs),
        StagedBackward(bwd.__name__, captured.closed(second, second_places), in_flags, out_flags),
    )


class SelectedForward:
    """A forward rule of which some outputs are not used."""

    __slots__ = ("__name__", "rule", "used")

    def __init__(self, rule: Any, used: Flags) -> None:
        self.__name__ = rule.__name__
        self.rule = rule
        self.used = used

    def __call__(self, consts: Values, primals: Values, perturbed: Flags) -> Forward:
        outs, residuals, link = self.rule(consts, primals, perturbed)
        zeros = [zero_of(o) for o in outs]
        return [o for o, u in zip(outs, self.used) if u], residuals, (link, zeros)


class SelectedBackward:
    """A backward rule of a function of which some outputs are not used: they have no cotangents."""

    __slots__ = ("__name__", "rule", "used")

    def __init__(self, rule: Any, used: Flags) -> None:
        self.__name__ = rule.__name__
        self.rule = rule
        self.used = used

    def __call__(self, link: Any, residuals: Values, cts: Values) -> list[Any]:
        inner, zeros = link
        given = iter(cts)
        found: list[Any] = self.rule(
            inner, residuals, [next(given) if u else z for u, z in zip(self.used, zeros)]
        )
        return found


class Pullback:
    """A backward rule with the link of one run of the forward rule."""

    __slots__ = ("__name__", "_link", "_rule")

    def __init__(self, rule: Any, link: Any) -> None:
        self.__name__ = rule.__name__
        self._rule = rule
        self._link = link

    def __call__(self, residuals: Values, cts: Values) -> list[Any]:
        """A cotangent or None for each primal."""
        found: list[Any] = self._rule(self._link, residuals, cts)
        return found

    def batched(self, axis: Axis, residuals: Dims, outs: Dims, primals: Dims) -> Pullback:
        """The same for values that are mapped where these say."""
        return Pullback(BatchedBackward(self._rule, axis, primals), BatchedLink(self._link, residuals, outs))
