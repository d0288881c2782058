"""Derivatives at a point, as functions: what `vjp` and `linearize` return.

Invariant: such a function is a tape, or the same linear map as a program with residuals. It is a pytree, whose leaves are
the residuals, so it may be an argument or a result of any transformed function; its program is part of its structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.config import enable_x64
from anima.core import hooks
from anima.core.aval import AbstractValue, has_tangent
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import Jaxpr
from anima.core.primitive import Zero
from anima.core.trace import aval_of, is_value, shaped
from anima.errors import RefError
from anima.interpreters.flat import FlatFunction, name_of
from anima.interpreters.linearize import Tape, linearize_flat, tape_jaxpr
from anima.interpreters.transpose import backward, tape_of
from anima.lax.control.bodies import leaf_path
from anima.state.refs import Ref
from anima.state.staging import check_aliases, lent_among
from anima.transforms.tangents import TangentCheck, finished, in_mode, typed_like
from anima.tree.compare import flatten_axes
from anima.tree.registry import register_pytree_node

M = TypeVar("M", bound="LinearMap")


class _Form:
    """All of a linear map but its residuals. Equal to itself only, so programs compiled for it are found by it.

    Attributes:
      name: of the function that was differentiated.
      in_avals: the avals of its arguments, of references those of their arrays. active: which of them have tangents.
      refs: which arguments are references.
      threads: references whose threads are further inputs and outputs of the map.
      in_tree: the structure of `(args, kwargs)`. args_tree: that of `args`.
      out_avals, out_tree: its outputs'.
      x64: whether it was recorded in 64-bit mode: it is run in the same one.
      jaxpr: the program of `(*residuals, *tangents)`, once it was asked for.
      nonzeros: which outputs the program has.
    """

    __slots__ = (
        "active",
        "args_tree",
        "in_avals",
        "in_tree",
        "jaxpr",
        "name",
        "nonzeros",
        "out_avals",
        "out_tree",
        "refs",
        "threads",
        "x64",
    )

    def __init__(
        self,
        name: str,
        in_avals: list[Any],
        active: list[bool],
        in_tree: PyTreeDef,
        out_avals: list[Any],
        out_tree: PyTreeDef,
    ) -> None:
        self.name = name
        self.refs: tuple[int, ...] = ()
        self.threads: Sequence[Ref] = ()
        self.in_avals = in_avals
        self.active = active
        self.in_tree = in_tree
        self.args_tree = in_tree.children()[0]
        self.out_avals = out_avals
        self.out_tree = out_tree
        self.x64 = enable_x64.value
        self.jaxpr: Jaxpr | None = None
        self.nonzeros: list[bool] = []

    @property
    def tangent_avals(self) -> list[AbstractValue]:
        """The avals of the tangents that the map takes."""
        own = [a.tangent_aval() for a, flag in zip(self.in_avals, self.active) if flag]
        return [*own, *self.thread_avals]

    @property
    def thread_avals(self) -> list[AbstractValue]:
        """The avals of the threads."""
        return [ref.aval.inner_aval.strip_weak_type() for ref in self.threads]


class LinearMap:
    """The derivative of a function at a point."""

    __slots__ = ("_form", "_residuals", "_tape")

    def __init__(self, form: _Form, tape: Tape | None, residuals: Sequence[Any] | None = None) -> None:
        self._form = form
        self._tape = tape
        self._residuals = residuals

    def _map(self) -> Tape:
        if self._tape is None:
            form, residuals, jaxpr = self._form, self._residuals, self._form.jaxpr
            assert jaxpr is not None and residuals is not None
            tape = tape_of(lambda *ts: eval_jaxpr(jaxpr, (), *residuals, *ts), form.tangent_avals)
            found = iter(tape.outputs)
            tape.outputs = [
                next(found) if nz else Zero(a.tangent_aval())
                for nz, a in zip(form.nonzeros, [*form.out_avals, *form.thread_avals])
            ]
            self._tape = tape
        return self._tape

    def _flatten(self) -> tuple[tuple[Any, ...], _Form]:
        form = self._form
        if self._residuals is None:
            assert self._tape is not None
            form.nonzeros = [type(t) is not Zero for t in self._tape.outputs]
            form.jaxpr, self._residuals = tape_jaxpr(self._tape, keep_arrays=True)
        return tuple(self._residuals), form

    @classmethod
    def _unflatten(cls: type[M], form: Any, residuals: Any) -> M:
        return cls(form, None, tuple(residuals))


class Vjp(LinearMap):
    """The pullback of a function at a point: maps output cotangents to input cotangents."""

    __slots__ = ()

    def __call__(self, cotangent: Any, /, *more: Any) -> tuple[Any, ...]:
        """Cotangents of the arguments, as a tuple, for a cotangent shaped like the output."""
        if self._form.refs:
            raise RefError(
                f"vjp of {self._form.name}: an argument is a reference, whose cotangent is added to another one; say which: "
                "vjp_fun.with_refs(...)(cotangent)"
            )
        return self.pull(self.cotangents(cotangent, *more))

    def with_refs(self, *entries: Any) -> GradientsInto:
        """The pullback that adds cotangents to references.

        Args:
          entries: one for each argument, or a pytree prefix of those: a reference, to which the cotangent of that array is
            added; `ad.GradValue()`, if it is to be returned; or `ad.DontWant()`, if it is not to be computed.
        Returns:
          A function of the output's cotangent. It returns a tuple as the pullback does, with `ad.GradRef()` where the cotangent
          went to a reference, and `ad.DidntWant()`.
        Raises:
          TypeError, ValueError: the entries do not fit the arguments.

        >>> import anima, anima.numpy as np
        >>> total = anima.new_ref(0.0)
        >>> for x in (1.0, 2.0):
        ...     y, pullback = anima.vjp(lambda x: x * x, x)
        ...     print(pullback.with_refs(total)(1.0), total)
        (GradRef(),) Ref(2., dtype=float32)
        (GradRef(),) Ref(6., dtype=float32)
        """
        return GradientsInto(self, entries)

    def cotangents(self, cotangent: Any, *more: Any) -> list[Any]:
        """A cotangent shaped like the output, as a flat list of arrays and symbolic zeros.

        Raises:
          TypeError, ValueError: it does not fit.
        """
        form = self._form
        check = TangentCheck("cotangent", f"vjp of {form.name}", ValueError, ValueError)
        if more:
            raise TypeError(
                f"{check.name}: the function takes one cotangent, shaped like the output, got {1 + len(more)} arguments; "
                f"for an output that is a tuple pass a tuple"
            )
        leaves, tree = tree_flatten(cotangent)
        check.structure(tree, form.out_tree, "the output", ValueError)
        return [self._checked(check, ct, i) for i, ct in enumerate(leaves)]

    def _checked(self, check: TangentCheck, ct: Any, index: int) -> Any:
        aval = self._form.out_avals[index]
        if not has_tangent(aval) and is_value(ct) and shaped(ct).shape == aval.shape:
            return Zero(
                aval.tangent_aval()
            )  # zeros like the output are welcome where only float0 has a meaning
        return check.value(ct, aval, lambda i: f"for the output{leaf_path(self._form.out_tree, i)}", index)

    def pull(self, cotangents: Sequence[Any]) -> tuple[Any, ...]:
        """Cotangents of the arguments for those of the outputs, a flat list of arrays and symbolic zeros."""
        args: tuple[Any, ...] = tree_unflatten(self._form.in_tree, self._pull_flat(cotangents))[0]
        return args

    def gradients(self, cotangents: Sequence[Any]) -> tuple[Any, ...]:
        """The same, weakly typed where the arguments are."""
        form = self._form
        grads = [typed_like(ct, aval) for ct, aval in zip(self._pull_flat(cotangents), form.in_avals)]
        args: tuple[Any, ...] = tree_unflatten(form.in_tree, grads)[0]
        return args

    def _pull_flat(self, cotangents: Sequence[Any], wanted: Sequence[bool] | None = None) -> list[Any]:
        """Cotangents of all arguments; zeros for those that are not wanted."""
        form = self._form
        with in_mode(form.x64):
            if wanted is None and not form.threads:
                results = iter(backward(self._map(), cotangents))
            else:
                results = iter(self._pull_some(cotangents, wanted))
            given = zip(form.in_avals, form.active)
            return [finished(next(results) if flag else None, aval) for aval, flag in given]

    def _pull_some(self, cotangents: Sequence[Any], wanted: Sequence[bool] | None) -> list[Any]:
        """Cotangents of the arguments that have any, after references have taken those of their threads."""
        form, tape = self._form, self._map()
        held = [ref._read() for ref in form.threads]
        if wanted is not None:
            flags = [w for w, flag in zip(wanted, form.active) if flag]
            tape = tape.of_inputs([*flags, *[True] * len(held)])
        found = backward(tape, [*cotangents, *held])
        count = len(found) - len(held)
        for ref, old, new in zip(form.threads, held, found[count:]):
            if new is not old and type(new) is not Zero:
                ref[...] = new
        return found[:count]

    @property
    def out_tree(self) -> PyTreeDef:
        """The structure of the output."""
        return self._form.out_tree

    def __repr__(self) -> str:
        return f"<vjp of {self._form.name}>"


class _Entry:
    """What becomes of a cotangent; all of a kind are equal, and are structure in pytrees."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class GradValue(_Entry):
    """For `with_refs`: the cotangent is to be returned."""

    __slots__ = ()


