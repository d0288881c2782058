"""Functions of `custom_vjp` with references among their arguments.

Invariant: such a call is one of a `custom_vjp` function without references: from the other arguments, the values of the
references and their threads (`state.threads`) to the function's result, the last values and the threads. Its rules make
references of those for the user's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import PyTreeDef, get_trace, tree_flatten, tree_unflatten
from anima.core.trace import shaped
from anima.errors import RefError
from anima.interpreters.flat import name_of
from anima.lax.identity import stop_gradient
from anima.state.refs import Ref
from anima.state.staging import Lent, check_aliases
from anima.state.threads import differentiated_by, thread_of
from anima.transforms.custom_rules import SymbolicZero, called, pair_of, zeros_for_user
from anima.transforms.custom_vjp_rules import CustomVJPPrimal, leaves_like
from anima.tree.registry import register_pytree_node


class _Residuals:
    """Residuals of a user's forward rule; references among them are structure, by their numbers among the arguments."""

    __slots__ = ("refs", "tree", "values")

    def __init__(self, values: Sequence[Any], tree: PyTreeDef, refs: tuple[tuple[int, int], ...]) -> None:
        self.values = values
        self.tree = tree
        self.refs = refs

    def rebuilt(self, refs: Sequence[Ref]) -> Any:
        """The user's residuals, with these references."""
        given, placed = iter(self.values), {i: refs[number] for i, number in self.refs}
        return tree_unflatten(
            self.tree, [placed[i] if i in placed else next(given) for i in range(self.tree.num_leaves)]
        )


register_pytree_node(
    _Residuals,
    lambda residuals: (tuple(residuals.values), (residuals.tree, residuals.refs)),
    lambda structure, values: _Residuals(values, *structure),
)


def has_refs(args: tuple[Any, ...], nondiff: Sequence[int]) -> bool:
    """Whether there are references among the arguments that may be differentiated."""
    dynamic = [a for i, a in enumerate(args) if i not in nondiff]
    return any([type(x) is Ref for x in tree_flatten(dynamic)[0]])


class _Call:
    """One call: the user's function and rules on flat arguments, in which references have their places."""

    __slots__ = ("args", "changed", "custom", "lent", "name", "nondiff", "others", "tree")

    def __init__(self, custom: Any, args: tuple[Any, ...], nondiff: Sequence[int]) -> None:
        self.custom = custom
        self.name = name_of(custom.fun)
        self.args = args
        self.nondiff = [i for i in range(len(args)) if i in nondiff]
        dynamic = tuple([a for i, a in enumerate(args) if i not in nondiff])
        leaves, self.tree = tree_flatten(dynamic)
        self.lent = Lent(leaves)
        check_aliases(self.lent.refs, f"custom_vjp function {self.name}")
        self.others = [x for i, x in enumerate(leaves) if i not in self.lent.places]
        self.changed: set[int] = set()  # which references the function writes to

    def run(self, fun: Callable[..., Any], others: Sequence[Any], values: Sequence[Any]) -> Any:
        """What a function of the user's arguments returns for these values of them."""
        given, held = iter(others), dict(zip(self.lent.places, values))
        leaves = [held[i] if i in held else next(given) for i in range(self.tree.num_leaves)]
        (result,) = self.lent.call(lambda *xs: [called(self.name, fun, *self._arguments(xs))], leaves)
        ends = zip(self.lent.values(), values)
        self.changed |= {number for number, (end, start) in enumerate(ends) if end is not start}
        return result

    def _arguments(self, leaves: Sequence[Any]) -> list[Any]:
        given = iter(tree_unflatten(self.tree, leaves))
        return [a if i in self.nondiff else next(given) for i, a in enumerate(self.args)]

    def function(self, others: Any, values: Any, threads: Any) -> Any:
        return self.run(self.custom.fun, others, values), self.lent.values(), threads

    def forward(self, others: Any, values: Any, threads: Any) -> Any:
        if not self.custom.symbolic_zeros:
            others = _unwrapped(others)
        result = self.run(self.custom.fwd, others, _unwrapped(values))
        rule = f"the custom_vjp forward rule {name_of(self.custom.fwd)}"
        out, residuals = pair_of(rule, self.name, result, "residuals for the backward rule")
        leaves, tree = tree_flatten(residuals)
        refs = tuple([(i, self._number(rule, x)) for i, x in enumerate(leaves) if type(x) is Ref])
        kept = [x for x in leaves if type(x) is not Ref]
        return (out, self.lent.values(), _unwrapped(threads)), _Residuals(kept, tree, refs)

    def _number(self, rule: str, ref: Ref) -> int:
        number = self.lent.number_of(ref)
        if number is None:
            raise RefError(
                f"{rule} of {self.name} returned a reference among its residuals that is none of its arguments; the backward "
                "rule can write to arguments only"
            )
        return number

    def backward(self, residuals: _Residuals, cotangents: Any) -> Any:
        """The cotangents of everything; the references of the user's rule hold the cotangents of the threads."""
        of_result, _, of_threads = cotangents
        leaves, structure = tree_flatten(of_result)
        nothing = [None] * len(self.others)
        if all([type(ct) is SymbolicZero for ct in leaves]):
            return nothing, None, of_threads
        if not self.custom.symbolic_zeros:
            of_result = tree_unflatten(structure, [_made_real(ct) for ct in leaves])
        held = [_made_real(ct) for ct in of_threads]
        refs = [Ref(value, shaped(value), get_trace()) for value in held]
        nondiff = [self.args[i] for i in self.nondiff]
        result = called(self.name, self.custom.bwd, *nondiff, residuals.rebuilt(refs), of_result)
        found = leaves_like(tuple(result) if isinstance(result, list) else result, self.tree)
        if isinstance(found, str):
            raise TypeError(
                f"the custom_vjp backward rule {name_of(self.custom.bwd)} of {self.name} must return a tuple with one entry for "
                f"each argument, built as that is, or None for a zero cotangent, as for references: {found}"
            )
        cts = [ct for i, ct in enumerate(found) if i not in self.lent.places]
        return cts, None, [ref._value for ref in refs]


def _unwrapped(primals: Sequence[CustomVJPPrimal]) -> list[Any]:
    return [primal.value for primal in primals]


def _made_real(ct: Any) -> Any:
    return zeros_for_user(ct.aval) if type(ct) is SymbolicZero else ct


def call_with_refs(custom: Any, args: tuple[Any, ...], nondiff: Sequence[int]) -> Any:
    """The result of a `custom_vjp` function, after the references among its arguments have taken their new values.

    Raises:
      RefError: a reference is there twice, or is not one to floating point numbers.
    """
    trace = get_trace()
    if trace is None:
        return custom.fun(*args)
    if custom.optimize_remat:
        raise RefError(
            f"custom_vjp function {name_of(custom.fun)} has optimize_remat=True, with which it takes no references"
        )
    call = _Call(custom, args, nondiff)
    inner = type(custom)(call.function)
    inner.__name__ = call.name
    forward: Any = lambda *given: call.forward(*given)
    backward: Any = lambda *given: call.backward(*given)
    forward.__name__, backward.__name__ = name_of(custom.fwd), name_of(custom.bwd)
    inner.defvjp(forward, backward, symbolic_zeros=True)
    refs = call.lent.refs
    threads = [thread_of(ref) for ref in refs] if differentiated_by(trace, call.others) else []
    given = [thread._read() for thread in threads]
    out, values, ends = inner(call.others, [ref._read() for ref in refs], given)
    for number in sorted(call.changed):
        refs[number][...] = stop_gradient(values[number])
    for thread, end in zip(threads, ends):
        thread._write(end)
    return out