class DontWant(_Entry):
    """For `with_refs`: the cotangent is not to be computed."""

    __slots__ = ()


class GradRef(_Entry):
    """In the place of a cotangent that was added to a reference."""

    __slots__ = ()


class DidntWant(_Entry):
    """In the place of a cotangent that was not computed."""

    __slots__ = ()


def _flat_entry(entry: Any) -> tuple[Any, Any]:
    return (), type(entry)


for _kind in (GradRef, DidntWant):
    register_pytree_node(_kind, _flat_entry, lambda kind, _: kind())


class GradientsInto:
    """A pullback that adds cotangents to references."""

    __slots__ = ("_entries", "_vjp")

    def __init__(self, vjp: Vjp, entries: tuple[Any, ...]) -> None:
        form = vjp._form
        what = f"with_refs of the vjp of {form.name}"
        self._vjp = vjp
        self._entries = flatten_axes(what, form.args_tree, entries, of="the arguments")
        refs = [entry for entry in self._entries if isinstance(entry, Ref)]
        check_aliases(refs, what)
        for index, (entry, aval) in enumerate(zip(self._entries, form.in_avals)):
            where = leaf_path(form.args_tree, index)
            if not isinstance(entry, (Ref, GradValue, DontWant)):
                raise TypeError(
                    f"{what}: an entry must be a reference, ad.GradValue() or ad.DontWant(), got {entry!r:.80} for argument{where}"
                )
            if isinstance(entry, GradValue) and index in form.refs:
                raise RefError(
                    f"{what}: argument{where} is a reference, so its cotangent needs one, or ad.DontWant()"
                )
            if isinstance(entry, Ref) and not (
                has_tangent(aval) and (entry.shape, entry.dtype) == (aval.shape, aval.dtype)
            ):
                raise RefError(
                    f"{what}: a reference of type {entry.aval} cannot take the cotangent of argument{where}, of type {aval}"
                )

    def __call__(self, cotangent: Any, /, *more: Any) -> tuple[Any, ...]:
        """What is returned of the cotangents, for a cotangent shaped like the output."""
        vjp, form = self._vjp, self._vjp._form
        wanted = [not isinstance(entry, DontWant) for entry in self._entries]
        results = vjp._pull_flat(vjp.cotangents(cotangent, *more), wanted)
        for index, entry in enumerate(self._entries):
            if isinstance(entry, Ref):
                entry.addupdate(results[index], ...)
                results[index] = GradRef()
            elif isinstance(entry, DontWant):
                results[index] = DidntWant()
        args: tuple[Any, ...] = tree_unflatten(form.in_tree, results)[0]
        return args

    def __repr__(self) -> str:
        return f"{self._vjp!r}.with_refs{tuple(self._entries)!r}"


class Linearized(LinearMap):
    """The derivative of a function at a point: maps tangents of the arguments to those of the outputs."""

    __slots__ = ()

    def __call__(self, *tangents: Any) -> Any:
        """The output tangents for tangents shaped like the arguments."""
        form = self._form
        check = TangentCheck("tangent", f"linearized {form.name}", ValueError, ValueError)
        leaves, given = tree_flatten(tangents)
        check.structure(given, form.args_tree, "the arguments")
        where = lambda i: f"at tangents{leaf_path(given, i)}"
        checked = [check.value(t, a, where, i) for i, (t, a) in enumerate(zip(leaves, form.in_avals))]
        with in_mode(self._form.x64):
            directions = [t for t, flag in zip(checked, form.active) if flag]
            results = self._map().apply([*directions, *map(hooks.zeros, form.thread_avals)])
            return tree_unflatten(form.out_tree, [finished(t, a) for t, a in zip(results, form.out_avals)])

    def __repr__(self) -> str:
        return f"<derivative of {self._form.name}>"


for _cls in (Vjp, Linearized):
    register_pytree_node(_cls, LinearMap._flatten, _cls._unflatten)


def linearized(
    cls: type[M], fun: Any, leaves: list[Any], tree: PyTreeDef, has_aux: bool
) -> tuple[Any, M, Any]:
    """The value of `fun` at flat arguments of a structure, its derivative there, and its auxiliary data."""
    lent = None
    try:
        avals = [aval_of(x) for x in leaves]
    except RefError:
        lent = lent_among(leaves, f"vjp of {name_of(fun)}")
        leaves = lent.arguments(leaves)
        avals = [aval_of(x) for x in leaves]
    active = [has_tangent(a) for a in avals]
    flat = FlatFunction(fun, tree, has_aux)
    outs, tape = linearize_flat(flat if lent is None else lent.ending(flat), leaves, active)
    if lent is not None:
        for ref in reversed(lent.refs):
            ref[...] = outs.pop()
    outs, aux = flat.split(outs)
    del tape.outputs[len(outs) :]

    out_avals = [aval_of(o) for o in outs]
    form = _Form(name_of(fun), avals, active, tree, out_avals, flat.out_tree)
    if lent is not None:
        form.refs = lent.places
    if tape.threads:
        tape.inputs += [values[0] for _, values in tape.threads]
        tape.outputs += [values[-1] for _, values in tape.threads]
        form.threads = [thread._ref for thread, _ in tape.threads]
    return tree_unflatten(flat.out_tree, outs), cls(form, tape), aux
